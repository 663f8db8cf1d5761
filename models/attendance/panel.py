"""Labelled rows for the pooled models: every unit's days, each seen from several origins. Arrays only, no model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.features import COLUMN, features
from models.attendance.history import History
from models.evaluation import naive_scale

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
FIRST_ORIGIN = 21
"""Days before the first training origin: three of each weekday."""
MAX_ORIGINS = 50
MAX_ROWS = 200_000


@dataclass(frozen=True)
class Panel:
    """Aligned rows: whose day (`unit`), which (`target`), how it looked before (`rows`), how many came (`people`)."""

    unit: Ints
    target: Ints
    rows: Floats
    people: Floats

    def before(self, origin: int) -> "Panel":
        """Only what was known at `origin`."""
        return self._keep(self.target < origin)

    def _keep(self, keep: NDArray[np.bool_]) -> "Panel":
        return Panel(self.unit[keep], self.target[keep], self.rows[keep], self.people[keep])

    @property
    def lead(self) -> Ints:
        """Lead days of every row."""
        return self.rows[:, COLUMN["lead_days"]].astype(np.intp)

    def attributes(self, history: History) -> list[Mapping[str, Any]]:
        """The attributes of every row's day."""
        return [history.attributes.get((int(u), int(t)), {}) for u, t in zip(self.unit, self.target, strict=True)]


def training_panel(history: History, horizon: int) -> Panel:
    """Rows from origins spread evenly over the history; about `MAX_ROWS` of the newest at most."""
    first = min(FIRST_ORIGIN, max(1, history.days - 1))
    affordable = max(2, MAX_ROWS // max(1, len(history.units) * horizon))
    count = min(history.days - first, MAX_ORIGINS, affordable)
    origins = np.unique(np.linspace(first, history.days - 1, max(1, count)).astype(int))
    return joined([test_panel(history, int(origin), horizon) for origin in origins])


def test_panel(history: History, origin: int, horizon: int) -> Panel:
    """The known days in [origin, origin + horizon), as seen from `origin`; units never seen before are left out."""
    targets = list(range(origin, min(origin + horizon, history.days)))
    holidays = history.holiday[:, targets]
    matrix = features(history, origin, targets, holidays)
    people = history.people[:, targets]
    known = np.isfinite(people) & np.isfinite(matrix[:, :, COLUMN["same_1"]])
    unit, column = np.nonzero(known)
    return Panel(unit, np.asarray(targets, dtype=np.intp)[column], matrix[known], people[known])


def joined(panels: list[Panel]) -> Panel:
    """One panel after the other."""
    return Panel(
        np.concatenate([p.unit for p in panels]),
        np.concatenate([p.target for p in panels]),
        np.concatenate([p.rows for p in panels]),
        np.concatenate([p.people for p in panels]),
    )


def scales(history: History, origin: int) -> Floats:
    """Each unit's in-sample seasonal-naive error before `origin`, NaN where unknown or zero."""
    found = np.array([naive_scale(row[:origin]) for row in history.people])
    return np.where(found > 0, found, np.nan)
