"""Dates, quotas, check-ins, orders and refunds of pretix as canonical records."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from integrator.contracts.records import Contact, Event, Sale
from integrator.platforms.pretix.map import (
    Context,
    attendance,
    capacity,
    contact_records,
    date_records,
    sale_records,
    text,
)

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
SERIES = {"slug": "jazz", "has_subevents": True, "timezone": "Europe/Berlin", "location": {"de": "Blauer Saal\nBerlin"}}


def date(**more: Any) -> dict[str, Any]:
    return {
        "id": 12, "event": "jazz", "name": {"en": "Jazz"}, "active": True,
        "date_from": "2026-03-10T20:00:00+01:00", "date_to": "2026-03-10T23:00:00+01:00",
        "presale_start": None, "location": None, "meta_data": {"genre": "swing", "empty": ""},
        "last_modified": "2026-02-01T09:00:00Z", **more,
    }  # fmt: skip


def around(with_history: bool = True, **parent: Any) -> Context:
    quotas = [{"id": 1, "subevent": 12, "size": 200, "items": [1, 2]}]
    lists = [{"subevent": 12, "checkin_count": 150}, {"subevent": None, "checkin_count": 900}]
    return Context(SERIES | parent, {"city": "Berlin"}, NOW, with_history, quotas, lists)  # type: ignore[arg-type]


def test_a_date_that_is_over_has_two_versions() -> None:
    scheduled, completed = (msgspec.convert(r, Event, strict=False) for r in date_records(date(), around()))
    assert (scheduled.status, scheduled.attendance, scheduled.capacity) == ("scheduled", None, 200)
    assert (completed.status, completed.attendance) == ("completed", 150)
    assert scheduled.updated_at == datetime(2026, 2, 1, 9, tzinfo=UTC)
    assert completed.updated_at == completed.ends_at
    assert completed.native_id == "jazz:12"
    assert completed.series_id == "jazz"
    assert completed.venue.name == "Blauer Saal"
    assert completed.attributes == {"genre": "swing"}


def test_later_pulls_bring_only_the_newest_version() -> None:
    assert [r["status"] for r in date_records(date(), around(with_history=False))] == ["completed"]


def test_a_change_after_the_end_is_one_version_with_its_own_time() -> None:
    (only,) = date_records(date(last_modified="2026-03-12T09:00:00Z"), around())
    assert only["updated_at"] == "2026-03-12T09:00:00Z"


def test_without_last_modified_there_is_no_time() -> None:
    (only,) = date_records(date(last_modified=None), around())
    assert only["updated_at"] is None


def test_a_date_to_come_has_no_attendance() -> None:
    (only,) = date_records(date(date_to="2026-03-16T12:00:01Z"), around())
    assert (only["status"], only["attendance"]) == ("scheduled", None)


def test_a_cancelled_date_is_inactive_in_pretix() -> None:
    (only,) = date_records(date(active=False), around())
    assert (only["status"], only["attendance"]) == ("cancelled", None)


def test_single_event_is_its_own_date() -> None:
    single = {**date(), "id": None, "slug": "gala", "has_subevents": False, "timezone": "Europe/Berlin"}
    context = Context(single, {}, NOW, True, [{"id": 1, "subevent": None, "size": 90, "items": [1]}], [])
    found = date_records(single, context)
    assert {r["native_id"] for r in found} == {"gala"}
    assert {r["series_id"] for r in found} == {None}
    assert {r["capacity"] for r in found} == {90}
    assert found[-1]["attendance"] is None


@pytest.mark.parametrize(
    ("quotas", "seats"),
    [
        ([], None),
        ([(500, [1, 2]), (50, [2])], 500),
        ([(300, [1]), (50, [2])], 350),
        ([(300, [1]), (200, [1])], 500),
        ([(None, [1])], None),
    ],
)
def test_capacity_counts_a_seat_once(quotas: list[tuple[int | None, list[int]]], seats: int | None) -> None:
    listed = [{"id": n, "subevent": 3, "size": size, "items": items} for n, (size, items) in enumerate(quotas)]
    assert capacity(listed, 3) == seats
    assert capacity(listed, 4) is None


def test_attendance_is_the_fullest_list_and_unknown_where_nobody_scans() -> None:
    lists = [{"subevent": 3, "checkin_count": 10}, {"subevent": 3, "checkin_count": 12}]
    assert attendance(lists, 3) == 12
    assert attendance([{"subevent": 3, "checkin_count": 0}], 3) is None
    assert attendance([], 3) is None


def test_text_prefers_english() -> None:
    assert text({"de": "Saal", "en": "Hall"}) == "Hall"
    assert text({"de": "Saal"}) == "Saal"
    assert text({}) is None
    assert text(None) is None


def order(**more: Any) -> dict[str, Any]:
    return {
        "code": "ABC12", "event": "jazz", "status": "p", "testmode": False, "email": "a@example.org", "phone": None,
        "datetime": "2026-03-01T10:00:00Z", "last_modified": "2026-03-02T10:00:00Z", "sales_channel": "web",
        "positions": [
            {"positionid": 1, "item": 5, "variation": None, "price": "23.00", "subevent": 12, "canceled": False},
            {"positionid": 2, "item": 5, "variation": 9, "price": "40.00", "subevent": 12, "canceled": False},
        ],
        "refunds": [], "payments": [{"state": "confirmed", "payment_date": "2026-03-01T11:00:00Z"}],
        "invoice_address": {"name": "Ada", "country": "DE"}, **more,
    }  # fmt: skip


def sales(**more: Any) -> list[Sale]:
    return [msgspec.convert(r, Sale, strict=False) for r in sale_records(order(**more), {"jazz": "EUR"})]


def test_positions_are_sales() -> None:
    first, second = sales()
    assert (first.native_id, first.event_id, first.contact_id) == ("ABC12-1", "jazz:12", "order-ABC12")
    assert (str(first.unit_price), first.currency, first.status, first.tier) == ("23.00", "EUR", "paid", None)
    assert second.tier == "9"


@pytest.mark.parametrize(
    ("letter", "status"), [("n", "pending"), ("p", "paid"), ("e", "cancelled"), ("c", "cancelled")]
)
def test_documented_statuses(letter: str, status: str) -> None:
    assert {sale.status for sale in sales(status=letter)} == {status}


def test_an_unknown_status_or_currency_is_not_defaulted() -> None:
    assert [r["status"] for r in sale_records(order(status="x"), {"jazz": "EUR"})] == ["x", "x"]
    assert [r["currency"] for r in sale_records(order(), {})] == [None, None]


def test_test_orders_are_no_sales_and_no_contacts() -> None:
    assert sale_records(order(testmode=True), {}) == []
    assert contact_records(order(testmode=True)) == []


def test_refund_of_a_cancelled_position() -> None:
    positions = order()["positions"]
    positions[1]["canceled"] = True
    refunds = [{"state": "done", "amount": "40.00"}, {"state": "canceled", "amount": "23.00"}]
    by_id = {sale.native_id: sale for sale in sales(positions=positions, refunds=refunds)}
    assert by_id["ABC12-1"].status == "paid"
    assert str(by_id["ABC12-1"].refunded_amount) == "0.00"
    assert by_id["ABC12-2"].status == "refunded"
    assert (by_id["ABC12-2"].refunded_quantity, str(by_id["ABC12-2"].refunded_amount)) == (1, "40.00")


def test_refund_of_a_whole_order_and_in_part() -> None:
    whole = sales(status="c", refunds=[{"state": "done", "amount": "63.00"}])
    assert {sale.status for sale in whole} == {"refunded"}
    part = sales(refunds=[{"state": "done", "amount": "5.00"}])
    assert [(sale.status, str(sale.refunded_amount), sale.refunded_quantity) for sale in part] == [
        ("paid", "5.00", 0), ("paid", "0.00", 0),
    ]  # fmt: skip


def test_the_buyer_is_a_contact_without_a_telling_id() -> None:
    (found,) = contact_records(order(sales_channel={"identifier": "web"}))
    buyer = msgspec.convert(found, Contact, strict=False)
    assert buyer.native_id == "order-ABC12"
    assert (buyer.email, buyer.name, buyer.country, buyer.source) == ("a@example.org", "Ada", "DE", "web")
    assert buyer.converted_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    (unpaid,) = contact_records(order(status="n", payments=[]))
    assert unpaid["converted_at"] is None
