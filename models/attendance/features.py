"""What a forecast may look at: features of a unit's step as known at an origin, in people. Arrays only.

`origin` is the first step whose attendance is not known yet; a target lies `lead` = 1, 2, … steps from it.
Nothing at or after the origin is ever read, whichever the target.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.attendance.cadence import Ints, Moments
from models.attendance.grid import NO_HOLIDAY, TOO_OFTEN, Calendar, Floats, Grid
from models.attendance.smoothing import COARSE, FINE, States, smooth

FEATURES = (
    "same_1",
    "same_2_mean",
    "same_4_mean",
    "same_6_median",
    "short_1",
    "short_3_mean",
    "weekday_mean",
    "last_1",
    "level_short",
    "level_middle",
    "level_long",
    "spread",
    "smoothed",
    "last_year",
    "last_year_level",
    "lead",
    "weekday",
    "hour",
    "month",
    "day_of_year",
    "is_holiday",
    "holiday_ratio",
    "before_holiday",
    "after_holiday",
    "capacity",
)
COLUMN = {name: number for number, name in enumerate(FEATURES)}
SAME = 6
"""Same steps of earlier seasons that are looked at; `LOOK_BACK` seasons back are searched for them."""
LOOK_BACK = 16
RARE_HOLIDAYS = 0.2
"""Share of a unit's known steps; where more are marked, a holiday is nothing special and stays in the smoothing."""
ORDINARY_STEPS = 10
"""Known steps before a holiday is left out at all."""
PRIOR_HOLIDAYS = 1.0
"""Ordinary days that a holiday's ratio is shrunk by."""


@dataclass(frozen=True)
class Seen:
    """A grid with the running sums its features are read from; built once, read at any origin."""

    grid: Grid
    lead: int
    """Steps ahead at which smoothing parameters are judged."""

    @cached_property
    def sums(self) -> tuple[Floats, Floats, Floats]:
        """Running sums of people, of their squares, and counts, each units x (steps + 1)."""
        people = self.grid.people
        known = np.isfinite(people)
        value = np.where(known, people, 0.0)
        return tuple(_running(part) for part in (value, value**2, known.astype(float)))  # type: ignore[return-value]

    @cached_property
    def last(self) -> Ints:
        """Units x (steps + 1): column of the last known step before each, -1 where there is none."""
        known = np.isfinite(self.grid.people)
        index = np.where(known, np.arange(known.shape[1]), -1)
        return np.concatenate([np.full((len(known), 1), -1), np.maximum.accumulate(index, axis=1)], axis=1)

    @cached_property
    def is_exceeded(self) -> NDArray[np.bool_]:
        """Units x (steps + 1): whether so many steps before were above the stated capacity that it is no limit."""
        with np.errstate(invalid="ignore"):
            above = _running(self.grid.people > self.grid.capacity[:, None])
        return np.asarray(above > TOO_OFTEN * np.maximum(self.sums[2], 1.0))

    @cached_property
    def weekdays(self) -> tuple[Floats, Floats]:
        """Running sums and counts of people by weekday: 7 x units x (steps + 1)."""
        days = weekday(self.grid.calendar.when)
        known = np.isfinite(self.grid.people)
        value = np.where(known, self.grid.people, 0.0)
        sums = np.stack([_running(np.where(days == day, value, 0.0)) for day in range(1, 8)])
        counts = np.stack([_running((days == day) & known) for day in range(1, 8)])
        return sums, counts

    @cached_property
    def holiday_ratios(self) -> tuple[Ints, Floats, Floats]:
        """(columns with a holiday, running sums, counts) of people over the ordinary same steps before.

        The sums are holidays x units x (columns + 1), over those columns alone.
        """
        grid = self.grid
        columns = np.flatnonzero((grid.calendar.holiday != NO_HOLIDAY).any(axis=0))
        usual = _mean(same_steps(grid, columns, columns, ordinary=True)[:, :, :4])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(usual > 0, grid.people[:, columns] / usual, np.nan)
        sums, counts = [], []
        for number in range(len(grid.holidays)):
            own = (grid.calendar.holiday[:, columns] == number) & np.isfinite(ratio) & (number != NO_HOLIDAY)
            sums.append(_running(np.where(own, np.minimum(ratio, 10.0), 0.0)))
            counts.append(_running(own))
        return columns, np.stack(sums), np.stack(counts)

    def states(self, origins: Ints) -> States:
        """The smoothing's states at the origins; holidays are left out where they are rare."""
        grid = self.grid
        phase, phases = phases_of(grid, np.arange(grid.length), grid.calendar.when)
        marked = (grid.calendar.holiday != NO_HOLIDAY) & np.isfinite(grid.people)
        before, known = _running(marked)[:, :-1], self.sums[2][:, :-1]
        left_out = marked & (known >= ORDINARY_STEPS) & (before <= RARE_HOLIDAYS * known)
        people = np.where(left_out, np.nan, grid.people)
        return smooth(people, phase, phases, origins, self.lead, COARSE if grid.cadence.short is None else FINE)


def features(seen: Seen, origin: Ints, target: Ints, coming: Calendar) -> Floats:
    """Features of all units at pairs (origin, target ≥ origin): units x pairs x len(FEATURES).

    `coming` is the calendar of the targets, units x pairs. Units without any known step get NaN.
    """
    grid = seen.grid
    lead = target - origin + 1
    known = np.minimum(origin, grid.length)
    windows = grid.cadence.windows
    levels = [_level(seen, origin, known, width) for width in windows]
    same = same_steps(grid, known, target, lead=lead)
    empty = ~np.isfinite(same[:, :, 0])
    same[empty, 0] = levels[2][empty]
    day = weekday(coming.when)
    out = np.full((len(grid.units), len(target), len(FEATURES)), np.nan)
    named: dict[str, Floats] = {
        "same_1": same[:, :, 0],
        "same_2_mean": _mean(same[:, :, :2]),
        "same_4_mean": _mean(same[:, :, :4]),
        "same_6_median": _median(same),
        "last_1": _at(grid.people, seen.last[:, known]),
        "level_short": levels[0],
        "level_middle": levels[1],
        "level_long": levels[2],
        "spread": _spread(seen, origin, known, windows[2]),
        "smoothed": _smoothed(seen, origin, target, coming),
        "lead": np.broadcast_to(lead.astype(float), same.shape[:2]),
        "weekday": day.astype(float),
        "hour": (coming.when.astype("datetime64[h]").astype(np.int64) % 24).astype(np.float64),
        "month": (coming.when.astype("datetime64[M]").astype(np.int64) % 12 + 1).astype(np.float64),
        "day_of_year": _day_of_year(coming.when),
        "is_holiday": (coming.holiday != NO_HOLIDAY).astype(float),
        "holiday_ratio": _holiday_ratio(seen, known, coming.holiday),
        "before_holiday": coming.before.astype(float),
        "after_holiday": coming.after.astype(float),
        "capacity": np.where(seen.is_exceeded[:, known], np.nan, grid.capacity[:, None]),
        **_short(grid, known, target, lead),
        **_yearly(seen, known, origin, target),
    }
    if not grid.is_regular:
        sums, counts = seen.weekdays
        each = np.arange(len(grid.units))[:, None]
        named["weekday_mean"] = _share(sums[day - 1, each, known[None, :]], counts[day - 1, each, known[None, :]])
    for name, values in named.items():
        out[:, :, COLUMN[name]] = values
    return out


def weekday(when: Moments) -> Ints:
    """ISO weekday, 1 Monday to 7 Sunday."""
    return np.asarray((when.astype("datetime64[D]").astype(np.int64) + 3) % 7 + 1, dtype=np.intp)


def phases_of(grid: Grid, columns: Ints, when: Moments) -> tuple[Ints, int]:
    """(each step's place in its unit's season, units x steps; how many there are). Of irregular events the weekday."""
    if not grid.is_regular:
        return weekday(when) - 1, 7
    phase = (np.asarray(columns)[None, :] + grid.first) % grid.season[:, None]
    return phase, int(grid.season.max(initial=1))


def same_steps(grid: Grid, known: Ints, target: Ints, *, lead: Ints | None = None, ordinary: bool = False) -> Floats:
    """The last `SAME` known values at whole seasons before each target: units x pairs x SAME, newest first."""
    season = grid.season[:, None, None]
    ahead = np.ones(len(target), dtype=np.intp) if lead is None else lead
    first = -(-ahead[None, :, None] // season)
    columns = target[None, :, None] - season * (first + np.arange(LOOK_BACK)[None, None, :])
    people = grid.people
    if ordinary:
        people = np.where(grid.calendar.holiday != NO_HOLIDAY, np.nan, people)
    if not people.shape[1]:
        return np.full((*columns.shape[:2], SAME), np.nan)
    each = np.arange(len(people))[:, None, None]
    values = people[each, np.clip(columns, 0, people.shape[1] - 1)]
    values = np.where((columns >= 0) & (columns < known[None, :, None]), values, np.nan)
    order = np.argsort(~np.isfinite(values), axis=2, kind="stable")[:, :, :SAME]
    return np.asarray(np.take_along_axis(values, order, axis=2))


def _level(seen: Seen, origin: Ints, known: Ints, width: int) -> Floats:
    """Mean of the last `width` steps that have values; where none has, of all up to four times as far, then of all."""
    value, _, count = seen.sums
    out = np.full((len(value), len(origin)), np.nan)
    for reach in (width, 4 * width, seen.grid.length + int(np.max(origin, initial=0))):
        begin = np.clip(origin - reach, 0, seen.grid.length)
        found = _share(value[:, known] - value[:, begin], count[:, known] - count[:, begin])
        out = np.where(np.isfinite(out), out, found)
    return out


def _spread(seen: Seen, origin: Ints, known: Ints, width: int) -> Floats:
    """Standard deviation of the last `width` steps' known values."""
    value, square, count = seen.sums
    begin = np.clip(origin - width, 0, seen.grid.length)
    number = count[:, known] - count[:, begin]
    mean = _share(value[:, known] - value[:, begin], number)
    squares = _share(square[:, known] - square[:, begin], number)
    return np.sqrt(np.maximum(squares - mean**2, 0.0))


def _smoothed(seen: Seen, origin: Ints, target: Ints, coming: Calendar) -> Floats:
    origins = np.unique(origin)
    phase, _ = phases_of(seen.grid, target, coming.when)
    return seen.states(origins).forecast(origin, target - origin + 1, phase)


def _short(grid: Grid, known: Ints, target: Ints, lead: Ints) -> dict[str, Floats]:
    """The same step of the last shorter seasons: yesterday's hour."""
    if grid.cadence.short is None:
        return {}
    inner = Grid(**{**grid.__dict__, "season": np.full(len(grid.units), grid.cadence.short)})
    same = same_steps(inner, known, target, lead=lead)
    return {"short_1": same[:, :, 0], "short_3_mean": _mean(same[:, :, :3])}


def _yearly(seen: Seen, known: Ints, origin: Ints, target: Ints) -> dict[str, Floats]:
    """The mean around the same time a year before, one season to either side, and the level that was seen from then."""
    grid, year = seen.grid, seen.grid.cadence.year
    if year is None or not (target - year >= 0).any():
        return {}
    season = grid.cadence.season
    columns = target[:, None] - year + np.array([-season, 0, season])[None, :]
    inside = (columns >= 0) & (columns < known[:, None])
    values = np.where(inside[None], grid.people[:, np.clip(columns, 0, grid.length - 1)], np.nan)
    then = origin - year
    level = _level(seen, np.maximum(then, 0), np.clip(then, 0, grid.length), grid.cadence.windows[2])
    return {"last_year": _mean(values), "last_year_level": np.where(then[None, :] > 0, level, np.nan)}


def _holiday_ratio(seen: Seen, known: Ints, holiday: Ints) -> Floats:
    """How a named holiday compared with ordinary same steps: the unit's own, shrunk to all units', 1 where unknown."""
    if len(seen.grid.holidays) == 1:
        return np.ones(holiday.shape)
    columns, sums, counts = seen.holiday_ratios
    before = np.searchsorted(columns, known)
    each = np.arange(holiday.shape[0])[:, None]
    own_sum, own = sums[holiday, each, before[None, :]], counts[holiday, each, before[None, :]]
    pair = np.arange(holiday.shape[1])[None, :]
    all_sum = sums.sum(axis=1)[:, before][holiday, pair] + PRIOR_HOLIDAYS
    every = counts.sum(axis=1)[:, before][holiday, pair] + PRIOR_HOLIDAYS
    ratio = (own_sum + all_sum / every) / (own + 1.0)
    return np.where(holiday == NO_HOLIDAY, 1.0, ratio)


def _day_of_year(when: Moments) -> Floats:
    days = when.astype("datetime64[D]")
    return np.asarray((days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1.0)


def _running(values: Floats | NDArray[np.bool_]) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1, dtype=np.float64)], axis=1)


def _at(people: Floats, columns: Ints) -> Floats:
    each = np.arange(len(people))[:, None]
    return np.where(columns >= 0, people[each, np.maximum(columns, 0)], np.nan)


def _share(total: Floats, count: Floats) -> Floats:
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    return _share(np.where(known, values, 0.0).sum(axis=2), known.sum(axis=2).astype(float))


def _median(values: Floats) -> Floats:
    """Median of the known values along the last axis; known ones stand first."""
    known = np.isfinite(values).sum(axis=2)
    ordered = np.sort(values, axis=2)
    low, high = np.maximum(known - 1, 0) // 2, np.maximum(known, 1) // 2
    pick = [np.take_along_axis(ordered, at[:, :, None], axis=2)[:, :, 0] for at in (low, high)]
    return np.asarray((pick[0] + pick[1]) / 2)
