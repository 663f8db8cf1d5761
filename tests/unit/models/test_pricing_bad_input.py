"""Pricing on input that no shop should send: each gives a row, a refusal with its reason, or NotReady with counts."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import NotReady
from models.base import FeatureRow, Prediction, TrainConfig, Trained
from models.pricing import demand
from models.pricing.panel import panel
from models.pricing.predict import PriceModel
from models.pricing.spec import USE_CASE
from models.pricing.train import CANDIDATES
from models.rounding import sums
from tests.pricing_frames import CONTEXT, SCHEMA, START, line, shop


def days_of(product: str, price: float, cost: float | None, *, days: int = 84, quantity: int = 5) -> pl.DataFrame:
    """One product sold every day at one price."""
    return pl.DataFrame(
        [line(product, START + timedelta(days=d), quantity, price, cost, group="g0") for d in range(days)],
        schema=SCHEMA,
    )


def with_prices(product: str, prices: list[float], cost: float | None, quantity: int = 5) -> pl.DataFrame:
    """One product whose price changes by the day."""
    return pl.DataFrame(
        [
            line(product, START + timedelta(days=d), quantity, prices[d % len(prices)], cost, group="g0")
            for d in range(84)
        ],
        schema=SCHEMA,
    )


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return shop(6)


@pytest.fixture(scope="module")
def trained(frame: pl.DataFrame) -> Trained:
    return USE_CASE.train(frame, TrainConfig(), CONTEXT)


def row_of(frame: pl.DataFrame, odd: pl.DataFrame, product: str) -> FeatureRow:
    return next(row for row in USE_CASE.rows(pl.concat([frame, odd]), CONTEXT) if row["product"] == product)


def check(found: Prediction) -> None:
    """What holds for every prediction, whatever came in."""
    json.dumps([found.details, found.value, found.baseline], allow_nan=False)
    assert found.summary and len(found.summary) < 300
    assert "nan" not in found.summary.lower() and " inf" not in found.summary
    if found.status == "refused":
        assert found.value is None and found.interval is None and found.contributions == ()
        assert "mend" in found.summary or "Check the cost" in found.summary
    else:
        assert found.value is not None and found.baseline is not None
        assert sums(found.value, found.baseline, found.contributions, decimals=2)


ODD: dict[str, tuple[pl.DataFrame, str]] = {
    "one price only": (days_of("odd", 50, 30), "distinct prices"),
    "two points": (days_of("odd", 50, 30).tail(2), "1 week, 8 are needed"),
    "one point": (days_of("odd", 50, 30).tail(1), "1 week, 8 are needed"),
    "two prices": (with_prices("odd", [50, 60], 30), "2 distinct prices"),
    "prices within a per cent": (with_prices("odd", [50, 50.1, 50.2, 50.3], 30), "distinct prices"),
    "prices within two per cent": (with_prices("odd", [100, 101.2, 102.4, 103.6], 30), "a spread of 5 % is needed"),
    "a constant quantity whatever the price": (with_prices("odd", [40, 50, 60, 70, 80], 10), ""),
    "free of charge": (with_prices("odd", [0.01, 0.02, 0.03, 0.04], None), ""),
    "dear": (with_prices("odd", [1e9, 1.1e9, 1.2e9, 1.3e9], 5e8), ""),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_product_beside_good_ones_is_answered(name: str, frame: pl.DataFrame, trained: Trained) -> None:
    odd, words = ODD[name]
    row = row_of(frame, odd, "odd")
    json.dumps(row, allow_nan=False)
    found = trained.model.predict([row])[0]
    check(found)
    assert words in found.summary
    if words:
        assert found.status == "refused"
    check(USE_CASE.rule().predict([row])[0])


@pytest.mark.parametrize("name", ODD)
def test_an_odd_product_does_not_stop_the_others_training(name: str, frame: pl.DataFrame) -> None:
    whole = pl.concat([frame, ODD[name][0]])
    found = panel(whole, "TWD")
    assert found is not None
    fit = demand.estimate(found, controls=True)
    for values in (fit.kappa, fit.own, fit.own_error, fit.pooled.unit, fit.pooled.unit_variance, fit.promotion_share):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("cost", [120.0, 1e9])
def test_a_negative_margin_is_refused_or_raised_never_deepened(
    cost: float, frame: pl.DataFrame, trained: Trained
) -> None:
    row = row_of(frame, with_prices("odd", [80, 90, 100, 110, 120], cost), "odd")
    found = trained.model.predict([row])[0]
    check(found)
    assert found.status == "refused" or (found.value or 0) >= row["current_price"]


def test_infinite_and_missing_prices_and_costs_count_as_unknown(frame: pl.DataFrame) -> None:
    money = frame.with_columns(pl.col("unit_price").cast(pl.Float64), pl.col("unit_cost").cast(pl.Float64))
    day = frame["sold_on"].max()
    odd = money.head(4).with_columns(
        sold_on=pl.lit(day),
        product=pl.lit("odd"),
        tier=pl.Series(["a", "b", "c", "d"]),
        unit_price=pl.Series([float("inf"), float("nan"), None, 10.0]),
        unit_cost=pl.Series([1.0, 1.0, 1.0, float("inf")]),
    )
    rows = [row for row in USE_CASE.rows(pl.concat([money, odd]), CONTEXT) if row["product"] == "odd"]
    assert [(row["tier"], row["unit_cost"], row["current_price"]) for row in rows] == [("d", None, 10.0)]


def test_a_day_said_twice_counts_twice_at_the_average_price(frame: pl.DataFrame) -> None:
    day = START + timedelta(days=40)
    once = pl.DataFrame([line("odd", day, 4, 85.0, 45.0)], schema=SCHEMA)
    twice = pl.DataFrame([line("odd", day, 1, 100.0, 60.0), line("odd", day, 3, 80.0, 40.0)], schema=SCHEMA)
    one, two = (panel(pl.concat([frame, odd]), "TWD") for odd in (once, twice))
    assert one is not None and two is not None
    for name in ("quantity", "log_price", "cost", "lines"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), err_msg=name)


def test_a_null_tier_and_an_empty_one_are_the_same_product(frame: pl.DataFrame) -> None:
    day = START + timedelta(days=40)
    odd = pl.DataFrame(
        [line("odd", day, 2, 100.0, None) | {"tier": None}, line("odd", day, 2, 100.0, None)], schema=SCHEMA
    )
    found = panel(pl.concat([frame, odd]), "TWD")
    assert found is not None
    assert [key[1] for key in found.keys].count("odd") == 1
    assert found.quantity[[key[1] for key in found.keys].index("odd")].sum() == 4


def test_a_date_of_another_century_makes_no_wide_panel(frame: pl.DataFrame) -> None:
    odd = pl.DataFrame([line("p00", START.replace(year=1900), 2, 100.0, None)], schema=SCHEMA)
    found = panel(pl.concat([frame, odd]), "TWD")
    assert found is not None and found.length == 84
    assert USE_CASE.rows(pl.concat([frame, odd]), CONTEXT) == USE_CASE.rows(frame, CONTEXT)


def test_closed_weeks_are_not_taken_for_weeks_without_demand(frame: pl.DataFrame) -> None:
    first, last = START + timedelta(days=30), START + timedelta(days=43)
    shut = frame.filter(~pl.col("sold_on").is_between(first, last))
    found = panel(shut, "TWD")
    assert found is not None and int((~found.is_open).sum()) == 14
    own = demand.estimate(found, controls=False).own
    whole = panel(frame, "TWD")
    assert whole is not None
    assert float(np.abs(own - demand.estimate(whole, controls=False).own).max()) < 1.5
    assert own.mean() == pytest.approx(-3.0, abs=0.6)


def test_a_shop_that_closed_a_year_ago_is_refused_whoever_serves(frame: pl.DataFrame, trained: Trained) -> None:
    old = frame.with_columns(pl.col("sold_on").dt.offset_by("-1y"))
    rows = USE_CASE.rows(old, CONTEXT)
    assert len(rows) == len(USE_CASE.rows(frame, CONTEXT)) and all(row["has_ended"] for row in rows)
    for model in (trained.model, USE_CASE.rule()):
        for prediction in model.predict(rows):
            check(prediction)
            assert (prediction.status, prediction.value, prediction.interval) == ("refused", None, None)
            assert "no sale of any product is known after 2025-01-2" in prediction.summary
    assert isinstance(trained.model, PriceModel)
    assert trained.model.what_if(rows[0], 100.0)["is_identified"] is False


def test_a_price_is_said_until_it_expires(frame: pl.DataFrame) -> None:
    expires = datetime.fromisoformat(USE_CASE.rows(frame, CONTEXT)[0]["expires_at"])
    for moment, has_ended in ((expires - timedelta(seconds=1), False), (expires, True)):
        rows = USE_CASE.rows(frame, replace(CONTEXT, as_of=moment))
        assert {row["has_ended"] for row in rows} == {has_ended}


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"unit_price": 0},
        {"unit_price": -5},
        {"unit_price": None},
    ],
    ids=str,
)
def test_nothing_that_sold_is_no_data_at_all(change: dict[str, Any], frame: pl.DataFrame) -> None:
    name, value = next(iter(change.items()))
    nothing = frame.with_columns(pl.lit(value).cast(SCHEMA[name]).alias(name))
    assert USE_CASE.rows(nothing, CONTEXT) == []
    assert USE_CASE.readiness(nothing, CONTEXT).rung == "none"
    with pytest.raises(NotReady, match="0 of 8 weeks"):
        USE_CASE.train(nothing, TrainConfig(), CONTEXT)


def test_one_price_everywhere_is_not_ready_and_the_rule_speaks() -> None:
    flat = pl.concat([days_of(f"p{n}", 40, 20) for n in range(8)])
    ready = USE_CASE.readiness(flat, CONTEXT)
    assert (ready.rung, ready.ready) == ("rule", False)
    with pytest.raises(NotReady, match="0 of 5 products sold at 4 distinct prices"):
        USE_CASE.train(flat, TrainConfig(), CONTEXT)
    found = USE_CASE.rule().predict(USE_CASE.rows(flat, CONTEXT))
    assert {(p.status, p.rung, p.value) for p in found} == {("fallback", "rule", 40.0)}


def test_a_window_that_leaves_too_little_is_not_ready(frame: pl.DataFrame) -> None:
    with pytest.raises(NotReady, match="the window leaves less than 8 weeks"):
        USE_CASE.train(frame, TrainConfig(window_days=30), CONTEXT)


def test_the_window_and_the_candidates_of_a_training_are_kept(frame: pl.DataFrame) -> None:
    config = TrainConfig(window_days=63, candidates=("pooled_loglog",))
    found = USE_CASE.train(frame, config, CONTEXT)
    assert found.params["days"] == 63
    assert [score.candidate for score in found.backtest.scores] == [CANDIDATES[0], "pooled_loglog"]
    assert found.data_hash != USE_CASE.train(frame, TrainConfig(candidates=("seasonal_mean",)), CONTEXT).data_hash


def test_the_rule_alone_keeps_every_price(frame: pl.DataFrame) -> None:
    found = USE_CASE.train(frame, TrainConfig(candidates=("seasonal_mean",)), CONTEXT)
    assert found.backtest.chosen == "seasonal_mean" == found.backtest.rule.candidate
    rows = USE_CASE.rows(frame, CONTEXT)
    assert [p.value for p in found.model.predict(rows)] == [row["current_price"] for row in rows]


def test_excluded_attributes_are_named_in_the_training(frame: pl.DataFrame) -> None:
    config = TrainConfig(candidates=("seasonal_mean",), excluded_attributes=("colour",))
    assert "excluded" in USE_CASE.train(frame, config, CONTEXT).dropped["colour"]
