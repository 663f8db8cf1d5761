"""Booking curves inside the use case: trained, judged beside the series, served where they are better, refused with reason."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, NotReady
from models.base import FeatureRow, TrainConfig, Trained
from models.gate import gate
from models.registry import use_case
from models.rounding import sums
from tests.attendance_frames import TODAY
from tests.booking_frames import CONTEXT, event, frame, season, theatre

CODE = use_case("attendance")
QUICK = TrainConfig(candidates=("seasonal_mean", "booking_curve"))


def past_of(live: pl.DataFrame) -> pl.DataFrame:
    return live.filter(pl.col("is_past"))


@pytest.fixture(scope="module")
def live() -> pl.DataFrame:
    return theatre(events=36)[0]


@pytest.fixture(scope="module")
def trained(live: pl.DataFrame) -> Trained:
    return CODE.train(past_of(live), QUICK, CONTEXT)


@pytest.fixture(scope="module")
def rows(live: pl.DataFrame) -> list[FeatureRow]:
    """As they come back from storage."""
    stored: list[FeatureRow] = json.loads(json.dumps(CODE.rows(live, CONTEXT)))
    return stored


def scattered(*, venues: int, each: int) -> pl.DataFrame:
    """Many venues with a few events each: no series to forecast, yet many booking curves."""
    groups = [season("Club", events=each, every=9, ahead=40, seed=n, venue=f"Club {n}")[0] for n in range(venues)]
    return frame(*groups)


def test_the_gate_judges_booking_curves_beside_the_series(trained: Trained) -> None:
    table = trained.backtest
    assert table.chosen == "booking_curve" and table.rule.candidate == "seasonal_naive"
    mine = table.score("booking_curve")
    assert mine.metrics["mase"] < 0.6 * min(
        one.metrics["mase"] for one in table.scores if one.candidate != "booking_curve"
    )
    assert set(mine.segments) == set(table.rule.segments) and mine.coverage_cases
    assert gate(table, None).promote


def test_events_on_sale_are_forecast_from_their_sales_and_explained(trained: Trained, rows: list[FeatureRow]) -> None:
    found = trained.model.predict(rows)
    assert {one.details["family"] for one in found} == {"booking_curve"} and {one.status for one in found} == {"ready"}
    assert max(int(row["booking"]["left"]) for row in rows) > 50, "up to their whole sale, not 14 days alone"
    for one in found:
        assert sums(one.value or 0, one.baseline or 0, one.contributions, decimals=0)
        assert "the series forecast's" in one.details["why"] or "similar events" in one.details["why"]


def test_the_same_row_is_the_same_prediction(trained: Trained, rows: list[FeatureRow]) -> None:
    again = CODE.restore(trained.model.state())
    whole = trained.model.predict(rows)
    assert again.predict(rows[::-1]) == whole[::-1]
    assert again.predict(rows[3:4]) == whole[3:4]


def test_training_says_what_was_chosen_by_days_before_the_start(trained: Trained) -> None:
    stretches = {one.subject: one for one in trained.choices if one.subject.startswith("events on sale")}
    nearest = stretches["events on sale, 0 to 1 days ahead"]
    assert nearest.family == "booking_curve" and nearest.observations > 50
    assert nearest.scores["booking_curve"] < nearest.scores["similar_events"]
    assert trained.params["booking"]["events"] == 108
    assert any("20 past events with ticket sales" in limit for limit in trained.limits)


def test_other_sales_are_other_data(trained: Trained, live: pl.DataFrame) -> None:
    more = past_of(live).with_columns(pl.col("bookings").str.replace(r"\]\]$", "], [0, 999]]"))
    assert CODE.train(more, TrainConfig(candidates=("booking_curve",)), CONTEXT).data_hash != trained.data_hash


def test_without_booking_curves_the_series_serve(live: pl.DataFrame, rows: list[FeatureRow]) -> None:
    """Asked for or not there, and the far events say what they would need."""
    alone = CODE.train(past_of(live), TrainConfig(candidates=("seasonal_mean",)), CONTEXT)
    assert (
        "booking_curve" not in {one.candidate for one in alone.backtest.scores}
        and alone.model.state()["booking"] is None
    )
    found = alone.model.predict(rows)
    far = [one for one, row in zip(found, rows, strict=True) if row["booking"]["is_far"]]
    assert far and {one.status for one in far} == {"refused"}
    assert all("further ahead than past attendance alone can say" in one.summary for one in far)
    assert not {one.details["family"] for one in found} & {"booking_curve"}
    assert {one.status for one in CODE.rule().predict(rows)} == {"fallback", "refused"}


def test_a_partner_without_a_series_is_judged_on_booking_curves_alone() -> None:
    live = scattered(venues=6, each=5)
    ready = CODE.readiness(past_of(live), CONTEXT)
    assert ready.ready and ready.rung == "partner"
    assert [one.name for one in ready.requirements] == ["booked_events"]
    found = CODE.train(past_of(live), TrainConfig(), CONTEXT)
    assert found.backtest.chosen == "booking_curve" and found.backtest.rule.candidate == "similar_events"
    assert set(found.backtest.score("booking_curve").segments) >= {"0 to 1 days", "7 to 14 days"}
    assert gate(found.backtest, None).promote and found.sample
    assert len(found.limits) == 2, "of a series' horizon there is nothing to say"
    predictions = found.model.predict(CODE.rows(live, CONTEXT))
    assert predictions and {one.details["family"] for one in predictions} == {"booking_curve"}


@pytest.mark.parametrize(("venues", "each", "have"), [(3, 2, 6), (1, 1, 1), (6, 3, 18)])
def test_too_few_events_are_said_in_numbers(venues: int, each: int, have: int) -> None:
    live = scattered(venues=venues, each=each)
    ready = CODE.readiness(past_of(live), CONTEXT)
    assert not ready.ready and ready.rung == "rule"
    assert str(ready).startswith(f"{have} of 20 past events with ticket sales and attendance")
    with pytest.raises(NotReady, match=f"{have} of 20 past events with ticket sales"):
        CODE.train(past_of(live), TrainConfig(), CONTEXT)
    far = event("Club", TODAY + timedelta(days=150), 3, lead=200)[0] | {"event_id": "far"}
    rows = CODE.rows(pl.concat([live, frame([far])]), CONTEXT)
    (refused,) = [one for one in CODE.rule().predict(rows) if one.subject.id == "far"]
    assert refused.status == "refused" and refused.details["why"] == refused.summary
    assert f"it starts in 150 days, and {have} of 20 past events with ticket sales" in refused.summary


def test_no_sales_at_all_ask_for_none() -> None:
    quiet = frame(season("Club", events=5)[0]).with_columns(pl.lit("[]").alias("bookings"))
    assert [one.name for one in CODE.readiness(past_of(quiet), CONTEXT).requirements] == ["history_days", "known_days"]
    assert all(row["booking"] is None for row in CODE.rows(quiet, CONTEXT))


def test_columns_that_are_missing_count_as_unknown(live: pl.DataFrame) -> None:
    bare = past_of(live).drop("bookings", "average_price", "on_sale_at")
    assert [one.name for one in CODE.readiness(bare, CONTEXT).requirements] == ["history_days", "known_days"]


def test_an_unknown_candidate_is_told_what_there_is(live: pl.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="booking_curve"):
        CODE.train(past_of(live), TrainConfig(candidates=("crystal_ball",)), CONTEXT)


def test_a_series_on_sale_lists_all_that_is_on_sale() -> None:
    rows, _ = season("Opera", events=30, every=7, series_id="mondays")
    live = frame(rows)
    found = CODE.train(past_of(live), TrainConfig(candidates=("booking_curve",)), CONTEXT)
    made = CODE.rows(live, CONTEXT)
    (series,) = [one for one in found.model.predict(made) if one.subject.kind == "series"]
    on_sale: list[Mapping[str, Any]] = [row for row in made if row["subject"]["kind"] == "event"]
    assert [one["at"] for one in series.details["horizon"]] == [row["at"] for row in on_sale]
    assert series.details["family"] == "booking_curve" and series.summary.startswith("Next on ")


def test_one_odd_event_harms_no_other(trained: Trained, live: pl.DataFrame) -> None:
    odd = event("Club", TODAY + timedelta(days=9), 3, capacity=1)[0] | {
        "event_id": "odd", "bookings": "[[30, 100000]]", "average_price": 1e12, "venue_name": None,
    }  # fmt: skip
    with_odd = trained.model.predict(CODE.rows(pl.concat([live, frame([odd])]), CONTEXT))
    without = {one.subject.id: one for one in trained.model.predict(CODE.rows(live, CONTEXT))}
    assert {one.subject.id: one for one in with_odd if one.subject.id != "odd"} == without
    assert len(with_odd) == len(without) + 1
