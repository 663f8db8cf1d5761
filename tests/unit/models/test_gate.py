"""The gate: every reason it can refuse for, and the sentences with their numbers."""

from dataclasses import replace
from typing import Any

from models.base import Backtest, Score
from models.gate import gate, rank


def backtest(
    mine: float, *, rule: float = 1.0, coverage: float | None = 0.8, split: str = "a", **other: Any
) -> Backtest:
    segments = other.get("segments", {"all": mine})
    return Backtest(
        gate_metric=other.get("metric", "mase"),
        chosen=other.get("chosen", "model"),
        scores=(
            Score(candidate="naive", is_rule=True, metrics={other.get("metric", "mase"): rule}, coverage=0.8,
                  segments=dict.fromkeys(segments, rule)),
            Score(candidate="model", is_rule=False, metrics={other.get("metric", "mase"): mine}, coverage=coverage,
                  segments=segments),
        ),
        observations=100,
        split=split,
    )  # fmt: skip


def test_the_first_model_needs_to_beat_the_rule_alone() -> None:
    verdict = gate(backtest(0.9), None)
    assert verdict.promote
    assert verdict.reasons[0] == "model beats the naive rule naive: mase 0.9 against 1 on 100 observations."


def test_worse_than_the_rule_or_equal_is_refused_first() -> None:
    for value in (1.0, 1.2, float("nan")):
        verdict = gate(backtest(value), None)
        assert not verdict.promote
        assert "does not beat the naive rule" in verdict.reasons[0]


def test_what_pure_noise_would_win_by_is_no_gain() -> None:
    verdict = gate(backtest(0.9985), None)
    assert not verdict.promote
    assert verdict.reasons[0].startswith("model hardly beats the naive rule naive: mase 0.9985 against 1 ")
    assert gate(backtest(0.9975), None).promote


def test_the_rule_itself_is_never_promoted() -> None:
    verdict = gate(backtest(1.5, chosen="naive"), None)
    assert not verdict.promote
    assert "the rule rung stays" in verdict.reasons[0]


def test_on_the_same_split_the_champion_must_be_beaten() -> None:
    assert gate(backtest(0.80), backtest(0.85)).promote
    same = gate(backtest(0.85), backtest(0.85))
    assert not same.promote
    assert same.reasons[0] == "It does not beat the champion on the same split: mase 0.85 against 0.85."


def test_on_another_split_skill_is_compared_and_said_so() -> None:
    refit = gate(backtest(1.29, rule=1.5, split="b"), backtest(0.85))
    assert refit.promote
    assert any("different split" in reason and "86.0%" in reason for reason in refit.reasons)
    assert not gate(backtest(1.35, rule=1.5, split="b"), backtest(0.85)).promote


def test_coverage_too_low_too_high_or_unknown() -> None:
    for coverage, words in ((0.65, "65.0% realized"), (0.95, "95.0% realized"), (None, "No coverage was measured")):
        verdict = gate(backtest(0.9, coverage=coverage), None)
        assert not verdict.promote
        assert words in verdict.reasons[0]
    assert gate(backtest(0.9, coverage=0.70), None).promote
    assert gate(backtest(0.9, coverage=0.90), None).promote


def test_no_segment_may_get_much_worse() -> None:
    champion = backtest(0.9, segments={"weekends": 0.8, "weekdays": 0.95})
    verdict = gate(backtest(0.85, segments={"weekends": 0.9, "weekdays": 0.8}), champion)
    assert not verdict.promote
    assert "weekends (0.9 against 0.8)" in verdict.reasons[0]
    assert gate(backtest(0.85, segments={"weekends": 0.87, "weekdays": 0.8}), champion).promote
    assert not gate(backtest(0.9, segments={"weekends": 1.2}), None).promote


def test_another_metric_cannot_be_compared() -> None:
    verdict = gate(backtest(0.5), backtest(0.6, metric="log_loss"))
    assert not verdict.promote
    assert "not comparable" in verdict.reasons[0]


def test_few_intervals_leave_room_for_chance_and_many_do_not() -> None:
    few = replace(backtest(0.9, coverage=0.60), scores=scores_with(backtest(0.9, coverage=0.60), 20))
    assert gate(few, None).promote
    assert any("for 20 intervals" in reason for reason in gate(few, None).reasons)
    many = replace(few, scores=scores_with(few, 2000))
    assert not gate(many, None).promote
    hopeless = replace(few, scores=scores_with(backtest(0.9, coverage=0.30), 20))
    assert not gate(hopeless, None).promote


def scores_with(source: Backtest, cases: int) -> tuple[Score, ...]:
    return tuple(replace(score, coverage_cases=cases) for score in source.scores)


def test_several_challengers_are_ranked_those_that_pass_first() -> None:
    champion = backtest(0.9)
    found = rank(
        {
            "too wide": backtest(0.5, coverage=0.99), "good": backtest(0.8), "better": backtest(0.7),
            "worse": backtest(0.95), "unknown": backtest(float("nan")),
        },
        champion,
    )  # fmt: skip
    assert list(found) == ["better", "good", "too wide", "worse", "unknown"]
    assert [verdict.promote for verdict in found.values()] == [True, True, False, False, False]
    assert found["good"] == gate(backtest(0.8), champion)
    assert rank({}, champion) == {}


def test_challengers_on_different_splits_are_ranked_by_what_they_gain_over_their_own_rule() -> None:
    easy, hard = backtest(0.5, rule=0.6, split="b"), backtest(1.6, rule=2.4, split="c")
    assert list(rank({"easy": easy, "hard": hard}, None)) == ["hard", "easy"]


def test_a_segment_that_the_challenger_did_not_measure_is_named() -> None:
    champion = backtest(0.9, segments={"north": 0.8, "south": 0.9})
    verdict = gate(backtest(0.8, segments={"north": 0.8}), champion)
    assert verdict.promote
    assert any(reason.endswith("Not measured: south.") for reason in verdict.reasons)
    complete = gate(backtest(0.8, segments={"north": 0.8, "south": 0.8}), champion)
    assert not any("Not measured" in reason for reason in complete.reasons)
    many = backtest(0.9, segments={"north": 0.8, **{f"s{n}": 0.9 for n in range(5)}})
    assert any(
        "Not measured: s0, s1, s2 …." in reason for reason in gate(backtest(0.8, segments={"north": 0.8}), many).reasons
    )
