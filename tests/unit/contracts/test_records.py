"""Reading raw records: what is taken, what is refused, and how the refusal names field and reason."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS, LandingResult, RecordError, Sale, json_schema
from integrator.contracts.validation import E_MAIL, read_record

SALE: dict[str, Any] = {
    "native_id": "s-1", "product": "seat", "sold_at": "2026-03-01T10:00:00+01:00", "quantity": 2,
    "unit_price": "12.50", "currency": "EUR", "status": "paid",
}  # fmt: skip
EVENT: dict[str, Any] = {
    "native_id": "e-1", "starts_at": "2026-03-01T19:00:00Z", "timezone": "Europe/Berlin", "status": "scheduled",
}  # fmt: skip
CONTACT: dict[str, Any] = {"native_id": "c-1", "created_at": "2026-01-01T00:00:00Z"}
GOOD = {"sale": SALE, "event": EVENT, "contact": CONTACT}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_minimal_record_of_each_kind_is_read(kind: str) -> None:
    record = read_record(kind, GOOD[kind])
    assert isinstance(record, KINDS[kind])
    assert read_record(kind, json.dumps(GOOD[kind]).encode()) == record


def test_money_is_decimal_and_time_is_aware() -> None:
    record = read_record("sale", SALE)
    assert isinstance(record, Sale)
    assert record.unit_price == Decimal("12.50")
    assert record.sold_at == datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "change", "field", "reason"),
    [
        ("sale", {"status": "odd"}, "status", "odd"),
        ("sale", {"currency": "XXY"}, "currency", "ISO 4217"),
        ("sale", {"currency": "euro"}, "currency", "matching regex"),
        ("sale", {"quantity": -1}, "quantity", ">= 0"),
        ("sale", {"quantity": 10**30}, "quantity", "<= 2000000000"),
        ("sale", {"unit_price": "NaN"}, "unit_price", "not an amount"),
        ("sale", {"unit_price": "-1"}, "unit_price", "not an amount"),
        ("sale", {"sold_at": "2026-03-01T10:00:00"}, "sold_at", "timezone"),
        ("sale", {"sold_at": "0001-01-01T00:00:00Z"}, "sold_at", "year 1"),
        ("sale", {"refunded_quantity": 3}, "refunded_quantity", "more than the 2 sold"),
        ("sale", {"contact_id": "a@b.example"}, "contact_id", "opaque id"),
        ("sale", {"native_id": ""}, "native_id", "length >= 1"),
        ("sale", {"native_id": "a@b.example"}, "native_id", "opaque id"),
        ("sale", {"native_id": "a\x00b"}, "native_id", "NUL"),
        ("sale", {"surprise": 1}, "surprise", "unknown field"),
        ("sale", {"attributes": {"x": {"y": 1}}}, "attributes", "Expected"),
        ("sale", {"attributes": {"x": float("inf")}}, "attributes.x", "finite"),
        ("sale", {"attributes": {"x": "\ud800"}}, "attributes.x", "half of a character"),
        ("sale", {"attributes": {f"a{i}": 1 for i in range(501)}}, "attributes", "500"),
        ("sale", {"attributes": {"\ud800": 1}}, None, "half of a character"),
        ("sale", {"attributes": {"x": "y" * 10_001}}, "attributes.x", "10000"),
        ("event", {"timezone": "Mars/Olympus"}, "timezone", "IANA"),
        ("event", {"status": "sold_out"}, "status", "sold_out"),
        ("event", {"ends_at": "2026-03-01T18:00:00Z"}, "ends_at", "before starts_at"),
        ("event", {"venue": {"capacity": "many"}}, "venue.capacity", "Expected `int"),
        ("contact", {"converted_at": "2025-12-31T00:00:00Z"}, "converted_at", "before created_at"),
        ("contact", {"consent": {"processing": "perhaps"}}, "consent.processing", "perhaps"),
    ],
)
def test_a_refusal_names_the_field_and_the_reason(
    kind: str, change: dict[str, Any], field: str | None, reason: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_record(kind, {**GOOD[kind], **change})
    assert caught.value.field == field
    assert reason in str(caught.value)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_missing_field_is_named(kind: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_record(kind, {key: value for key, value in GOOD[kind].items() if key != "native_id"})
    assert caught.value.field == "native_id"


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 10_000, b'{"native_id": NaN}'])
def test_bytes_that_are_no_record_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_record("sale", data)


def test_text_numbers_are_read_where_types_are_loose() -> None:
    record = read_record("sale", {**SALE, "quantity": "2"}, strict=False)
    assert isinstance(record, Sale)
    assert record.quantity == 2
    with pytest.raises(InvalidInput):
        read_record("sale", {**SALE, "quantity": "2"})


_SCALAR = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
_JSON = _SCALAR | st.lists(_SCALAR, max_size=2) | st.dictionaries(st.text(max_size=5), _SCALAR, max_size=2)
_FIELDS = sorted({field for model in KINDS.values() for field in model.__struct_fields__})


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(kind=st.sampled_from(sorted(KINDS)), changes=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=3))
def test_no_input_raises_anything_but_invalid_input(kind: str, changes: dict[str, Any]) -> None:
    try:
        record = read_record(kind, {**GOOD[kind], **changes})
    except InvalidInput:
        return
    assert read_record(kind, msgspec.json.encode(record)) == record


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_json_schema_names_every_field(kind: str) -> None:
    schema: Any = json_schema(kind)
    assert set(schema["$defs"][KINDS[kind].__name__]["properties"]) == set(KINDS[kind].__struct_fields__)


def test_landing_results_add_up() -> None:
    error = RecordError(3, "status", "odd", "no")
    total = LandingResult(1, 2, 0, []) + LandingResult(1, 0, 1, [error])
    assert (total.accepted, total.unchanged, total.quarantined, total.errors) == (2, 2, 1, [error])


@pytest.mark.parametrize(
    ("kind", "change", "field", "allowed"),
    [
        ("sale", {"status": "offen"}, "status", "paid, pending, refunded, cancelled"),
        ("contact", {"consent": {"processing": "maybe"}}, "consent.processing", "granted, denied"),
        ("event", {"status": "on"}, "status", "scheduled, postponed, cancelled, completed"),
    ],
)
def test_a_closed_set_is_named(kind: str, change: dict[str, Any], field: str, allowed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_record(kind, {**GOOD[kind], **change})
    assert refused.value.field == field and str(refused.value).endswith(f"; allowed: {allowed}")


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ("ada@example.org", True), ("write to ada@example.org.", True), ("a@b.c", True), ("a@b@c.d", True),
        ("a@@b.c", False), ("@b.c", False), (" @b.c", False), ("a@b", False), ("a@.c", False), ("a@b. c", False),
    ],
)  # fmt: skip
def test_an_address_in_a_text_is_found(words: str, holds: bool) -> None:
    assert bool(E_MAIL.search(words)) is holds


@pytest.mark.parametrize(("start", "piece"), [("", "x"), ("x@", "y"), ("", "x@"), ("", "@"), ("x@", "y "), ("", "x.")])
def test_to_look_for_an_address_takes_as_long_as_the_text_is(start: str, piece: str) -> None:
    """Tried from every letter on, these would take days."""
    assert E_MAIL.search(start + piece * 2_000_000) is None
