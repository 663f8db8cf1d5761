"""Reading batches: whole where all is good, one by one where something is not, and the lines always right."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.storage.landing_reading import Form, read_body, read_payloads

SALE: dict[str, Any] = {
    "native_id": "a", "product": "p", "sold_at": "2026-03-01T12:00:00Z", "quantity": 1, "unit_price": "1.50",
    "currency": "EUR", "status": "paid",
}  # fmt: skip
GOOD = json.dumps(SALE).encode()


def sale(**change: Any) -> bytes:
    return json.dumps({**SALE, **change}).encode()


def read(body: bytes, form: Form = "ndjson") -> tuple[list[int], list[int]]:
    """Lines of the records and of the refusals."""
    reading = read_body("sale", body, form)
    assert len(reading.records) == len(reading.lines)
    return list(reading.lines), [error.line for _, error in reading.rejected]


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        (b"", [], []), (b"\n\n", [], []), (GOOD, [1], []), (GOOD + b"\n", [1], []), (GOOD + b"\n \t\r\n", [1], []),
        (GOOD + b"\r\n" + GOOD + b"\r\n", [1, 2], []), (GOOD + b"\n\n" + GOOD, [1, 3], []), (b"\n" + GOOD, [2], []),
        (b" " + GOOD + b" \n" + GOOD, [1, 2], []),
        (GOOD + GOOD, [], [1]), (GOOD + b" " + GOOD + b"\n" + GOOD, [2], [1]),
        (GOOD.replace(b",", b",\n", 1), [], [1, 2]),
        (GOOD + b" " + GOOD + b"\n" + GOOD.replace(b",", b",\n", 1), [], [1, 2, 3]),
        (GOOD + b"\n{\n" + GOOD, [1, 3], [2]), (GOOD + b"\nnull\n[]\n1", [1], [2, 3, 4]),
        (GOOD + b"\n" + sale(status="odd") + b"\n" + GOOD, [1, 3], [2]),
        (GOOD + b"\n" + sale(unit_price=float("nan")), [1], [2]), (GOOD + b"\n\xff\xfe", [1], [2]),
        (GOOD + b"\n" + GOOD.replace(b'"EUR"', b'"EU\\ud800"'), [1], [2]),
        (GOOD + b"\n" + GOOD.replace(b'"p"', b'"p\\u0000"'), [1], [2]), (b"[" * 10_000 + b"\n" + GOOD, [2], [1]),
        (GOOD + b"\n" + sale(quantity=10**40), [1], [2]), (GOOD + b"\n" + sale(unit_price="1E-100000"), [1], [2]),
        (b"[" + GOOD + b"]", [], [1]), (b"\xef\xbb\xbf" + GOOD, [], [1]),
    ],
)  # fmt: skip
def test_ndjson_counts_physical_lines(body: bytes, good: list[int], bad: list[int]) -> None:
    assert read(body) == (good, bad)


@pytest.mark.parametrize(
    ("body", "good", "bad"),
    [
        (b"[]", [], []), (b" [\n" + GOOD + b",\n" + GOOD + b"]\n", [1, 2], []),
        (b"[1," + GOOD + b",null]", [2], [1, 3]), (b"[" + sale(status="odd") + b"," + GOOD + b"]", [2], [1]),
        (b'["\xff",' + GOOD + b"]", [2], [1]),
    ],
)  # fmt: skip
def test_an_array_counts_its_elements(body: bytes, good: list[int], bad: list[int]) -> None:
    assert read(body, "array") == (good, bad)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"[" * 100_000, b"[NaN]", GOOD, b"[1] 2", b"\xff"])
def test_what_is_no_array_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="no JSON array"):
        read_body("sale", body, "array")


def test_a_refusal_shows_the_value_and_keeps_the_payload() -> None:
    bad = sale(status="odd")
    ((payload, error),) = read_body("sale", GOOD + b"\n" + bad, "ndjson").rejected
    assert payload == bad
    assert (error.line, error.field, error.value) == (2, "status", "odd")
    ((_, personal),) = read_body("contact", b'{"native_id":"c","created_at":"x","email":1}', "ndjson").rejected
    assert personal.value is None or personal.field not in ("email", "native_id")


def test_dicts_and_bytes_may_be_mixed() -> None:
    reading = read_payloads("sale", [SALE, GOOD, {}, b"x", SALE], first_line=10)
    assert list(reading.lines) == [10, 11, 14]
    assert [error.line for _, error in reading.rejected] == [12, 13]
    assert reading.records[0] == reading.records[1]
    loose = read_payloads("sale", [{**SALE, "quantity": "2"}], strict=False)
    assert [getattr(record, "quantity", None) for record in loose.records] == [2]


_CHANGES: list[dict[str, Any]] = [
    {}, {}, {}, {"status": "odd"}, {"unit_price": "NaN"}, {"unit_price": 0.1}, {"quantity": -1}, {"native_id": "a@b.example"},
    {"attributes": {"x": "a\nb", "y": [1]}}, {"attributes": {"x": "a\nb"}}, {"surprise": 1}, {"refunded_quantity": 2},
    {"product": "\x00"}, {"sold_at": "2026-03-01T12:00:00"}, {"updated_at": "0001-01-01T00:00:00Z"},
]  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(changes=st.lists(st.sampled_from(_CHANGES), max_size=6), form=st.sampled_from(["array", "ndjson"]))
def test_a_batch_reads_like_its_records_one_by_one(changes: list[dict[str, Any]], form: Form) -> None:
    """The fast way and the careful one find the same records at the same lines."""
    raws = [sale(**change) for change in changes]
    body = b"[" + b",".join(raws) + b"]" if form == "array" else b"\n".join(raws)
    whole = read_body("sale", body, form)
    found = [(line, *read_payloads("sale", [raw], first_line=line).records) for line, raw in enumerate(raws, start=1)]
    assert list(zip(whole.lines, whole.records, strict=True)) == [entry for entry in found if len(entry) == 2]
    assert [error.line for _, error in whole.rejected] == [entry[0] for entry in found if len(entry) == 1]
    dicts = read_payloads("sale", [msgspec.json.decode(raw) for raw in raws])
    assert [error.field for _, error in dicts.rejected] == [error.field for _, error in whole.rejected]
