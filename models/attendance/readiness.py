"""What a partner's history still lacks before a model of its own. Counts only."""

import numpy as np

from integrator.contracts.readiness import Readiness, Requirement
from models.attendance.history import History

MIN_DAYS = 42
"""Six weeks: three to learn from before the first origin, and a third of it as horizon."""
MIN_OBSERVATIONS = 21
"""Known days a unit needs before the model speaks for it; below, the rule does."""


def readiness(history: History) -> Readiness:
    """Days and known attendances of the longest unit, with the days until both suffice at the present pace."""
    span = counted = 0
    for row in history.people:
        known = np.flatnonzero(np.isfinite(row))
        if len(known) > counted:
            counted, span = len(known), int(known[-1] - known[0]) + 1
    left = max(0, MIN_DAYS - span)
    pace = counted / span if span else 0.0
    short = max(0, MIN_OBSERVATIONS - counted)
    wait = int(np.ceil(short / pace)) if pace else None
    requirements = [
        Requirement("history_days", "days of attendance history", span, MIN_DAYS, left if counted else None),
        Requirement("known_days", "days with known attendance", counted, MIN_OBSERVATIONS, wait),
    ]
    rung = "none" if not counted else "partner" if all(r.met for r in requirements) else "rule"
    return Readiness("attendance", rung, requirements)  # type: ignore[arg-type]
