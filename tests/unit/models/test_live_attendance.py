"""What if it were a Friday: the event's frame with another start, its history seen anew."""

from datetime import date, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotFound
from integrator.contracts.insight import Subject
from models.attendance.live import LIVE
from models.attendance.rows import rows
from tests.attendance_frames import CONTEXT, TODAY, arena, event, frame, series

MONDAY = TODAY + timedelta(days=7)
EVENT = Subject("event", f"hall-{MONDAY}", "pretix")


@cache
def live() -> pl.DataFrame:
    return arena(days=63)


def moved(said: dict[str, Any], given: pl.DataFrame | None = None, subject: Subject = EVENT) -> dict[str, Any]:
    """The event's line of the frame, were it so."""
    found = LIVE.reframed(live() if given is None else given, subject, LIVE.read(said), CONTEXT)
    return found.filter(pl.col("event_id") == subject.id).row(0, named=True)


def row_of(frame_of: pl.DataFrame) -> dict[str, Any]:
    return next(row for row in rows(frame_of, CONTEXT) if row["subject"]["id"] == EVENT.id)


def test_a_weekday_moves_within_the_week_and_keeps_the_hour() -> None:
    found = moved({"weekday": "Friday"})
    assert found["starts_on"] == MONDAY + timedelta(days=4)
    assert found["starts_at"].hour == 19 and found["starts_at"].date() == found["starts_on"]
    early = Subject("event", f"hall-{TODAY + timedelta(days=1)}", "pretix")
    assert moved({"weekday": "monday"}, subject=early)["starts_on"] == TODAY + timedelta(days=7)


def test_a_friday_is_compared_with_fridays() -> None:
    friday = LIVE.reframed(live(), EVENT, LIVE.read({"weekday": "friday"}), CONTEXT)
    before, after = row_of(live()), row_of(friday)
    assert (before["features"]["weekday"], after["features"]["weekday"]) == (1.0, 5.0)
    assert after["features"]["same_4_mean"] > 1.2 * before["features"]["same_4_mean"]
    others = [row for row in rows(friday, CONTEXT) if row["subject"]["id"].startswith("club-")]
    assert others == [row for row in rows(live(), CONTEXT) if row["subject"]["id"].startswith("club-")]


def test_a_holiday_of_the_new_day_is_found_in_the_region() -> None:
    day = MONDAY + timedelta(days=2)
    feast = frame(series("hall", [100] * 40), [event(None, day, None, is_holiday=True, holiday_name="Feast")])
    found = moved({"date": day.isoformat()}, feast)
    assert (found["is_holiday"], found["holiday_name"]) == (True, "Feast")
    assert moved({"date": (day + timedelta(days=1)).isoformat()}, feast)["is_holiday"] is False
    assert moved({"is_holiday": True}, feast)["is_holiday"] is True


def test_fields_and_capacity_are_laid_over() -> None:
    given = frame(series("hall", [100] * 40, attributes='{"headliner": true, "price": 20}'))
    found = moved({"capacity": 250, "attributes": {"price": 15, "headliner": None}}, given)
    assert found["capacity"] == 250 and found["attributes"] == '{"price": 15}'
    assert found["starts_on"] == MONDAY


def test_a_start_says_its_own_hour_and_zone() -> None:
    found = moved({"starts_at": "2026-03-27T00:30:00+02:00"})
    assert found["starts_on"] == date(2026, 3, 26), "as it is where the event takes place"
    assert found["starts_at"].isoformat() == "2026-03-26T22:30:00+00:00"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"weekday": "fri"}, "weekday 'fri' is not allowed; allowed: monday"),
        ({"starts_at": "2026-03-27T19:00:00"}, "starts_at .* RFC 3339 with an offset"),
        ({"date": "2026-02-30"}, "date '2026-02-30' is not allowed"),
        ({"date": 5}, "date 5 is not allowed"),
        ({"capacity": 0}, "capacity 0 is not allowed; allowed: a whole number"),
        ({"capacity": True}, "capacity True is not allowed"),
        ({"is_holiday": "yes"}, "is_holiday 'yes' is not allowed; allowed: true or false"),
        ({"attributes": {"a": {}}}, "attributes is not allowed"),
        ({"attributes": {"a": float("nan")}}, "not a finite number"),
        ({"weekday": "friday", "date": "2026-03-20"}, "date and weekday move the event twice"),
        ({"starts": "now"}, "'starts' is not a field; allowed: starts_at"),
        ({"date": "2026-03-01"}, "a start after 2026-03-16"),
    ],
)
def test_what_cannot_be_assumed_is_named(said: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        moved(said)


def test_a_series_and_a_stranger_cannot_be_moved() -> None:
    with pytest.raises(InvalidInput, match="a series cannot be moved"):
        moved({"weekday": "friday"}, subject=Subject("series", "hall", "pretix"))
    with pytest.raises(NotFound, match="there is no event 'gone'"):
        moved({"weekday": "friday"}, subject=Subject("event", "gone", "pretix"))
    assert LIVE.blank(CONTEXT, None) is None and not LIVE.needs_frame({})
