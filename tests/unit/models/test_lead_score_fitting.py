"""Fitting as training does it: with dates and without, on many categories, and what a training hands over beside."""

import json

import numpy as np
import polars as pl
import pytest

from models.base import TrainConfig, Trained
from models.lead_score import splits
from models.lead_score.fitting import Labelled, fit
from models.lead_score.rates import BaseRate, recent
from models.lead_score.spec import USE_CASE
from models.registry import spec
from models.rounding import sums
from tests.lead_frames import CONTEXT, leads


@pytest.fixture(scope="module")
def undated() -> pl.DataFrame:
    frame = leads(900, 8)
    return frame.with_columns(as_of=pl.lit(None, dtype=frame["as_of"].dtype), horizon_days=pl.lit(None, dtype=pl.Int64))


@pytest.fixture(scope="module")
def trained(undated: pl.DataFrame) -> Trained:
    return USE_CASE.train(undated, TrainConfig(candidates=("logistic",)), CONTEXT)


def test_rows_without_dates_are_compared_by_cross_validation(undated: pl.DataFrame, trained: Trained) -> None:
    assert USE_CASE.readiness(undated, CONTEXT).ready and len(USE_CASE.readiness(undated, CONTEXT).requirements) == 2
    assert trained.backtest.split.endswith(":5 folds") and trained.backtest.observations == undated.height
    score = trained.backtest.score("logistic")
    assert score.metrics["auc"] > 0.65 and score.metrics["log_loss"] < trained.backtest.rule.metrics["log_loss"]
    assert "from" not in trained.data and not any("within" in limit for limit in trained.limits)
    (prediction,) = trained.model.predict(USE_CASE.rows(undated.head(1), CONTEXT))
    assert prediction.value is not None and prediction.baseline is not None
    assert sums(prediction.value, prediction.baseline, prediction.contributions, decimals=4)
    assert "likely to convert (grade" in prediction.summary


def test_the_same_rows_in_another_order_choose_and_score_the_same(undated: pl.DataFrame, trained: Trained) -> None:
    again = USE_CASE.train(undated.reverse(), TrainConfig(candidates=("logistic",)), CONTEXT)
    assert again.data_hash == trained.data_hash and again.backtest.scores == trained.backtest.scores


def test_a_training_says_what_it_chose_from_what_and_its_limits() -> None:
    frame = leads(900, 8)
    found = USE_CASE.train(frame, TrainConfig(candidates=("logistic",)), CONTEXT)
    assert found.choices[0].subject == "all leads" and set(found.choices[0].scores) == {"base_rate", "logistic"}
    assert "logistic has the lowest log-loss" in found.choices[0].why
    assert (
        found.data["rows"] == 900 and found.data["from"] == "2025-03-01" and found.data["share_missing"]["country"] == 1
    )
    assert any("within 30 days" in limit for limit in found.limits) and len(found.limits) == 5
    json.dumps([dict(found.data), list(found.limits)], allow_nan=False)
    (prediction,) = found.model.predict(USE_CASE.rows(frame.head(1), CONTEXT))
    told = [(one["candidate"], one["metric"], one["score"]) for one in prediction.details["alternatives"]]
    assert prediction.details["family"] == "logistic" and told == [
        (name, "log_loss", round(found.choices[0].scores[name], 4)) for name in ("logistic", "base_rate")
    ]
    assert prediction.details["why"] == found.choices[0].why
    other = USE_CASE.rows(frame.head(1), CONTEXT)[0] | {"horizon_days": 7}
    (refused,) = found.model.predict([other])
    assert refused.status == "refused" and "within 30 days, asked is within 7" in refused.summary


def test_sources_with_rows_enough_have_a_choice_of_their_own() -> None:
    frame = leads(4000, 8)
    found = USE_CASE.train(frame, TrainConfig(candidates=("logistic",)), CONTEXT)
    by_subject = {choice.subject: choice for choice in found.choices}
    assert set(by_subject) == {"all leads", "source=fair", "source=web"}
    assert sum(by_subject[f"source={name}"].observations for name in ("fair", "web")) == found.backtest.observations
    assert "here" in by_subject["source=web"].why


def test_the_spec_names_the_candidates_there_are() -> None:
    from models.lead_score.train import CANDIDATES

    assert spec("lead_score").candidates == CANDIDATES


def test_nothing_to_learn_from_leaves_the_rule() -> None:
    frame = leads(900, 8).with_columns(
        attributes=pl.lit("{}"), stage=pl.lit("lead"), source=pl.lit("web"), purchases=pl.lit(0), age_days=pl.lit(1),
        created_weekday=pl.lit(1), created_hour=pl.lit(1), spent=pl.lit(0.0),
    )  # fmt: skip
    found = USE_CASE.train(frame, TrainConfig(), CONTEXT)
    assert found.backtest.chosen == "base_rate" and isinstance(found.model, BaseRate)


def test_a_million_categories_cost_neither_time_nor_room() -> None:
    rng = np.random.default_rng(4)
    count = 6000
    token = rng.integers(0, 1_000_000, count)
    rows = [
        {"as_of": None, "attributes": {"token": f"t{token[i]}", "shop": f"s{token[i] % 2000}", "x": float(i % 7)}}
        for i in range(count)
    ]
    outcome = (rng.random(count) < 0.1 + 0.1 * (np.arange(count) % 7 > 3)).astype(float)
    found = fit(Labelled.of(rows, outcome), ("logistic",), TrainConfig(), 1)
    assert "nearly every value is different" in found.dropped["token"]
    model = found.models["logistic"]
    levels = next(column["levels"] for column in model.encoder["columns"] if column["owner"] == "shop")
    assert len(levels) < 500, "rare ones are one group"
    unseen = {"as_of": None, "attributes": {"token": "new", "shop": "never seen", "x": None}}
    row = unseen | {"contact_id": "c", "platform": "p", "horizon_days": None}
    assert model.predict([row])[0].status == "ready"


def test_few_conversions_are_calibrated_on_all_rows_and_many_on_the_latest() -> None:
    rng = np.random.default_rng(6)
    for count, latest in ((1200, False), (4000, True)):
        value = rng.standard_normal(count)
        outcome = (rng.random(count) < 1 / (1 + np.exp(1.5 - value))).astype(float)
        rows = [{"as_of": None, "attributes": {"x": float(v)}} for v in value]
        whole = Labelled.of(rows, outcome)
        dated = Labelled(whole.table, outcome, np.arange(count, dtype=np.int64), whole.persons)
        model = fit(dated, ("logistic",), TrainConfig(), 1).models["logistic"]
        assert len(model.calibrated["reference"]) == (count // 5 if latest else count)


def _monthly(horizon_days: int, count: int = 3000) -> Labelled:
    """Leads of ten moments thirty days apart, one field that tells a little."""
    rng = np.random.default_rng(6)
    value = rng.standard_normal(count)
    outcome = (rng.random(count) < 1 / (1 + np.exp(0.5 - value))).astype(float)
    whole = Labelled.of([{"as_of": None, "attributes": {"x": float(v)}} for v in value], outcome)
    moments = np.sort(np.arange(count, dtype=np.int64) % 10) * 30 * 86_400
    return Labelled(whole.table, outcome, moments, whole.persons, horizon_days)


def test_the_scorer_to_be_calibrated_learns_from_labels_settled_before_the_calibration_starts() -> None:
    data = _monthly(horizon_days=90)
    found = fit(data, ("logistic",), TrainConfig(), 1)
    assert len(found.models["logistic"].calibrated["reference"]) == 600, "the leads of the last two moments"
    # At the first of them, eight months in, nobody knows the outcome of leads of the three months before.
    unsettled = (data.moments > 150 * 86_400) & (data.moments < 240 * 86_400)
    other = np.where(unsettled, 1 - data.outcome, data.outcome)
    again = fit(Labelled(data.table, other, data.moments, data.persons, 90), ("logistic",), TrainConfig(), 1)
    assert unsettled.sum() == 600 and again.unseen == found.unseen


def test_a_horizon_that_leaves_too_little_before_the_latest_leads_calibrates_on_all_rows() -> None:
    # One moment is left with some 120 conversions, the same with some 80, and none.
    for count, horizon_days, used in ((3000, 240, 600), (2000, 240, 2000), (3000, 300, 3000)):
        model = fit(_monthly(horizon_days, count), ("logistic",), TrainConfig(), 1).models["logistic"]
        assert len(model.calibrated["reference"]) == used, (count, horizon_days)


def test_nobody_is_on_two_sides_of_a_fold() -> None:
    rng = np.random.default_rng(1)
    persons = rng.integers(0, 300, 1000)
    outcome = (persons % 9 == 0).astype(float)
    seen = []
    for train, test in splits.cross_validation(outcome, persons, 5, 3):
        assert not set(persons[train]) & set(persons[test])
        assert 0.5 < outcome[test].mean() / outcome.mean() < 1.6
        seen += test.tolist()
    assert sorted(seen) == list(range(1000))
    assert len(list(splits.cross_validation(np.r_[np.ones(2), np.zeros(50)], np.arange(52), 5, 3))) == 2


def test_the_rule_s_coverage_is_measured_on_its_own_past_and_shown() -> None:
    rng = np.random.default_rng(2)
    count = 8000
    moments = np.repeat(np.arange(40), 200) * 86_400
    rows = [{"source": "web"}] * count
    steady = recent(rows, (rng.random(count) < 0.1).astype(float), moments)
    assert 0.6 <= steady["coverage"] <= 1.0 and steady["persons"] == steady["leads"]
    jumpy = np.where(moments // 86_400 // 5 % 2, 0.05, 0.25)
    moving = recent(rows, (rng.random(count) < jumpy).astype(float), moments)
    assert moving["drift"] > 10 * steady["drift"]
    row = {"contact_id": "c", "platform": "p", "horizon_days": 30, "source": "web", "attributes": {}}
    narrow, wide = (BaseRate(rates).predict([row])[0] for rates in (steady, moving))
    assert narrow.coverage == steady["coverage"] and narrow.interval is not None and wide.interval is not None
    assert wide.interval.high - wide.interval.low > 2 * (narrow.interval.high - narrow.interval.low)
    assert recent(rows[:60], np.zeros(60), moments[:60])["coverage"] is None, "no past to measure it on"
