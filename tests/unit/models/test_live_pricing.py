"""What if the price were 25: a week at any price beside the recommended one, or the reason why nobody can tell."""

from dataclasses import replace
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.steps.predictions import Failure, finished
from models.base import Prediction
from models.pricing.live import ASKED, LIVE
from models.pricing.predict import KeepPrice
from models.registry import live
from tests.pricing_frames import CONTEXT, ROW, sure

MODEL = sure(-2.0)


def asked(said: dict[str, Any], model: Any = MODEL, row: dict[str, Any] = ROW) -> Prediction:
    laid = LIVE.laid_over(row, LIVE.read(said), CONTEXT)
    found = finished(LIVE.asking(model).predict([laid])[0], 2)
    assert not isinstance(found, Failure), found
    return found


def test_a_price_is_compared_with_the_recommended_one() -> None:
    (standing,) = MODEL.predict([ROW])
    found = asked({"price": 115})
    week = MODEL.what_if(ROW, 115)
    assert found.value == 115 and found.baseline == standing.value and found.interval is None
    assert found.details["expected_profit"] == week["profit"]
    gap = found.details["what_if"]
    assert gap["compared_with"] == "recommended" and gap["price"] == standing.value
    assert gap["profit_difference"] == pytest.approx(week["profit"] - standing.details["expected_profit"], abs=0.02)
    assert standing.value is not None and gap["quantity_difference"] < 0 < 115 - standing.value
    assert [part.factor for part in found.contributions] == ["asked_price"]
    assert "At 115 TWD about" in found.summary and "against the recommended price" in found.summary


def test_the_recommended_price_itself_differs_from_nothing() -> None:
    (standing,) = MODEL.predict([ROW])
    found = asked({"price": standing.value})
    assert found.contributions == () and found.details["what_if"]["profit_difference"] == 0


def test_beyond_what_was_paid_the_answer_says_so() -> None:
    found = asked({"price": "300"})
    assert found.confidence_label == "low" and "goes beyond" in found.summary.replace("figures go", "figures goes")
    assert not found.details["what_if"]["is_in_range"]


def test_without_a_cost_revenue_is_compared() -> None:
    found = asked({"price": 90, "unit_cost": None})
    assert "revenue of" in found.summary and "profit_difference" not in found.details["what_if"]
    assert found.details["expected_profit"] is None


def test_another_cost_recommends_anew() -> None:
    dear, cheap = (asked({"unit_cost": cost}) for cost in (80, 20))
    assert dear.value is not None and cheap.value is not None and dear.value > cheap.value
    assert ASKED not in LIVE.laid_over(ROW, {"unit_cost": 80.0}, CONTEXT)


def test_what_history_cannot_tell_is_refused_for_any_price() -> None:
    found = asked({"price": 110}, sure(1.0))
    assert found.status == "refused" and found.value is None and found.contributions == ()
    assert "sold more at higher prices" in found.summary


def test_the_rule_says_that_a_price_makes_no_difference_to_it() -> None:
    found = asked({"price": 110}, KeepPrice())
    assert found.value == ROW["current_price"] and found.status == "fallback"
    assert LIVE.unused(KeepPrice(), ROW, {"price": 110.0}) == {"price": "no model tells what a price brings"}
    assert LIVE.unused(MODEL, ROW, {"price": 110.0}) == {}


@pytest.mark.parametrize("price", [0, -1, "nan", "inf", 1e300, True, None, "dear", [25], 1e-9])
def test_prices_that_are_none_are_named(price: Any) -> None:
    with pytest.raises(InvalidInput, match="price .* is not allowed; allowed:"):
        asked({"price": price})


def test_other_fields_are_named_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="'prise' is not a field; allowed: price, unit_cost"):
        LIVE.read({"prise": 3})
    assert live("pricing") is LIVE and LIVE.blank(CONTEXT, None) is None
    assert replace(asked({"price": 100}), summary="").value == 100


def test_a_price_beyond_the_partner_s_own_bounds_is_answered_and_says_so() -> None:
    own = {
        "floor": 95.0,
        "floor_currency": ROW["currency"],
        "ceiling": None,
        "ceiling_currency": None,
        "max_change": None,
    }
    row = ROW | {"own_bounds": own}
    found = asked({"price": 94}, row=row)
    assert found.value == 94 and found.summary.endswith(" 94 lies below your floor of 95.")
    assert found.details["own_bounds"] == own and "your floor" not in asked({"price": 95}, row=row).summary
