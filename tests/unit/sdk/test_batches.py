"""Cutting records into bodies."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator_client.batches import batches, encoded
from integrator_client.errors import UnsendableRecord


def records(count: int) -> list[dict[str, object]]:
    return [{"native_id": f"s{n}"} for n in range(count)]


def test_order_and_count_are_kept() -> None:
    found = list(batches(records(10), 4))
    assert [(b.first, len(b.lines)) for b in found] == [(0, 4), (4, 4), (8, 2)]
    lines = [json.loads(line) for b in found for line in gzip.decompress(b.body()).splitlines()]
    assert lines == records(10)


def test_a_batch_stays_below_the_bytes() -> None:
    found = list(batches(records(100), 50, largest=200))
    assert all(sum(len(line) + 1 for line in b.lines) <= 200 for b in found)
    assert sum(len(b.lines) for b in found) == 100


def test_one_record_larger_than_the_limit_goes_alone() -> None:
    found = list(batches([{"a": "x" * 300}, {"a": "y"}], 50, largest=200))
    assert [len(b.lines) for b in found] == [1, 1]


def test_a_generator_is_read_no_further_than_needed() -> None:
    read: list[int] = []

    def coming() -> object:
        for n in range(100):
            read.append(n)
            yield {"n": n}

    next(batches(coming(), 10))  # type: ignore[arg-type]
    assert len(read) == 11


def test_the_same_batch_has_the_same_bytes() -> None:
    batch = next(batches(records(5), 5))
    assert batch.body() == batch.body()


@pytest.mark.parametrize("size", [0, -1, 10_001])
def test_sizes_the_service_would_refuse(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 10000"):
        list(batches(records(1), size))


def test_money_keeps_its_digits_and_times_their_offset() -> None:
    line = encoded({"unit_price": Decimal("0.10"), "sold_at": datetime(2026, 3, 1, tzinfo=UTC)}, 0)
    assert json.loads(line) == {"unit_price": "0.10", "sold_at": "2026-03-01T00:00:00+00:00"}


def test_a_large_decimal_is_not_written_with_an_exponent() -> None:
    assert json.loads(encoded({"a": Decimal("1E+3")}, 0)) == {"a": "1000"}


def test_numbers_of_numpy_are_numbers() -> None:
    assert json.loads(encoded({"a": np.float64(1.5), "b": np.int64(3), "c": np.bool_(True)}, 0)) == {
        "a": 1.5,
        "b": 3,
        "c": True,
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2026, 3, 1), "no offset"),  # noqa: DTZ001
        (float("nan"), "not JSON compliant"),
        (np.float32("inf"), "not a number"),
        (Decimal("NaN"), "not an amount"),
        (object(), "no meaning"),
        ({1, 2}, "no meaning"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(value: object, said: str) -> None:
    with pytest.raises(UnsendableRecord, match=said) as caught:
        list(batches([{"a": 1}, {"a": value}], 5))
    assert caught.value.index == 1


def test_a_record_is_a_mapping() -> None:
    with pytest.raises(UnsendableRecord, match="list is not allowed"):
        encoded([1], 0)  # type: ignore[arg-type]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=40), st.integers(1, 7))
def test_nothing_is_lost_whatever_is_in_it(given_records: list[dict[str, str]], size: int) -> None:
    try:
        found = list(batches(given_records, size, largest=60))
    except UnsendableRecord:
        assert any(not _encodable(record) for record in given_records)
        return
    lines = [json.loads(line) for b in found for line in b.lines]
    assert lines == given_records
    assert [b.first for b in found] == [sum(len(c.lines) for c in found[:n]) for n in range(len(found))]


def _encodable(record: dict[str, str]) -> bool:
    try:
        "".join([*record, *record.values()]).encode()
    except UnicodeEncodeError:
        return False
    return True
