"""What holds for every price recommended, whatever the row: bounds, order, exact sums, shrinkage, reproduction."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.base import FeatureRow, TrainConfig, Trained
from models.pricing import demand, identify, optimum
from models.pricing.predict import PriceModel
from models.pricing.spec import USE_CASE
from models.rounding import sums
from tests.pricing_frames import CONTEXT, shop

ROW: FeatureRow = {
    "platform": "shopify", "product": "tea", "tier": "", "group": "drinks", "currency": "TWD", "current_price": 100.0,
    "price_step": 0.01, "unit_cost": 60.0, "lowest_price": 80.0, "highest_price": 120.0, "price_count": 6,
    "price_spread": 0.3, "weeks": 12, "days": 80, "recent_quantity": [4.0, 6.0, 5.0] * 9,
    "recent_log_price": [float(np.log(100.0))] * 27, "lines": 300, "expires_at": "2026-02-02T00:00:00Z",
}  # fmt: skip
PRICES = st.floats(0.5, 5000).map(lambda price: round(price, 2))
SLOPES = st.floats(-8.0, -0.8)


def model(mean: float, sd: float = 0.2, **groups: list[float]) -> PriceModel:
    own = {"mean": mean, "sd": sd, "own": mean, "own_error": sd, "dispersion": 1.5}
    learned = {"products": {demand.product_key(("shopify", "tea", "")): own}, "groups": groups, "overall": [mean, sd]}
    return PriceModel(elasticities=learned, margins=(-1.0, 1.2), coverage=0.8, candidate="shrunk_loglog")


def at(price: float, **other: Any) -> FeatureRow:
    return ROW | {
        "current_price": price, "lowest_price": price * 0.8, "highest_price": price * 1.2, "unit_cost": price * 0.6,
        "recent_log_price": [math.log(price)] * 27, **other,
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(PRICES, SLOPES, st.floats(0.1, 0.95), st.sampled_from([0.01, 1.0]))
def test_every_recommendation_keeps_every_promise(price: float, mean: float, margin: float, step: float) -> None:
    assume(step < 0.1 * price)
    price = round(price / step) * step
    row = at(price, unit_cost=round(price * margin, 2), price_step=step)
    found = model(mean).predict([row])[0]
    assert found.status == "ready" and found.value is not None and found.interval is not None
    details = found.details
    assert details["floor"] - 1e-9 <= found.value <= details["ceiling"] + 1e-9
    assert row["unit_cost"] - 1e-9 <= found.value
    assert abs(found.value - price) <= optimum.MAX_CHANGE * price + 1e-6
    assert found.interval.low <= found.value <= found.interval.high
    assert sums(found.value, price, found.contributions, decimals=2)
    assert details["expected_quantity_low"] <= details["expected_quantity"] <= details["expected_quantity_high"]
    assert details["expected_profit"] >= details["current_profit"] - 0.02 * max(1.0, abs(details["current_profit"]))
    quantities = [point["quantity"] for point in details["demand_curve"]]
    assert quantities == sorted(quantities, reverse=True)
    assert len(found.summary) < 300 and "nan" not in found.summary


@settings(max_examples=40, deadline=None)
@given(PRICES, SLOPES, st.floats(0.1, 0.85), st.floats(0.01, 0.1))
def test_a_higher_cost_never_lowers_the_price(price: float, mean: float, margin: float, more: float) -> None:
    assume(price > 5)
    low = model(mean).predict([at(price, unit_cost=price * margin)])[0]
    high = model(mean).predict([at(price, unit_cost=price * (margin + more))])[0]
    assert low.value is not None and high.value is not None
    # The current price is kept where a change is worth less than a per cent, so a small step back may be that.
    assert high.value >= low.value - optimum.SAME_PRICE * price - 1e-9


@given(SLOPES, SLOPES, st.floats(1, 1000), st.floats(0.05, 0.95))
def test_the_steeper_the_demand_the_lower_the_best_price(one: float, two: float, price: float, margin: float) -> None:
    steep, flat = sorted((one, two))
    best = optimum.unconstrained(np.array([steep, flat]), price, price * margin)
    # Where the curve changes its form (elasticities near one) a step is allowed, on each side there is none.
    if (steep <= optimum.ELASTIC) == (flat <= optimum.ELASTIC):
        assert best[0] <= best[1] + 1e-9
    revenue = optimum.unconstrained(np.array([steep, flat]), price, None)
    assert revenue[0] <= revenue[1] + 1e-9


@given(SLOPES, st.floats(1, 1000), st.floats(0.01, 0.95) | st.none())
def test_the_best_price_is_best_on_its_own_curve(mean: float, price: float, margin: float | None) -> None:
    cost = None if margin is None else price * margin
    best = float(optimum.unconstrained(np.array([mean]), price, cost)[0])

    def earned(p: float) -> float:
        return (p - (cost or 0.0)) * optimum.quantity(p, price, mean, cost)

    assert earned(best) >= max(earned(best * 0.97), earned(best * 1.03)) - 1e-9


@given(SLOPES, st.floats(1, 1000), st.none() | st.floats(0.1, 0.9))
def test_demand_is_one_at_the_present_price_and_falls_with_it(mean: float, price: float, margin: float | None) -> None:
    cost = None if margin is None else price * margin
    assert optimum.quantity(price, price, mean, cost) == pytest.approx(1.0)
    said = [optimum.quantity(price * share, price, mean, cost) for share in (0.8, 0.9, 1.0, 1.1, 1.2)]
    assert said == sorted(said, reverse=True) and min(said) > 0


@given(st.floats(1, 500), st.sampled_from([0.01, 0.05, 0.5, 1.0, 10.0]), st.floats(0.2, 3))
def test_payable_prices_lie_on_steps_inside_the_bounds(price: float, step: float, wanted: float) -> None:
    allowed = optimum.Bounds(
        floor=price * 0.8, ceiling=price * 1.15, least_now=price * 0.9, most_now=price * 1.1, floor_is_cost=False
    )
    near = allowed.payable(price * wanted, step)
    assert len(near) <= 2 and list(near) == sorted(near)
    for found in near:
        assert found / step == pytest.approx(round(found / step), abs=1e-6)
        assert price * 0.9 - 1e-6 <= found <= price * 1.1 + 1e-6
    if not near:
        assert math.floor(price * 1.1 / step + 1e-9) < math.ceil(price * 0.9 / step - 1e-9)


@pytest.mark.parametrize(("currency", "digits"), [("TWD", 2), ("JPY", 0), ("KWD", 3)])
def test_bounds_are_rounded_inwards_to_the_currency(currency: str, digits: int) -> None:
    row = at(101.37, currency=currency, unit_cost=33.333333)
    found = optimum.bounds(row)
    assert isinstance(found, optimum.Bounds)
    assert found.floor >= row["lowest_price"] * 0.95 and found.ceiling <= row["highest_price"] * 1.05
    for price in (found.floor, found.ceiling, found.least_now, found.most_now):
        assert price == round(price, digits)


@pytest.mark.parametrize("cost", [None, 10.0, 60.0])
def test_a_current_price_outside_what_was_sold_is_refused_with_a_remedy(cost: float | None) -> None:
    found = model(-3.0).predict([at(100.0, lowest_price=20.0, highest_price=30.0, unit_cost=cost)])[0]
    assert found.status == "refused"
    assert "outside the range it was sold at" in found.summary and "would mend it" in found.summary


@pytest.mark.parametrize(
    ("field", "least", "words"),
    [("weeks", identify.LEAST_WEEKS, "weeks"), ("price_count", identify.LEAST_PRICES, "distinct prices"),
     ("price_spread", identify.LEAST_SPREAD, "a spread of")],
)  # fmt: skip
def test_the_thresholds_of_identification_are_inclusive(field: str, least: float, words: str) -> None:
    sure = model(-3.0).elasticity(ROW)
    assert identify.refusal(ROW | {field: least}, sure) is None
    below = least - 1 if isinstance(least, int) else least - 0.001
    reason = identify.refusal(ROW | {field: below}, sure)
    assert reason is not None and words in reason


@pytest.mark.parametrize(("mean", "sd", "identified"), [(-1.645, 0.999, True), (-1.645, 1.001, False), (-3, 0.1, True)])
def test_an_elasticity_counts_when_its_interval_lies_below_zero(mean: float, sd: float, identified: bool) -> None:
    assert (identify.refusal(ROW, model(mean, sd).elasticity(ROW)) is None) is identified


@pytest.mark.parametrize("daily", [0.0, 0.01, 0.5, 5.0, 5000.0])
def test_a_price_test_is_always_of_a_length_one_can_run(daily: float) -> None:
    text = identify.price_test(at(100.0, recent_quantity=[daily] * 20), {"dispersion": 1.0})
    weeks = [int(word) for word in text.split() if word.isdigit() and "weeks" in text]
    assert ("larger steps" in text) != bool(weeks)
    assert all(4 <= found <= 26 for found in weeks[-1:])


def test_a_thin_product_takes_its_group_s_elasticity() -> None:
    own = np.array([-3.1, -2.9, -3.0, -1.0, -1.1, -0.9, 6.0])
    error = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 2.9])
    groups = ["a", "a", "a", "b", "b", "b", "a"]
    shrunk = demand.shrink(own, error, groups)
    assert shrunk.mean[6] == pytest.approx(-3.0, abs=0.2), "next to nothing of its own evidence counts"
    assert shrunk.groups["a"][0] < -2.7 and shrunk.groups["b"][0] > -1.3
    assert np.abs(shrunk.mean[:6] - own[:6]).max() < 0.1
    assert shrunk.sd[6] > shrunk.sd[0]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(-8, 4), st.floats(0.05, 20)), min_size=3, max_size=12),
    st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
)
def test_shrinkage_moves_every_estimate_towards_its_centre(pairs: list[tuple[float, float]], groups: list[str]) -> None:
    own, error = (np.array(values) for values in zip(*pairs, strict=True))
    assume((error < demand.USABLE_ERROR).sum() >= 2)
    names = groups[: len(own)]
    shrunk = demand.shrink(own, error, names)
    centre = np.array([shrunk.groups[name][0] for name in names])
    assert np.isfinite(shrunk.mean).all() and (shrunk.sd >= 0).all()
    low, high = np.minimum(own, centre), np.maximum(own, centre)
    assert ((low - 1e-9 <= shrunk.mean) & (shrunk.mean <= high + 1e-9)).all()


def test_equal_estimates_stay_where_they_are_and_the_vaguer_moves_more() -> None:
    same = demand.shrink(np.full(4, -2.0), np.full(4, 0.3), list("aabb"))
    assert same.mean == pytest.approx(np.full(4, -2.0))
    moved = demand.shrink(np.array([-1.0, -3.0, -1.0, -3.0]), np.array([0.1, 0.1, 2.0, 2.0]), list("aaaa"))
    shift = np.abs(moved.mean - [-1.0, -3.0, -1.0, -3.0])
    assert shift[2] > shift[0] and shift[3] > shift[1]


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return shop(6)


@pytest.fixture(scope="module")
def trained(frame: pl.DataFrame) -> Trained:
    return USE_CASE.train(frame, TrainConfig(), CONTEXT)


def test_permuting_rows_permutes_predictions(trained: Trained, frame: pl.DataFrame) -> None:
    rows = USE_CASE.rows(frame, CONTEXT)
    order = np.random.default_rng(1).permutation(len(rows))
    together = trained.model.predict(rows)
    assert trained.model.predict([rows[i] for i in order]) == [together[i] for i in order]
    assert [trained.model.predict([row])[0] for row in rows] == together


def test_deviance_is_zero_for_the_truth_and_grows_with_the_error() -> None:
    actual = np.array([0.0, 1.0, 5.0, 20.0])
    assert demand.deviance(actual, np.maximum(actual, 1e-6)) == pytest.approx(0.0, abs=1e-5)
    worse = [demand.deviance(actual, actual + shift) for shift in (0.5, 1.0, 2.0, 8.0)]
    assert worse == sorted(worse) and math.isfinite(demand.deviance(actual, np.zeros(4)))
