"""How far off the naive rule was on a unit's own history: its interval, and what that interval really covered."""

from typing import Any

import numpy as np

from models.attendance.grid import Grid
from models.attendance.intervals import LEVEL
from models.evaluation import conformal_margins, coverage

FEWEST = 10
"""Past errors that an interval needs; with fewer the rule states none."""
MEASURED = 20
"""Past errors from which on its coverage is measured: margins of the older half, judged on the newer."""
NEWEST = 90


def rule_lag(season: int, lead: int) -> int:
    """How many steps lie between a step `lead` ahead and the last same one that is known: whole seasons."""
    return season * -(-lead // season)


def rule_facts(grid: Grid, unit: int, lag: int) -> dict[str, Any]:
    """`rule_low` and `rule_high` to add to the rule's value at that lag, and `rule_coverage`; None unknown."""
    people = grid.people[unit]
    errors = people[lag:] - people[:-lag] if len(people) > lag else np.empty(0)
    errors = errors[np.isfinite(errors)][-max(NEWEST, 2 * int(grid.season[unit])) :]
    if len(errors) < FEWEST:
        return {"rule_low": None, "rule_high": None, "rule_coverage": None}
    low, high = _margins(errors)
    measured: float | None = None
    if len(errors) >= MEASURED:
        older, newer = np.array_split(errors, 2)
        before = _margins(older)
        measured = coverage(newer, np.full(len(newer), before[0]), np.full(len(newer), before[1]))
    return {"rule_low": low, "rule_high": high, "rule_coverage": measured}


def _margins(errors: Any) -> tuple[float, float]:
    low, high = conformal_margins(errors, np.zeros(len(errors)), LEVEL)
    return min(low, 0.0), max(high, 0.0)
