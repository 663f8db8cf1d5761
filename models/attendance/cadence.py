"""How often a unit's events come: the cadences there are, which one a list of moments has, and its steps' numbers.

Moments are local wall-clock times (numpy `datetime64`), so that "the same hour" stays the same hour over a change
of clocks. A regular cadence numbers its steps on the calendar; an irregular one has no numbers but the order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.datetime64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """The facts of one cadence; everything but `minutes` counts steps."""

    name: str
    season: int
    """After which the pattern repeats; 1 where none is expected."""
    short: int | None = None
    """A shorter season inside it: the day of an hourly series."""
    year: int | None = None
    """Back to the same time a year ago, in whole seasons; None where the season is the year already."""
    windows: tuple[int, int, int]
    """Short, middle and long stretch over which a level is taken."""
    horizon: int
    span: int
    """History that a model needs, of which `known` steps with a known attendance."""
    known: int
    minutes: int
    """Length of a step, for durations said in days; an average where steps differ."""

    @property
    def days(self) -> float:
        """Length of a step in days."""
        return self.minutes / 1440


DAY = 1440
CADENCES = (
    Cadence(name="half_hourly", season=336, short=48, year=17_472, windows=(48, 336, 1344),
            horizon=96, span=672, known=84, minutes=30),
    Cadence(name="hourly", season=168, short=24, year=8_736, windows=(24, 168, 672),
            horizon=48, span=336, known=42, minutes=60),
    Cadence(name="daily", season=7, year=364, windows=(7, 14, 28),
            horizon=14, span=42, known=21, minutes=DAY),
    Cadence(name="weekly", season=52, windows=(4, 8, 26),
            horizon=13, span=26, known=20, minutes=7 * DAY),
    Cadence(name="monthly", season=12, windows=(3, 6, 12),
            horizon=12, span=24, known=18, minutes=43_830),
    Cadence(name="quarterly", season=4, windows=(2, 4, 8),
            horizon=8, span=12, known=10, minutes=131_490),
    Cadence(name="yearly", season=1, windows=(2, 3, 6),
            horizon=4, span=12, known=12, minutes=525_960),
    Cadence(name="irregular", season=1, windows=(3, 6, 12),
            horizon=8, span=20, known=20, minutes=5 * DAY),
)  # fmt: skip
BY_NAME = {cadence.name: cadence for cadence in CADENCES}
DAILY = BY_NAME["daily"]
IRREGULAR = BY_NAME["irregular"]
FEWEST = 3
"""Moments that a cadence is told from; fewer count as days."""
USUAL_SHARE = 0.6
"""Of the steps between neighbours that are one step long, for a cadence to be taken."""
TWICE_SHARE = 0.2
"""Of the open days with several start times, from which on hours count apart."""
DENSE_DAYS = 3.0
"""Median days between events up to which a unit counts as daily with gaps."""


def steps(cadence: Cadence, moments: Moments) -> Ints:
    """The number of the step each moment lies in, from 1970 on; Defect-free for regular cadences only."""
    days = moments.astype("datetime64[D]").astype(np.int64)
    if cadence.minutes < DAY:
        return np.asarray(moments.astype("datetime64[m]").astype(np.int64) // cadence.minutes, dtype=np.intp)
    if cadence.name == "weekly":
        return np.asarray((days + 3) // 7, dtype=np.intp)  # 1970-01-01 was a Thursday: weeks begin on Mondays
    months = moments.astype("datetime64[M]").astype(np.int64)
    per_step = {"monthly": 1, "quarterly": 3, "yearly": 12}.get(cadence.name)
    return np.asarray(days if per_step is None else months // per_step, dtype=np.intp)


def starts(cadence: Cadence, numbers: Ints) -> Moments:
    """The moment each step begins, the inverse of `steps`."""
    whole = np.asarray(numbers, dtype=np.int64)
    if cadence.minutes < DAY:
        return (whole * cadence.minutes).astype("datetime64[m]")
    if cadence.name == "weekly":
        return (whole * 7 - 3).astype("datetime64[D]").astype("datetime64[m]")
    per_step = {"monthly": 1, "quarterly": 3, "yearly": 12}.get(cadence.name)
    if per_step is None:
        return whole.astype("datetime64[D]").astype("datetime64[m]")
    return (whole * per_step).astype("datetime64[M]").astype("datetime64[m]")


def infer(moments: Moments) -> Cadence:
    """The cadence of a unit's moments, in any order; the finest regular one that fits, else irregular."""
    known = np.unique(moments.astype("datetime64[m]"))
    days = np.unique(known.astype("datetime64[D]").astype(np.int64))
    if len(known) >= FEWEST and _several_a_day(known) >= TWICE_SHARE:
        return _within_days(known)
    if len(days) < FEWEST:
        return DAILY
    gaps = np.diff(days)
    if np.mean(gaps == 1) >= USUAL_SHARE or _same_weekdays(days):
        return DAILY
    for name in ("weekly", "monthly", "quarterly", "yearly"):
        numbers = steps(BY_NAME[name], days.astype("datetime64[D]"))
        between = np.diff(numbers)
        if np.mean(between == 1) >= USUAL_SHARE and np.mean(between == 0) <= 1 - USUAL_SHARE - 0.3:
            return BY_NAME[name]
    return DAILY if np.median(gaps) <= DENSE_DAYS else IRREGULAR


def _several_a_day(known: Moments) -> float:
    """Share of the open days with more than one start."""
    _, counts = np.unique(known.astype("datetime64[D]"), return_counts=True)
    return float(np.mean(counts > 1))


def _within_days(known: Moments) -> Cadence:
    """Half hours where most starts follow within half an hour, else hours."""
    gaps = np.diff(known).astype(np.int64)
    near = gaps[gaps < DAY // 2]
    return BY_NAME["half_hourly" if len(near) and np.median(near) <= 45 else "hourly"]


def _same_weekdays(days: NDArray[np.int64]) -> bool:
    """Whether several weekdays of a week come back a week later, as those of a venue open on some days do."""
    back = np.mean(np.isin(days[1:] - 7, days)) if len(days) > 1 else 0.0
    return bool(back >= USUAL_SHARE and np.median(np.diff(days)) < 7)
