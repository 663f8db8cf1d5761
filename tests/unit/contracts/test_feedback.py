"""Reading one item of feedback: whatever comes is an item or a refusal that names its field; the schema says the same."""

import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.feedback import SAID_OF, USE_CASES, Feedback, json_schema, read, require_said
from integrator.steps.feedback import elements, refused

GOOD: list[dict[str, Any]] = [
    {"id": "ins_1", "actual": 870, "at": "2026-04-01T19:00:00+02:00"},
    {
        "id": "ins_1",
        "price_taken": "12.50",
        "quantity": 40,
        "from": "2026-03-30T00:00:00Z",
        "to": "2026-04-06T00:00:00Z",
    },
    {"use_case": "lead_score", "subject": {"kind": "contact", "id": "c-1", "platform": "hubspot"}, "converted": False},
    {"use_case": "pricing", "subject_id": "mug", "platform": "shopify", "decision": "rejected", "reason_code": "brand"},
]
NAMES = [*Feedback.__struct_encode_fields__, "comment", ""]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["ins_1", "pricing", "2026-04-01T19:00:00Z", "12.5", "EUR", "accepted", "a_code"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=4,
)  # fmt: skip


@given(item=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6) | VALUES)
@settings(max_examples=80, deadline=None)
def test_whatever_comes_is_an_item_or_a_refusal(item: Any) -> None:
    raw = json.dumps(item).encode()
    try:
        found = read(raw)
        for use_case in USE_CASES:
            require_said(found, use_case)
    except InvalidInput as error:
        told = refused(3, raw, error)
        assert told.index == 3 and told.reason and (told.value is None or len(told.value) <= 100)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"id": "x", "actual": NaN}', b"[" * 5000, b'{"id": "\\ud800", "actual": 1}']
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(raw)


@pytest.mark.parametrize("item", GOOD)
def test_good_items_are_read_and_are_what_the_schema_says(item: dict[str, Any]) -> None:
    found = read(json.dumps(item).encode())
    jsonschema.Draft202012Validator(json_schema()).validate(item)
    assert found.has_outcome == ("decision" not in item) and (found.names_subject is None) == ("id" in item)


def test_money_is_exact_and_comes_as_text_or_number() -> None:
    for price in ("12.50", 12.5, 12):
        assert read(json.dumps({"id": "x", "price_taken": price}).encode()).price_taken == Decimal(str(price))
    for wrong in ("0", "-1", "1e40", "NaN", "Infinity", "0.0000000000001"):
        with pytest.raises(InvalidInput) as refusal:
            read(json.dumps({"id": "x", "price_taken": wrong}).encode())
        assert refusal.value.field == "price_taken"


def test_every_field_of_an_outcome_belongs_to_one_use_case() -> None:
    fields = [name for names in SAID_OF.values() for name in names]
    assert len(fields) == len(set(fields)) and set(fields) <= set(Feedback.__struct_fields__)
    assert set(SAID_OF) == set(USE_CASES)


def test_places_count_from_zero_and_empty_lines_count() -> None:
    assert elements(b'[{"id": 1}, 2]', "array") == [(0, b'{"id": 1}'), (1, b"2")]
    assert elements(b'{"a":1}\n\n{"b":2}\n', "ndjson") == [(0, b'{"a":1}'), (2, b'{"b":2}')]
    with pytest.raises(InvalidInput, match="no JSON array"):
        elements(b"{}", "array")


def test_what_looks_like_a_person_is_not_repeated() -> None:
    raw = b'{"subject": {"id": "ada@example.org"}, "actual": "ada@example.org", "at": {"x": 1}}'
    for name in ("subject.id", "actual", "at", "missing", "subject.id.deeper"):
        assert refused(0, raw, InvalidInput("no", field=name)).value is None
    assert refused(0, b"not json", InvalidInput("no", field="at")).value is None
