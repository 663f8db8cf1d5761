"""The booking family beside the series family, on the series' own backtest: the same events, origins and scale.

At each judged origin the booking family is fitted anew to what was over by then. Where an event was on sale at the
origin and the family had shown itself better so far (than the mean of similar events in its own backtest, and than
the series forecast on the folds before), its forecast stands; everywhere else the series' does. What comes out is one
more candidate for the gate: the procedure that serves afterwards, judged by what it knew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.attendance.booking.backtest import BOOKING, shrunk
from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import Curves
from models.attendance.booking.model import Fitted as Booking
from models.attendance.booking.model import Learned, fit_before
from models.attendance.booking.similar import Query, interpolated
from models.attendance.cadence import steps
from models.attendance.fitting import Fitted as Series
from models.attendance.grid import Floats, Grid
from models.attendance.history import past

Ints = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Aligned by step forecast: bucket of days left, day of its last event, and both families' errors.

    `is_taken`: whether the booking forecast stood there. Errors are in units of the series' own scale (MASE).
    """

    bucket: Ints
    day: Floats
    booking: Floats
    series: Floats
    is_taken: NDArray[np.bool_]

    def over_by(self, day: float) -> "Beside":
        """Those whose events were over by a day."""
        own = self.day < day
        return Beside(**{name: values[own] for name, values in vars(self).items()})

    def errors(self, which: Floats) -> list[float | None]:
        """Mean error by bucket; None where there was no step."""
        means = (which[self.bucket == number] for number in range(len(BUCKETS)))
        return [round(float(own.mean()), 4) if len(own) else None for own in means]

    def is_better(self) -> list[bool]:
        """For every bucket whether the booking forecast was no worse than the series', nearness helping where few are."""
        if not len(self.bucket):
            return [True] * len(BUCKETS)
        mine, theirs = shrunk(self.booking, self.bucket), shrunk(self.series, self.bucket)
        return [bool(value) for value in mine <= theirs]


def beside(fitted: Sequence[Series], base: str, learned: Learned, full: pl.DataFrame) -> tuple[list[Series], Beside]:
    """The series with one more candidate, `BOOKING`, made over `base`; and both families' errors on the steps shared."""
    places = [_places(one.grid, learned.fitted.past, full) for one in fitted]
    forecasts = [one.forecasts[base].copy() for one in fitted]
    found: list[Beside] = []
    moments = sorted(
        {(_origin_day(one, fold), n, number) for n, one in enumerate(fitted) for number, fold in enumerate(one.judged)}
    )
    for day, n, number in moments:
        booking = fit_before(learned, day)
        if booking is None:
            continue
        cells = _cells(fitted[n], number, places[n], learned.fitted.past)
        if cells is None:
            continue
        so_far = _joined(found).over_by(day)
        found.append(_fold(fitted[n], number, booking, cells, forecasts[n], so_far))
    joined = _joined(found)
    return [
        replace(one, forecasts={**one.forecasts, BOOKING: forecast})
        for one, forecast in zip(fitted, forecasts, strict=True)
    ], joined


def _fold(
    one: Series, number: int, booking: Booking, cells: Mapping[tuple[int, int], Query], out: Floats, so_far: Beside
) -> Beside:
    """One origin's booking forecasts, written into `out` where they stand."""
    beats_series = so_far.is_better()
    asked = _together(list(cells.values()))
    sizes = [len(query.left) for query in cells.values()]
    parts = np.split(booking.forecast(asked).middle, np.cumsum(sizes)[:-1])
    people = np.array([part.mean() for part in parts])
    furthest = bucket(np.array([query.left.max() for query in cells.values()]))
    units, ahead = np.array(list(cells), dtype=np.intp).T
    actual = one.folds.actual[units, one.judged[number], ahead]
    scale = one.folds.scale[units, one.judged[number]]
    series = out[units, number, ahead].copy()
    known = np.isfinite(actual) & np.isfinite(series) & np.isfinite(scale)
    taken = known & np.array([booking.is_better[b] and beats_series[b] for b in furthest])
    out[units[taken], number, ahead[taken]] = people[taken]
    return Beside(
        bucket=furthest[known],
        day=np.array([query.events.day.max() for query in cells.values()])[known],
        booking=(np.abs(actual - people) / scale)[known],
        series=(np.abs(actual - series) / scale)[known],
        is_taken=taken[known],
    )


def _origin_day(one: Series, fold: int) -> float:
    """The day a fold's forecasts are made, at its beginning; the earliest one where units differ."""
    origin = one.plan.origins[fold]
    if one.grid.is_regular:
        return _day(one.grid.moments(np.array([origin]))[0])
    known = np.isfinite(one.grid.people[:, origin])
    return _day(one.grid.calendar.when[known, origin].min()) if known.any() else float("-inf")


def _places(grid: Grid, curves: Curves, full: pl.DataFrame) -> dict[tuple[int, int], list[int]]:
    """(unit, step) → numbers of the events with curves there, if that is all of the step's events."""
    units = {unit: number for number, unit in enumerate(grid.units)}
    events = past(full).filter(pl.col("unit").is_in(sorted({str(unit) for unit in curves.events.unit} & set(units))))
    moments = events["local"].to_numpy().astype("datetime64[m]")
    every = _columns(grid, np.array([units[unit] for unit in events["unit"].to_list()], dtype=np.intp), moments)
    counts: dict[tuple[int, int], int] = {}
    for key in every:
        counts[key] = counts.get(key, 0) + 1
    own = np.flatnonzero(np.isin(curves.events.unit, list(grid.units)))
    minutes = (curves.events.day * 1440 + curves.events.minute)[own].astype(np.int64).astype("datetime64[m]")
    rows = np.array([units[str(unit)] for unit in curves.events.unit[own]], dtype=np.intp)
    found: dict[tuple[int, int], list[int]] = {}
    for event, key in zip(own.tolist(), _columns(grid, rows, minutes), strict=True):
        found.setdefault(key, []).append(event)
    return {key: events for key, events in found.items() if len(events) == counts.get(key)}


def _columns(grid: Grid, units: Ints, moments: NDArray[np.datetime64]) -> list[tuple[int, int]]:
    """(unit, step) of moments; a step before the grid's first is negative, one that it does not have is -1."""
    if grid.is_regular:
        columns = steps(grid.cadence, moments) - grid.first
    else:
        own = grid.calendar.when[units]
        same = (own == moments[:, None]) & np.isfinite(grid.people[units])
        columns = np.where(same.any(axis=1), same.argmax(axis=1), -1)
    return list(zip(units.tolist(), np.asarray(columns).tolist(), strict=True))


def _cells(
    one: Series, number: int, places: Mapping[tuple[int, int], list[int]], curves: Curves
) -> dict[tuple[int, int], Query] | None:
    """(unit, steps ahead) → what is asked of its events at the fold's origin; None where none was on sale."""
    origin = one.plan.origins[one.judged[number]]
    found: dict[tuple[int, int], Query] = {}
    for (unit, column), events in places.items():
        ahead = column - origin
        if not 0 <= ahead < one.plan.horizon:
            continue
        index = np.array(events, dtype=np.intp)
        start = one.grid.moments(np.array([origin]))[0] if one.grid.is_regular else one.grid.calendar.when[unit, origin]
        left = curves.events.day[index] - _day(start) + 1
        if (curves.events.lead[index] >= left).all():
            found[unit, ahead] = Query(events=curves.events.take(index), sold=_sold(curves, index, left), left=left)
    return found or None


def _sold(curves: Curves, index: Ints, left: Floats) -> Floats:
    return np.array(
        [interpolated(curves.sold[[event]], np.array([[days]]))[0, 0] for event, days in zip(index, left, strict=True)]
    )


def _together(queries: Sequence[Query]) -> Query:
    parts = [query.events for query in queries]
    names = list(vars(parts[0]))
    events = type(parts[0])(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    return Query(
        events=events,
        sold=np.concatenate([query.sold for query in queries]),
        left=np.concatenate([query.left for query in queries]),
    )


def _joined(parts: Sequence[Beside]) -> Beside:
    if not parts:
        nothing = np.empty(0)
        return Beside(
            bucket=np.empty(0, dtype=np.intp), day=nothing, booking=nothing, series=nothing,
            is_taken=np.empty(0, dtype=bool),
        )  # fmt: skip
    return Beside(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def _day(moment: np.datetime64) -> float:
    return float(moment.astype("datetime64[D]").astype(np.int64))
