"""A forecaster made elsewhere: what it is offered, how it is judged beside the rule, and how its forecasts are told."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, InvalidInput, NotReady, PermanentError
from models.attendance.attributes import Encoder
from models.attendance.features import COLUMN, FEATURES
from models.attendance.offered import Elsewhere, kinds_of, offered, significant
from models.attendance.outside import OUTSIDE
from models.base import TrainConfig, Trained
from models.outside.contract import Floats, named, numbers
from models.registry import restored, use_case
from tests.attendance_frames import CONTEXT, TODAY, arena, frame, series, synthetic_people, training

ATTENDANCE = use_case("attendance")
NAME = "outside_sklearn"
CONFIG = TrainConfig(candidates=("seasonal_mean",))


class Mean:
    """Somebody's forecaster: the mean of some columns, and something for each matinee."""

    flavor = "sklearn"

    def __init__(self, *columns: str, matinee: float = 0.0, unknown: float = 0.0) -> None:
        self.columns, self.matinee, self.unknown = columns, matinee, unknown

    def wants(self, table: pl.DataFrame, left_out: Mapping[str, str] = {}) -> list[str]:
        return named(table, self.columns, left_out)

    def values(self, table: pl.DataFrame) -> Floats:
        level = table.select(self.wants(table)).fill_nan(self.unknown).to_numpy().mean(axis=1)
        if not self.matinee:
            return np.asarray(level)
        is_matinee = (table["attributes.kind"] == "matinee").fill_null(False).to_numpy()
        if table["attributes.kind"].null_count() and not np.isfinite(self.unknown):
            raise PermanentError("the model answered no number to 1 of 1 rows; allowed: finite numbers")
        return np.asarray(level + self.matinee * is_matinee)


@pytest.fixture(scope="module")
def live() -> pl.DataFrame:
    """Three venues; the club's evenings have a kind, a third of them matinees with 40 people more."""
    rows: list[dict[str, Any]] = arena().to_dicts()
    for number, row in enumerate(rows):
        is_matinee = number % 3 == 0
        told = {"kind": "matinee" if is_matinee else "evening", "acts": number % 4, "lead": number % 5}
        row["attributes"] = json.dumps(told)
        if row["attendance"] is not None and is_matinee:
            row["attendance"] += 40
    return frame(rows)


@pytest.fixture(scope="module")
def trained(live: pl.DataFrame) -> Trained:
    return OUTSIDE.train(training(live), Mean("same_4_mean", "smoothed", matinee=30.0), CONFIG, CONTEXT)


def test_the_table_offers_features_and_own_fields_under_their_names(live: pl.DataFrame) -> None:
    table = OUTSIDE.table(training(live), TrainConfig(excluded_attributes=("acts",)), CONTEXT)
    assert table.columns == [*FEATURES, "cadence", "attributes.kind", "attributes.lead", "outcome", "is_test"]
    assert set(numbers(table)) == {*FEATURES, "attributes.lead", "outcome"}
    assert set(table["attributes.kind"]) == {"matinee", "evening"} and set(table["cadence"]) == {"daily"}
    assert table["lead"].min() == 1 and table["lead"].max() == 14, "a field of the name is another column"
    assert table["attributes.lead"].max() == 4
    assert table["outcome"].is_finite().all() and table["same_1"].is_finite().all()
    assert 0 < table.filter(~pl.col("is_test")).height < table.height


def test_no_row_to_learn_from_has_a_step_that_a_fold_judges(live: pl.DataFrame) -> None:
    """Told by the outcomes: days whose number is like no other's are marked wherever a fold holds them."""
    days = 63
    people = [1_000 + day for day in range(days)]
    own = frame(series("hall", people, capacity=9_000))
    table = OUTSIDE.table(training(own), CONFIG, CONTEXT)
    learned = set(table.filter(~pl.col("is_test"))["outcome"])
    judged = set(table.filter(pl.col("is_test"))["outcome"])
    assert not learned & judged and max(learned) < min(judged)
    split = OUTSIDE.train(training(own), Mean("same_1"), CONFIG, CONTEXT)
    assert len(judged) >= split.backtest.observations / 14


def test_a_table_over_several_cadences_is_one() -> None:
    first = date(TODAY.year, 1, 1)
    weekly = [
        {**row, "event_id": f"fair-{n}", "starts_on": day, "starts_at": row["starts_at"].replace(
            year=day.year, month=day.month, day=day.day), "weekday": day.isoweekday(), "month": day.month}
        for n, row in enumerate(series("fair", synthetic_people(70, level=300, seed=8), ahead=0))
        for day in [first - timedelta(weeks=80 - n)]
    ]  # fmt: skip
    daily = series("hall", synthetic_people(63, level=400, seed=1), attributes='{"kind": "gala"}', ahead=0)
    daily[3]["attributes"] = '{"kind": "ball"}'
    table = OUTSIDE.table(training(frame(daily, weekly)), CONFIG, CONTEXT)
    assert set(table["cadence"]) == {"daily", "weekly"}
    assert table.filter(pl.col("cadence") == "weekly")["attributes.kind"].null_count() > 0
    assert table.filter(pl.col("cadence") == "daily")["attributes.kind"].null_count() == 0


def test_it_is_judged_beside_the_rule_on_the_folds_of_our_own(live: pl.DataFrame, trained: Trained) -> None:
    own = ATTENDANCE.train(training(live), CONFIG, CONTEXT)
    assert trained.backtest.split == own.backtest.split
    assert trained.backtest.score("seasonal_naive") == own.backtest.score("seasonal_naive")
    assert [score.candidate for score in trained.backtest.scores] == [
        "seasonal_naive", NAME, "combination", "per_series",
    ]  # fmt: skip
    found = trained.backtest.score(NAME)
    assert found.coverage is not None and found.coverage_cases
    assert "made elsewhere" in trained.limits[0] and trained.data["subjects"] == 3
    assert trained.params["candidate"] == NAME and trained.params["inputs"] == ["same_4_mean", "smoothed"]
    assert {choice.family for choice in trained.choices} <= {NAME, "combination", "seasonal_naive"}
    assert any("the model made elsewhere" in choice.why for choice in trained.choices)


def test_each_series_falls_back_on_the_rule_where_the_model_is_worse(live: pl.DataFrame) -> None:
    found = OUTSIDE.train(training(live), Mean("day_of_year"), CONFIG, CONTEXT)
    scores = {score.candidate: score.metrics["mase"] for score in found.backtest.scores}
    assert scores[NAME] > 2 * scores["seasonal_naive"]
    assert scores["per_series"] <= 1.1 * scores["seasonal_naive"]
    assert {choice.family for choice in found.choices} == {"seasonal_naive"}
    rows = ATTENDANCE.rows(live, CONTEXT)
    assert {one.rung for one in found.model.predict(rows)} == {"rule"}


def test_a_forecast_is_told_in_exact_parts_and_the_same_again(live: pl.DataFrame, trained: Trained) -> None:
    rows = ATTENDANCE.rows(live, CONTEXT)
    found = trained.model.predict(rows)
    told = [one for one in found if one.rung == "partner"]
    assert len(told) > 20
    for one in told:
        assert one.value is not None and one.interval is not None and one.baseline is not None
        assert one.value == one.baseline + sum(part.effect for part in one.contributions)
        assert one.interval.low <= one.value <= one.interval.high
        assert one.details["family"] in (NAME, "combination") and one.details["why"]
    assert any(part.factor == "attributes" and part.actionable for one in told for part in one.contributions)
    again = restored("attendance", trained.model.state(), Mean("same_4_mean", "smoothed", matinee=30.0))
    backwards = [again.predict([row])[0] for row in reversed(rows)]
    assert backwards[::-1] == found, "whatever stands beside it"


def test_a_model_that_starts_elsewhere_says_so(live: pl.DataFrame) -> None:
    """One that asks nothing but the long level expects as many on every day of the week, and no remainder hides it."""
    flat = Mean("level_long")
    found = OUTSIDE.train(training(live), flat, CONFIG, CONTEXT)
    state = found.model.state()
    units = {
        unit: {**facts, "family": NAME, "weights": {NAME: 1.0}} for unit, facts in state["series"]["units"].items()
    }
    model = OUTSIDE.restore({**state, "series": {**state["series"], "units": units, "is_better": True}}, flat)
    told = [one for one in model.predict(ATTENDANCE.rows(live, CONTEXT)) if one.rung == "partner"]
    start = {one.subject.id: part.effect for one in told for part in one.contributions if part.factor == "outside"}
    assert len(start) > 20 and max(map(abs, start.values())) > 20
    assert all(abs(part.effect) <= 2 for one in told for part in one.contributions if part.factor == "other")
    for one in told:
        assert one.value == (one.baseline or 0) + sum(part.effect for part in one.contributions)


def test_a_state_and_its_model_belong_together(live: pl.DataFrame, trained: Trained) -> None:
    with pytest.raises(Defect, match="made elsewhere"):
        ATTENDANCE.restore(trained.model.state())
    own = ATTENDANCE.train(training(live), CONFIG, CONTEXT)
    with pytest.raises(Defect, match="made elsewhere"):
        OUTSIDE.restore(own.model.state(), Mean("same_1"))


def test_what_is_not_offered_or_not_answered_is_refused(live: pl.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="'shoe_size'.*same_1"):
        OUTSIDE.train(training(live), Mean("shoe_size"), CONFIG, CONTEXT)
    needs_all = Mean("same_4_mean", matinee=30.0, unknown=float("nan"))
    with pytest.raises(PermanentError, match="asked without the attributes of the event"):
        OUTSIDE.train(training(live), needs_all, CONFIG, CONTEXT)
    short = frame(series("hall", synthetic_people(9, level=100, seed=1)))
    with pytest.raises(NotReady):
        OUTSIDE.table(training(short).head(1), CONFIG, CONTEXT)
    with pytest.raises(NotReady):
        OUTSIDE.train(training(short), Mean("same_1"), CONFIG, CONTEXT)


def test_rows_of_which_nothing_is_known_are_not_asked() -> None:
    rows = np.full((3, len(FEATURES)), np.nan)
    rows[1, COLUMN["same_1"]] = 1234567.8
    found = Elsewhere(Mean("same_1"), {}).people(rows, np.empty((3, 0)), Encoder({}, {}), "daily")
    assert np.isnan(found[[0, 2]]).all() and found[1] == 1_234_570


def test_a_field_that_is_a_word_anywhere_is_a_word_everywhere() -> None:
    numeric, worded = Encoder({"room": None, "acts": None}, {}), Encoder({"room": ["blue", "red"]}, {})
    kinds = kinds_of([worded, numeric])
    assert kinds == kinds_of([numeric, worded]) == {"acts": "number", "room": "word"}
    rows = np.zeros((2, len(FEATURES)))
    words = offered(rows, np.array([[1.0], [np.nan]]), worded, "daily", kinds)
    assert words["attributes.room"].to_list() == ["red", None] and words["attributes.acts"].is_nan().all()
    other = offered(rows, np.array([[7.0, 2.0], [8.0, np.nan]]), numeric, "weekly", kinds)
    assert other["attributes.room"].to_list() == [None, None] and other["attributes.acts"][0] == 2.0
    assert words.schema == other.schema


def test_answers_are_kept_to_six_significant_digits() -> None:
    found = significant(np.array([0.0, 123.4567891, -0.00012345678, 9_999_999.0, 5.0]))
    assert found.tolist() == pytest.approx([0.0, 123.457, -0.000123457, 10_000_000.0, 5.0], rel=1e-12)
