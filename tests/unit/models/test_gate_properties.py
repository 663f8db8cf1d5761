"""The gate and the exact sums, whatever the figures: promises that no combination of numbers breaks."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.insight import Contribution
from models.base import Backtest, Score
from models.gate import COVERAGE_TOLERANCE, REFRESH_MARGIN, SEGMENT_MARGIN, gate
from models.rounding import OTHER, additive, rounded, sums

METRICS = st.floats(0.01, 10)
ANY = METRICS | st.just(math.nan) | st.just(math.inf)
COVERAGES = st.none() | st.floats(0, 1)
SEGMENTS = st.dictionaries(st.sampled_from(["weekdays", "weekends", "far"]), METRICS, max_size=3)


@st.composite
def backtests(draw: st.DrawFn) -> Backtest:
    segments = draw(SEGMENTS)
    rule = Score(
        candidate="naive", is_rule=True, metrics={"mase": draw(METRICS)}, coverage=0.8, segments=draw(SEGMENTS)
    )
    mine = Score(
        candidate="model", is_rule=False, metrics={"mase": draw(ANY)}, coverage=draw(COVERAGES), segments=segments,
        coverage_cases=draw(st.none() | st.integers(1, 10_000)),
    )  # fmt: skip
    return Backtest(
        gate_metric="mase", chosen=draw(st.sampled_from(["model", "naive"])), scores=(rule, mine),
        observations=draw(st.integers(1, 999)), split=draw(st.sampled_from(["", "a", "b"])),
    )  # fmt: skip


@given(backtests(), st.none() | backtests())
def test_whatever_is_promoted_beats_the_rule_covers_and_is_a_model(
    challenger: Backtest, champion: Backtest | None
) -> None:
    verdict = gate(challenger, champion)
    assert verdict.reasons and all(reason.endswith(".") for reason in verdict.reasons)
    if not verdict.promote:
        return
    chosen = challenger.score(challenger.chosen)
    assert not chosen.is_rule and chosen.metrics["mase"] < challenger.rule.metrics["mase"]
    assert chosen.coverage is not None
    if chosen.coverage_cases is None or chosen.coverage_cases > 1000:
        assert abs(chosen.coverage - 0.8) < COVERAGE_TOLERANCE + 0.03
    if champion is not None and challenger.split and challenger.split == champion.split:
        old = champion.score(champion.chosen)
        assert chosen.metrics["mase"] < old.metrics["mase"]
        for name in chosen.segments.keys() & old.segments.keys():
            assert chosen.segments[name] <= old.segments[name] * (1 + SEGMENT_MARGIN) + 1e-9


@given(backtests())
def test_nothing_replaces_itself_on_the_same_split(challenger: Backtest) -> None:
    same = replace(challenger, split="a")
    assert not gate(same, same).promote


@given(backtests(), backtests())
def test_a_refusal_says_first_what_failed(challenger: Backtest, champion: Backtest) -> None:
    verdict = gate(challenger, champion)
    failing = ("does not", "do not cover", "No coverage", "the rule rung stays", "are over", "not comparable")
    assert verdict.promote is not any(words in verdict.reasons[0] for words in failing)


@given(backtests(), st.floats(0.5, 0.99))
def test_a_better_score_never_loses_a_promotion(challenger: Backtest, share: float) -> None:
    if not gate(challenger, None).promote:
        return
    rule, mine = challenger.scores
    better = replace(mine, metrics={"mase": mine.metrics["mase"] * share},
                     segments={name: value * share for name, value in mine.segments.items()})  # fmt: skip
    assert gate(replace(challenger, scores=(rule, better)), None).promote


@pytest.mark.parametrize(
    ("share", "promoted"), [(1.0, True), (1 + REFRESH_MARGIN, True), (1 + REFRESH_MARGIN + 1e-3, False)]
)
def test_a_refit_on_newer_data_may_be_a_little_worse(share: float, promoted: bool) -> None:
    def made(metric: float, split: str) -> Backtest:
        scores = (
            Score(candidate="naive", is_rule=True, metrics={"mase": 1.0}, coverage=0.8),
            Score(candidate="model", is_rule=False, metrics={"mase": metric}, coverage=0.8),
        )
        return Backtest(gate_metric="mase", chosen="model", scores=scores, observations=9, split=split)

    assert gate(made(0.5 * share - 1e-9, "b"), made(0.5, "a")).promote is promoted


NUMBERS = st.floats(-1e7, 1e7, allow_nan=False)
PARTS = st.lists(
    st.builds(Contribution, st.sampled_from(["a", "b", "c", "d", OTHER]), st.just("Label"), NUMBERS, st.booleans()),
    max_size=9,
)


@given(NUMBERS, st.integers(0, 6))
def test_rounding_is_stable_and_near(value: float, decimals: int) -> None:
    found = rounded(value, decimals)
    assert rounded(found, decimals) == found
    assert abs(Decimal(repr(found)) - Decimal(repr(value))) <= Decimal(1).scaleb(-decimals) / 2
    assert math.copysign(1.0, found) == 1.0 or found != 0


@settings(max_examples=200)
@given(NUMBERS, NUMBERS, PARTS, st.integers(0, 4), st.integers(0, 9))
def test_contributions_sum_exactly_and_the_largest_come_first(
    value: float, baseline: float, parts: list[Contribution], decimals: int, keep: int
) -> None:
    found = additive(value, baseline, parts, decimals=decimals, keep=keep)
    assert sums(value, baseline, found, decimals=decimals)
    named = [part for part in found if part.factor != OTHER]
    assert len(named) <= keep and all(part.effect != 0 for part in found)
    sizes = [abs(part.effect) for part in named]
    assert sizes == sorted(sizes, reverse=True)
    assert [part.factor for part in found].count(OTHER) <= 1
    assert not found or found[-1].factor == OTHER or OTHER not in [part.factor for part in found]


@given(NUMBERS, NUMBERS, PARTS, st.randoms())
def test_the_order_that_comes_in_does_not_matter(
    value: float, baseline: float, parts: list[Contribution], random: object
) -> None:
    unique = list({part.factor: part for part in parts}.values())
    shuffled = list(unique)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert additive(value, baseline, unique, decimals=2) == additive(value, baseline, shuffled, decimals=2)


@given(NUMBERS, NUMBERS, PARTS)
def test_a_sum_that_is_off_by_one_digit_is_noticed(value: float, baseline: float, parts: list[Contribution]) -> None:
    found = additive(value, baseline, parts, decimals=2)
    assert not sums(value, baseline, [*found, Contribution("more", "More", 0.01, False)], decimals=2)
