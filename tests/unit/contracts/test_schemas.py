"""The published JSON Schemas against a validator that is not ours: what we take they take, what they refuse we refuse."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from integrator.contracts import insight, records
from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import (
    Confidence,
    Contribution,
    Explanation,
    Insight,
    Interval,
    ModelRef,
    Source,
    Subject,
)
from integrator.contracts.validation import read_record

EVENT: dict[str, Any] = {
    "native_id": "e-1", "updated_at": "2026-03-01T10:00:00Z", "name": "Frühlingsfest", "category": "concert",
    "starts_at": "2026-03-01T19:00:00+01:00", "ends_at": "2026-03-01T22:00:00+01:00", "timezone": "Europe/Berlin",
    "status": "completed", "venue": {"name": "Arena", "city": "Bonn", "region": "DE-NW", "country": "DE", "capacity": 900},
    "series_id": "s", "on_sale_at": "2026-01-01T00:00:00Z", "capacity": 900, "attendance": 850,
    "attributes": {"indoor": True, "rows": 40, "price_level": 1.5, "hall": "north", "note": None},
}  # fmt: skip
CONTACT: dict[str, Any] = {
    "native_id": "c-1", "updated_at": None, "deleted_at": None, "email": "a@b.example", "phone": "+49 30 1", "name": "A",
    "created_at": "2026-01-01T00:00:00Z", "stage": "lead", "converted_at": "2026-02-01T00:00:00Z", "lost_at": None,
    "source": "web", "consent": {"processing": "granted", "pooling": None}, "country": "DE", "attributes": {},
}  # fmt: skip
SALE: dict[str, Any] = {
    "native_id": "s-1", "event_id": "e-1", "contact_id": "c-1", "product": "seat", "tier": "balcony",
    "sold_at": "2026-03-01T10:00:00Z", "quantity": 2, "unit_price": "12.50", "list_price": "15.00", "unit_cost": None,
    "currency": "EUR", "status": "paid", "refunded_quantity": 1, "refunded_amount": "12.50", "channel": "web",
}  # fmt: skip
GOOD = {"event": EVENT, "contact": CONTACT, "sale": SALE}


def validator(schema: Any) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def document(**changes: Any) -> Insight:
    subject = Subject("event", "spring-gala", "pretix")
    facts: dict[str, Any] = {
        "id": insight.insight_id("acme", "attendance", subject), "insight_version": 7, "status": "ready",
        "partner": "acme", "use_case": "attendance", "subject": subject, "value": 900.0, "unit": "people",
        "interval": Interval(0.8, 820.0, 965.0), "confidence": Confidence("high", 0.81, 42),
        "explanation": Explanation("Expected 900.", 780.0, [Contribution("tickets_sold", "Tickets", 120.0, True)]),
        "details": {"p50": 900, "alternatives": [{"at": "x", "deep": {"er": None}}]}, "rung": "partner",
        "model": ModelRef("attendance.acme", "12"), "source": Source(["pretix"], 5120, "2026-11-21T23:59:00Z"),
        "generated_at": "2026-11-22T02:00:31Z",
    }  # fmt: skip
    return Insight(**{**facts, **changes})


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_a_full_and_a_minimal_record_validate(kind: str) -> None:
    schema = validator(records.json_schema(kind))
    schema.validate(GOOD[kind])
    required = records.KINDS[kind].__struct_fields__
    minimal = {name: GOOD[kind][name] for name in required if name in _required(kind)}
    schema.validate(minimal)
    assert read_record(kind, minimal) and read_record(kind, GOOD[kind])


def _required(kind: str) -> set[str]:
    information = msgspec.inspect.type_info(records.KINDS[kind])
    assert isinstance(information, msgspec.inspect.StructType)
    return {field.name for field in information.fields if field.required}


@pytest.mark.parametrize("kind", sorted(GOOD))
def test_each_required_field_is_required_by_both(kind: str) -> None:
    schema = validator(records.json_schema(kind))
    for name in _required(kind):
        lacking = {key: value for key, value in GOOD[kind].items() if key != name}
        assert not schema.is_valid(lacking), name
        with pytest.raises(InvalidInput) as refused:
            read_record(kind, lacking)
        assert refused.value.field == name


BROKEN = [
    ("event", {"status": "sold_out"}), ("event", {"capacity": -1}), ("event", {"capacity": 2_000_000_001}),
    ("event", {"venue": {"seats": 3}}), ("event", {"native_id": ""}), ("event", {"native_id": "x" * 201}),
    ("event", {"attributes": {"deep": {"er": 1}}}), ("event", {"attributes": {"list": [1]}}), ("event", {"name": ""}),
    ("event", {"starts_at": None}), ("event", {"starts_at": 1_700_000_000}), ("event", {"surprise": 1}),
    ("contact", {"consent": {"processing": "maybe"}}), ("contact", {"consent": {"marketing": "granted"}}),
    ("contact", {"consent": None}), ("contact", {"created_at": "yesterday"}), ("contact", {"email": 3}),
    ("sale", {"currency": "eur"}), ("sale", {"currency": "EURO"}), ("sale", {"quantity": 1.5}), ("sale", {"quantity": -1}),
    ("sale", {"status": "returned"}), ("sale", {"product": None}), ("sale", {"unit_price": None}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change"), BROKEN, ids=[f"{kind}-{change}"[:60] for kind, change in BROKEN])
def test_what_the_schema_refuses_is_refused(kind: str, change: dict[str, Any]) -> None:
    raw = {**GOOD[kind], **change}
    with pytest.raises(InvalidInput):
        read_record(kind, raw)
    if change != {"created_at": "yesterday"}:  # a moment's form is an annotation to the validator, a rule to us
        assert not validator(records.json_schema(kind)).is_valid(raw)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(-2, 2), st.text(max_size=5), st.just([]), st.just({}),
    st.sampled_from(["EUR", "paid", "granted", "2026-01-01T00:00:00Z"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(GOOD)), data=st.data())
def test_nothing_is_taken_that_the_schema_refuses(kind: str, data: st.DataObject) -> None:
    """One way only: meaning (zones, codes in use, order of moments) is stricter than shape."""
    name = data.draw(st.sampled_from(records.KINDS[kind].__struct_fields__))
    raw = {**GOOD[kind], name: data.draw(VALUES)}
    try:
        read_record(kind, raw)
    except InvalidInput:
        return
    assert SCHEMAS[kind].is_valid(raw), (name, raw[name])


SCHEMAS = {kind: validator(records.json_schema(kind)) for kind in GOOD}


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"status": "refused", "value": None, "interval": None, "explanation": Explanation("No.", None, [])},
        {"status": "fallback", "rung": "rule", "confidence": Confidence("low", None, 3)},
        {"status": "withdrawn", "value": None, "interval": None, "details": {}},
        {"use_case": "pricing", "subject": Subject("tier", "day/child", "pretix"), "unit": "EUR", "value": 12.5},
        {"use_case": "lead_score", "subject": Subject("contact", "7", "hubspot"), "unit": "probability", "value": 0.25},
    ],
)  # fmt: skip
def test_every_status_and_use_case_of_the_insight_validates(changes: dict[str, Any]) -> None:
    schema = validator(insight.json_schema())
    schema.validate(json.loads(insight.canonical(document(**changes))))


def test_the_insight_may_grow_within_v1() -> None:
    """Additive changes only: a reader of today must take a document of tomorrow."""
    known = json.loads(insight.canonical(document()))
    grown = {**known, "provenance": {"region": "eu"}, "confidence": {**known["confidence"], "method": "conformal"}}
    validator(insight.json_schema()).validate(grown)
    assert insight.parse(json.dumps(grown)) == document()


@pytest.mark.parametrize(
    ("path", "value"),
    [("status", "maybe"), ("schema", "insight/v2"), ("use_case", "weather"), ("rung", "global"), ("insight_version", "7"),
     ("value", "900"), ("subject", {"kind": "person", "id": "x", "platform": "y"}), ("explanation", None),
     ("interval", {"low": 1, "high": 2})],
)  # fmt: skip
def test_a_document_that_is_none_is_refused_by_both(path: str, value: Any) -> None:
    broken = {**json.loads(insight.canonical(document())), path: value}
    assert not validator(insight.json_schema()).is_valid(broken)
    with pytest.raises(msgspec.ValidationError):
        insight.parse(json.dumps(broken))


@pytest.mark.parametrize("name", ["id", "status", "subject", "value", "explanation", "model", "source", "generated_at"])
def test_a_document_that_lacks_something_is_refused_by_both(name: str) -> None:
    lacking = {k: v for k, v in json.loads(insight.canonical(document())).items() if k != name}
    assert not validator(insight.json_schema()).is_valid(lacking)
    with pytest.raises(msgspec.ValidationError):
        insight.parse(json.dumps(lacking))


def test_the_version_is_in_every_document() -> None:
    assert json.loads(insight.canonical(document()))["schema"] == insight.SCHEMA == insight.json_schema()["title"]
