"""Contributions that sum exactly, whatever goes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import Contribution
from models.rounding import additive, rounded, sums

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def part(name: str, effect: float) -> Contribution:
    return Contribution(name, name.title(), effect, False)


@given(NUMBERS, NUMBERS, st.lists(NUMBERS, max_size=9), st.integers(0, 4))
def test_always_exact(value: float, baseline: float, effects: list[float], decimals: int) -> None:
    parts = [part(f"f{number}", effect) for number, effect in enumerate(effects)]
    found = additive(value, baseline, parts, decimals=decimals)
    assert sums(rounded(value, decimals), rounded(baseline, decimals), found, decimals=decimals)
    assert len(found) <= 6
    assert sums(value, baseline, found, decimals=decimals)


def test_keeps_the_largest_and_puts_the_rest_into_other() -> None:
    found = additive(110, 100, [part("a", 1), part("b", 7), part("c", -3), part("d", 5)], decimals=0, keep=2)
    assert [(c.factor, c.effect) for c in found] == [("b", 7.0), ("d", 5.0), ("other", -2.0)]


def test_nothing_left_over_means_no_other() -> None:
    assert [c.factor for c in additive(0.3, 0.1, [part("a", 0.2)], decimals=4)] == ["a"]


def test_order_does_not_depend_on_the_input() -> None:
    one, two = part("a", 2), part("b", -2)
    assert additive(0, 0, [one, two], decimals=0) == additive(0, 0, [two, one], decimals=0)


def test_an_other_part_is_merged() -> None:
    found = additive(10, 0, [part("a", 6), part("other", 3)], decimals=0)
    assert [(c.factor, c.effect) for c in found] == [("a", 6.0), ("other", 4.0)]


def test_only_finite_numbers() -> None:
    with pytest.raises(InvalidInput, match="finite"):
        rounded(float("nan"), 2)
    assert str(rounded(-0.001, 2)) == "0.0"
