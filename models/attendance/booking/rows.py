"""What a feature row says of an event on sale: its own sales and facts as JSON, and of no other event but a count."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from models.attendance.booking.curves import MIN_EVENTS, days_left, fact, points, with_sales
from models.attendance.history import past
from models.base import FeatureRow
from models.messages import catalogue

LONGEST_DAYS = 400
"""How far ahead an event on sale is forecast."""


def booking_facts(row: dict[str, Any], now: datetime, timezone: str, known_events: int) -> dict[str, Any] | None:
    """The `booking` of a coming event's row, None unless it is on sale; `row` is one of `history.prepared`.

    `now` is aware, `timezone` counts where the event names none, and `known_events` are the partner's past events
    with ticket sales and attendance: without any, only an event that has sales itself is taken to sell tickets here.
    """
    found = points(row["bookings"])
    opening = row["on_sale_at"]
    if not found and not (known_events and opening is not None and opening <= now):
        return None
    zone = row["timezone"] or timezone
    left = days_left(row["local"].date(), now, zone)
    if not 0 <= left <= LONGEST_DAYS + 1:
        return None
    facts = fact(row, found)
    full = facts["capacity"]
    return {
        **facts,
        "sold": found[-1][1] if found else 0,
        "left": left,
        "full_days_out": None if full is None else next((days for days, sold in found if sold >= full), None),
        "timezone": zone,
        "as_of": now.isoformat(),
        "known_events": known_events,
    }


def sold_events(full: pl.DataFrame) -> pl.DataFrame:
    """Past events with ticket sales and attendance, of a frame that `history.prepared` made."""
    some = with_sales(past(full))
    sold = [bool(found) and found[-1][1] > 0 for found in (points(cell) for cell in some["bookings"].to_list())]
    return some.filter(pl.Series(sold, dtype=pl.Boolean))


def days_ahead(facts: Mapping[str, Any]) -> int:
    """Whole calendar days until the event's date."""
    return max(math.ceil(float(facts["left"])) - 1, 0)


def not_yet(row: FeatureRow) -> str:
    """The reason for refusing an event on sale that is too far ahead for anything but a booking forecast."""
    say = catalogue("attendance", row["language"])
    facts = row["booking"]
    key = "booking.too_few" if facts["known_events"] < MIN_EVENTS else "booking.too_early"
    return say(
        key,
        days=say.number(days_ahead(facts)),
        known=say.number(facts["known_events"]),
        needed=say.number(MIN_EVENTS),
    )
