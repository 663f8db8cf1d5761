"""Booking forecasts as insights: right, within what is possible, explained to the person, in the row's language."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from models.attendance.booking import model
from models.attendance.booking.buckets import BUCKETS
from models.attendance.booking.curves import MIN_EVENTS, Curves
from models.attendance.booking.model import Fitted
from models.attendance.booking.predict import predict
from models.attendance.booking.rows import booking_facts, not_yet, sold_events
from models.attendance.booking.served import Served, speaks
from models.attendance.history import prepared
from models.base import FeatureRow, Prediction
from models.rounding import sums
from tests.attendance_frames import TODAY
from tests.booking_frames import CONTEXT, event, frame, theatre

Truths = Mapping[str, Mapping[str, float]]


@pytest.fixture(scope="module")
def made() -> tuple[Fitted, Truths, list[FeatureRow]]:
    """A fit, what will have come of the events on sale, and their rows."""
    live, truths = theatre(events=45)
    learned = model.fit(prepared(live))
    assert learned is not None
    return learned.fitted, truths, rows_of(*live.filter(~live["is_past"]).to_dicts())


@pytest.fixture(scope="module")
def fitted(made: tuple[Fitted, Truths, list[FeatureRow]]) -> Fitted:
    return made[0]


def rows_of(*events: Mapping[str, Any], now: datetime = CONTEXT.as_of, known: int = 180) -> list[FeatureRow]:
    """Feature rows of those events that are on sale, as far as the booking family reads them."""
    out = []
    for one in prepared(frame([dict(one) for one in events])).to_dicts():
        facts = booking_facts(one, now, "UTC", known)
        if facts is not None:
            out.append(
                {
                    "subject": {"kind": "event", "id": one["event_id"], "platform": one["platform"]},
                    "language": "en",
                    "capacity": one["capacity"],
                    "booking": facts,
                }
            )  # fmt: skip
    stored: list[FeatureRow] = json.loads(json.dumps(out))
    return stored


def coming(name: str = "Club", days: int = 12, **other: Any) -> dict[str, Any]:
    return event(name, TODAY + timedelta(days=days), 3, appeal=1.0)[0] | other


def serving(fitted: Fitted, **other: Any) -> Served:
    given: dict[str, Any] = {"fitted": fitted, "near": [True] * len(BUCKETS), "beside": {}}
    return Served(**(given | other))


def forecast(fitted: Fitted, *events: Mapping[str, Any]) -> list[Prediction]:
    return predict(serving(fitted), rows_of(*events))


def sold_so_far(found: Mapping[str, Any], factor: float) -> dict[str, Any]:
    points = [[days, round(sold * factor)] for days, sold in json.loads(found["bookings"])]
    return {"bookings": json.dumps(points)}


def test_what_comes_is_near_the_forecast_and_mostly_within_it(made: tuple[Fitted, Truths, list[FeatureRow]]) -> None:
    fitted, truths, rows = made
    found = predict(serving(fitted), rows)
    people = [truths[one.subject.id]["people"] for one in found]
    assert len(found) > 25 and {one.status for one in found} == {"ready"}
    inside = [one.details["p10"] <= came <= one.details["p90"] for one, came in zip(found, people, strict=True)]
    assert 0.65 <= sum(inside) / len(inside) <= 0.97, "about 30 events: chance is wide"
    error = sum(abs((one.value or 0) - came) for one, came in zip(found, people, strict=True))
    naive = sum(abs((one.baseline or 0) - came) for one, came in zip(found, people, strict=True))
    assert error < 0.5 * naive


def test_every_insight_is_whole(made: tuple[Fitted, Truths, list[FeatureRow]]) -> None:
    fitted, _, rows = made
    for one in predict(serving(fitted), rows):
        details = one.details
        assert one.value == details["p50"] and one.interval is not None and one.baseline is not None
        assert 0 <= details["p10"] <= details["p50"] <= details["p90"] <= details["capacity"]
        assert sums(one.value or 0, one.baseline, one.contributions, decimals=0)
        assert details["family"] == "booking_curve" and details["why"]
        names = [alternative["candidate"] for alternative in details["alternatives"]]
        assert {"booking_curve", "similar_events", "pace", "pickup", "final_sales_model"} <= set(names)
        errors = [alternative["score"] for alternative in details["alternatives"]]
        assert errors == sorted(errors) and {one["metric"] for one in details["alternatives"]} == {"mase"}
        assert one.coverage is not None and 0.6 <= one.coverage <= 0.95 and one.observations >= 0
        assert 0.5 < details["show_up_rate"] <= 1


def test_a_row_forecasts_the_same_alone_and_after_storage(made: tuple[Fitted, Truths, list[FeatureRow]]) -> None:
    fitted, _, rows = made
    whole = predict(serving(fitted), rows)
    again = Served.restored(serving(fitted).plain())
    for number in (0, 7, len(rows) - 1):
        assert predict(again, [rows[number]]) == [whole[number]]
    assert predict(again, rows[::-1]) == whole[::-1]


def test_many_rows_are_forecast_in_parts(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(*[coming("Forum", days=days) for days in range(1, 12)])
    whole = predict(serving(fitted), rows)
    monkeypatch.setattr("models.attendance.booking.predict.BATCH", 4)
    assert predict(serving(fitted), rows) == whole and predict(serving(fitted), []) == []


def test_more_sales_by_now_mean_more_people_and_the_sentence_says_so(fitted: Fitted) -> None:
    usual = coming()
    less, same, more = forecast(fitted, usual | sold_so_far(usual, 0.4), usual, usual | sold_so_far(usual, 1.8))
    assert (less.value or 0) < (same.value or 0) < (more.value or 0)
    effects = {part.factor: part for part in more.contributions}
    assert effects["tickets_sold"].effect > 0 and effects["tickets_sold"].actionable
    assert "fewer than similar events had by then" in less.summary
    assert "more than similar events had by then" in more.summary and "12 days before" in more.summary
    assert any(f"{rate} % of those who have one usually come" in more.summary for rate in (84, 85, 86))


def test_an_event_ahead_of_its_pace_is_expected_to_sell_out(fitted: Fitted) -> None:
    (found,) = forecast(fitted, coming() | sold_so_far(coming(), 2.6))
    at = datetime.fromisoformat(found.details["sell_out_at"])
    assert CONTEXT.as_of <= at <= CONTEXT.as_of + timedelta(days=13)
    assert found.details["expected_tickets"] == found.details["capacity"] == 250
    assert "expected to sell out on 2026-03-" in found.summary
    (calm,) = forecast(fitted, coming() | sold_so_far(coming(), 0.4))
    assert calm.details["sell_out_at"] is None


def test_a_sold_out_event_says_since_when(fitted: Fitted) -> None:
    (found,) = forecast(fitted, coming() | {"bookings": "[[30, 200], [20, 250]]"})
    assert found.details["sell_out_at"] == "2026-03-08T23:59:00Z"
    assert "It sold out on 2026-03-08." in found.summary
    assert 190 <= (found.value or 0) <= 250 and found.details["p90"] <= 250


def test_a_new_group_borrows_and_says_so(fitted: Fitted) -> None:
    new = coming(venue_name="Barn", category="circus", capacity=300)
    (found,) = forecast(fitted, new)
    assert found.status == "ready" and (found.value or 0) > 0
    assert "others of the partner stand in" in found.summary
    assert "stand in" not in forecast(fitted, coming())[0].summary


def test_an_event_far_ahead_with_its_first_tickets_is_forecast(fitted: Fitted) -> None:
    far = coming("Opera", days=200, bookings="[[220, 3]]", on_sale_at=CONTEXT.as_of - timedelta(days=20))
    (found,) = forecast(fitted, far)
    assert 100 < (found.value or 0) < 700
    assert found.details["why"].startswith("No past forecast was made this far ahead")


@pytest.mark.parametrize(
    "other",
    [
        {"capacity": None},
        {"capacity": 0},
        {"capacity": -3},
        {"average_price": 0.0},
        {"average_price": None},
        {"on_sale_at": None},
        {"bookings": "[]"},
        {"bookings": "[[40, 30], [30, 10], [20, 0]]"},
        {"bookings": "[[40, 1000000]]"},
        {"venue_name": None, "category": None},
        {"series_id": "monthly"},
        {"timezone": None},
        {"starts_on": date(2026, 3, 17), "starts_at": None},
        {"starts_on": TODAY, "starts_at": None},
    ],
)
def test_odd_events_get_sensible_numbers(fitted: Fitted, other: dict[str, Any]) -> None:
    (found,) = forecast(fitted, coming() | other)
    details = found.details
    assert found.status == "ready" and 0 <= details["p10"] <= details["p50"] <= details["p90"]
    assert sums(found.value or 0, found.baseline or 0, found.contributions, decimals=0)
    assert found.summary.startswith("Expected attendance ")


def test_sales_above_the_capacity_show_that_it_is_none(fitted: Fitted) -> None:
    (found,) = forecast(fitted, coming(capacity=50))
    sold = json.loads(coming()["bookings"])[-1][1]
    assert sold > 50 and (found.value or 0) >= 0.7 * sold
    assert "not taken as a limit" in found.summary and found.details["sell_out_at"] is None
    (tight,) = forecast(fitted, coming(capacity=round(sold * 0.95)))
    assert tight.details["p90"] <= tight.details["capacity"], "overbooked a little, for some do not come"


def test_a_capacity_that_was_often_exceeded_is_no_limit(fitted: Fitted) -> None:
    crowded = fitted.past.events.with_capacity(np.where(fitted.past.events.capacity == 250, 60.0, np.nan))
    past = Curves(events=crowded, sold=fitted.past.sold, attendance=fitted.past.attendance)
    (found,) = forecast(Fitted(**{**vars(fitted), "past": past}), coming(capacity=60))
    assert (found.value or 0) > 60 and "not taken as a limit" in found.summary and found.details["sell_out_at"] is None


def test_what_is_not_on_sale_has_no_facts() -> None:
    later = CONTEXT.as_of + timedelta(days=3)
    assert rows_of(coming(bookings="[]", on_sale_at=later)) == []
    assert rows_of(coming(bookings="[]", on_sale_at=None)) == []
    opened = coming(bookings="[]")
    assert rows_of(opened) and rows_of(opened, known=0) == [], (
        "an opening alone says little where no ticket was ever sold"
    )
    assert rows_of(coming(), known=0)[0]["booking"]["sold"] > 0
    assert rows_of(coming(days=500)) == []
    assert sold_events(prepared(theatre(events=5)[0])).height == 15


def test_the_family_speaks_where_its_backtest_was_better(fitted: Fitted) -> None:
    (row,) = rows_of(coming())
    assert speaks(serving(fitted), row, is_series=False) and speaks(serving(fitted), row, is_series=True)
    assert not speaks(serving(fitted), row | {"booking": None}, is_series=False)
    beaten = Fitted(**{**vars(fitted), "is_better": [False] * len(BUCKETS)})
    assert not speaks(serving(beaten), row, is_series=False)
    series_first = serving(fitted, near=[False] * len(BUCKETS))
    assert not speaks(series_first, row, is_series=True), "the series forecast was better here"
    assert speaks(series_first, row, is_series=False), "where there is no series forecast, sales still tell"


def test_a_moment_before_all_past_events_has_nothing_to_go_by(fitted: Fitted) -> None:
    long_ago = CONTEXT.as_of - timedelta(days=2_000)
    day = TODAY - timedelta(days=1_990)
    (row,) = rows_of(coming(starts_on=day, starts_at=None), now=long_ago)
    assert not speaks(serving(fitted), row, is_series=False)


def test_the_reason_names_the_series_where_both_were_tried(fitted: Fitted) -> None:
    tried = serving(fitted, beside={"series": [0.9] * len(BUCKETS), "booking_curve": [0.31] * len(BUCKETS)})
    (one,) = predict(tried, rows_of(coming()))
    assert "the booking curve's error was 0.31 and the series forecast's 0.90" in one.details["why"]
    assert "series forecast" not in forecast(fitted, coming())[0].details["why"]


def test_people_without_a_ticket_are_said_to_come(fitted: Fitted) -> None:
    """Where three people come for each ticket, most tickets are sold elsewhere."""
    past = fitted.past
    elsewhere = Curves(
        events=past.events.with_capacity(past.events.capacity * 9), sold=past.sold, attendance=past.final * 3
    )
    (one,) = forecast(Fitted(**{**vars(fitted), "past": elsewhere}), coming(capacity=9 * 250))
    assert "3.0 people usually come for each ticket sold here" in one.summary and (one.value or 0) > 250


def test_a_refusal_says_what_is_missing() -> None:
    (row,) = rows_of(coming(days=90, bookings="[[95, 3]]"), known=7)
    assert not_yet(row) == (
        "No forecast yet: it starts in 90 days, and 7 of 20 past events with ticket sales and attendance are known "
        "that a forecast this far ahead needs."
    )
    assert "no forecast from ticket sales serves so far ahead" in not_yet(rows_of(coming(), known=40)[0])


@pytest.mark.parametrize("events", [0, 1, 6])
def test_too_few_past_events_are_no_model(events: int) -> None:
    assert model.fit(prepared(theatre(events=events)[0])) is None


def test_twenty_events_are_enough() -> None:
    rows = [event("Club", TODAY - timedelta(days=6 * number + 1), 1)[0] for number in range(MIN_EVENTS)]
    found = model.fit(prepared(frame(rows)))
    assert found is not None
    (one,) = forecast(found.fitted, coming())
    assert one.status == "ready" and one.coverage is not None
