"""From the dbt frame to histories: one grid for each cadence among a partner's units. Frames in, arrays out; no model.

A *unit* is what has a history of its own: a series, or, for events without one, all events of a venue and
category. Events of a unit that start in the same step count with their mean.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from integrator.contracts.errors import NotFound
from models.attendance.attributes import flat_attributes
from models.attendance.cadence import CADENCES, IRREGULAR, Cadence, Ints, Moments, infer, starts, steps
from models.attendance.columns import whole
from models.attendance.grid import Calendar, Grid, seasons

COUNTED = ("scheduled", "completed")
MAX_STEPS = 20_000
"""Of a grid, the newest: two years of hours, fifty of days."""
MAX_PEOPLE = 1e10
"""More than live on earth is a mistake, and its square would spoil every sum."""
LONGEST_HOLIDAY_STEP = 7
"""Days: in a month or a quarter, the first day's being a holiday says nothing."""
UNNAMED = "holiday"


@dataclass(frozen=True)
class History:
    """All of a partner's units, by cadence."""

    grids: tuple[Grid, ...]

    @cached_property
    def places(self) -> Mapping[str, tuple[int, int]]:
        """Unit → (number of its grid, its row there)."""
        return {unit: (g, row) for g, grid in enumerate(self.grids) for row, unit in enumerate(grid.units)}

    @property
    def units(self) -> tuple[str, ...]:
        """Every unit, in order of its name."""
        return tuple(sorted(self.places))

    def grid(self, name: str) -> Grid:
        """The grid of a cadence; NotFound names those there are."""
        for grid in self.grids:
            if grid.cadence.name == name:
                return grid
        raise NotFound(f"no unit of cadence {name!r}; there are {[grid.cadence.name for grid in self.grids]}")

    def digest(self) -> str:
        """SHA-256 over all grids: equal digests mean equal training data."""
        return hashlib.sha256("".join(grid.digest() for grid in self.grids).encode()).hexdigest()


def prepared(frame: pl.DataFrame, timezone: str = "UTC") -> pl.DataFrame:
    """The frame with `unit` (the platform and its series, else venue and category), `local` (the start, naive) and
    `opened_on` (the date sales opened).

    `timezone` counts where a row names none. The local date is `starts_on` where it is known.
    """
    series = pl.format("series|{}|{}", pl.col("platform"), pl.col("series_id"))
    group = pl.format(
        "venue|{}|{}|{}", pl.col("platform"), pl.col("venue_name").fill_null(""), pl.col("category").fill_null("")
    )
    full = whole(frame).with_columns(
        pl.when(pl.col("series_id").is_not_null()).then(series).otherwise(group).alias("unit"),
        pl.col("timezone").fill_null(timezone).alias("_zone"),
    )
    parts = [
        _localized(part, str(zone), timezone) for (zone,), part in full.partition_by("_zone", as_dict=True).items()
    ]
    joined = pl.concat(parts) if parts else full.with_columns(pl.lit(None, pl.Datetime("us")).alias("local"))
    return joined.drop("_zone").filter(pl.col("local").is_not_null())


def _localized(part: pl.DataFrame, zone: str, otherwise: str) -> pl.DataFrame:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError):
        zone = otherwise
    local = pl.col("starts_at").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.replace_time_zone(None)
    noon = pl.col("starts_on").cast(pl.Datetime("us")) + timedelta(hours=12)
    moved = pl.col("starts_on").cast(pl.Datetime("us")) + (local - local.dt.truncate("1d"))
    opened = pl.col("on_sale_at").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.date()
    return part.with_columns(pl.coalesce(moved, local, noon).alias("local"), opened.alias("opened_on"))


def past(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that say how many people came: over, not cancelled or postponed, attendance known and possible."""
    people = pl.col("attendance").cast(pl.Float64)
    return frame.filter(
        pl.col("is_past")
        & pl.col("status").is_in(COUNTED)
        & people.is_not_null()
        & people.is_finite()
        & people.is_between(0, MAX_PEOPLE)
    )


def history(frame: pl.DataFrame, *, window_days: int | None = None, timezone: str = "UTC") -> History:
    """The histories in a frame of the dbt relation, in the order of `CADENCES`; a unit is in exactly one grid."""
    return history_of(prepared(frame, timezone), window_days=window_days)


def history_of(full: pl.DataFrame, *, window_days: int | None = None) -> History:
    """The histories in a frame that `prepared` made."""
    known = past(full)
    if not known.height:
        return History(())
    if window_days is not None:
        known = known.filter(pl.col("local") > pl.lit(known["local"].max()) - pl.duration(days=window_days))
    known = known.sort("unit", "local", "event_id")
    cadences = {
        str(unit): infer(moments.to_numpy().astype("datetime64[m]"))
        for unit, moments in known.group_by("unit", maintain_order=True).agg("local").iter_rows()
        for moments in [pl.Series(moments, dtype=pl.Datetime("us"))]
    }
    region_days = holidays_by_region(full)
    return History(
        tuple(
            _grid(cadence, own, region_days)
            for cadence in CADENCES
            if (
                own := known.filter(pl.col("unit").is_in([unit for unit, one in cadences.items() if one is cadence]))
            ).height
        )
    )


def holidays_by_region(full: pl.DataFrame) -> dict[str, Moments]:
    """Region → the days that some event of it, past or coming, marks as a holiday."""
    marked = full.filter(pl.col("is_holiday").fill_null(False)).select(
        pl.col("region").fill_null(""), pl.col("local").dt.date().alias("day")
    )
    return {
        str(region): part["day"].unique().sort().to_numpy().astype("datetime64[D]")
        for (region,), part in marked.partition_by("region", as_dict=True).items()
    }


def near_holidays(when: Moments, region_days: Mapping[str, Moments], region: str, offset: int) -> Any:
    """Whether the day `offset` days after each moment's is a holiday of the region."""
    days = region_days.get(region)
    if days is None:
        return np.zeros(when.shape, dtype=bool)
    return np.isin(when.astype("datetime64[D]") + np.timedelta64(offset, "D"), days)


def _grid(cadence: Cadence, known: pl.DataFrame, region_days: Mapping[str, Moments]) -> Grid:
    moments = known["local"].to_numpy().astype("datetime64[m]")
    numbers = moments.astype(np.int64) if cadence is IRREGULAR else steps(cadence, moments)
    by_step = (
        known.with_columns(pl.Series("step", numbers))
        .group_by("unit", "step", maintain_order=True)
        .agg(
            pl.col("attendance").cast(pl.Float64).mean(),
            pl.col("is_holiday").fill_null(False).any(),
            pl.col("holiday_name").drop_nulls().first(),
            pl.col("capacity").cast(pl.Float64).last(),
            pl.col("region").fill_null("").last(),
            pl.col("attributes").last(),
            pl.col("local").first(),
        )
    )
    units = tuple(by_step["unit"].unique().sort().to_list())
    row = by_step["unit"].replace_strict(units, list(range(len(units))), return_dtype=pl.Int64).to_numpy()
    first, columns, length = _columns(cadence, row, by_step["step"].to_numpy(), len(units))
    kept = columns >= 0
    by_step, row, columns = by_step.filter(pl.Series(kept)), row[kept], columns[kept]
    people = np.full((len(units), length), np.nan)
    people[row, columns] = by_step["attendance"].to_numpy()
    names, codes = _holidays(cadence, by_step)
    holiday = np.zeros(people.shape, dtype=np.intp)
    holiday[row, columns] = codes
    when = _when(cadence, first, row, columns, by_step, people.shape)
    regions = _latest(row, by_step["region"].to_list(), len(units), "")
    near = [
        np.stack([near_holidays(when[u], region_days, regions[u], by) for u in range(len(units))]) for by in (1, -1)
    ]
    return Grid(
        cadence=cadence,
        units=units,
        first=first,
        people=people,
        calendar=Calendar(when=when, holiday=holiday, before=near[0], after=near[1]),
        holidays=names,
        capacity=np.array(
            _latest(row, [c if c and c > 0 else None for c in by_step["capacity"].to_list()], len(units), np.nan)
        ),
        season=seasons(cadence, people),
        attributes=_attributes(by_step["attributes"], row, columns),
    )


def _attributes(cells: pl.Series, row: Ints, columns: Ints) -> dict[tuple[int, int], Mapping[str, Any]]:
    """What is in the cells, by unit and step; most of a million may be empty, and are not looked at."""
    told = cells.is_not_null()
    if cells.dtype == pl.String:
        told &= cells != "{}"
    there = np.flatnonzero(told.fill_null(value=False).to_numpy())
    found = ((place, flat_attributes(cells[int(place)])) for place in there)
    return {(int(row[place]), int(columns[place])): flat for place, flat in found if flat}


def _columns(cadence: Cadence, row: Ints, step: Ints, units: int) -> tuple[int, Ints, int]:
    """(number of the first column, each entry's column, how many columns); below zero where it is too old to keep."""
    if cadence is IRREGULAR:
        counts = np.bincount(row, minlength=units)
        length = min(int(counts.max()), MAX_STEPS)
        order = np.arange(len(row)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[row]  # rows come sorted by unit
        return 0, length - counts[row] + order, length
    last = int(step.max())
    first = max(int(step.min()), last - MAX_STEPS + 1)
    return first, step - first, last - first + 1


def _holidays(cadence: Cadence, by_step: pl.DataFrame) -> tuple[tuple[str, ...], Ints]:
    if cadence.days > LONGEST_HOLIDAY_STEP:
        return ("",), np.zeros(by_step.height, dtype=np.intp)
    named = [
        (name or UNNAMED) if marked else ""
        for marked, name in zip(by_step["is_holiday"].to_list(), by_step["holiday_name"].to_list(), strict=True)
    ]
    names = ("", *sorted(set(named) - {""}))
    number = {name: code for code, name in enumerate(names)}
    return names, np.array([number[name] for name in named], dtype=np.intp)


def _when(
    cadence: Cadence, first: int, row: Ints, columns: Ints, by_step: pl.DataFrame, shape: tuple[int, int]
) -> Moments:
    if cadence is not IRREGULAR:
        return np.broadcast_to(starts(cadence, np.arange(shape[1]) + first), shape)
    when = np.full(shape, np.datetime64("1970-01-01T00:00", "m"))
    when[row, columns] = by_step["local"].to_numpy().astype("datetime64[m]")
    return when


def _latest(row: Ints, values: list[Any], units: int, otherwise: Any) -> list[Any]:
    """Each unit's last value that is known."""
    found = [otherwise] * units
    for unit, value in zip(row, values, strict=True):
        if value is not None:
            found[int(unit)] = value
    return found
