"""Ticket sales as arrays: what a cell of bookings says, which events count, how long they were on sale."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput
from models.attendance.booking.curves import MAX_DAYS_OUT, MAX_EVENTS, Curves, curve, days_left, past_curves, points
from models.attendance.history import prepared
from tests.attendance_frames import TODAY
from tests.booking_frames import event, frame, season


def past_of(*rows: dict[str, Any]) -> Curves:
    return past_curves(prepared(frame(rows)))


def row(**other: Any) -> dict[str, Any]:
    return event("Club", TODAY - timedelta(days=10), 1)[0] | other


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, []),
        ("[]", []),
        ("[[5, 2], [30, 1]]", [(30, 1), (5, 2)]),
        ([[3, 7]], [(3, 7)]),
    ],
)
def test_points_are_read_from_the_furthest(cell: Any, expected: list[tuple[int, int]]) -> None:
    assert points(cell) == expected


@pytest.mark.parametrize("cell", ["[1, 2]", '{"5": 2}', "[[1]]", '[["a", 2]]', "[[null, 2]]"])
def test_a_cell_of_another_shape_is_refused_and_named(cell: str) -> None:
    with pytest.raises(InvalidInput, match="bookings"):
        points(cell)


def test_a_curve_holds_what_was_sold_by_the_end_of_each_day() -> None:
    found = curve([(10, 4), (3, 9), (0, 8)])
    assert found[[0, 1, 3, 4, 10, 11]].tolist() == [8, 9, 9, 4, 4, 0]
    assert curve([(MAX_DAYS_OUT + 50, 2)]).tolist() == [2.0] * (MAX_DAYS_OUT + 1), "earlier sales count as sold by then"
    assert curve([(2, -3)]).max() == 0, "fewer than none cannot be kept"


def test_only_what_took_place_with_tickets_and_people_is_learned_from() -> None:
    used = past_of(
        row(event_id="used"),
        row(event_id="cancelled", status="cancelled"),
        row(event_id="not counted", attendance=None),
        row(event_id="no tickets", bookings="[]"),
        row(event_id="all given back", bookings="[[4, 3], [2, 0]]"),
        row(event_id="to come", is_past=False, status="scheduled"),
    )
    assert len(used) == 1


def test_the_newest_events_are_kept() -> None:
    rows = [row(event_id=str(n), starts_on=date(2020, 1, 1) + timedelta(days=n)) for n in range(MAX_EVENTS + 5)]
    found = past_of(*rows)
    assert len(found) == MAX_EVENTS
    assert found.events.day[-1] - found.events.day[0] == MAX_EVENTS - 1
    assert found.events.day[-1] == (date(2020, 1, 1) - date(1970, 1, 1)).days + MAX_EVENTS + 4


def test_the_sale_is_as_long_as_the_first_ticket_or_the_announced_opening_says() -> None:
    opened = datetime(2026, 1, 5, 9, tzinfo=UTC)
    day = TODAY - timedelta(days=10)
    found = past_of(
        row(event_id="a", bookings="[[20, 1]]", on_sale_at=None),
        row(event_id="b", bookings="[[20, 1]]", on_sale_at=opened),
        row(event_id="c", bookings="[[200, 1]]", on_sale_at=opened),
    )
    assert found.events.lead.tolist() == [20, (day - opened.date()).days, 200]


def test_the_opening_is_a_day_of_the_events_own_zone() -> None:
    opened = datetime(2025, 12, 31, 13, tzinfo=UTC)  # midnight in Sydney, of the new year
    found = past_of(row(event_id="a", bookings="[[20, 1]]", on_sale_at=opened, timezone="Australia/Sydney"))
    assert found.events.lead.tolist() == [(TODAY - timedelta(days=10) - date(2026, 1, 1)).days]


@pytest.mark.parametrize(("capacity", "price"), [(0, float("nan")), (-5, None), (None, float("inf"))])
def test_what_makes_no_sense_is_unknown(capacity: int | None, price: float | None) -> None:
    found = past_of(row(capacity=capacity, average_price=price))
    assert np.isnan(found.events.capacity).all() and np.isnan(found.events.price).all()


def test_days_left_are_of_the_events_own_zone() -> None:
    noon = datetime(2026, 3, 16, 12, tzinfo=UTC)
    assert days_left(date(2026, 3, 17), noon, "UTC") == 1.5
    assert days_left(date(2026, 3, 17), noon, "Asia/Tokyo") == pytest.approx(1 + 3 / 24), "it is 21:00 there"
    assert days_left(date(2026, 3, 16), noon, "Pacific/Auckland") < 0, "it is the 17th there"


def test_curves_come_back_from_a_plain_state() -> None:
    rows, _ = season("Forum", events=8, ahead=0)
    before = past_of(*rows)
    plain = before.plain()
    assert all(isinstance(value, np.ndarray) for value in plain.values())
    after = Curves.restored(plain)
    assert (after.sold == before.sold).all() and (after.attendance == before.attendance).all()
    assert (after.events.unit == before.events.unit).all() and (after.events.lead == before.events.lead).all()


def test_an_empty_frame_has_no_curves() -> None:
    found = past_curves(prepared(pl.DataFrame(schema=frame().schema)))
    assert len(found) == 0 and found.sold.shape == (0, MAX_DAYS_OUT + 1)
