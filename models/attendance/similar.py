"""The similar steps a forecast is compared with: the baseline of every explanation, and what they are called."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.cadence import Ints
from models.attendance.features import COLUMN, Seen, same_steps, weekday
from models.attendance.grid import Floats, Grid


@dataclass(frozen=True)
class Similar:
    """Units x pairs: the mean of the similar steps, of how many, and whether they are really the same ones."""

    mean: Floats
    count: Ints
    is_same: NDArray[np.bool_]


def similar(seen: Seen, matrix: Floats, origin: Ints, target: Ints) -> Similar:
    """The last six same steps; of irregular events those on the same weekday; the unit's level where there is none."""
    grid = seen.grid
    values = same_steps(grid, np.minimum(origin, grid.length), target, lead=target - origin + 1)
    known = np.isfinite(values)
    count = known.sum(axis=2)
    mean = np.where(count > 0, np.where(known, values, 0.0).sum(axis=2) / np.maximum(count, 1), np.nan)
    if not grid.is_regular:
        on_weekday = matrix[:, :, COLUMN["weekday_mean"]]
        is_same = np.isfinite(on_weekday)
        return Similar(np.where(is_same, on_weekday, mean), np.asarray(count), is_same)
    is_same = (count > 0) & (grid.season[:, None] > 1)
    return Similar(np.where(count > 0, mean, matrix[:, :, COLUMN["level_long"]]), np.asarray(count), is_same)


def similar_key(grid: Grid, unit: int, when: Any, *, is_same: bool) -> dict[str, Any]:
    """What the similar steps are called: a kind of the message catalogue with its number and time of day."""
    moment = np.array([when], dtype="datetime64[m]")
    name = grid.cadence.name
    month = int(moment.astype("datetime64[M]").astype(np.int64)[0]) % 12 + 1
    number: int | None = None
    kind = "recent"
    if is_same and name in ("daily", "irregular"):
        kind, number = "weekday", int(weekday(moment)[0])
    elif is_same and grid.cadence.short is not None:
        weekly = grid.season[unit] == grid.cadence.season
        kind, number = ("weekday_hour", int(weekday(moment)[0])) if weekly else ("hour", None)
    elif is_same and name == "weekly":
        kind = "week"
    elif is_same and name == "monthly":
        kind, number = "month", month
    elif is_same and name == "quarterly":
        kind, number = "quarter", (month - 1) // 3 + 1
    return {"kind": kind, "number": number, "time": str(moment[0])[11:16]}
