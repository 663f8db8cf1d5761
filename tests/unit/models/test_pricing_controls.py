"""What stands beside the price: the partner's own fields, rivals, season, weeks for days, stock-outs. Simulated, seeded."""

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput
from models.base import TrainConfig, Trained
from models.pricing import attributes, demand, design, folds, forecast
from models.pricing.panel import Panel, panel
from models.pricing.predict import PriceModel
from models.pricing.spec import USE_CASE
from tests.pricing_frames import CONTEXT, SCHEMA, START, at, line, shop, sure

WEEKS = 60


def fields(*rows: dict[str, Any] | None) -> pl.Series:
    return pl.Series([None if row is None else json.dumps(row) for row in rows], dtype=pl.String)


def promoted(
    seed: int = 3, *, lift: float = 0.8, cross: float = 0.0, tiers: int = 4, season: float = 0.0
) -> pl.DataFrame:
    """Two brands of tea in several stores by the week: prices of -2.5, promotions that come with lower prices."""
    rng = np.random.default_rng(seed)
    records = []
    for week in range(WEEKS if not season else 130):
        on = START + timedelta(weeks=week)
        price = {brand: float(rng.choice([80.0, 90.0, 100.0, 110.0])) for brand in ("oolong", "sencha")}
        for brand, rival in (("oolong", "sencha"), ("sencha", "oolong")):
            deal = bool(rng.random() < (0.7 if price[brand] < 95 else 0.15))
            for tier in range(tiers):
                mean = 60 * (price[brand] / 100) ** -2.5 * np.exp(lift * deal) * (price[rival] / 100) ** cross
                mean *= np.exp(
                    season * np.sin(2 * np.pi * on.timetuple().tm_yday / 365.25) + 0.1 * rng.standard_normal()
                )
                row = line(brand, on, int(rng.poisson(mean)), price[brand], 60.0, group="tea", tier=f"s{tier}")
                records.append(row | {"attributes": json.dumps({"on_deal": deal, "clerk": "Ada"})})
    return pl.DataFrame([row for row in records if row["quantity"]], schema=SCHEMA | {"attributes": pl.String})


@pytest.fixture(scope="module")
def weekly() -> Panel:
    found = panel(promoted(cross=0.8), "TWD")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fit(weekly: Panel) -> demand.Fit:
    return demand.estimate(weekly, controls=True)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return USE_CASE.train(promoted(tiers=3), TrainConfig(), CONTEXT)


def test_numbers_and_yes_and_no_are_fields_and_text_is_not() -> None:
    columns, dropped = attributes.read(
        fields({"deal": True, "note": "x"}, {"deal": "no", "shelf": "2.5"}, {"shelf": 4, "note": "y"}, None)
    )
    np.testing.assert_array_equal(columns["deal"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(columns["shelf"], [np.nan, 2.5, 4, np.nan])
    assert dropped == {"note": "text"}


@pytest.mark.parametrize(
    "text", ["", "{}", "[1, 2]", "nonsense", "null", "3", '{"a": {"b": 1}}', '{"a": null}', '{"a": 1e999}']
)
def test_what_is_no_map_of_values_has_no_fields(text: str) -> None:
    columns, _ = attributes.read(pl.Series([text] * 3))
    assert columns == {}


def test_of_many_fields_promotions_and_the_best_known_are_kept() -> None:
    rows = [{f"f{n}": n for n in range(12)} | {"promotion": n % 2} for n in range(10)]
    columns, dropped = attributes.read(fields(*rows))
    assert len(columns) == attributes.MOST and "promotion" in columns
    assert set(dropped.values()) == {"many"} and len(dropped) == 5


def test_names_and_values_without_end_are_read_and_left_out() -> None:
    rows = [json.dumps({f"click_{n}": n, "session": f"s{n}"}) for n in range(10_000)]
    columns, dropped = attributes.read(pl.Series(rows))
    assert columns == {} and dropped["session"] == "text" and len(dropped) <= 51


def test_excluded_fields_are_not_read_and_named() -> None:
    columns, dropped = attributes.read(fields({"deal": 1, "feat": 0}), ["feat", "unheard_of"])
    assert list(columns) == ["deal"] and dropped == {"feat": "excluded"}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda q, p, rng: np.full(q.shape, 3.0), "constant"),
        (lambda q, p, rng: np.full(q.shape, np.nan), "missing"),
        (lambda q, p, rng: np.log(q), "leak"),
        (lambda q, p, rng: 100 * np.exp(-p), "price"),
        (lambda q, p, rng: rng.random(q.shape), None),
    ],
)
def test_fields_that_cannot_be_told_from_price_or_quantity_are_left_out(make: Any, reason: str | None) -> None:
    rng = np.random.default_rng(1)
    log_price = np.log(rng.choice([90.0, 100.0, 110.0], (5, 60)))
    quantity = rng.poisson(50, (5, 60)) + 1.0
    used, dropped = attributes.learn(
        {"x": make(quantity, log_price, rng)}, quantity, log_price, np.ones((5, 60), dtype=bool)
    )
    assert dropped == ({} if reason is None else {"x": reason}) and len(used) == (reason is None)


def test_promotion_and_price_are_told_apart(fit: demand.Fit) -> None:
    place = {name: n for n, name in enumerate(fit.spec["columns"])}
    assert fit.pooled.product[:, 0] == pytest.approx(np.full(2, -2.5), abs=0.3)
    assert fit.pooled.product[:, place["field:on_deal"]] == pytest.approx(np.full(2, 0.8), abs=0.1)
    assert (fit.promotion_share > 0.05).all() and (fit.promotion_share < 0.6).all()


def test_without_the_promotion_the_elasticity_would_be_too_steep(weekly: Panel, fit: demand.Fit) -> None:
    alone = demand.estimate(weekly, controls=False)
    assert alone.pooled.overall[0] < fit.pooled.overall[0] - 0.5


def test_a_rival_s_price_counts(weekly: Panel, fit: demand.Fit) -> None:
    place = {name: n for n, name in enumerate(fit.spec["columns"])}
    assert fit.spec["rivals"] == {"tea": sorted(("oolong", "sencha"), key=fit.spec["rivals"]["tea"].index)}
    assert fit.pooled.product[:, place["rivals"]] == pytest.approx(np.full(2, 0.8), abs=0.3)
    none = panel(promoted(cross=0.0), "TWD")
    assert none is not None
    without = demand.estimate(none, controls=True)
    assert without.pooled.product[:, place["rivals"]] == pytest.approx(np.zeros(2), abs=0.3), (
        "no effect is found where there is none"
    )


def test_rivals_are_read_at_the_product_s_own_tier(weekly: Panel) -> None:
    prices = design.RivalPrices(weekly, design.rivals_of(weekly))
    other = weekly.keys.index(("shopify", "sencha", "s2"))
    mine = weekly.keys.index(("shopify", "oolong", "s2"))
    np.testing.assert_array_equal(prices.by_product(mine)["sencha"], weekly.log_price[other])
    assert design.rivals_of(weekly.some(np.array([mine]))) == {}


def test_a_season_needs_two_years_and_is_then_found() -> None:
    long = panel(promoted(season=0.4, tiers=2), "TWD")
    assert long is not None and long.weeks >= design.SEASON_WEEKS
    found = demand.estimate(long, controls=True)
    assert found.pooled.overall[found.spec["columns"].index("season:sin")] == pytest.approx(0.4, abs=0.12)
    spec, _ = design.learn(long.until(100), controls=True)
    assert not any(name.startswith("season") for name in spec["columns"])


def test_weeks_are_told_from_days_by_their_gaps() -> None:
    by_week, by_day = (panel(shop(4, every=every), "TWD") for every in (7, 1))
    assert by_week is not None and by_day is not None
    assert (by_week.period_days, by_week.length, by_week.week, by_week.weeks) == (7, 12, 1, 12)
    assert (by_day.period_days, by_day.length, by_day.week, by_day.weeks) == (1, 84, 7, 12)
    monthly = (
        shop(4, every=7).with_columns(pl.col("sold_on").dt.offset_by("3d")).filter(pl.col("sold_on").dt.day() <= 7)
    )
    found = panel(monthly, "TWD")
    assert found is not None and found.period_days == 7 and not found.is_open.all()


def test_a_shop_that_reports_by_the_week_is_priced_too() -> None:
    frame = shop(6, days=7 * 20, every=7)
    found = USE_CASE.train(frame, TrainConfig(candidates=("shrunk_loglog",)), CONTEXT)
    assert found.data["cadence"] == "weekly" and found.backtest.chosen == "shrunk_loglog"
    rows = USE_CASE.rows(frame, CONTEXT)
    predictions = found.model.predict(rows)
    assert {one.status for one in predictions} == {"ready"} and {row["period_days"] for row in rows} == {7}
    sold = [np.mean(row["recent"]["quantity"]) for row in rows]
    said = [one.details["demand_curve"][4]["quantity"] for one in predictions]
    assert np.median(np.array(said) / sold) == pytest.approx(1.0, abs=0.35), "a week is a week, not seven"


def test_a_field_reaches_the_prediction_by_the_state_of_now(trained: Trained) -> None:
    assert trained.backtest.chosen == "controlled_loglog" and trained.params["fields"] == ["on_deal"]
    rows = USE_CASE.rows(promoted(tiers=3), CONTEXT)
    assert isinstance(trained.model, PriceModel)
    on, off = (rows[0] | {"now": rows[0]["now"] | {"fields": {"on_deal": value}}} for value in (1.0, 0.0))
    quantities = [trained.model.what_if(row, 100.0)["quantity"] for row in (on, off)]
    assert quantities[0] / quantities[1] == pytest.approx(np.exp(0.8), rel=0.15)


def test_settings_of_a_training_are_kept() -> None:
    config = TrainConfig(excluded_attributes=("on_deal",), horizon_days=14, candidates=("controlled_loglog",))
    found = USE_CASE.train(promoted(tiers=3), config, CONTEXT)
    assert found.params["fields"] == [] and found.params["horizon_days"] == 14
    assert found.dropped["on_deal"] == "it was excluded by the training's settings"
    assert found.dropped["clerk"] == "its values are neither numbers nor yes and no"
    assert "14 days ahead" in found.backtest.split


@pytest.mark.parametrize("days", [-7, 0, 10, 90])
def test_a_horizon_that_is_no_week_or_month_is_refused_with_those_there_are(days: int) -> None:
    with pytest.raises(InvalidInput, match=rf"horizon_days.*{days}.*7, 14, 21, 28"):
        USE_CASE.train(shop(2, days=14), TrainConfig(horizon_days=days), CONTEXT)


def test_a_training_says_what_it_chose_from_what_and_what_it_is_not_for(trained: Trained) -> None:
    assert len(trained.choices) == 6 and {one.family for one in trained.choices} == {"controlled_loglog"}
    one = trained.choices[0]
    assert set(one.scores) == {score.candidate for score in trained.backtest.scores} and one.observations > 3
    assert "controlled_loglog came closest" in one.why
    json.dumps([dict(trained.data), list(trained.limits)])
    assert trained.data["cadence"] == "weekly" and trained.data["from"] == START.isoformat()
    assert any("promotions" in text for text in trained.limits) and len(trained.limits) == 4


def test_days_without_stock_are_not_days_without_demand() -> None:
    frame = shop(6, days=84)
    gone = (pl.col("product") == "p00") & pl.col("sold_on").is_between(date(2026, 1, 1), date(2026, 1, 16))
    found = panel(frame.filter(~gone), "TWD")
    assert found is not None
    fit = demand.estimate(found, controls=False)
    first = (date(2026, 1, 1) - START).days
    assert fit.stock_outs[0, first : first + 16].all() and fit.stock_outs.sum() == 16
    curve = forecast.curve(found, fit, "shrunk_loglog")
    effect = demand.effects(found, curve.spec, curve.beta)
    said = forecast.weeks_ahead(found, effect, curve.kappa, first + 16, 1)[0, 0]
    whole = panel(frame, "TWD")
    assert whole is not None
    usual = forecast.weeks_ahead(whole, demand.effects(whole, curve.spec, curve.beta), curve.kappa, first + 16, 1)[0, 0]
    assert said == pytest.approx(usual, rel=0.15), "the level is that of the days with stock"


def test_a_group_that_prices_do_not_explain_keeps_to_the_average() -> None:
    def tested(said: list[float]) -> folds.Tested:
        shape = (2, 120)
        return folds.Tested(
            np.full(shape, 10.0),
            np.repeat(np.array(said)[:, None], 120, axis=1),
            np.full(shape, 3.0),
            np.ones(shape, dtype=bool),
        )

    good, rule = tested([10.5, 30.0]), tested([14.0, 11.0])
    groups = ["tea", "gifts"]
    assert folds.held_groups(good, rule, groups) == ("gifts",)
    assert folds.held_groups(good, rule, ["", ""]) == (), "without a name it is no group"
    kept = folds.held(good, rule, groups, ("gifts",))
    assert kept.said[:, 0].tolist() == [10.5, 11.0]
    model = sure(-3.0)
    model.learned["held"] = ["drinks"]
    found = model.predict([at(100.0)])[0]
    assert found.status == "refused" and "in its group" in found.summary and "mend" in found.summary


def test_a_slow_seller_s_empty_days_are_demand() -> None:
    mean = np.full((1, 30), 0.2)
    empty = demand.without_stock(np.zeros((1, 30)), mean, np.array([0.5]), np.ones((1, 30), dtype=bool))
    assert not empty.any()
    assert demand.without_stock(np.zeros((1, 30)), 50 * mean, np.array([0.5]), np.ones((1, 30), dtype=bool)).all()


def test_what_stopped_selling_has_no_demand_of_zero_ever_after() -> None:
    frame = pl.concat([shop(5), shop(1, days=30).with_columns(product=pl.lit("old"))])
    found = panel(frame, "TWD")
    assert found is not None
    old = [key[1] for key in found.keys].index("old")
    assert found.is_active[old, :25].any() and not found.is_active[old, 31:].any()


def test_one_clearance_sale_is_no_elasticity() -> None:
    frame = shop(6)
    wild = pl.DataFrame([line("p00", START + timedelta(days=40), 900, 70.0, 60.0, group="g0")], schema=SCHEMA)
    calm, shaken = (panel(one, "TWD") for one in (frame, pl.concat([frame, wild])))
    assert calm is not None and shaken is not None
    before, after = (demand.estimate(one, controls=False).pooled.unit[0, 0] for one in (calm, shaken))
    assert abs(after - before) < 0.7
