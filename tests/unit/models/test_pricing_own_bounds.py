"""A partner's own floor, ceiling and largest change: kept by every price, named where they hold it, refused where none can."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from integrator.contracts.currencies import digits
from integrator.contracts.price_rules import PriceRule
from models.base import FeatureRow, FittedModel, Prediction
from models.pricing import optimum
from models.pricing.predict import KeepPrice
from models.pricing.spec import USE_CASE
from models.rounding import sums
from tests.pricing_frames import CONTEXT, at, shop, sure


def bounded(price: float = 100.0, *, currency: str = "TWD", own: dict[str, Any], **other: Any) -> FeatureRow:
    """A product sold at 80 to 120 per cent of its price, with bounds as its feature row carries them."""
    told = dict.fromkeys(("floor", "floor_currency", "ceiling", "ceiling_currency", "max_change")) | own
    for name in ("floor", "ceiling"):
        if told[name] is not None and told[f"{name}_currency"] is None:
            told[f"{name}_currency"] = currency
    return at(price, currency=currency, own_bounds=told, **other)


def only(model: FittedModel, row: FeatureRow) -> Prediction:
    (found,) = model.predict([json.loads(json.dumps(row))])
    json.dumps(found.details, allow_nan=False)
    assert len(found.summary) < 350 and "nan" not in found.summary and "inf" not in found.summary
    return found


def factors(found: Prediction) -> dict[str, float]:
    return {part.factor: part.effect for part in found.contributions}


def test_a_floor_holds_a_price_that_would_earn_more_below_it() -> None:
    free, held = only(sure(-4.0), at(100.0)), only(sure(-4.0), bounded(own={"floor": 95.0}))
    assert free.value == 90.0 and held.value == 95.0
    assert factors(held)["set_floor"] > 0 and held.details["binding"] == "set_floor"
    assert held.summary.endswith("; limited by your floor of 95.")
    assert (held.details["floor"], held.details["bounds_from"]["floor"]) == (95.0, "partner")
    assert held.details["bounds_from"]["ceiling"] == "observed" and held.details["own_bounds"]["floor"] == 95.0
    assert free.details["own_bounds"] is None and free.details["bounds_from"]["floor"] == "observed"
    assert [part.label for part in held.contributions if part.factor == "set_floor"] == ["Your floor of 95"]


def test_a_ceiling_holds_a_price_that_would_earn_more_above_it() -> None:
    held = only(sure(-2.0), bounded(own={"ceiling": 104.0}))
    assert held.value == 104.0 and held.details["binding"] == "set_ceiling"
    assert factors(held)["set_ceiling"] < 0 and "limited by your ceiling of 104" in held.summary
    assert held.details["bounds_from"] == {"floor": "observed", "ceiling": "partner", "max_change": "default"}


@pytest.mark.parametrize(("share", "value", "said"), [(0.02, 98.0, "2 %"), (0.025, 97.5, "2.5 %"), (0.3, 86.0, "")])
def test_a_largest_change_takes_the_place_of_ours(share: float, value: float, said: str) -> None:
    found = only(sure(-3.3), bounded(own={"max_change": share}))
    assert found.value == pytest.approx(value, abs=0.1)
    assert (found.details["max_change"], found.details["bounds_from"]["max_change"]) == (share, "partner")
    assert f"your largest change of {said} at once" in found.summary if said else "limited" not in found.summary


def test_at_the_floor_the_price_is_kept_and_the_floor_named() -> None:
    found = only(sure(-4.0), bounded(own={"floor": 100.0}))
    assert found.value == 100.0 and "but your floor of 100 leaves no change worth making" in found.summary


def test_a_price_below_the_floor_is_led_to_it_at_once_where_one_change_reaches() -> None:
    found = only(sure(-4.0), bounded(90.0, own={"floor": 95.0}))
    assert found.value == 95.0 and "90 lies below your floor of 95." in found.summary
    assert "not certain" not in found.summary and sums(95.0, 90.0, found.contributions, decimals=2)
    assert found.interval is not None and found.interval.low == 95.0


@pytest.mark.parametrize(
    ("price", "own", "value", "said"),
    [
        (90.0, {"floor": 95.0, "max_change": 0.02}, 91.8, "90 lies below your floor of 95."),
        (90.0, {"ceiling": 80.0}, 81.0, "90 lies above your ceiling of 80."),
        (100.0, {"ceiling": 90.0, "max_change": 0.05}, 95.0, "100 lies above your ceiling of 90."),
    ],
)
def test_a_price_far_outside_goes_there_by_its_largest_change(
    price: float, own: dict[str, Any], value: float, said: str
) -> None:
    for model in (sure(-4.0), sure(-2.0), KeepPrice()):
        found = only(model, bounded(price, own=own))
        assert found.value == value and said.removesuffix(".").removeprefix(f"{price:g} ") in found.summary
        assert found.details["binding"] == "max_change" and sums(value, price, found.contributions, decimals=2)
        assert ("largest change" in found.summary) == ("max_change" in own)


def test_on_the_way_only_prices_on_the_partner_s_steps_are_named() -> None:
    found = only(sure(-4.0), bounded(80.0, own={"floor": 95.0}, price_step=5.0, highest_price=120.0))
    assert found.value == 85.0
    no_step = only(sure(-4.0), bounded(80.0, own={"floor": 95.0}, price_step=20.0, highest_price=120.0))
    assert no_step.value == 88.0, "a step too wide leads nowhere, and the floor has to be come to"
    assert no_step.interval is not None and no_step.interval.low == no_step.interval.high == 88.0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (bounded(own={"floor": 150.0}), "your floor of 150 lies above the prices whose effect is known, up to 126"),
        (bounded(own={"ceiling": 60.0}, unit_cost=None), "your ceiling of 60 lies below the prices whose effect is known, from 76"),
        (bounded(own={"ceiling": 85.0}, unit_cost=90.0), "your ceiling of 85 lies below the unit cost, 90 TWD"),
        (bounded(own={"floor": 99.0, "ceiling": 98.5}), "your floor of 99 lies above your ceiling of 98.5"),
        (bounded(own={"floor": 95.0, "floor_currency": "USD"}), "floor of 95 is in USD, and it is sold in TWD"),
        (bounded(own={"ceiling": 95.0, "ceiling_currency": "EUR", "floor": 90.0}), "ceiling of 95 is in EUR"),
        (bounded(5.0, currency="JPY", own={"floor": 6.0, "max_change": 0.05}), "is less than the smallest coin"),
    ],
)  # fmt: skip
def test_what_no_price_can_keep_is_refused_with_the_reason(row: FeatureRow, said: str) -> None:
    found = only(sure(-4.0), row)
    assert (found.status, found.value, found.contributions) == ("refused", None, ()) and said in found.summary
    assert "would mend it" in found.summary and found.details["own_bounds"] == row["own_bounds"]
    assert str(found.details["identification"]["reason"]).startswith("own_")


def test_a_cost_out_of_reach_is_still_the_reason() -> None:
    found = only(sure(-4.0), bounded(80.0, unit_cost=100.0, own={"floor": 95.0}))
    assert found.status == "refused" and "unit cost of 100" in found.summary
    assert found.summary.endswith(" 80 lies below your floor of 95."), "said beside whatever else is the reason"


def test_a_product_that_is_refused_anyway_is_still_told_that_it_is_below_the_floor() -> None:
    found = only(sure(-0.5, 1.0), bounded(80.0, own={"floor": 95.0}))
    assert found.status == "refused" and found.summary.endswith(" 80 lies below your floor of 95.")


# --- the rule, which has no model -----------------------------------------------------------------------------------


def test_the_rule_keeps_a_price_inside_the_bounds_and_shows_them() -> None:
    found = only(KeepPrice(), bounded(own={"floor": 95.0}))
    assert (found.status, found.value, found.baseline, found.contributions) == ("fallback", 100.0, 100.0, ())
    assert (found.details["floor"], found.details["ceiling"]) == (95.0, None)
    assert found.details["bounds_from"] == {"floor": "partner"} and found.details["expected_quantity"] == 35.0
    bare = only(KeepPrice(), at(100.0))
    assert (bare.details["floor"], bare.details["bounds_from"], bare.details["max_change"]) == (None, None, None)


def test_the_rule_never_keeps_a_price_below_the_floor() -> None:
    found = only(KeepPrice(), bounded(80.0, own={"floor": 95.0}))
    assert (found.status, found.value, found.baseline) == ("fallback", 88.0, 80.0)
    assert factors(found) == {"set_floor": 15.0, "max_change": -7.0}
    assert found.summary == (
        "Raise the price from 80 to 88 TWD (+10.0 %): it lies below your floor of 95; limited by the maximum change of "
        "10 % at once. No model tells yet what that would bring."
    )
    assert found.details["expected_quantity"] is None and found.details["expected_revenue"] is None
    at_once = only(KeepPrice(), bounded(80.0, own={"floor": 95.0, "max_change": 0.5}))
    assert at_once.value == 95.0 and "limited" not in at_once.summary


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"floor": 95.0, "floor_currency": "USD"}, "is in USD"),
        ({"floor": 95.0, "ceiling": 90.0}, "lies above your ceiling of 90"),
    ],
)
def test_the_rule_refuses_what_no_price_can_keep(own: dict[str, Any], said: str) -> None:
    found = only(KeepPrice(), bounded(own=own))
    assert (found.status, found.value, found.baseline) == ("refused", None, None) and said in found.summary


# --- whatever the bounds --------------------------------------------------------------------------------------------


SHARES = st.none() | st.floats(0.3, 1.6)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([3.0, 25.0, 129.0, 1500.0]), SHARES, SHARES, st.none() | st.floats(0.001, 1.0),
    st.sampled_from([0.01, 1.0, 50.0]), st.sampled_from([-4.0, -2.0, None]), st.sampled_from(["TWD", "JPY"]),
)  # fmt: skip
def test_no_price_goes_away_from_the_bounds_or_beyond_the_largest_change(
    price: float, low: float | None, high: float | None, most: float | None, step: float, mean: float | None, currency: str
) -> None:  # fmt: skip
    assume(low is None or high is None or low <= high)
    decimals = digits(currency)
    own = {
        "floor": None if low is None else max(round(price * low, decimals), 10.0**-decimals),
        "ceiling": None if high is None else max(round(price * high, decimals), 10.0**-decimals),
        "max_change": None if most is None else max(round(most, 4), 0.0001),
    }
    row = bounded(price, currency=currency, own=own, price_step=max(step, 10.0**-decimals))
    found = only(KeepPrice() if mean is None else sure(mean), row)
    if found.value is None:
        assert found.status == "refused" and "would mend it" in found.summary
        return
    assert abs(found.value - price) <= (own["max_change"] or optimum.MAX_CHANGE) * price + 1e-6
    assert sums(found.value, price, found.contributions, decimals=decimals)
    floor, ceiling = own["floor"] or 0.0, own["ceiling"] or float("inf")
    inside = floor <= price <= ceiling
    edge = min(max(price, floor), ceiling)
    is_nearer = abs(found.value - edge) < abs(price - edge)
    assert floor - 1e-9 <= found.value <= ceiling + 1e-9 or (is_nearer and not inside)
    if found.interval is not None:
        assert found.interval.low <= found.value <= found.interval.high
    assert inside == ("lies below your" not in found.summary and "lies above your" not in found.summary)


def test_rows_carry_the_bounds_of_their_product_alone() -> None:
    rules = (
        PriceRule(max_change=Decimal("0.05")),
        PriceRule(product="p00", floor=Decimal("95.5"), currency="TWD"),
        PriceRule(platform="stripe", product="p01", floor=Decimal(1), currency="TWD"),
    )
    frame = shop(3)
    found = {row["product"]: row["own_bounds"] for row in USE_CASE.rows(frame, replace(CONTEXT, price_rules=rules))}
    assert (found["p00"]["floor"], found["p00"]["floor_currency"], found["p00"]["max_change"]) == (95.5, "TWD", 0.05)
    assert found["p01"]["floor"] is None and found["p01"]["max_change"] == 0.05
    assert {row["own_bounds"] for row in USE_CASE.rows(frame, CONTEXT)} == {None}


def test_a_row_from_before_there_were_bounds_is_priced_as_ever() -> None:
    row = at(100.0)
    assert "own_bounds" not in row
    assert only(sure(-4.0), row) == only(sure(-4.0), row | {"own_bounds": None})
    assert only(KeepPrice(), row) == only(KeepPrice(), row | {"own_bounds": None})
