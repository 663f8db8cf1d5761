"""Synthetic ticket sales in the shape of `features.attendance`: seeded, openly made up, with a truth that is known.

An event's demand is its group's level times weekday, season and an appeal that only its own sales give away; tickets
come in along the group's curve, as a Poisson process cut at the capacity; a share of the holders shows up. For
tests of correctness only: no figure about quality on real data may rest on them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.base import Context
from tests.attendance_frames import SCHEMA, TODAY

ZONE = "Europe/London"
CONTEXT = Context(
    partner="theatre", timezone=ZONE, currency="GBP", region="GB-ENG", as_of=datetime.combine(TODAY, time(0), UTC)
)
BOOKING_SCHEMA: dict[str, Any] = {
    **SCHEMA,
    "on_sale_at": pl.Datetime(time_zone="UTC"),
    "tickets_sold": pl.Int64,
    "bookings": pl.String,
    "average_price": pl.Float64,
}
GROUPS: Mapping[str, Mapping[str, Any]] = {
    # people wanting a ticket, how many fit, days on sale, lateness of the curve (above 1: late), price, show-up rate
    "Opera": {"level": 450, "capacity": 900, "lead": 120, "late": 1.2, "price": 60.0, "show_up": 0.95},
    "Club": {"level": 140, "capacity": 250, "lead": 40, "late": 2.5, "price": 15.0, "show_up": 0.85},
    "Forum": {"level": 80, "capacity": 400, "lead": 60, "late": 1.8, "price": 0.0, "show_up": 0.6},
}
WEEKDAYS = (0.75, 0.8, 0.9, 1.0, 1.25, 1.4, 0.9)


def sales_by_day(wanted: float, lead: int, late: float, random: np.random.Generator) -> list[int]:
    """Tickets asked for on each day from `lead` days before the start to the day itself."""
    edges = np.linspace(0.0, 1.0, lead + 2) ** late
    return [int(count) for count in random.poisson(wanted * np.diff(edges))]


def event(
    name: str, day: date, seed: int, *, appeal: float | None = None, refund_rate: float = 0.02, **other: Any
) -> tuple[dict[str, Any], dict[str, float]]:
    """A row as known on `TODAY`, and its truth: `final` tickets, `people`. `other` overrides what the group says."""
    random = np.random.default_rng([seed, day.toordinal()])
    facts = {**GROUPS.get(name, GROUPS["Club"]), **other}
    month = 1 + 0.2 * np.cos(2 * np.pi * day.timetuple().tm_yday / 365)
    taste = float(random.lognormal(0, 0.3)) if appeal is None else appeal
    asked = sales_by_day(facts["level"] * WEEKDAYS[day.weekday()] * month * taste, facts["lead"], facts["late"], random)
    points: list[list[int]] = []
    sold = 0
    for days_out, count in zip(range(facts["lead"], -1, -1), asked, strict=True):
        back = int(random.binomial(sold, refund_rate / 10))
        got = min(count, (facts["capacity"] or 10**9) - sold + back)
        if got or back:
            sold += got - back
            points.append([days_out, sold])
    people = int(random.binomial(sold, facts["show_up"]))
    left = (day - TODAY).days
    known = [point for point in points if point[0] > left]
    price = facts["price"]
    row = {
        "partner": "theatre",
        "platform": "eventbrite",
        "event_id": f"{name}-{day}",
        "series_id": facts.get("series_id"),
        "name": f"An evening at the {name}",
        "venue_name": facts.get("venue", name),
        "category": facts.get("category", "show"),
        "starts_at": datetime.combine(day, time(19), UTC),
        "starts_on": day,
        "weekday": day.isoweekday(),
        "month": day.month,
        "timezone": ZONE,
        "capacity": facts["capacity"],
        "status": "completed" if left < 0 else "scheduled",
        "is_holiday": False,
        "days_out": left,
        "attendance": people if left < 0 else None,
        "is_past": left < 0,
        "attributes": "{}",
        "on_sale_at": datetime.combine(day - timedelta(days=facts["lead"]), time(9), UTC),
        "tickets_sold": known[-1][1] if known else 0,
        "bookings": json.dumps(known),
        "average_price": price if known else None,
    }
    return row, {"final": float(sold), "people": float(people)}


def season(
    name: str, *, events: int, every: int = 5, ahead: int = 60, seed: int = 1, **other: Any
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """`events` past events of a group, `every` so many days, and those of the next `ahead` days; truths by event id."""
    days = [TODAY - timedelta(days=1 + every * number) for number in range(events)][::-1]
    days += [TODAY + timedelta(days=number) for number in range(1, ahead, every)]
    made = [event(name, day, seed, **other) for day in days]
    return [row for row, _ in made], {str(row["event_id"]): truth for row, truth in made}


def frame(*groups: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """All rows as one frame of the relation's columns."""
    return pl.DataFrame([row for group in groups for row in group], schema=BOOKING_SCHEMA, orient="row")


def theatre(*, events: int = 60, seed: int = 1) -> tuple[pl.DataFrame, dict[str, dict[str, float]]]:
    """Three venues with a usual past, and what will have come of the events on sale."""
    rows: list[dict[str, Any]] = []
    truths: dict[str, dict[str, float]] = {}
    for number, name in enumerate(GROUPS):
        own, truth = season(name, events=events, seed=seed * 10 + number)
        rows += own
        truths |= truth
    return frame(rows), truths
