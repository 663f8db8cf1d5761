"""When an event is expected to be sold out: the day its expected curve reaches the capacity. Arrays and dates only."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking.curves import Curves
from models.attendance.booking.similar import Query, interpolated, likeness, sold_at

Floats = NDArray[np.float64]


def days_left_at_sell_out(query: Query, past: Curves, half_life: float, final: Floats) -> Floats:
    """Days before the end of the event's date at which expected sales reach the capacity, NaN where they do not.

    `final` is the expected final sales without any limit. What is still to be sold is taken to come in as it did for
    the similar events: the share of their remaining sales by each later day.
    """
    out = np.full(len(final), np.nan)
    capacity = query.events.capacity
    for number in np.flatnonzero(np.isfinite(capacity) & (np.round(final) >= capacity) & (query.sold < capacity)):
        one = query.take(np.array([number]))
        like = likeness(one, past, half_life)
        out[number] = _reached(one, past, like.weight * like.scale, float(final[number]))
    return out


def _reached(query: Query, past: Curves, weight: Floats, final: float) -> float:
    """The latest point of a daily grid by which the needed share of the remaining sales is in, linear in between."""
    left, sold, capacity = float(query.left[0]), float(query.sold[0]), float(query.events.capacity[0])
    needed = (capacity - sold) / max(final - sold, capacity - sold)
    grid = np.append(np.arange(np.ceil(left) - 1, -1.0, -1.0), 0.0) if left > 0 else np.array([0.0])
    start = float((weight * sold_at(query, past)).sum())
    later = np.array([(weight * sold_at(query, past, np.array([days]))).sum() for days in grid])
    rest = float((weight * interpolated(past.sold, np.zeros((1, 1)))).sum()) - start
    # Where usually nothing comes from here on: evenly, for want of anything better.
    evenly = (left - grid) / max(left, 1e-9)
    share = np.maximum.accumulate(np.clip((later - start) / rest, 0.0, 1.0)) if rest > 0 else evenly
    share[-1] = 1.0
    first = int(np.argmax(share >= needed - 1e-9))
    before, at = (left, 0.0) if first == 0 else (float(grid[first - 1]), float(share[first - 1]))
    step = (needed - at) / max(float(share[first]) - at, 1e-9)
    return before + (float(grid[first]) - before) * min(max(step, 0.0), 1.0)


def expected(day: date, left: float, timezone: str, now: datetime) -> str:
    """RFC 3339 in UTC of so many days before the end of a local date, to the next whole minute, never before `now`."""
    return _written(max(_end(day, timezone) - timedelta(days=left), now) + timedelta(seconds=59))


def reached(day: date, days_out: int, timezone: str, now: datetime) -> str:
    """RFC 3339 in UTC of the last minute of the local date `days_out` days before `day`, when it sold out; at most `now`."""
    return _written(min(_end(day - timedelta(days=days_out), timezone) - timedelta(minutes=1), now))


def local_date(moment: str, timezone: str) -> str:
    """The local date of what `expected` or `reached` says."""
    return datetime.fromisoformat(moment).astimezone(ZoneInfo(timezone)).date().isoformat()


def _end(day: date, timezone: str) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(0), ZoneInfo(timezone)).astimezone(UTC)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(second=0, microsecond=0).isoformat().replace("+00:00", "Z")
