"""Rows for COPY: read back by a CSV reader, they hold what the records hold."""

import base64
import csv as reader
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.records import KINDS, Contact, Event, Record, Sale, Venue
from integrator.storage.landing_rows import csv, hashes, landed, staged
from integrator.storage.personal import WHOLE, Split

KEY = bytes(range(32))
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sale(**facts: Any) -> Sale:
    base: dict[str, Any] = {"native_id": "s", "product": "p", "sold_at": AT, "quantity": 1, "unit_price": Decimal("0.10"),
                            "currency": "EUR", "status": "paid"}  # fmt: skip
    return Sale(**{**base, **facts})


def fields(kind: str, record: Record, part: Split = WHOLE) -> dict[str, str | None]:
    """One row as COPY reads it: an unquoted null is none, a backslash makes a quote or backslash plain."""
    line = csv(kind, [(7, record, b"\x00\xff", part)]).decode()
    quoted = re.sub(r"(?<![^,])null(?![^,])", "\x01", line)
    (row,) = reader.reader(io.StringIO(quoted, newline=""), escapechar="\\", doublequote=False, strict=True)
    names = [name for name, _ in staged(kind)]
    assert len(row) == len(names)
    return {name: None if value == "\x01" else value for name, value in zip(names, row, strict=True)}


def test_a_sale_is_a_row_with_its_exact_amount() -> None:
    row = fields("sale", sale(unit_price=Decimal("0.1000000000000000055")))
    assert row["ordinal"] == "7"
    assert row["unit_price"] == "0.1000000000000000055"
    assert row["sold_at"] == "2026-03-01T12:00:00Z"
    assert row["tier"] is None
    assert row["attributes"] is None
    assert base64.b64decode(row["record_hash"] or "") == b"\x00\xff"


def test_nested_fields_and_hashes_have_columns() -> None:
    event = Event(native_id="e", starts_at=AT, timezone="UTC", status="scheduled", venue=Venue(capacity=9, city="Ulm"))
    assert fields("event", event)["venue_capacity"] == "9"
    assert fields("event", event)["venue_city"] == "Ulm"
    row = fields("contact", Contact(native_id="c", created_at=AT), Split({}, {}, b"mail", None))
    assert base64.b64decode(row["email_hash"] or "") == b"mail"
    assert row["phone_hash"] is None


@pytest.mark.parametrize("word", ["", "null", "NULL", "\\N", "\\.", '"', "a,b", "a\\", '\\"', "a\nb", "\r\n", "]\n[", "\t\b\f\x1f",
                                  "\\n", "ü€🎟", "'", "\x7f\u2028"])  # fmt: skip
def test_every_text_comes_back(word: str) -> None:
    row = fields("sale", sale(tier=word), Split({"note": word}, {}))
    assert row["tier"] == word
    assert json.loads(row["attributes"] or "") == {"note": word}


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\x01"), max_size=12), min_size=3, max_size=3
    )
)
def test_any_text_comes_back(words: list[str]) -> None:
    tier, channel, note = words
    row = fields("sale", sale(tier=tier, channel=channel), Split({note: note}, {}))
    assert (row["tier"], row["channel"], json.loads(row["attributes"] or "")) == (tier, channel, {note: note})


def test_no_parts_are_no_lines() -> None:
    assert csv("sale", []) == b""


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_staged_is_landed(kind: str) -> None:
    assert set(landed(kind)) == {name for name, _ in staged(kind)} - {"ordinal"}


def test_hashes_tell_records_apart_and_keys_too() -> None:
    one, two = sale(attributes={"a": 1, "b": 2}), sale(attributes={"b": 2, "a": 1})
    other = sale(attributes={"a": 1, "b": 3}, tier="x\u2028\x85\ny")
    first, same, differs = hashes(KEY, [one, two, other])
    assert first == same != differs
    assert len(first) == 16
    assert hashes(bytes(32), [one]) != [first]
    assert hashes(KEY, []) == []
