"""Events, tickets and buyers of Eventbrite as canonical records."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from integrator.contracts.errors import RateLimited
from integrator.contracts.records import Contact, Event, Sale
from integrator.contracts.validation import read_record
from integrator.platforms.base import mapped
from integrator.platforms.eventbrite.client import refused, used_up
from integrator.platforms.eventbrite.map import contact_records, event_records, is_event, sale_records

NOW = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)


def event(**more: Any) -> dict[str, Any]:
    return {
        "id": "700", "name": {"text": "Spring fair", "html": "<b>Spring fair</b>"}, "changed": "2026-02-01T08:00:00Z",
        "start": {"utc": "2026-03-15T02:00:00Z", "timezone": "Asia/Taipei"}, "end": {"utc": "2026-03-15T12:00:00Z"},
        "status": "completed", "capacity": 300, "series_id": "90", "online_event": False, "is_free": True,
        "venue": {"name": "Hall 1", "capacity": 400,
                  "address": {"city": "Taipei", "region": "TPE", "country": "TW", "address_1": "Street 5"}},
        "category": {"name": "Food & Drink"}, "organizer_id": "5",
        "ticket_availability": {"start_sales_date": {"utc": "2026-02-02T00:00:00Z"}}, **more,
    }  # fmt: skip


def attendee(**more: Any) -> dict[str, Any]:
    return {
        "id": "9001", "created": "2026-03-01T04:00:00Z", "changed": "2026-03-15T04:00:00Z", "event_id": "700",
        "order_id": "1200", "ticket_class_name": "Early bird", "quantity": 1, "status": "Checked In",
        "checked_in": True, "cancelled": False, "refunded": False, "affiliate": "newsletter",
        "profile": {"email": "ann@example.org"},
        "costs": {"base_price": {"currency": "TWD", "value": 25050}}, **more,
    }  # fmt: skip


def order(**more: Any) -> dict[str, Any]:
    return {
        "id": "1200", "created": "2026-03-01T04:00:00Z", "changed": "2026-03-02T04:00:00Z", "status": "placed",
        "email": "ann@example.org", "name": "Ann Lee", **more,
    }  # fmt: skip


def test_an_event_has_no_attendance_before_its_end() -> None:
    scheduled, completed = (read_record("event", one) for one in event_records(event(), NOW, lambda _: 41))
    assert isinstance(scheduled, Event)
    assert isinstance(completed, Event)
    assert (scheduled.status, scheduled.attendance, scheduled.updated_at) == (
        "scheduled", None, datetime(2026, 2, 1, 8, tzinfo=UTC),
    )  # fmt: skip
    assert (completed.status, completed.attendance, completed.updated_at) == ("completed", 41, completed.ends_at)
    assert (completed.name, completed.category, completed.series_id) == ("Spring fair", "Food & Drink", "90")
    assert completed.on_sale_at == datetime(2026, 2, 2, tzinfo=UTC)
    venue = completed.venue
    assert (venue.name, venue.city, venue.region, venue.country, venue.capacity) == (
        "Hall 1", "Taipei", "TPE", "TW", 400,
    )  # fmt: skip
    assert completed.attributes == {"online_event": False, "is_free": True}


def test_nobody_is_counted_before_an_event_is_over_or_when_it_is_cancelled() -> None:
    def never(_: str) -> int:
        raise AssertionError("counted")

    assert len(event_records(event(status="live", end={"utc": "2026-03-17T12:00:00Z"}), NOW, never)) == 1
    cancelled = event_records(event(status="canceled"), NOW, never)
    assert [one["status"] for one in cancelled] == ["cancelled"]


def test_where_nobody_scans_attendance_is_unknown() -> None:
    assert event_records(event(), NOW, lambda _: 0)[-1]["attendance"] is None


def test_an_event_changed_after_its_end_has_one_version() -> None:
    found = event_records(event(changed="2026-03-16T08:00:00Z"), NOW, lambda _: 3)
    assert [(one["status"], one["updated_at"]) for one in found] == [("completed", "2026-03-16T08:00:00Z")]


def test_a_status_nobody_documented_passes_for_landing_to_judge() -> None:
    assert event_records(event(status="paused"), NOW, lambda _: 1)[0]["status"] == "paused"


def test_bare_events_map_too() -> None:
    bare = event(venue=None, category=None, series_id=None, capacity=None, ticket_availability=None, name=None)
    found = read_record("event", event_records(bare, NOW, lambda _: 0)[0])
    assert isinstance(found, Event)
    assert (found.venue.name, found.category, found.capacity, found.name) == (None, None, None, None)


def test_drafts_and_parents_of_series_are_no_events() -> None:
    assert [is_event(event(status="draft")), is_event(event(is_series_parent=True))] == [False, False]
    assert [is_event(event()), is_event("broken")] == [True, True]


def test_a_ticket_is_sold_when_made_however_late_it_is_scanned() -> None:
    (found,) = sale_records(attendee())
    sale = read_record("sale", found)
    assert isinstance(sale, Sale)
    assert sale.updated_at == sale.sold_at == datetime(2026, 3, 1, 4, tzinfo=UTC)
    assert (str(sale.unit_price), sale.currency, sale.tier, sale.channel) == (
        "250.50", "TWD", "Early bird", "newsletter",
    )  # fmt: skip
    assert (sale.event_id, sale.product, sale.contact_id, sale.status) == ("700", "700", "1200", "paid")


@pytest.mark.parametrize(
    ("currency", "value", "price"), [("JPY", 500, "500"), ("KWD", 1500, "1.5"), ("EUR", 5, "0.05")]
)
def test_minor_units_are_the_currencys_own(currency: str, value: int, price: str) -> None:
    from decimal import Decimal

    (found,) = sale_records(attendee(costs={"base_price": {"currency": currency, "value": value}}))
    assert Decimal(found["unit_price"]) == Decimal(price)


def test_several_tickets_in_one_share_the_price() -> None:
    (found,) = sale_records(attendee(quantity=3))
    assert (found["quantity"], found["unit_price"]) == (3, "83.50")


def test_a_refund_is_known_from_its_own_time() -> None:
    sold, back = sale_records(attendee(status="Not Attending", refunded=True, cancelled=True, checked_in=False))
    assert (sold["status"], sold["updated_at"]) == ("paid", "2026-03-01T04:00:00Z")
    assert (back["status"], back["updated_at"]) == ("refunded", "2026-03-15T04:00:00Z")
    assert (back["refunded_quantity"], back["refunded_amount"]) == (1, "250.50")
    for one in (sold, back):
        read_record("sale", one)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("Attending", "paid"),
        ("Unpaid", "pending"),
        ("Deleted", "cancelled"),
        ("Transferred", "cancelled"),
        ("Odd", "Odd"),
    ],
)
def test_statuses_of_tickets(status: str, told: str) -> None:
    assert sale_records(attendee(status=status, checked_in=False))[-1]["status"] == told


def test_a_cancelled_ticket_without_money_back_is_no_refund() -> None:
    assert "refunded_amount" not in sale_records(attendee(cancelled=True, status="Not Attending"))[-1]


def test_an_order_is_its_buyer() -> None:
    (found,) = contact_records(order())
    buyer = read_record("contact", found)
    assert isinstance(buyer, Contact)
    assert (buyer.native_id, buyer.email, buyer.name, buyer.stage) == ("1200", "ann@example.org", "Ann Lee", "placed")
    assert buyer.converted_at == buyer.created_at


def test_what_a_buyer_has_not_said_is_not_their_name() -> None:
    (found,) = contact_records(order(email="Info Requested", name="", status="started"))
    assert (found["email"], found["name"], found["converted_at"]) == (None, None, None)


def test_no_record_holds_what_a_person_said_of_themselves() -> None:
    text = msgspec.json.encode([*sale_records(attendee()), *event_records(event(), NOW, lambda _: 1)])
    assert b"ann@" not in text
    assert b"Street" not in text


def test_broken_objects_come_back_whole() -> None:
    assert mapped({"id": 7, "costs": None}, sale_records) == [{"id": 7, "costs": None, "native_id": "7"}]
    assert mapped("nothing", contact_records) == [{"native_id": None, "unreadable": "nothing"}]


class Answer:
    """As much of an answer as the budget needs."""

    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def test_the_hourly_budget_is_read_from_its_header() -> None:
    spent: Any = Answer(200, x_rate_limit="token:AB 2000/2000 reset=1800s, key:CD 12/2000 reset=3000s")
    left: Any = Answer(200, x_rate_limit="token:AB 12/2000 reset=1800s")
    none: Any = Answer(200)
    assert (used_up(spent), used_up(left), used_up(none)) == (1800.0, None, None)


def test_a_refusal_says_when_the_budget_is_back() -> None:
    over: Any = Answer(429, x_rate_limit="token:AB 2001/2000 reset=42s")
    error = refused(over)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 42.0
    for other in (Answer(500), Answer(429), Answer(429, **{"Retry-After": "7"})):
        answer: Any = other
        assert refused(answer) is None
