"""What a partner's history still lacks before a model of its own. Counts only."""

import math

from integrator.contracts.readiness import Readiness, Requirement
from models.attendance.cadence import DAILY, Cadence
from models.attendance.history import History
from models.messages import ENGLISH, catalogue


def readiness(history: History, language: str = ENGLISH, booked: Requirement | None = None) -> Readiness:
    """Steps and known attendances of the unit that is furthest, with the days until both suffice at the present pace.

    `booked` is what the partner's ticket sales have and need: either way leads to a model, so that of two that are
    not there yet the nearer one is told, and of one that is there the other is told only if it is there too.
    """
    cadence, span, known = _furthest(history)
    pace = known / span if span else 0.0
    wait = math.ceil(max(0, cadence.known - known) / pace * cadence.days) if pace else None
    left = math.ceil(max(0, cadence.span - span) * cadence.days) if known else None
    say = catalogue("attendance", language)
    requirements = [
        Requirement("history_days", say(f"readiness.{cadence.name}_span"), span, cadence.span, left),
        Requirement("known_days", say(f"readiness.{cadence.name}_known"), known, cadence.known, wait),
    ]
    requirements = _nearer(requirements, booked)
    rung = "none" if not known else "partner" if all(r.met for r in requirements) else "rule"
    return Readiness("attendance", rung, requirements)  # type: ignore[arg-type]


def _nearer(series: list[Requirement], booked: Requirement | None) -> list[Requirement]:
    if booked is None:
        return series
    reached = min(one.have / one.need for one in series)
    if all(one.met for one in series):
        return [*series, booked] if booked.met else series
    return [booked] if booked.met or booked.have / booked.need >= reached else series


def _furthest(history: History) -> tuple[Cadence, int, int]:
    """(cadence, steps spanned, steps known) of the unit nearest to what its cadence needs."""
    best: tuple[float, Cadence, int, int] = (-1.0, DAILY, 0, 0)
    for grid in history.grids:
        need = grid.cadence
        for span, known in zip(grid.spans.tolist(), grid.known.tolist(), strict=True):
            if not known:
                continue
            reached = min(span / need.span, known / need.known, 1.0) + known / (1e6 * need.known)
            if reached > best[0]:
                best = (reached, need, span, known)
    return best[1], best[2], best[3]
