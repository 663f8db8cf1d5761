"""A file's events or table of attendance as the training relation's frame."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import Event, Venue
from models.attendance.columns import COLUMNS
from models.attendance.table import from_records, from_table
from models.base import Context
from models.files import Prepared, Reading

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
CONTEXT = Context(partner="backtest", timezone="Europe/Berlin", currency="EUR", region="DE-BY", as_of=NOW)


def _holidays(region: str, years: Any) -> Mapping[date, str]:
    return {date(2026, 1, 6): "Epiphany"} if region == "DE-BY" else {}


READING = Reading(holidays=_holidays)


def _table(*rows: dict[str, Any], **more: Any) -> Prepared:
    return from_table(enumerate(rows, start=1), CONTEXT, Reading(holidays=_holidays, **more))


def test_a_plain_table_is_one_series_with_calendar_and_attributes() -> None:
    found = _table({"date": "2026-01-06", "value": 80, "rain": True}, {"date": "2026-01-07 18:00", "value": 90.5})
    frame = found.training
    assert set(COLUMNS) <= set(frame.columns)
    assert frame["series_id"].to_list() == ["series", "series"]
    assert frame["starts_at"].to_list() == [datetime(2026, 1, 5, 23, tzinfo=UTC), datetime(2026, 1, 7, 17, tzinfo=UTC)]
    assert frame["starts_on"].to_list() == [date(2026, 1, 6), date(2026, 1, 7)]
    assert frame["local_hour"].to_list() == [0, 18]
    assert frame["weekday"].to_list() == [2, 3]
    assert frame["holiday_name"].to_list() == ["Epiphany", None]
    assert frame["is_holiday"].to_list() == [True, False]
    assert frame["attendance"].to_list() == [80.0, 90.5]
    assert frame["attributes"].to_list() == ['{"rain": true}', "{}"]
    assert frame["capacity"].null_count() == 2
    assert found.as_of == datetime(2026, 1, 7, 17, 0, 1, tzinfo=UTC)
    assert found.attributes == ["rain"]


def test_rows_without_attendance_are_gaps_or_still_to_come() -> None:
    days = [date(2026, 1, 1) + timedelta(days=i) for i in range(4)]
    found = _table(*({"date": day, "value": value} for day, value in zip(days, (1, None, 3, None), strict=True)))
    assert found.training["attendance"].to_list() == [1, 3]
    assert found.live["is_past"].to_list() == [True, True, True, False]
    assert found.live["status"].to_list() == ["completed", "completed", "completed", "scheduled"]
    assert found.problems == ["1 of 4 rows are left out: they are past and their attendance is not known"]


def test_what_cannot_have_come_is_left_out_and_said() -> None:
    rows = [{"date": "2026-01-01", "value": 5}, {"date": "2026-01-02", "value": -1}]
    found = _table(*rows, {"date": "2026-01-03", "value": float("inf")}, {"date": None, "value": 2})
    assert found.training.height == 1
    assert found.problems == [
        "1 of 4 rows are left out: they have no date",
        "2 of 4 rows are left out: their attendance is infinite or below zero",
    ]


def test_nothing_left_is_refused_with_the_reasons() -> None:
    with pytest.raises(InvalidInput, match="their attendance is infinite or below zero"):
        _table({"date": "2026-01-02", "value": -1})
    with pytest.raises(InvalidInput, match="line 1, column timezone 'Mars' is not allowed"):
        _table({"date": "2026-01-02", "value": 1, "timezone": "Mars"})


def test_venues_tell_units_apart_where_there_is_no_series() -> None:
    frame = _table(
        {"date": "2026-01-02", "value": 1, "venue": "Hall", "status": "cancelled"},
        {"date": "2026-01-03", "value": 1, "venue": "Hall"},
    )
    assert frame.training["venue_name"].to_list() == ["Hall"]
    assert frame.training["series_id"].null_count() == 1


def _event(number: int, starts_at: datetime, **more: Any) -> Event:
    facts: dict[str, Any] = {
        "native_id": f"e{number}",
        "starts_at": starts_at,
        "timezone": "Europe/Berlin",
        "status": "completed",
    }
    return Event(**(facts | more))


def test_canonical_events_are_known_as_of_now() -> None:
    venue = Venue(name="Hall", region="BY", country="DE", capacity=500)
    events = [
        _event(
            1, datetime(2026, 1, 6, 19, tzinfo=UTC), attendance=300, venue=venue, attributes={"act": "jazz", "x": None}
        ),
        _event(2, NOW + timedelta(days=3), status="scheduled", attendance=7, capacity=80, attributes={"act": "rock"}),
        _event(3, datetime(2026, 1, 8, tzinfo=UTC), attendance=5, deleted_at=NOW),
    ]
    found = from_records(events, CONTEXT, READING)
    assert found.as_of == NOW
    assert found.live["event_id"].to_list() == ["e1", "e2"]
    assert found.live["attendance"].to_list() == [300, None]
    assert found.live["capacity"].to_list() == [500, 80]
    assert found.live["region"].to_list() == ["DE-BY", "DE-BY"]
    assert found.training["is_holiday"].to_list() == [True]
    assert found.training["days_out"].to_list() == [-69]


def test_events_that_ended_long_ago_are_judged_just_after_the_last() -> None:
    found = from_records([_event(1, datetime(2016, 1, 6, tzinfo=UTC), attendance=3)], CONTEXT, READING)
    assert found.as_of == datetime(2016, 1, 6, 0, 0, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="no row of the file can be used"):
        from_records([], CONTEXT, READING)
