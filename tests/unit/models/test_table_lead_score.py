"""A file's contacts or table of outcomes as the training relation's frame."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import Contact
from models.base import Context
from models.files import Prepared, Reading
from models.lead_score.columns import COLUMNS
from models.lead_score.table import SCHEMA, from_records, from_table

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
CONTEXT = Context(partner="backtest", timezone="Europe/Berlin", currency="EUR", region="DE", as_of=NOW)


def _table(*rows: dict[str, Any], **more: Any) -> Prepared:
    return from_table(enumerate(rows, start=1), CONTEXT, Reading(holidays=lambda region, years: {}, **more))


def test_the_frame_has_what_a_prediction_reads() -> None:
    assert set(COLUMNS) <= set(SCHEMA)


def test_a_dated_table_was_seen_when_leads_were_created() -> None:
    frame = _table(
        {"created_at": "2026-01-01 00:30", "converted": "Yes", "plan": "pro", "source": "fair"},
        {"created_at": "2026-01-02", "as_of": "2026-01-05", "converted": 0, "id": "c7"},
        horizon_days=30,
    ).training
    assert frame["as_of"].to_list() == [
        datetime(2025, 12, 31, 23, 30, tzinfo=UTC),
        datetime(2026, 1, 4, 23, tzinfo=UTC),
    ]
    assert frame["converted"].to_list() == [True, False]
    assert frame["age_days"].to_list() == [0, 3]
    assert frame["created_weekday"].to_list() == [4, 5]
    assert frame["contact_id"].to_list() == [None, "c7"]
    assert frame["horizon_days"].to_list() == [30, 30]
    assert [json.loads(one) for one in frame["attributes"]] == [{"plan": "pro"}, {}]


def test_without_dates_the_moment_is_unknown_and_every_row_a_person() -> None:
    found = _table({"converted": True, "age": 40}, {"converted": None, "age": 41}, {"converted": False, "age": 42})
    assert found.training["as_of"].null_count() == found.training["horizon_days"].null_count() == 2
    assert found.training["person_id"].to_list() == ["line-1", "line-3"]
    assert found.problems == ["1 of 3 rows are left out: their outcome is not known"]
    assert found.as_of == NOW


def test_of_rows_with_and_without_dates_those_with_dates_count() -> None:
    found = _table({"created_at": "2026-01-01", "converted": 1}, {"created_at": "", "converted": 0})
    assert found.training["horizon_days"].to_list() == [90]
    assert found.problems == ["1 of 2 rows are left out: they have no date, and others have one"]


def test_an_outcome_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(InvalidInput, match="line 2, column converted: 'perhaps' is not allowed; allowed: 1, 0, yes"):
        _table({"converted": 1}, {"converted": "perhaps"})
    with pytest.raises(InvalidInput, match=r"lacks converted .* its columns are bought"):
        _table({"bought": 1})
    with pytest.raises(InvalidInput, match="their outcome is not known"):
        _table({"converted": None, "x": 1})


def _contact(number: int, created_at: datetime, **more: Any) -> Contact:
    return Contact(native_id=f"c{number}", created_at=created_at, **more)


def test_canonical_contacts_whose_horizon_has_passed() -> None:
    first = NOW - timedelta(days=200)
    contacts = [
        _contact(
            1, first, converted_at=first + timedelta(days=20), stage="customer", attributes={"size": 3, "none": None}
        ),
        _contact(2, first, converted_at=first + timedelta(days=120)),
        _contact(3, NOW - timedelta(days=10)),
        _contact(4, first, deleted_at=NOW),
    ]
    found = from_records(contacts, CONTEXT, Reading(holidays=lambda region, years: {}))
    assert found.training.select("contact_id", "converted", "stage", "age_days").rows() == [
        ("c1", True, None, 0),
        ("c2", False, None, 0),
    ]
    assert json.loads(found.training["attributes"][0]).get("size") == 3
    assert found.problems == [
        "1 of 3 rows are left out: they were created less than 90 days ago",
        "the stage is left out: the file tells today's, not that of the first day",
    ]
