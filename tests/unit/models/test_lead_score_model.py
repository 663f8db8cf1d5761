"""Lead score on simulated leads whose chances are known: learning, leaks, calibration, reasons, bad input."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, InvalidInput, NotReady
from models.base import FeatureRow, FittedModel, Prediction, TrainConfig, Trained
from models.lead_score import attributes, calibration, candidates, explain, scorecard
from models.lead_score.fitting import Labelled
from models.lead_score.predict import LeadModel, confidence
from models.lead_score.rates import BaseRate
from models.lead_score.spec import USE_CASE
from models.lead_score.train import CANDIDATES, labelled, split
from models.messages import catalogue
from models.rounding import sums
from tests.lead_frames import CONTEXT, leads


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return leads()


@pytest.fixture(scope="module")
def both(frame: pl.DataFrame) -> dict[str, Trained]:
    return {name: USE_CASE.train(frame, TrainConfig(candidates=(name,)), CONTEXT) for name in CANDIDATES[1:]}


@pytest.fixture(scope="module")
def trained(both: dict[str, Trained]) -> Trained:
    return both["logistic"]


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> list[FeatureRow]:
    return USE_CASE.rows(frame.filter(pl.col("as_of") == frame["as_of"].max()), CONTEXT)


def only(model: FittedModel, row: FeatureRow) -> Prediction:
    return model.predict([row])[0]


@pytest.mark.parametrize("which", CANDIDATES[1:])
def test_candidates_beat_the_base_rate(which: str, both: dict[str, Trained]) -> None:
    backtest = both[which].backtest
    score = backtest.score(backtest.chosen)
    assert not score.is_rule and score.metrics["log_loss"] < backtest.rule.metrics["log_loss"]
    assert score.metrics["auc"] > 0.65 and score.metrics["ece"] < 0.08 and score.metrics["lift_top_fifth"] > 1.5
    assert score.coverage is not None and 0.5 <= score.coverage <= 1.0
    assert backtest.plot_png is not None and backtest.plot_png.startswith(b"\x89PNG")


@pytest.mark.parametrize("which", CANDIDATES[1:])
def test_explanations_sum_and_numbers_are_in_range(
    which: str, rows: list[FeatureRow], both: dict[str, Trained]
) -> None:
    for prediction in both[which].model.predict(rows):
        assert prediction.value is not None and prediction.baseline is not None and prediction.interval is not None
        assert sums(prediction.value, prediction.baseline, prediction.contributions, decimals=4)
        assert 0 <= prediction.interval.low <= prediction.value <= prediction.interval.high <= 1
        details = prediction.details
        assert 1 <= details["score"] <= 99 and details["grade"] in "ABCD"
        assert 1 <= details["rank"] <= details["ranked_among"]
        assert details["horizon_days"] == 30 and details["trend"] == "not_enough_information"
        named = [part for part in prediction.contributions if part.factor != "other"]
        assert len([part for part in named if part.effect > 0]) <= 5
        assert len([part for part in named if part.effect < 0]) <= 5
        assert all(part.actionable == (part.factor in ("stage", "purchases")) for part in named)


@pytest.mark.parametrize("which", CANDIDATES[1:])
def test_a_stored_row_reproduces_exactly_alone(which: str, rows: list[FeatureRow], both: dict[str, Trained]) -> None:
    model = both[which].model
    again = USE_CASE.restore(model.state())
    together = model.predict(rows)
    for i in (0, 5, 17):
        assert only(again, json.loads(json.dumps(rows[i]))) == together[i]


def test_training_twice_gives_the_same(frame: pl.DataFrame, trained: Trained, rows: list[FeatureRow]) -> None:
    again = USE_CASE.train(frame.reverse(), TrainConfig(candidates=("logistic",)), CONTEXT)
    assert again.data_hash == trained.data_hash and again.backtest.scores == trained.backtest.scores
    assert again.model.predict(rows[:20]) == trained.model.predict(rows[:20])


def test_rank_score_and_grade_agree(trained: Trained, rows: list[FeatureRow]) -> None:
    found = sorted(trained.model.predict(rows), key=lambda found: (found.details["rank"], -(found.value or 0.0)))
    values = [prediction.value or 0.0 for prediction in found]
    scores = [prediction.details["score"] for prediction in found]
    grades = [prediction.details["grade"] for prediction in found]
    assert (
        values == sorted(values, reverse=True) and scores == sorted(scores, reverse=True) and grades == sorted(grades)
    )


def test_what_would_change_it_is_the_stage(trained: Trained, rows: list[FeatureRow]) -> None:
    row = next(row for row in rows if row["stage"] == "lead")
    steps = only(trained.model, row).details["what_would_change_it"]
    assert steps[0]["factor"] == "stage" and steps[0]["label"] == "Stage: opportunity" and steps[0]["effect"] > 0


def test_the_trend_needs_an_earlier_probability(trained: Trained, rows: list[FeatureRow]) -> None:
    value = only(trained.model, rows[0]).value or 0.0
    for earlier, trend in ((value / 2, "improving"), (value, "steady"), (value * 2, "declining")):
        assert only(trained.model, rows[0] | {"earlier_probability": earlier}).details["trend"] == trend


def test_attributes_are_typed_and_the_useless_are_dropped_with_a_reason(trained: Trained) -> None:
    assert isinstance(trained.model, LeadModel)
    kinds: dict[str, str] = {}
    for column in trained.model.encoder["columns"]:
        kinds.setdefault(column["owner"], column["kind"])
    assert kinds["visits"] == kinds["is_mobile"] == "number"
    assert kinds["wanted_on"] == "date" and kinds["plan"] == "category"
    assert "nearly every value is different" in trained.dropped["token"]


def test_a_field_known_only_afterwards_is_dropped_and_reported() -> None:
    frame = leads(
        1000,
        deal_size=lambda i, converted, rng: float(rng.integers(100, 900)) if converted else None,
        closing_note=lambda i, converted, rng: ("signed" if converted else "open") if rng.random() < 0.99 else "?",
    )
    found = USE_CASE.train(frame, TrainConfig(candidates=("logistic",)), CONTEXT)
    assert "converted" in found.dropped["deal_size"] or "outcome" in found.dropped["deal_size"]
    assert "outcome" in found.dropped["closing_note"]
    assert found.backtest.score("logistic").metrics["auc"] < 0.9


def test_excluded_attributes_stay_out(frame: pl.DataFrame) -> None:
    found = USE_CASE.train(frame, TrainConfig(candidates=("logistic",), excluded_attributes=("plan",)), CONTEXT)
    assert "excluded" in found.dropped["plan"]


def test_unseen_missing_and_infinite_values_still_get_a_score(both: dict[str, Trained], rows: list[FeatureRow]) -> None:
    odd = [
        rows[0] | {"attributes": {}},
        rows[0] | {"attributes": {"plan": "never seen", "visits": float("inf"), "new": 1, "wanted_on": "soon"}},
        rows[0] | {"stage": None, "source": None, "age_days": None, "purchases": None},
    ]
    for prediction in both["additive_boosting"].model.predict(odd):
        assert prediction.value is not None and 0 < prediction.value < 1
    assert both["additive_boosting"].model.predict([]) == []


def test_test_labels_lie_after_all_training_labels_and_persons_stay_apart(frame: pl.DataFrame) -> None:
    shared = frame.with_columns(person_id=pl.lit("p") + (pl.int_range(pl.len()) % 1900).cast(pl.String))
    data, _ = labelled(shared, TrainConfig())
    train_part, test_part = split(data)
    assert train_part.moments.max() + data.horizon_seconds <= test_part.moments.min()
    assert not set(train_part.persons) & set(test_part.persons)


def test_category_rates_are_learned_from_other_persons() -> None:
    rng = np.random.default_rng(0)
    rows = [row_of({"shop": f"s{i % 40}"}) for i in range(400)]
    outcome = (rng.random(400) < 0.3).astype(float)
    encoder, matrix, _ = attributes.fit(rows, outcome, np.arange(400), (), 1)
    column = [c["owner"] for c in encoder["columns"]].index("shop")
    # Noise in, noise out: what a row's own outcome adds must not show.
    assert np.corrcoef(matrix[:, column], outcome)[0, 1] < 0.1
    assert attributes.transform(encoder, [row_of({"shop": "unseen"})])[0, column] == encoder["columns"][column]["rare"]


WORDS = catalogue("lead_score")


def row_of(own: dict[str, Any]) -> FeatureRow:
    return {"as_of": "2026-01-01T00:00:00+00:00", "attributes": own, "age_days": 3}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", "3"], "number"),
        (["true", "false"], "number"),
        (["€ 1,200.50", "$3", "1.234,5", "12,5", " 80 % "], "number"),
        (["1,2,3", "4,5,6", "1,2,3"], "category"),
        (["2026-01-01", "2026-01-02T10:00:00Z"], "date"),
        (["a", "b", "a"], "category"),
        ([None, None], "none"),
        (["x", "x"], "none"),
    ],
)
def test_types_are_inferred(values: list[str | None], kind: str) -> None:
    assert attributes.infer(pl.Series(values, dtype=pl.String))[0] == kind


def test_numbers_in_text_are_read_as_people_write_them() -> None:
    written = ["€ 1,200.50", "1,234,567", "1.234,5", "12,5", "80 %", "-3", "1,2,3", None]
    table = attributes.Table([row_of({"n": value}) for value in written])
    assert table.number("n").to_list() == [1200.5, 1234567.0, 1234.5, 12.5, 80.0, -3.0, None, None]


def test_additive_boosting_effects_are_exact() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((1500, 3))
    matrix[::7, 1] = np.nan
    outcome = (rng.random(1500) < 1 / (1 + np.exp(-matrix[:, 0]))).astype(float)
    card = candidates.fit_boosting(matrix, outcome, 1)
    found = scorecard.effects(card, matrix)
    assert np.abs(found.mean(axis=0)).max() < 1e-9
    one = matrix[:1].copy()
    one[0, 0] = 3.0
    moved = scorecard.effects(card, one)
    assert moved[0, 0] != found[0, 0] and np.array_equal(moved[0, 1:], found[0, 1:])


def test_calibration_repairs_overconfidence_and_its_intervals_cover() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(-2, 1, 8000)
    outcome = (rng.random(8000) < calibration.sigmoid(z)).astype(float)
    persons = np.arange(8000)
    learned = calibration.fit(3 * z[:4000], outcome[:4000], persons[:4000], 0.0)
    probability = calibration.apply(learned, 3 * z[4000:])
    assert abs(probability.mean() - outcome[4000:].mean()) < 0.025
    assert 0.65 <= calibration.coverage(learned, 3 * z[4000:], outcome[4000:], persons[4000:]) <= 0.92


def test_drift_is_zero_without_and_positive_with_a_moving_rate() -> None:
    rng = np.random.default_rng(4)
    moments, persons = np.arange(5000), np.arange(5000)
    steady = (rng.random(5000) < 0.1).astype(float)
    moving = (rng.random(5000) < np.where(moments // 1000 % 2, 0.05, 0.2)).astype(float)
    assert calibration.drift(steady, moments, persons) < 0.1 < calibration.drift(moving, moments, persons)


def test_the_rule_uses_the_recent_rate_a_row_carries(frame: pl.DataFrame) -> None:
    rows = USE_CASE.rows(frame.head(5), CONTEXT, history=frame)
    prediction = only(USE_CASE.rule(), json.loads(json.dumps(rows[0])))
    assert (prediction.status, prediction.rung) == ("fallback", "rule")
    assert prediction.value is not None and prediction.baseline is not None and prediction.interval is not None
    assert sums(prediction.value, prediction.baseline, prediction.contributions, decimals=4)
    assert prediction.interval.low < prediction.value < prediction.interval.high


def test_the_rule_refuses_without_any_rate(rows: list[FeatureRow]) -> None:
    prediction = only(USE_CASE.rule(), rows[0])
    assert (prediction.status, prediction.value, prediction.contributions) == ("refused", None, ())
    assert "the outcome of 0 leads is known" in prediction.summary


def test_the_rule_survives_its_state() -> None:
    rates = {"leads": 400, "conversions": 40, "by_source": {"web": [250, 30]}}
    row = row_of({}) | {"contact_id": "c", "platform": "hubspot", "horizon_days": 30, "source": "web"}
    prediction = only(USE_CASE.restore(BaseRate(rates).state()), row)
    assert (prediction.value, prediction.baseline) == (0.12, 0.1)
    assert prediction.contributions[0].label == "Source: web"


def test_too_little_is_not_ready_with_the_counts() -> None:
    short = leads(200, 2)
    ready = USE_CASE.readiness(short, CONTEXT)
    assert not ready.ready and ready.rung == "rule"
    with pytest.raises(NotReady, match=r"of 120 conversions.*200 of 500 labelled snapshots.*days of history"):
        USE_CASE.train(short, TrainConfig(), CONTEXT)
    assert USE_CASE.readiness(short.clear(), CONTEXT).rung == "none"


def test_a_single_class_is_not_ready(frame: pl.DataFrame) -> None:
    with pytest.raises(NotReady):
        USE_CASE.train(frame.with_columns(converted=pl.lit(False)), TrainConfig(), CONTEXT)
    with pytest.raises(NotReady, match="of each outcome"):
        USE_CASE.train(frame.with_columns(converted=pl.lit(True)), TrainConfig(), CONTEXT)


def test_bad_settings_and_frames_name_what_is_allowed(frame: pl.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"magic.*additive_boosting"):
        USE_CASE.train(frame, TrainConfig(candidates=("magic",)), CONTEXT)
    with pytest.raises(InvalidInput, match="horizon_days 7"):
        USE_CASE.train(frame, TrainConfig(horizon_days=7), CONTEXT)
    with pytest.raises(InvalidInput, match="age_days"):
        USE_CASE.rows(frame.drop("age_days"), CONTEXT)
    with pytest.raises(Defect, match="state_version 99"):
        USE_CASE.restore({"state_version": 99})


def test_labelled_keeps_rows_and_outcomes_together(frame: pl.DataFrame) -> None:
    data, digest = labelled(frame.sample(fraction=1, shuffle=True, seed=2), TrainConfig(window_days=100))
    by_contact = dict(frame.select("contact_id", "converted").iter_rows())
    assert isinstance(data, Labelled) and len(digest) == 64
    assert all(by_contact[row["contact_id"]] == bool(y) for row, y in zip(data.rows, data.outcome, strict=True))
    assert len({row["as_of"] for row in data.rows}) == 4


@pytest.mark.parametrize("which", CANDIDATES[1:])
def test_half_of_the_calibrated_leads_are_above_the_typical_one(which: str, both: dict[str, Trained]) -> None:
    model = both[which].model
    assert isinstance(model, LeadModel)
    assert float((model.calibrated["reference"] > model.card["intercept"]).mean()) == pytest.approx(0.5, abs=0.01)


def test_recentring_moves_no_lead() -> None:
    rng = np.random.default_rng(8)
    matrix = rng.standard_normal((600, 2))
    card = candidates.fit_logistic(matrix, (rng.random(600) < 0.3).astype(float), 1)
    moved = scorecard.recentred(card, matrix[:50] + 1, 0.7)
    before = scorecard.log_odds(card, scorecard.effects(card, matrix))
    assert scorecard.log_odds(moved, scorecard.effects(moved, matrix)) == pytest.approx(before)
    assert moved["intercept"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("kind", "name", "value", "label"),
    [
        ("date", "srch_co", "2026-01-03", "Search co date: 2 days ahead"),
        ("date", "renews_on", "2025-12-31T08:00:00Z", "Renews on: 1 day ago"),
        ("date", "visit_day", "2026-01-01", "Visit day: today"),
        ("date", "visit_day", "soon", "Visit day: not known"),
        ("number", "orig_destination_distance", 8372.4712, "Origin destination distance: 8372"),
        ("number", "shareOfWallet", 0.33333, "Share of wallet: 0.3333"),
        ("number", "srch_adults_cnt", 2, "Search adults count: 2"),
        ("category", "campaign_id", 12, "Campaign: 12"),
        ("category", "is_mobile", True, "Is mobile: yes"),
        ("category", "plan", None, "Plan: not known"),
    ],
)
def test_labels_read_like_words(kind: str, name: str, value: Any, label: str) -> None:
    assert explain.label({"owner": name, "name": name, "kind": kind}, row_of({name: value}), WORDS) == label


def test_a_span_of_two_dates_is_told_in_days() -> None:
    row = row_of({"arrives": "2026-01-03", "leaves": "2026-01-07"})
    column = {"owner": "arrives_to_leaves", "name": "arrives|leaves", "kind": "span"}
    assert explain.label(column, row, WORDS) == "Days from arrives to leaves: 4"


def test_the_sentence_prefers_reasons_that_say_something() -> None:
    columns = [
        {"owner": owner, "name": owner, "kind": kind}
        for owner, kind in (("from", "date"), ("plan", "category"), ("region", "category"), ("until", "date"))
    ]
    row = row_of({"region": "205", "from": "2026-01-11", "until": "2026-01-12", "plan": "pro"})
    found, kept = explain.parts(columns, [0.4, 0.22, 0.5, 0.35], 0.1, row, WORDS, 1500)
    assert [part.factor for part in found] == ["region", "from", "until", "plan", "other"]
    assert sum(round(part.effect * 10_000) for part in found) == 1500
    told = explain.strongest(columns, kept, found, True, row, WORDS)
    assert told == [("From date", "10 days ahead"), ("Plan", "pro")], "a code and a second date say little"
    assert explain.strongest(columns, kept, found, False, row, WORDS) == []
    assert explain.summary(0.15, 0.04, 30, "A", told, WORDS) == (
        "15.0 % likely to convert within 30 days (grade A), 3.8 times the 4.0 % of a typical lead (half do better), "
        "mainly because of from date (10 days ahead) and plan (pro)."
    )
    below = explain.summary(0.01, 0.04, 30, "D", [("Plan", "free")], WORDS)
    assert "75 % below the 4.0 % of a typical lead" in below and below.endswith("because of plan (free).")
    level = explain.summary(0.04, 0.04, None, "C", [], WORDS)
    assert level == "4.0 % likely to convert (grade C), about the 4.0 % of a typical lead (half do better)."


def test_every_sentence_is_short_and_knows_its_reasons(both: dict[str, Trained], rows: list[FeatureRow]) -> None:
    found = both["additive_boosting"].model.predict(rows)
    assert all(len(prediction.summary) < 300 and "nan" not in prediction.summary for prediction in found)
    assert any("wanted on (" in prediction.summary for prediction in found)
    assert not any("wanted_on" in prediction.summary or "2026-" in prediction.summary for prediction in found)


def test_a_code_is_a_category_and_a_count_is_a_number() -> None:
    few, many = [str(i % 12 + 100) for i in range(600)], [str(i % 200) for i in range(600)]
    assert attributes.infer(pl.Series(few), "hotelMarket") == ("category", None)
    assert attributes.infer(pl.Series(few), "rooms") == ("number", None)
    kind, reason = attributes.infer(pl.Series(many), "store_id")
    assert kind == "none" and reason is not None and "too many values to learn from (200 in 600 rows)" in reason
    assert attributes.infer(pl.Series([f"{i / 7}" for i in range(600)]), "market") == ("number", None)


def test_a_table_reads_each_column_once_and_its_parts_agree() -> None:
    whole = attributes.Table([row_of({"on": f"2026-01-{i + 1:02d}", "n": i / 4}) for i in range(20)])
    piece = whole.take(np.array([3, 1]))
    assert piece.number("n").to_list() == [0.75, 0.25] and whole.number("n") is whole.number("n")
    assert [str(day) for day in piece.date("on").to_list()] == ["2026-01-04", "2026-01-02"]
    assert piece.rows == [whole.rows[3], whole.rows[1]]


@pytest.mark.parametrize(
    ("value", "low", "high", "persons", "label"),
    [
        (0.10, 0.08, 0.12, 300, "high"),
        (0.05, 0.04, 0.06, 300, "medium"),
        (0.01, 0.001, 0.03, 300, "medium"),
        (0.05, 0.01, 0.12, 300, "low"),
        (0.10, 0.08, 0.12, 40, "low"),
    ],
)
def test_confidence_is_about_width_and_about_the_typical_lead(
    value: float, low: float, high: float, persons: int, label: str
) -> None:
    assert confidence(value, 0.05, low, high, persons) == label
