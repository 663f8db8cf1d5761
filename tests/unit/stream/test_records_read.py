"""What a message says: under its partner, or a dead letter; whatever is in it, reading never raises."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.steps.records_in import DeadLetter, Message, Read, Rules, read
from integrator.storage.stream_offsets import Place

PLACE = Place("cluster", "topic", 0)
RULES = Rules({"alpha", "beta"}, frozenset(), 1000)
SALE = {"partner": "alpha", "kind": "sale", "platform": "shop", "native_id": "s/1", "unit_price": 1.10}
KEY = b"alpha/sale/s/1"


def said(key: bytes | None, value: Any, rules: Rules = RULES, platform: bytes | None = None) -> Read | DeadLetter:
    body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return read(Message(PLACE, 7, key, body, datetime(2026, 3, 16, tzinfo=UTC), platform), rules)


def refused(found: Read | DeadLetter) -> tuple[str, str | None]:
    assert isinstance(found, Read)
    assert found.thing.refusal is not None
    return found.thing.refusal.reason, found.thing.refusal.field


def test_a_record_loses_its_envelope_and_keeps_its_digits() -> None:
    value = b'{"partner":"alpha","kind":"sale","platform":"shop","native_id":"s/1","unit_price":1.1000000000000000001}'
    found = said(KEY, value)
    assert isinstance(found, Read)
    assert (found.partner, found.thing.kind, found.thing.platform, found.thing.native_id) == (
        "alpha",
        "sale",
        "shop",
        "s/1",
    )
    assert found.thing.payload == b'{"native_id":"s/1","unit_price":1.1000000000000000001}'
    assert found.thing.refusal is None


def test_the_platform_is_direct_unless_said() -> None:
    found = said(KEY, {name: value for name, value in SALE.items() if name != "platform"})
    assert isinstance(found, Read)
    assert found.thing.platform == "direct"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, SALE, "key-invalid"),
        (b"", SALE, "key-invalid"),
        (b"alpha/sale", SALE, "key-invalid"),
        (b"\xff\xfe/sale/1", SALE, "key-invalid"),
        (b"nobody/sale/s/1", {**SALE, "partner": "nobody"}, "partner-unknown"),
        (b"/sale/s/1", {**SALE, "partner": ""}, "partner-unknown"),
        (b"pooled/sale/s/1", {**SALE, "partner": "pooled"}, "partner-unknown"),
        (b"beta/sale/s/1", SALE, "partner-mismatch"),
        (KEY, {**SALE, "partner": "beta"}, "partner-mismatch"),
        (KEY, {**SALE, "partner": "beta", "kind": 7}, "partner-mismatch"),
        (KEY, {"partner": "beta", "native_id": "s/1"}, "partner-mismatch"),
        (KEY, {**SALE, "partner": "beta", "attributes": {"x": "y" * 2000}}, "partner-mismatch"),
    ],
)
def test_nobody_is_shown_what_may_be_another_partners(key: bytes | None, value: Any, reason: str) -> None:
    found = said(key, value)
    assert isinstance(found, DeadLetter)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        (b"", "not-json", None),
        (b"{", "not-json", None),
        (b"\xff", "not-json", None),
        (b'{"a": "\xff"}', "record-invalid", None),
        (b'{"attributes": ' + b"[" * 5000, "not-json", None),
        (b"[]", "record-invalid", None),
        (b"null", "record-invalid", None),
        (b'{"partner": "alpha"}', "record-invalid", None),
        ({**SALE, "partner": 7}, "record-invalid", None),
        ({**SALE, "native_id": None}, "record-invalid", None),
        ({**SALE, "native_id": "s-2"}, "key-mismatch", None),
        ({**SALE, "kind": "event"}, "key-mismatch", None),
        ({**SALE, "platform": "No Shop"}, "platform-invalid", "platform"),
        ({**SALE, "attributes": {"x": "y" * 2000}}, "too-large", None),
    ],
)
def test_what_cannot_land_is_filed_under_its_partner(value: Any, reason: str, field: str | None) -> None:
    found = said(KEY, value)
    assert refused(found) == (reason, field)
    assert isinstance(found, Read)
    assert (found.partner, found.thing.kind) == ("alpha", "sale")


@pytest.mark.parametrize(("kind", "filed"), [("person", "person"), ("", "unknown"), ("A person", "unknown")])
def test_a_kind_there_is_not_is_filed_under_its_name_if_it_can_be_one(kind: str, filed: str) -> None:
    for value in ({**SALE, "kind": kind}, None):
        found = said(f"alpha/{kind}/s/1".encode(), value)
        assert refused(found) == ("kind-unknown", "kind")
        assert isinstance(found, Read)
        assert found.thing.kind == filed


def test_a_message_without_value_is_a_deletion() -> None:
    found = said(KEY, None)
    assert isinstance(found, Read)
    assert (found.thing.payload, found.thing.platform, found.thing.native_id) == (None, None, "s/1")
    named = said(KEY, None, platform=b"shop")
    assert isinstance(named, Read)
    assert named.thing.platform == "shop"


@pytest.mark.parametrize(
    ("key", "platform", "reason"),
    [
        (b"alpha/sale/", None, ("record-invalid", "native_id")),
        (b"alpha/sale/" + b"x" * 201, None, ("record-invalid", "native_id")),
        (b"alpha/sale/a\x00b", None, ("record-invalid", "native_id")),
        (b"alpha/sale/ada@example.org", None, ("record-invalid", "native_id")),
        (KEY, b"\xff", ("platform-invalid", "platform")),
        (KEY, b"", ("platform-invalid", "platform")),
    ],
)
def test_a_deletion_that_names_nothing_is_refused(key: bytes, platform: bytes | None, reason: tuple[str, str]) -> None:
    assert refused(said(key, None, platform=platform)) == reason


def test_where_partners_are_named_no_other_is_taken() -> None:
    rules = Rules(RULES.partners, {"beta"}, 1000)
    found = said(KEY, SALE, rules)
    assert isinstance(found, DeadLetter)
    assert found.reason == "partner-not-allowed"
    assert isinstance(said(b"beta/sale/s/1", {**SALE, "partner": "beta"}, rules), Read)


@given(
    st.one_of(st.none(), st.binary(max_size=60)), st.one_of(st.none(), st.binary(max_size=200)), st.binary(max_size=9)
)
def test_reading_never_raises(key: bytes | None, value: bytes | None, platform: bytes) -> None:
    for found in (said(key, value), said(KEY, value, platform=platform), said(b"alpha/" + (key or b""), value)):
        assert isinstance(found, Read | DeadLetter)
