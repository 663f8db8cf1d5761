"""Ticket sales of events as arrays: their facts, and units sold by event and day before the start. No forecast here.

Days before the start are local dates: 0 is the day itself. Column k of `Curves.sold` is what was sold and kept by the
end of the day that lies k days before the start.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import invalid
from models.attendance.history import past

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
MAX_DAYS_OUT = 400
"""Earlier sales count as sold by then."""
MAX_EVENTS = 1_000
"""The newest past events that are kept to compare with; a prediction reads all of them."""
MIN_EVENTS = 20
"""Past events with ticket sales and attendance that the family needs: half to learn from first, half to be judged on."""
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Events:
    """Facts of events, aligned. NaN is unknown; `day` counts from 1970, `minute` from midnight, both local.

    `lead` is the length of the sale in days.
    """

    unit: Texts
    venue: Texts
    category: Texts
    day: Floats
    minute: Floats
    holiday: Floats
    price: Floats
    capacity: Floats
    lead: Floats

    def __len__(self) -> int:
        """How many events."""
        return len(self.day)

    @property
    def weekday(self) -> Floats:
        """Monday 0 to Sunday 6."""
        return np.asarray((self.day + 3) % 7, dtype=np.float64)  # 1970-01-01 was a Thursday

    @property
    def season(self) -> Floats:
        """Events x 2: the day of the year as an angle, its sine and cosine."""
        angle = 2 * np.pi * self.day / 365.2425
        return np.column_stack([np.sin(angle), np.cos(angle)])

    def with_capacity(self, capacity: Floats) -> "Events":
        """The same events with another capacity."""
        return replace(self, capacity=capacity)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Events":
        """Some of them."""
        return Events(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Past events to learn from: `sold` is events x (MAX_DAYS_OUT + 1), `attendance` people, NaN where unknown."""

    events: Events
    sold: Floats
    attendance: Floats

    def __len__(self) -> int:
        """How many events."""
        return len(self.attendance)

    @property
    def final(self) -> Floats:
        """Units sold and kept by the end of the day of the event."""
        return self.sold[:, 0]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Curves":
        """Some of them."""
        return Curves(events=self.events.take(index), sold=self.sold[index], attendance=self.attendance[index])

    def digest(self) -> str:
        """SHA-256 over facts, sales and attendance: equal digests mean equal training data."""
        found = hashlib.sha256()
        for name, array in self.plain().items():
            found.update(json.dumps([name, array.tolist()]).encode())
        return found.hexdigest()

    def plain(self) -> dict[str, Any]:
        """As a model's state keeps it: numpy arrays by name."""
        facts = {field.name: getattr(self.events, field.name) for field in fields(Events)}
        return {**facts, "sold": self.sold.astype(np.int32), "attendance": self.attendance}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> "Curves":
        """The curves that gave `plain`."""
        facts = Events(**{field.name: plain[field.name] for field in fields(Events)})
        return Curves(events=facts, sold=plain["sold"].astype(np.float64), attendance=plain["attendance"])


def points(value: Any) -> list[tuple[int, int]]:
    """A bookings cell, JSON text or list, as (days out, sold) from the furthest; InvalidInput for anything else."""
    found = json.loads(value) if isinstance(value, str | bytes) else value
    try:
        pairs = [(int(days), int(sold)) for days, sold in found or ()]
    except (TypeError, ValueError) as error:
        raise invalid("bookings", value, "a list of [days before the start, units sold]") from error
    return sorted(pairs, reverse=True)


def past_curves(full: pl.DataFrame) -> Curves:
    """The past events whose tickets and attendance are both known, oldest first; the newest `MAX_EVENTS` of them.
    `full` is a frame that `history.prepared` made.
    """
    some = with_sales(past(full)).sort("local", "unit", "event_id")
    rows = [
        (row, found) for row in some.iter_rows(named=True) if (found := points(row["bookings"])) and found[-1][1] > 0
    ][-MAX_EVENTS:]
    events = events_of([fact(row, found) for row, found in rows])
    sold = np.array([curve(found) for _, found in rows]).reshape(len(rows), MAX_DAYS_OUT + 1)
    attendance = np.array([float(row["attendance"]) for row, _ in rows])
    return Curves(events=events, sold=sold, attendance=attendance)


def with_sales(full: pl.DataFrame) -> pl.DataFrame:
    """The rows with any bookings: of a million days without tickets none is read cell by cell."""
    known = full.filter(pl.col("bookings").is_not_null())
    is_text = known.schema["bookings"] == pl.String
    return known.filter(pl.col("bookings").str.len_chars() > len("[]")) if is_text else known


def curve(found: Sequence[tuple[int, int]]) -> Floats:
    """Units sold by the end of each day from 0 to MAX_DAYS_OUT before the start, from points furthest first."""
    out = np.zeros(MAX_DAYS_OUT + 1)
    for days, sold in found:
        out[: min(days, MAX_DAYS_OUT) + 1] = max(sold, 0)
    return out


def fact(row: Mapping[str, Any], found: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The facts of one event as JSON: what `events_of` reads. `row` is one of a frame that `history.prepared` made."""
    price, capacity = row["average_price"], row["capacity"]
    return {
        "unit": row["unit"],
        "venue": f"{row['platform']}|{row['venue_name'] or ''}",
        "category": row["category"] or "",
        "date": row["local"].date().isoformat(),
        "minute": row["local"].hour * 60 + row["local"].minute,
        "is_holiday": bool(row["is_holiday"]),
        "average_price": None if price is None or not np.isfinite(float(price)) else float(price),
        "capacity": float(capacity) if capacity is not None and capacity > 0 else None,
        "lead_days": _lead(row, found),
    }


def events_of(facts: Sequence[Mapping[str, Any]]) -> Events:
    """Facts as aligned arrays."""
    return Events(
        unit=np.array([one["unit"] for one in facts], dtype=np.str_),
        venue=np.array([one["venue"] for one in facts], dtype=np.str_),
        category=np.array([one["category"] for one in facts], dtype=np.str_),
        day=_numbers((date.fromisoformat(one["date"]) - EPOCH).days for one in facts),
        minute=_numbers(one["minute"] for one in facts),
        holiday=_numbers(one["is_holiday"] for one in facts),
        price=_numbers(one["average_price"] for one in facts),
        capacity=_numbers(one["capacity"] for one in facts),
        lead=_numbers(one["lead_days"] for one in facts),
    )


def days_left(day: date, moment: datetime, timezone: str) -> float:
    """Days from a moment to the end of an event's local date: 1.5 at noon of the day before."""
    local = moment.astimezone(ZoneInfo(timezone))
    passed = (local.hour * 60 + local.minute) / 1440
    return (day - local.date()).days + 1 - passed


def _lead(row: Mapping[str, Any], found: Sequence[tuple[int, int]]) -> float | None:
    """Days on sale until the start: since the first sale, or the announced opening where that came before it."""
    first = float(found[0][0]) if found else None
    if row["opened_on"] is None:
        return first
    announced = float((row["local"].date() - row["opened_on"]).days)
    return max(announced, 0.0) if first is None else max(announced, first)


def _numbers(values: Any) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
