"""Agreement of a challenger with the champion: differences, intervals, order, and silence where nothing can be said."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.insight import Interval
from models.base import Prediction
from models.shadow import agreement
from tests.publishing import prediction


def said(**values: float | None) -> dict[str, Prediction]:
    return {key: one(key, value) for key, value in values.items()}


def one(key: str, value: float | None, **changes: Any) -> Prediction:
    if value is None:
        return replace(prediction(key, status="refused", interval=None), value=None)
    return prediction(key, value, **changes)


def test_differences_are_the_challenger_s_less_the_champion_s() -> None:
    found = agreement(said(a=100.0, b=200.0, c=300.0), said(a=110.0, b=190.0, c=360.0))
    assert found["compared"] == 3 and found["same_status"] == 1.0
    assert found["mean_difference"] == 20.0
    assert found["mean_absolute_difference"] == pytest.approx(80 / 3)
    assert found["relative_difference"] == pytest.approx(80 / 600)
    assert found["rank_correlation"] == pytest.approx(1.0)


def test_the_share_inside_the_champion_s_interval() -> None:
    """Intervals of the helper go from 80 below the value to 65 above."""
    found = agreement(said(a=100.0, b=100.0, c=100.0, d=100.0), said(a=100.0, b=165.0, c=20.0, d=166.0))
    assert found["within_interval"] == 0.75
    bare = {"a": one("a", 100.0, interval=None), "b": one("b", 100.0, interval=Interval(0.8, 90.0, 110.0))}
    assert agreement(bare, said(a=500.0, b=105.0))["within_interval"] == 1.0, "what has no interval is not judged by it"


def test_an_order_turned_round_and_ties() -> None:
    up, down = said(a=1.0, b=2.0, c=3.0, d=4.0), said(a=4.0, b=3.0, c=2.0, d=1.0)
    assert agreement(up, down)["rank_correlation"] == pytest.approx(-1.0)
    tied = agreement(up, said(a=1.0, b=1.0, c=2.0, d=2.0))["rank_correlation"]
    assert tied == pytest.approx(0.894427, abs=1e-6), "as scipy.stats.spearmanr has it"


def test_refusals_on_one_side_count_as_disagreement_and_are_not_compared() -> None:
    found = agreement(said(a=100.0, b=100.0, c=None), said(a=100.0, b=None, c=None))
    assert found["compared"] == 1 and found["same_status"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["mean_difference"] == 0.0 and found["rank_correlation"] is None


def test_nothing_shared_says_nothing() -> None:
    for ours, theirs in (({}, {}), (said(a=1.0), said(b=1.0)), (said(a=None), said(a=None))):
        found = agreement(ours, theirs)
        assert found["compared"] == 0
        assert all(found[name] is None for name in ("mean_difference", "relative_difference", "within_interval"))


def test_no_spread_gives_no_order_and_zero_no_ratio() -> None:
    found = agreement(said(a=0.0, b=0.0, c=0.0), said(a=0.0, b=1.0, c=2.0))
    assert found["rank_correlation"] is None and found["relative_difference"] is None
    assert found["mean_absolute_difference"] == 1.0


@given(st.dictionaries(st.text(max_size=3), st.floats(-1e9, 1e9), max_size=12))
def test_a_challenger_that_says_the_same_agrees_wholly(values: dict[str, float]) -> None:
    both = {key: one(key, value) for key, value in values.items()}
    found = agreement(both, both)
    assert found["compared"] == len(values)
    if values:
        assert found["mean_absolute_difference"] == 0.0
        assert found["within_interval"] == 1.0
        assert found["rank_correlation"] is None or found["rank_correlation"] == pytest.approx(1.0)
