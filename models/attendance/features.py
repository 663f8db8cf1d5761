"""What a forecast may look at: features of a unit's day as known at an origin, in people. Arrays only.

`origin` is the first day whose attendance is not known yet; a target day lies `lead_days` = 1, 2, … from it.
Nothing at or after the origin is ever read, whichever the target.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.attendance.history import History, trusted_capacity

Floats = NDArray[np.float64]

FEATURES = (
    "same_1",
    "same_2_mean",
    "same_4_mean",
    "same_6_median",
    "level_7",
    "level_14",
    "level_28",
    "spread_28",
    "smoothed_level",
    "weekday_index",
    "last_year",
    "lead_days",
    "weekday",
    "month",
    "is_holiday",
    "capacity",
)
COLUMN = {name: number for number, name in enumerate(FEATURES)}
SEASON = 7
SMOOTHING = 0.3
"""Weight of the newest day in the smoothed level: about the last week counts."""


@dataclass(frozen=True)
class Profile:
    """Per unit: the smoothed level without its weekday pattern, and the pattern (column 0 Monday … 6 Sunday)."""

    level: Floats
    index: Floats


def profile(people: Floats, weekdays: NDArray[np.intp]) -> Profile:
    """Classical decomposition: weekday index = median of the last 5 ratios to the centred 7-day mean.

    The level is simple exponential smoothing of the de-seasonalized days (Brown 1956).
    """
    units, days = people.shape
    ratio = people / _positive(_centred_mean(people))
    index = np.ones((units, SEASON))
    for weekday in range(1, SEASON + 1):
        index[:, weekday - 1] = np.nan_to_num(
            _nan(np.nanmedian, _last_known(ratio[:, weekdays == weekday], 5)), nan=1.0
        )
    index = np.where(index > 0.05, index, 0.05)
    flat = people / index[:, weekdays - 1]
    level = _nan(np.nanmean, flat[:, : 2 * SEASON])
    for day in range(days):
        value = flat[:, day]
        known = np.isfinite(value)
        level = np.where(known, np.where(np.isfinite(level), level + SMOOTHING * (value - level), value), level)
    return Profile(level, index)


def features(history: History, origin: int, targets: list[int], holidays: Floats) -> Floats:
    """Features of all units at `targets` (column indices ≥ origin): units x targets x len(FEATURES).

    `holidays` is units x targets, 1 where the target is a holiday. Units without any known day get NaN.
    """
    offset = max(0, origin - 3 * 366)
    silent = max(0, origin - history.days)
    seen = np.pad(history.people, ((0, 0), (0, silent)), constant_values=np.nan)[:, offset:origin]
    weekdays = (np.arange(offset, origin) + history.start.isoweekday() - 1) % SEASON + 1
    parts = profile(seen, weekdays)
    levels = {days: _level(seen, days) for days in (7, 14, 28)}
    spread = _nan(np.nanstd, seen[:, -28:])
    capacity = trusted_capacity(seen, history.capacity)
    out = np.full((len(history.units), len(targets), len(FEATURES)), np.nan)
    for number, target in enumerate(targets):
        day = history.day(target)
        weekday = day.isoweekday()
        same = _same_weekday(seen, weekdays, weekday, levels[28])
        out[:, number] = np.column_stack(
            [
                same[:, 0],
                _nan(np.nanmean, same[:, :2]),
                _nan(np.nanmean, same[:, :4]),
                _nan(np.nanmedian, same),
                levels[7],
                levels[14],
                levels[28],
                spread,
                parts.level,
                parts.index[:, weekday - 1],
                _last_year(seen, target - offset),
                np.full(len(seen), float(target - origin + 1)),
                np.full(len(seen), float(weekday)),
                np.full(len(seen), float(day.month)),
                holidays[:, number],
                capacity,
            ]
        )
    return out


def _same_weekday(seen: Floats, weekdays: NDArray[np.intp], weekday: int, fallback: Floats) -> Floats:
    """The last 6 known values of that weekday, newest first; the unit's recent level where there is none at all."""
    same = _last_known(seen[:, weekdays == weekday], 6)
    empty = ~np.isfinite(same[:, 0])
    same[empty, 0] = fallback[empty]
    return same


def _last_known(values: Floats, count: int) -> Floats:
    """The last `count` known values of each row, newest first, NaN behind them."""
    out = np.full((len(values), count), np.nan)
    filled = np.zeros(len(values), dtype=np.intp)
    for column in range(values.shape[1] - 1, -1, -1):
        take = np.isfinite(values[:, column]) & (filled < count)
        rows = np.flatnonzero(take)
        out[rows, filled[rows]] = values[rows, column]
        filled[rows] += 1
        if (filled == count).all():
            break
    return out


def _level(seen: Floats, days: int) -> Floats:
    """Mean of the last `days` days that have values; where none has, of the last 28 known ones."""
    recent = _nan(np.nanmean, seen[:, -days:])
    missing = ~np.isfinite(recent)
    if missing.any():
        recent[missing] = _nan(np.nanmean, _last_known(seen[missing], 28))
    return recent


def _last_year(seen: Floats, target: int) -> Floats:
    """Mean around the same weekday a year before (364 days, a week to either side), NaN when not that old."""
    columns = [c for c in (target - 371, target - 364, target - 357) if 0 <= c < seen.shape[1]]
    return _nan(np.nanmean, seen[:, columns]) if columns else np.full(len(seen), np.nan)


def _centred_mean(people: Floats) -> Floats:
    """Mean of the known values within three days to either side."""
    padded = np.pad(people, ((0, 0), (3, 3)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, SEASON, axis=1)
    return _nan(np.nanmean, windows, axis=2)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _nan(function: object, values: Floats, axis: int = 1) -> Floats:
    """A NaN-aware reduction in which an empty slice is NaN without a warning."""
    if values.shape[axis] == 0:
        return np.full([n for a, n in enumerate(values.shape) if a != axis], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(function(values, axis=axis), dtype=np.float64)  # type: ignore[operator]
