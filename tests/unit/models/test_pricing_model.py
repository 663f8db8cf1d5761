"""Pricing on simulated shops whose demand curve is known: what is found, recommended, refused, and reproduced."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.currencies import digits
from integrator.contracts.errors import Defect, InvalidInput, NotReady
from models.base import Context, FeatureRow, FittedModel, Prediction, TrainConfig, Trained
from models.messages import catalogue
from models.pricing import demand, explain, forecast, optimum
from models.pricing.learned import as_state
from models.pricing.panel import panel
from models.pricing.predict import KeepPrice, PriceModel
from models.pricing.spec import USE_CASE
from models.rounding import sums
from models.state import plain_pickle
from tests.pricing_frames import CONTEXT, SCHEMA, START, at, line, shop, sure

SAY = catalogue("pricing")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return shop()


@pytest.fixture(scope="module")
def trained(frame: pl.DataFrame) -> Trained:
    return USE_CASE.train(frame, TrainConfig(), CONTEXT)


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> list[FeatureRow]:
    return USE_CASE.rows(frame, CONTEXT)


def only(model: FittedModel, row: FeatureRow) -> Prediction:
    return model.predict([row])[0]


def test_the_elasticity_is_found(frame: pl.DataFrame) -> None:
    found = panel(frame, "TWD")
    assert found is not None
    fit = demand.estimate(found, controls=False)
    assert fit.pooled.overall[0] == pytest.approx(-3.0, abs=0.3)
    assert np.abs(fit.pooled.unit[:, 0] + 3.0).max() < 1.0
    assert np.std(fit.pooled.unit[:, 0]) < np.std(fit.own)
    saturday = fit.spec["columns"].index("weekday:5")
    assert fit.pooled.overall[saturday] > 0.1


def test_a_model_of_price_beats_the_rule_and_covers(trained: Trained) -> None:
    backtest = trained.backtest
    assert backtest.chosen != backtest.rule.candidate == "seasonal_mean"
    assert backtest.score(backtest.chosen).metrics["wape"] < backtest.rule.metrics["wape"]
    coverage = backtest.score(backtest.chosen).coverage
    assert coverage is not None and 0.6 <= coverage <= 0.98
    assert backtest.plot_png is not None and backtest.plot_png.startswith(b"\x89PNG")


def test_recommendations_stay_inside_every_bound_and_sum(trained: Trained, rows: list[FeatureRow]) -> None:
    found = trained.model.predict(rows)
    assert {prediction.status for prediction in found} == {"ready"}
    for row, prediction in zip(rows, found, strict=True):
        assert prediction.value is not None and prediction.baseline is not None and prediction.interval is not None
        details = prediction.details
        assert details["floor"] <= prediction.value <= details["ceiling"]
        assert row["unit_cost"] <= prediction.value
        assert abs(prediction.value / row["current_price"] - 1) <= optimum.MAX_CHANGE + 1e-9
        assert prediction.interval.low <= prediction.value <= prediction.interval.high
        assert sums(prediction.value, prediction.baseline, prediction.contributions, decimals=2)
        assert details["expected_profit"] >= details["current_profit"] - 0.01
        quantities = [point["quantity"] for point in details["demand_curve"]]
        assert quantities == sorted(quantities, reverse=True)
        assert "promotions" in details["disclosure"]
        assert details["family"] == trained.backtest.chosen and details["why"].startswith(trained.backtest.chosen)
        assert [one["candidate"] for one in details["alternatives"]] == [
            s.candidate for s in sorted(trained.backtest.scores, key=lambda s: s.metrics["poisson_deviance"])
        ]
        assert details["identification"]["is_identified"] and details["identification"]["sign"] == "falling"


def test_a_stored_row_and_a_stored_state_give_the_same(trained: Trained, rows: list[FeatureRow]) -> None:
    stored = json.loads(json.dumps(rows))
    again = USE_CASE.restore(trained.model.state())
    assert plain_pickle(trained.model.state())
    assert again.predict(stored[3:4]) == trained.model.predict(rows)[3:4]


def test_unchanged_data_gives_the_same_insight_later(frame: pl.DataFrame, rows: list[FeatureRow]) -> None:
    later = Context(
        partner="shop", timezone="Asia/Taipei", currency="TWD", region="TW", as_of=datetime(2026, 2, 1, tzinfo=UTC)
    )
    assert USE_CASE.rows(frame.sample(fraction=1, shuffle=True, seed=1), later) == rows
    assert rows[0]["expires_at"] == "2026-02-02T00:00:00Z"


def test_training_twice_gives_the_same(frame: pl.DataFrame, trained: Trained) -> None:
    again = USE_CASE.train(frame.reverse(), TrainConfig(), CONTEXT)
    assert again.data_hash == trained.data_hash
    assert again.backtest.scores == trained.backtest.scores
    assert again.model.state() == trained.model.state()


def test_one_price_only_is_refused_with_a_price_test(trained: Trained, frame: pl.DataFrame) -> None:
    flat = pl.DataFrame([line("flat", START + timedelta(days=d), 5, 50.0, 30.0) for d in range(84)], schema=SCHEMA)
    row = next(row for row in USE_CASE.rows(pl.concat([frame, flat]), CONTEXT) if row["product"] == "flat")
    prediction = only(trained.model, row)
    assert (prediction.status, prediction.value, prediction.interval, prediction.contributions) == (
        "refused",
        None,
        None,
        (),
    )
    assert "distinct prices, 4 are needed" in prediction.summary and "price test" in prediction.summary.lower()


@pytest.mark.parametrize(
    ("changes", "unit", "words"),
    [
        ({"weeks": 5}, {}, "5 weeks, 8 are needed. 3 more weeks of sales would mend it"),
        ({"weeks": 7}, {}, "1 more week of sales"),
        ({"weeks": 1}, {}, "over 1 week, 8 are needed"),
        ({"price_spread": 0.02}, {}, "a spread of 5 %"),
        ({}, {"own": 2.0, "own_error": 0.5}, "sold more at higher prices (own elasticity +2.0 ± 0.5)"),
        ({}, {"promotion_share": 0.95}, "95.0 % of its price changes came with promotions"),
        ({}, {"mean": -0.5, "sd": 1.0}, "cannot be told from none"),
        ({}, {"mean": 0.4, "sd": 0.1, "own": -0.1, "own_error": 0.6}, "cannot be told from none"),
        ({}, {"mean": -1.1, "sd": 0.2}, "every higher price may earn more"),
        ({}, {"own": -1.0, "own_error": 0.2}, "at an elasticity of -1.0 ± 0.2 every higher price"),
    ],
)
def test_what_cannot_be_identified_is_refused(
    rows: list[FeatureRow], changes: dict[str, Any], unit: dict[str, Any], words: str
) -> None:
    known = {"mean": -3.0, "sd": 0.2}
    assert only(sure(**known, row=rows[0]), rows[0]).status == "ready"
    found = only(sure(**known | unit, row=rows[0]), rows[0] | changes)
    assert found.status == "refused" and words in found.summary and len(found.summary) < 300
    assert found.details["identification"]["is_identified"] is False and "mend" in found.summary


def test_a_product_whose_tiers_together_are_inelastic_is_refused_in_every_tier(rows: list[FeatureRow]) -> None:
    model = sure(-2.0, 0.2, row=rows[0])
    model.learned["products"][demand.product_key((rows[0]["platform"], rows[0]["product"]))] = {
        "beta": [-2.0], "sd": 0.2, "own": -1.1, "own_error": 0.2, "tiers": 3,
    }  # fmt: skip
    found = only(model, rows[0])
    assert found.status == "refused" and "over all its tiers" in found.summary


def test_a_price_far_below_cost_is_refused(trained: Trained, rows: list[FeatureRow]) -> None:
    prediction = only(trained.model, rows[0] | {"unit_cost": 150.0})
    assert prediction.status == "refused" and "unit cost" in prediction.summary


def test_a_price_just_below_cost_is_raised_to_it_at_least(trained: Trained, rows: list[FeatureRow]) -> None:
    row = rows[0] | {"unit_cost": rows[0]["current_price"] * 1.04}
    prediction = only(trained.model, row)
    assert prediction.value is not None and prediction.value >= row["unit_cost"]


def fitted(frame: pl.DataFrame, candidate: str = "shrunk_loglog") -> PriceModel:
    """The candidate's model of a frame, without a backtest."""
    found = panel(frame, "TWD")
    assert found is not None
    fit = demand.estimate(found, controls=candidate == "controlled_loglog")
    learned = as_state(found, fit, forecast.curve(found, fit, candidate), candidate, np.full(len(found.keys), 0.05))
    scores = {"metric": "m", "rule": "seasonal_mean", "by_product": {}, "all": {"seasonal_mean": 2.0, candidate: 1.0}}
    return PriceModel(learned=learned, margins=(-1.0, 1.0), coverage=0.8, candidate=candidate, scores=scores, weeks=4)


def test_without_a_cost_revenue_counts() -> None:
    frame = shop(cost=None)
    for prediction in fitted(frame).predict(USE_CASE.rows(frame, CONTEXT)):
        assert prediction.value is not None and prediction.details["expected_profit"] is None
        assert prediction.details["expected_profit_low"] is None and prediction.details["aim"] == "revenue"
        assert prediction.value < prediction.details["current_price"]
        assert "revenue" in prediction.summary


@pytest.mark.parametrize(
    ("elasticity", "cost", "best"), [(-3.0, 60.0, 90.0), (-2.0, 60.0, 120.0), (-1.0, 60.0, 160.0), (-2.0, None, 50.0)]
)
def test_the_optimum_before_any_bound(elasticity: float, cost: float | None, best: float) -> None:
    found = float(optimum.unconstrained(np.array([elasticity]), 100.0, cost)[0])
    assert found == pytest.approx(best)
    profit = [
        (p - (cost or 0)) * optimum.quantity(p, 100.0, elasticity, cost) for p in (found * 0.99, found, found * 1.01)
    ]
    assert max(profit) == profit[1]


def test_a_positive_elasticity_has_no_optimum() -> None:
    with pytest.raises(Defect, match="below zero"):
        optimum.unconstrained(np.array([0.5]), 100.0, None)


def test_products_without_recent_sales_have_no_row(frame: pl.DataFrame) -> None:
    old = pl.DataFrame([line("old", START + timedelta(days=d), 3, 40.0, 20.0) for d in range(50)], schema=SCHEMA)
    assert "old" not in {row["product"] for row in USE_CASE.rows(pl.concat([frame, old]), CONTEXT)}


def test_a_product_unknown_to_the_model_gets_its_group(frame: pl.DataFrame, rows: list[FeatureRow]) -> None:
    model = fitted(frame)
    known = model.facts(rows[0])
    new = model.facts(rows[0] | {"product": "new"})
    assert new.own is None and new.sd > known.sd and (known.level, new.level) == ("product", "group")
    nowhere = model.facts(rows[0] | {"product": "new", "group": "nowhere"})
    assert nowhere.elasticity == model.learned["overall"]["beta"][0] and nowhere.level == "overall"
    tier = model.facts(rows[0] | {"tier": "new"})
    assert tier.level == "product" and tier.elasticity == pytest.approx(known.elasticity)


def test_one_elasticity_for_all_is_a_candidate_too(frame: pl.DataFrame, rows: list[FeatureRow]) -> None:
    model = fitted(frame, "pooled_loglog")
    assert len({model.facts(row).elasticity for row in rows}) == 1


def test_a_tier_is_its_own_subject(trained: Trained, rows: list[FeatureRow]) -> None:
    subject = only(trained.model, rows[0] | {"tier": "gold"}).subject
    assert (subject.kind, subject.id) == ("tier", f"{rows[0]['product']}/gold")


def test_the_rule_keeps_the_price(rows: list[FeatureRow]) -> None:
    prediction = only(USE_CASE.rule(), rows[0])
    assert (prediction.status, prediction.rung, prediction.value) == ("fallback", "rule", rows[0]["current_price"])
    assert prediction.baseline == prediction.value and prediction.contributions == ()
    assert only(USE_CASE.restore(KeepPrice().state()), rows[0]) == prediction


def test_too_little_is_not_ready_with_the_counts() -> None:
    short = shop(products=3, days=30)
    ready = USE_CASE.readiness(short, CONTEXT)
    assert not ready.ready and ready.rung == "rule"
    with pytest.raises(NotReady, match=r"4 of 8 weeks of sales, about 28 days; 3 of 5 products"):
        USE_CASE.train(short, TrainConfig(), CONTEXT)


def test_nothing_sold_at_all() -> None:
    empty = pl.DataFrame([], schema=SCHEMA)
    assert USE_CASE.rows(empty, CONTEXT) == []
    assert USE_CASE.readiness(empty, CONTEXT).rung == "none"


def test_refund_days_null_prices_and_null_tiers_do_no_harm(frame: pl.DataFrame) -> None:
    odd = pl.DataFrame(
        [
            line("p00", START + timedelta(days=200), -3, 90.0, 60.0),
            line("p01", START + timedelta(days=201), 2, 90.0, 60.0) | {"unit_price": None},
            line("p02", START + timedelta(days=83), 2, 90.0, 0.0, tier="x") | {"tier": None, "product": "nt"},
        ],
        schema=SCHEMA,
    )
    rows = USE_CASE.rows(pl.concat([frame, odd]), CONTEXT)
    row = next(row for row in rows if row["product"] == "nt")
    assert row["tier"] == "" and row["unit_cost"] is None
    assert json.dumps(rows)


def test_bad_settings_and_frames_name_what_is_allowed(frame: pl.DataFrame) -> None:
    with pytest.raises(InvalidInput, match=r"magic.*shrunk_loglog"):
        USE_CASE.train(frame, TrainConfig(candidates=("magic",)), CONTEXT)
    with pytest.raises(InvalidInput, match="unit_price"):
        USE_CASE.rows(frame.drop("unit_price"), CONTEXT)
    with pytest.raises(Defect, match="state_version 99"):
        USE_CASE.restore({"state_version": 99})


@pytest.mark.parametrize(("code", "expected"), [("TWD", 2), ("JPY", 0), ("KWD", 3), ("EUR", 2)])
def test_a_currency_has_its_own_digits(code: str, expected: int) -> None:
    assert digits(code) == expected


def test_prices_are_whole_where_takings_are(frame: pl.DataFrame, rows: list[FeatureRow]) -> None:
    assert {row["price_step"] for row in rows} == {1.0}
    mixed = frame.with_columns(unit_price=pl.when(pl.col("quantity") == 3).then(97 + 2 / 3).otherwise("unit_price"))
    found = USE_CASE.rows(mixed, CONTEXT)
    assert {row["price_step"] for row in found} == {1.0}, "an average of whole prices is no price"
    assert all(row["current_price"] == round(row["current_price"]) for row in found)
    cents = USE_CASE.rows(frame.with_columns(unit_price=pl.col("unit_price").cast(pl.Float64) - 0.01), CONTEXT)
    assert {row["price_step"] for row in cents} == {0.01} and cents[0]["current_price"] % 1 > 0.9


@pytest.mark.parametrize("current", [3.0, 8.0, 25.0, 61.0, 129.0, 1500.0])
@pytest.mark.parametrize("mean", [-1.75, -2.3, -2.5, -4.0, -12.0])
def test_every_price_can_be_paid_and_every_waterfall_sums(rows: list[FeatureRow], current: float, mean: float) -> None:
    for step in (1.0, 0.01):
        row = at(current, price_step=step)
        for sd in (0.05, 0.3):
            found = only(sure(mean, sd, row=row), row)
            assert found.status == "ready" and found.value is not None and found.interval is not None
            assert found.value == pytest.approx(round(found.value / step) * step)
            assert sums(found.value, current, found.contributions, decimals=2)
            assert found.interval.low <= found.value <= found.interval.high
            assert abs(found.value / current - 1) <= optimum.MAX_CHANGE + 1e-9
            assert found.value == current or abs(found.value / current - 1) >= optimum.SAME_PRICE / 2
            assert len(found.summary) < 300 and "-0.0 %" not in found.summary and "nan" not in found.summary
            assert found.summary.startswith("Keep") == (found.value == current)
            json.dumps(found.details, allow_nan=False)


def test_a_price_at_its_best_is_kept_with_a_sentence_of_its_own(rows: list[FeatureRow]) -> None:
    row = at(100.0)
    found = only(sure(-2.5), row)
    assert (found.status, found.value) == ("ready", 100.0)
    assert (
        found.summary
        == "Keep 100 TWD: it already is the price with the highest expected profit, to within 1 % or half a price step."
    )
    near = at(100.0, unit_cost=60.9)
    kept = only(sure(-2.5), near)
    assert kept.value == 100.0 and "by 1 % a week or more" in kept.summary
    assert sum(part.effect for part in kept.contributions) == pytest.approx(0.0)
    small = at(4.0, unit_cost=3.0, highest_price=3.83)
    assert "but the ceiling (highest price paid plus 5 %) leaves no change" in only(sure(-1.4), small).summary


def test_confidence_and_the_doubt_about_direction_agree(rows: list[FeatureRow]) -> None:
    row = at(100.0, days=80)
    high, low = only(sure(-4.0, 0.2), row), only(sure(-2.8, 0.6), row)
    assert (high.confidence_label, low.confidence_label) == ("high", "low")
    assert "not certain" not in high.summary and "not certain" in low.summary
    assert only(sure(-4.0, 0.2, coverage=0.5), row).confidence_label == "medium"
    assert only(sure(-4.0, 0.2), row | {"days": 10}).confidence_label == "low"


def test_a_gain_on_next_to_nothing_is_told_in_money(rows: list[FeatureRow]) -> None:
    row = at(100.0, unit_cost=99.5)
    summary = only(sure(-4.0), row).summary
    assert summary.startswith("Raise the price from 100 to 110 TWD (+10.0 %): expected profit ")
    assert " TWD a week instead of " in summary and summary.endswith("limited by the maximum change of 10 % at once.")


def test_an_elasticity_too_steep_to_believe_is_bounded(rows: list[FeatureRow]) -> None:
    row = at(100.0)
    assert only(sure(-20.0), row).details["elasticity"] == demand.STEEPEST
    assert demand.bounded(np.array([-20.0, -3.0, 1.0])).tolist() == [demand.STEEPEST, -3.0, 0.0]


@pytest.mark.parametrize(("price", "text"), [(135.0, "135"), (134.5, "134.5"), (12500.0, "12,500"), (0.99, "0.99")])
def test_a_price_is_shown_with_the_digits_it_has(price: float, text: str) -> None:
    assert explain.shown(price, SAY) == text


def test_of_two_bounds_on_the_way_the_last_one_is_named() -> None:
    """Far below 80 would earn most, 76 is the floor; what holds it at 90 is the largest change at once."""
    row = at(100.0, unit_cost=20.0, lowest_price=80.0, highest_price=120.0)
    found = only(sure(-4.0, row=row), row)
    effects = {one.factor: one.effect for one in found.contributions}
    assert {"floor", "max_change"} <= set(effects) and abs(effects["floor"]) > abs(effects["max_change"])
    assert (found.value, found.details["binding"]) == (90.0, "max_change")
    assert "maximum change" in found.summary and "floor" not in found.summary
