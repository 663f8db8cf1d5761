"""What holds for every price recommended, whatever the row: bounds, order, exact sums, shrinkage, reproduction."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.base import TrainConfig, Trained
from models.messages import catalogue
from models.pricing import demand, identify, optimum
from models.pricing.curve import Facts
from models.pricing.pooling import Pooled, Tree, pool
from models.pricing.spec import USE_CASE
from models.rounding import sums
from tests.pricing_frames import CONTEXT, ROW, at, shop, sure

SAY = catalogue("pricing")

PRICES = st.floats(0.5, 5000).map(lambda price: round(price, 2))
SLOPES = st.floats(-8.0, -1.5)
ANY_SLOPES = st.floats(-8.0, -0.3)


@settings(max_examples=40, deadline=None)
@given(PRICES, SLOPES, st.floats(0.1, 0.95), st.sampled_from([0.01, 1.0]))
def test_every_recommendation_keeps_every_promise(price: float, mean: float, margin: float, step: float) -> None:
    assume(step < 0.1 * price)
    price = round(price / step) * step
    row = at(price, unit_cost=round(price * margin, 2), price_step=step)
    found = sure(mean).predict([row])[0]
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
    for what in ("quantity", "revenue", "profit"):
        assert details[f"expected_{what}_low"] <= details[f"expected_{what}"] <= details[f"expected_{what}_high"]
    assert len(found.summary) < 300 and "nan" not in found.summary


@settings(max_examples=40, deadline=None)
@given(PRICES, SLOPES, st.floats(0.1, 0.85), st.floats(0.01, 0.1))
def test_a_higher_cost_never_lowers_the_price(price: float, mean: float, margin: float, more: float) -> None:
    assume(price > 5)
    low = sure(mean).predict([at(price, unit_cost=price * margin)])[0]
    high = sure(mean).predict([at(price, unit_cost=price * (margin + more))])[0]
    assert low.value is not None and high.value is not None
    # The current price is kept where a change is worth less than a per cent, so a small step back may be that.
    assert high.value >= low.value - optimum.SAME_PRICE * price - 1e-9


@given(ANY_SLOPES, ANY_SLOPES, st.floats(1, 1000), st.floats(0.05, 0.95))
def test_the_steeper_the_demand_the_lower_the_best_price(one: float, two: float, price: float, margin: float) -> None:
    steep, flat = sorted((one, two))
    best = optimum.unconstrained(np.array([steep, flat]), price, price * margin)
    # Where the curve changes its form (elasticities near one) a step is allowed, on each side there is none.
    if (steep <= optimum.ELASTIC) == (flat <= optimum.ELASTIC):
        assert best[0] <= best[1] + 1e-9
    revenue = optimum.unconstrained(np.array([steep, flat]), price, None)
    assert revenue[0] <= revenue[1] + 1e-9


@given(ANY_SLOPES, st.floats(1, 1000), st.floats(0.01, 0.95) | st.none())
def test_the_best_price_is_best_on_its_own_curve(mean: float, price: float, margin: float | None) -> None:
    cost = None if margin is None else price * margin
    best = float(optimum.unconstrained(np.array([mean]), price, cost)[0])

    def earned(p: float) -> float:
        return (p - (cost or 0.0)) * optimum.quantity(p, price, mean, cost)

    assert earned(best) >= max(earned(best * 0.97), earned(best * 1.03)) - 1e-9


@given(ANY_SLOPES, st.floats(1, 1000), st.none() | st.floats(0.1, 0.9))
def test_demand_is_one_at_the_present_price_and_falls_with_it(mean: float, price: float, margin: float | None) -> None:
    cost = None if margin is None else price * margin
    assert optimum.quantity(price, price, mean, cost) == pytest.approx(1.0)
    said = [optimum.quantity(price * share, price, mean, cost) for share in (0.8, 0.9, 1.0, 1.1, 1.2)]
    assert said == sorted(said, reverse=True) and min(said) > 0


@given(st.floats(1, 500), st.sampled_from([0.01, 0.05, 0.5, 1.0, 10.0]), st.floats(0.2, 3))
def test_payable_prices_lie_on_steps_inside_the_bounds(price: float, step: float, wanted: float) -> None:
    allowed = optimum.Bounds(
        current=price, floor=price * 0.8, ceiling=price * 1.15, least_now=price * 0.9, most_now=price * 1.1
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
    found = sure(-3.0).predict([at(100.0, lowest_price=20.0, highest_price=30.0, unit_cost=cost)])[0]
    assert found.status == "refused"
    assert "outside the range it was sold at" in found.summary and "would mend it" in found.summary


@given(st.floats(0.05, 20), ANY_SLOPES, st.floats(1, 1000), st.none() | st.floats(0.1, 0.9))
def test_the_price_that_sells_a_share_does(share: float, mean: float, price: float, margin: float | None) -> None:
    cost = None if margin is None else price * margin
    found = optimum.selling_out(share, price, mean, cost)
    assume(found > price / 100)
    assert optimum.quantity(found, price, mean, cost) == pytest.approx(share)


def facts(mean: float, sd: float = 0.2, **other: object) -> Facts:
    model = sure(mean, sd, **other)  # type: ignore[arg-type]
    return model.facts(ROW)


@pytest.mark.parametrize(
    ("field", "least", "words"),
    [("weeks", identify.LEAST_WEEKS, "weeks"), ("price_count", identify.LEAST_PRICES, "distinct prices"),
     ("price_spread", identify.LEAST_SPREAD, "a spread of")],
)  # fmt: skip
def test_the_thresholds_of_identification_are_inclusive(field: str, least: float, words: str) -> None:
    known = facts(-3.0)
    assert identify.refusal(ROW | {field: least}, known) is None
    row = ROW | {field: least - 1 if isinstance(least, int) else least - 0.001}
    refused = identify.refusal(row, known)
    assert refused is not None and words in identify.told(refused, row, known, SAY)


@pytest.mark.parametrize(
    ("mean", "sd", "reason"),
    [(-2.6, 0.97, None), (-2.6, 0.98, "turning"), (-1.645, 1.001, "none"), (-1.05, 0.2, "turning"), (-0.4, 0.1, "turning"), (-3, 0.1, None)],
)  # fmt: skip
def test_an_elasticity_counts_when_its_interval_lies_below_minus_one(
    mean: float, sd: float, reason: str | None
) -> None:
    refused = identify.refusal(ROW, facts(mean, sd))
    assert (None if refused is None else refused.code) == reason


@pytest.mark.parametrize("daily", [0.0, 0.01, 0.5, 5.0, 5000.0])
@pytest.mark.parametrize("period_days", [1, 7])
def test_a_price_test_is_always_of_a_length_one_can_run(daily: float, period_days: int) -> None:
    row = ROW | {"recent": ROW["recent"] | {"quantity": [daily * period_days] * 20}, "period_days": period_days}
    text = identify.price_test(row, facts(-3.0), SAY)
    weeks = [int(word) for word in text.split() if word.isdigit() and "weeks" in text]
    assert ("larger steps" in text) != bool(weeks)
    assert all(4 <= found <= 26 for found in weeks[-1:])


def pooled(own: list[float], error: list[float], products: list[int], groups: list[int], effect: float = 1.0) -> Pooled:
    """Partial pooling of one column from estimates and standard errors."""
    information = 1 / np.array(error)[:, None, None] ** 2
    tree = Tree(np.array(products), np.array(groups), max(groups) + 1)
    return pool(
        information, information[:, :, 0] * np.array(own)[:, None], tree, np.full(len(groups), effect),
        prior_mean=np.array([-1.5]), prior_sd=np.array([5.0]), centred=[False], floor=np.array([0.01]),
    )  # fmt: skip


def test_a_thin_product_takes_its_group_s_elasticity() -> None:
    own, error = [-3.1, -2.9, -3.0, -1.0, -1.1, -0.9, 6.0], [0.1] * 6 + [2.9]
    found = pooled(own, error, list(range(7)), [0, 0, 0, 1, 1, 1, 0])
    assert found.unit[6, 0] == pytest.approx(-3.0, abs=0.25), "next to nothing of its own evidence counts"
    assert found.group[0, 0] < -2.7 and found.group[1, 0] > -1.3
    assert np.abs(found.unit[:6, 0] - own[:6]).max() < 0.15
    assert found.unit_variance[6, 0] > found.unit_variance[0, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-8, 4), st.floats(0.05, 20)), min_size=3, max_size=12),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_shrinkage_moves_every_estimate_towards_its_centre(pairs: list[tuple[float, float]], groups: list[int]) -> None:
    own, error = ([pair[n] for pair in pairs] for n in (0, 1))
    inside = [sorted(set(groups[: len(own)])).index(group) for group in groups[: len(own)]]
    found = pooled(own, error, list(range(len(own))), inside)
    centre = found.group[inside, 0]
    assert np.isfinite(found.unit).all() and (found.unit_variance >= 0).all()
    low, high = np.minimum(own, centre), np.maximum(own, centre)
    assert ((low - 1e-6 <= found.unit[:, 0]) & (found.unit[:, 0] <= high + 1e-6)).all()


def test_tiers_are_drawn_to_their_product_and_share_its_weeks() -> None:
    own, error = [-2.0, -2.4, -2.2, -4.0, -4.4, -4.2], [0.3] * 6
    alone = pooled(own, error, [0, 0, 0, 1, 1, 1], [0, 0])
    assert np.ptp(alone.unit[:3, 0]) < 0.4 and np.ptp(alone.unit[3:, 0]) < 0.4
    assert alone.product[0, 0] > -3 > alone.product[1, 0]
    shared = pooled(own, error, [0, 0, 0, 1, 1, 1], [0, 0], effect=20.0)
    assert (shared.product_variance > alone.product_variance).all(), "tiers that share their weeks tell less"


def test_the_vaguer_of_two_estimates_moves_more() -> None:
    own = [-1.0, -3.0, -1.0, -3.0]
    moved = pooled(own, [0.1, 0.1, 2.0, 2.0], [0, 1, 2, 3], [0, 0, 0, 0])
    shift = np.abs(moved.unit[:, 0] - own)
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
