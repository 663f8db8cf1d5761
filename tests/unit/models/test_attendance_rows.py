"""From the frame to histories and feature rows: what counts, what is seen, what never is."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.attendance.attributes import flat_attributes
from models.attendance.features import COLUMN, Seen, features
from models.attendance.grid import Calendar, Floats, trusted_capacity
from models.attendance.history import History, history
from models.attendance.readiness import readiness
from models.attendance.rows import rows
from tests.attendance_frames import CONTEXT, TODAY, arena, event, frame, series, synthetic_people, training


def test_gaps_are_unknown_and_duplicates_are_averaged() -> None:
    first = TODAY - timedelta(days=3)
    found = history(
        frame([event("a", first, 10, event_id="1"), event("a", first, 30, event_id="2"), event("a", TODAY - timedelta(days=1), 5)])
    )  # fmt: skip
    assert found.units == ("series|pretix|a",)
    people = found.grid("daily").people
    assert people[0].tolist()[::2] == [20, 5]
    assert np.isnan(people[0, 1])


def test_cancelled_and_future_events_do_not_count() -> None:
    day = TODAY - timedelta(days=2)
    found = history(frame([event("a", day, 10, status="cancelled"), event("a", TODAY, 99), event("b", day, None)]))
    assert found.units == () and found.grids == ()


def test_events_without_a_series_share_their_venue_and_category() -> None:
    day = TODAY - timedelta(days=2)
    found = history(frame([event(None, day, 10, event_id="x"), event(None, day + timedelta(days=1), 20, event_id="y")]))
    assert found.units == ("venue|pretix|Hall|concert",)
    assert found.grid("daily").people.tolist() == [[10, 20]]


def test_digest_follows_the_data_alone() -> None:
    live = arena()
    assert history(live).digest() == history(live.sample(fraction=1, shuffle=True, seed=3)).digest()
    changed = live.with_columns(
        pl.when(pl.col("event_id") == live["event_id"][0]).then(1).otherwise("attendance").alias("attendance")
    )
    assert history(live).digest() != history(changed).digest()


@pytest.mark.parametrize("cell", ['{"a": 1, "b": null, "c": {"d": 2}}', {"a": 1, "b": None, "c": {"d": 2}}])
def test_attributes_come_as_text_or_mapping(cell: object) -> None:
    assert flat_attributes(cell) == {"a": 1}
    assert flat_attributes(None) == {}


def test_a_capacity_below_what_came_is_not_trusted() -> None:
    people = np.array([[50.0] * 20, [80.0] * 20])
    assert trusted_capacity(people, np.array([60.0, 60.0])).tolist()[0] == 60
    assert np.isnan(trusted_capacity(people, np.array([60.0, 60.0]))[1])


def at(found: History, origin: int, target: int, *, cadence: str = "daily") -> Floats:
    """Features of the first unit's one step, no holiday."""
    grid = found.grid(cadence)
    shape = (len(grid.units), 1)
    coming = Calendar(
        when=np.broadcast_to(grid.moments(np.array([target])), shape),
        holiday=np.zeros(shape, dtype=np.intp),
        before=np.zeros(shape, dtype=bool),
        after=np.zeros(shape, dtype=bool),
    )
    made: Floats = features(Seen(grid, 7), np.array([origin]), np.array([target]), coming)[0, 0]
    return made


def test_features_after_silent_days_still_know_the_weekday() -> None:
    found = history(frame(series("a", list(range(1, 29)), gap=3)))
    grid = found.grid("daily")
    origin = grid.length + 3
    row = at(found, origin, origin + 1)
    assert row[COLUMN["same_1"]] == grid.people[0, origin + 1 - 7]
    assert row[COLUMN["level_short"]] == np.mean([25, 26, 27, 28])
    assert row[COLUMN["lead"]] == 2


def test_same_step_features_by_hand() -> None:
    row = at(history(frame(series("a", list(range(1, 29))))), 28, 28)
    assert row[COLUMN["same_1"]] == 22
    assert row[COLUMN["same_2_mean"]] == 18.5
    assert row[COLUMN["same_6_median"]] == np.median([22, 15, 8, 1])
    assert row[COLUMN["level_short"]] == 25
    assert row[COLUMN["last_1"]] == 28
    assert row[COLUMN["lead"]] == 1
    assert row[COLUMN["weekday"]] == TODAY.isoweekday()


def test_rows_are_json_and_one_for_each_event_and_series() -> None:
    found = rows(arena(), CONTEXT)
    assert json.loads(json.dumps(found)) == found
    kinds = [row["subject"]["kind"] for row in found]
    assert (kinds.count("event"), kinds.count("series")) == (42, 3)
    assert [len(row["occurrences"]) for row in found[-3:]] == [14, 14, 14]


def test_cancelled_past_and_far_events_get_no_row() -> None:
    far = TODAY + timedelta(days=14)
    live = frame(series("a", [5] * 30, ahead=0), [event("a", TODAY, None, status="cancelled"), event("a", far, None)])
    assert [row["subject"]["kind"] for row in rows(live, CONTEXT)] == ["series"]


def test_a_series_that_ended_long_ago_has_no_row() -> None:
    assert rows(frame(series("a", [5] * 30, ahead=0, gap=60)), CONTEXT) == []


def test_readiness_counts_and_says_how_long() -> None:
    few = readiness(history(training(frame(series("a", synthetic_people(20, level=50, seed=1))))))
    assert (few.rung, few.ready) == ("rule", False)
    assert str(few).startswith("20 of 42 days of attendance history, about 22 days; 20 of 21 days")
    assert readiness(history(training(arena()))).rung == "partner"
    assert readiness(history(frame())).rung == "none"


def test_what_starts_in_an_hour_west_of_the_partners_zone_keeps_its_row() -> None:
    """In Tokyo it is the 2nd; in Los Angeles the evening of the 1st has not begun."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    tonight = datetime(2026, 3, 2, 2, tzinfo=UTC)
    days = [event("bar", date(2026, 3, 1) - timedelta(days=n), 50 + n) for n in range(1, 40)]
    soon = event(
        "bar", date(2026, 3, 1), None, starts_at=tonight, is_past=False, status="scheduled", event_id="tonight"
    )
    there = [{**one, "timezone": "America/Los_Angeles"} for one in (*days, soon)]
    made = rows(frame(there), replace(CONTEXT, timezone="Asia/Tokyo", as_of=now))
    (row,) = [row for row in made if row["subject"]["id"] == "tonight"]
    assert row["history"] is not None and row["features"]["lead"] == 1 and row["date"] == "2026-03-01"


@pytest.mark.parametrize(("days", "reach"), [(2, 1), (3, 1), (6, 2), (30, 10), (60, 20)])
def test_a_history_supports_a_third_of_itself(days: int, reach: int) -> None:
    made = rows(frame(series("young", synthetic_people(days, level=80, seed=2))), CONTEXT)
    facts = [row["history"] for row in made if row["subject"]["kind"] == "event"]
    assert facts and {one["reach"] for one in facts} == {reach}
