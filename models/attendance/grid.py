"""The histories of all units of one cadence as one matrix of people by unit and step. Arrays only; no frame, no model.

Steps without a known attendance are NaN, never zero. Columns of a regular cadence are steps of the calendar;
an irregular unit's columns are its events in order, the newest of every unit in the last column.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.cadence import IRREGULAR, Cadence, Ints, Moments, starts

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NO_HOLIDAY = 0
SHORTER_GAIN = 0.02
"""By how much the shorter season has to forecast better before it is taken for the season."""
TOO_OFTEN = 0.05


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """What is known of steps whatever their attendance, units x steps: when, which holiday (0 none), its neighbours."""

    when: Moments
    holiday: Ints
    before: Flags
    after: Flags

    def at(self, columns: Ints) -> "Calendar":
        """Some of the steps."""
        return Calendar(
            when=self.when[:, columns],
            holiday=self.holiday[:, columns],
            before=self.before[:, columns],
            after=self.after[:, columns],
        )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`people` is units x steps; `first` the number of the first step; `capacity` the latest known, NaN when none.

    `attributes` holds, for every unit and step with any, that step's flat attributes; `holidays` the names behind
    the calendar's numbers, the first of them for none.
    """

    cadence: Cadence
    units: tuple[str, ...]
    first: int
    people: Floats
    calendar: Calendar
    holidays: tuple[str, ...]
    capacity: Floats
    season: Ints
    attributes: Mapping[tuple[int, int], Mapping[str, Any]]

    @property
    def length(self) -> int:
        """How many steps it spans."""
        return int(self.people.shape[1])

    @property
    def known(self) -> Ints:
        """How many steps of each unit are known."""
        return np.asarray(np.isfinite(self.people).sum(axis=1), dtype=np.intp)

    @property
    def spans(self) -> Ints:
        """Steps from each unit's first known one to its last."""
        found = np.isfinite(self.people)
        return np.asarray(self.length - found[:, ::-1].argmax(axis=1) - found.argmax(axis=1), dtype=np.intp)

    @property
    def is_regular(self) -> bool:
        """Whether its columns are steps of the calendar."""
        return self.cadence is not IRREGULAR

    def moments(self, columns: Ints) -> Moments:
        """When the steps of a regular grid begin, also of columns after its last."""
        return starts(self.cadence, np.asarray(columns) + self.first)

    def digest(self) -> str:
        """SHA-256 over units, steps, people and attributes: equal digests mean equal training data."""
        found = hashlib.sha256(json.dumps([self.cadence.name, self.units, self.first, self.holidays]).encode())
        when = self.calendar.when.astype("datetime64[m]").astype(np.int64)
        for array in (self.people, self.calendar.holiday, self.capacity, when):
            found.update(np.ascontiguousarray(array).tobytes())
        attributes = [[list(at), dict(values)] for at, values in sorted(self.attributes.items())]
        found.update(json.dumps(attributes, sort_keys=True, default=str).encode())
        return found.hexdigest()


def seasons(cadence: Cadence, people: Floats) -> Ints:
    """Each unit's season: the cadence's, its shorter one where that repeats better, 1 where no season was seen twice."""
    length = people.shape[1]
    found = np.full(len(people), cadence.season if length > cadence.season + 1 else 1, dtype=np.intp)
    if cadence.short is not None and length > cadence.short:
        shorter = naive_scales(people, np.full(len(people), cadence.short))
        longer = naive_scales(people, np.full(len(people), cadence.season))
        with np.errstate(invalid="ignore"):
            take = ~np.isfinite(longer) | (shorter < longer * (1 - SHORTER_GAIN))
        found = np.where(take, cadence.short, found)
    return found


def naive_scales(people: Floats, season: Ints) -> Floats:
    """Each unit's in-sample mean |y_t - y_(t-season)| (Hyndman & Koehler 2006), lag 1 where no such pair is known.

    NaN where it is unknown or zero: a constant series has no scale.
    """
    out = np.full(len(people), np.nan)
    for lag in np.unique(season):
        own = season == lag
        out[own] = _mean_step(people[own], int(lag))
    missing = ~np.isfinite(out)
    if missing.any():
        out[missing] = _mean_step(people[missing], 1)
    return np.where(out > 0, out, np.nan)


def _mean_step(people: Floats, lag: int) -> Floats:
    if people.shape[1] <= lag:
        return np.full(len(people), np.nan)
    differences = np.abs(people[:, lag:] - people[:, :-lag])
    known = np.isfinite(differences)
    count = known.sum(axis=1)
    total = np.where(known, differences, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def trusted_capacity(people: Floats, capacity: Floats) -> Floats:
    """Capacity per unit, NaN where it is unknown or more than one known step in twenty was above it."""
    with np.errstate(invalid="ignore"):
        above = (people > capacity[:, None]).sum(axis=1)
    known = np.isfinite(people).sum(axis=1)
    return np.where(above > TOO_OFTEN * np.maximum(known, 1), np.nan, capacity)
