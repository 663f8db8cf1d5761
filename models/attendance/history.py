"""From the dbt frame to a history: one matrix of people per unit and day. Frames in, arrays out; no model, no forecast.

A *unit* is what has a history of its own: a series, or, for events without one, all events of a venue and
category. Days without a known attendance are NaN, never zero.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
COUNTED = ("scheduled", "completed")


@dataclass(frozen=True, kw_only=True)
class History:
    """`people` and `holiday` are units x days, from `start` on; `capacity` is the latest known, NaN when none.

    `attributes` holds, for every unit and day index with any, that day's flat attributes.
    """

    units: tuple[str, ...]
    start: date
    people: Floats
    holiday: Floats
    capacity: Floats
    attributes: Mapping[tuple[int, int], Mapping[str, Any]]

    @property
    def days(self) -> int:
        """How many calendar days it spans."""
        return int(self.people.shape[1])

    @property
    def weekdays(self) -> NDArray[np.intp]:
        """ISO weekday (1 Monday to 7 Sunday) of every day."""
        return (np.arange(self.days) + self.start.isoweekday() - 1) % 7 + 1

    def day(self, index: int) -> date:
        """The calendar day at a column, which may lie after the last one."""
        return self.start + timedelta(days=index)

    def index(self, day: date) -> int:
        """The column of a calendar day."""
        return (day - self.start).days

    def digest(self) -> str:
        """SHA-256 over units, days, people and attributes: equal digests mean equal training data."""
        found = hashlib.sha256(json.dumps([self.units, self.start.isoformat()]).encode())
        for array in (self.people, self.holiday, self.capacity):
            found.update(np.ascontiguousarray(array).tobytes())
        attributes = [[list(at), dict(values)] for at, values in sorted(self.attributes.items())]
        found.update(json.dumps(attributes, sort_keys=True, default=str).encode())
        return found.hexdigest()


def unit_key(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a text column `unit`: the platform and its series, else the venue and category."""
    series = pl.format("series|{}|{}", pl.col("platform"), pl.col("series_id"))
    group = pl.format(
        "venue|{}|{}|{}", pl.col("platform"), pl.col("venue_name").fill_null(""), pl.col("category").fill_null("")
    )
    return frame.with_columns(pl.when(pl.col("series_id").is_not_null()).then(series).otherwise(group).alias("unit"))


def past(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that say how many people came: over, not cancelled or postponed, attendance known and not negative."""
    known = frame.filter(pl.col("is_past") & pl.col("attendance").is_not_null() & pl.col("status").is_in(COUNTED))
    return known.filter((pl.col("attendance") >= 0) & pl.col("attendance").cast(pl.Float64).is_finite())


def history(frame: pl.DataFrame, *, window_days: int | None = None) -> History:
    """The history in a frame of the dbt relation; several events of a unit on one day count with their mean."""
    known = unit_key(past(frame))
    if not known.height:
        empty = np.empty((0, 0))
        return History(
            units=(), start=date(1970, 1, 1), people=empty, holiday=empty, capacity=np.empty(0), attributes={}
        )
    last: date = known["starts_on"].max()  # type: ignore[assignment]
    if window_days is not None:
        known = known.filter(pl.col("starts_on") > last - timedelta(days=window_days))
    daily = (
        known.sort("unit", "starts_on", "event_id")
        .group_by("unit", "starts_on", maintain_order=True)
        .agg(
            pl.col("attendance").mean(),
            pl.col("is_holiday").any(),
            pl.col("capacity").last(),
            pl.col("attributes").last(),
        )
    )
    units = tuple(daily["unit"].unique().sort().to_list())
    start: date = daily["starts_on"].min()  # type: ignore[assignment]
    shape = (len(units), (last - start).days + 1)
    rows = daily["unit"].replace_strict(units, list(range(len(units))), return_dtype=pl.Int64).to_numpy()
    columns = (daily["starts_on"] - start).dt.total_days().to_numpy()
    people = np.full(shape, np.nan)
    people[rows, columns] = daily["attendance"].cast(pl.Float64).to_numpy()
    holiday = np.zeros(shape)
    holiday[rows, columns] = daily["is_holiday"].fill_null(False).cast(pl.Float64).to_numpy()
    capacity = np.full(len(units), np.nan)
    sizes = daily["capacity"].cast(pl.Float64).to_list()
    for row, size in zip(rows, sizes, strict=True):
        if size is not None and size > 0:
            capacity[row] = size
    attributes = {
        (int(row), int(column)): flat
        for row, column, value in zip(rows, columns, daily["attributes"].to_list(), strict=True)
        if (flat := flat_attributes(value))
    }
    return History(units=units, start=start, people=people, holiday=holiday, capacity=capacity, attributes=attributes)


def flat_attributes(value: Any) -> dict[str, Any]:
    """An attributes cell, JSON text or mapping, as a dict of strings, numbers and booleans; nulls left out."""
    found = json.loads(value) if isinstance(value, str | bytes) else value
    if not isinstance(found, Mapping):
        return {}
    # JSON has no infinity and no NaN, though Python reads them: both mean that the number is not known.
    plain = ((str(key), cell) for key, cell in found.items() if isinstance(cell, str | bool | int | float))
    return {key: cell for key, cell in plain if isinstance(cell, str) or math.isfinite(cell)}


def trusted_capacity(people: Floats, capacity: Floats) -> Floats:
    """Capacity per unit, NaN where it is unknown or more than one known day in twenty was above it."""
    with np.errstate(invalid="ignore"):
        above = (people > capacity[:, None]).sum(axis=1)
    known = np.isfinite(people).sum(axis=1)
    return np.where(above > 0.05 * np.maximum(known, 1), np.nan, capacity)
