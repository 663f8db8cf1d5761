"""What the pooled models share: fair weights, common words, the gate over partners, and what an insight says of it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contracts.errors import Defect, NotReady
from integrator.contracts.insight import Subject
from models import registry
from models.base import Backtest, Context, Prediction, Trained
from models.messages import languages
from models.pooling import words
from models.pooling.base import HeldOut, Judgement, Limits, PooledTraining, PooledUseCase
from models.pooling.sharing import backtest_of, common_levels, consented, nameless, row_weights, verdict

CONTEXT = Context(
    partner="acme", timezone="Europe/Berlin", currency="EUR", region="DE-BE", as_of=datetime(2026, 3, 16, tzinfo=UTC)
)

POOLED = {spec.name: registry.pooled(spec.name) for spec in registry.USE_CASES}
"""Imported here: what an import costs is nobody's test's time."""


def held(*pairs: tuple[float, float], covered: float | None = 0.8) -> list[HeldOut]:
    """Left-out partners by (pooled, rule)."""
    return [
        HeldOut(pooled=mine, rule=rule, cases=100, covered=covered, intervals=100, metrics={"mae": (1.0, 2.0)})
        for mine, rule in pairs
    ]


def training(entries: list[HeldOut]) -> PooledTraining:
    backtest = backtest_of(entries, metric="mase", rule="seasonal_naive", split="s", level=0.8)
    trained = Trained(
        model=registry.use_case("pricing").rule(), backtest=backtest, params={}, dropped={}, data_hash="", sample=()
    )
    return PooledTraining(trained=trained, held_out=tuple(entries))


@given(st.lists(st.integers(1, 100_000), min_size=3, max_size=12), st.sampled_from([0.34, 0.4, 0.5, 0.75]))
def test_no_partner_weighs_more_than_its_share_and_none_is_lost(counts: list[int], share: float) -> None:
    weights = row_weights(counts, Limits(largest_share=share))
    total = sum(count * weight for count, weight in zip(counts, weights, strict=True))
    assert max(count * weight for count, weight in zip(counts, weights, strict=True)) <= share * total * (1 + 1e-6)
    assert all(0 < weight <= 1 for weight in weights)
    assert any(weight == 1 for weight in weights), "where nothing has to be capped, nothing is"


def test_equal_partners_are_not_weighted_at_all() -> None:
    assert row_weights([50, 60, 70], Limits()) == [1.0, 1.0, 1.0]
    capped = row_weights([10, 10, 1000], Limits())
    assert capped[:2] == [1.0, 1.0] and capped[2] == pytest.approx(0.02, rel=1e-6)


def test_too_few_partners_are_not_ready_and_the_sentence_counts_nobody() -> None:
    for counts in ([], [5], [5, 9], [5, 0, 9]):
        with pytest.raises(NotReady, match=r"at least 3 consenting partners") as caught:
            row_weights(counts, Limits())
        assert "2" not in str(caught.value)
    with pytest.raises(NotReady):
        row_weights([5, 5, 5], Limits(largest_share=0.3))


def test_a_word_of_one_or_two_partners_never_enters() -> None:
    members = [
        {"source": Counter(web=30, fair=40, canary=99), "colour": Counter(red=50)},
        {"source": Counter(web=25, fair=3), "colour": Counter(blue=50)},
        {"source": Counter(web=21, fair=40, trade=500)},
    ]
    assert common_levels(members, least_partners=3, least_rows=20) == {"source": ["web"]}
    assert common_levels(members, least_partners=3, least_rows=3) == {"source": ["fair", "web"]}
    assert common_levels([], least_partners=3, least_rows=1) == {}


def test_only_an_explicit_yes_of_a_person_trains_a_shared_model() -> None:
    frame = pl.DataFrame({"pooling_allowed": [True, False, None], "n": [1, 2, 3]})
    assert consented(frame)["n"].to_list() == [1]
    assert consented(frame.drop("pooling_allowed")).height == 3, "rows that tell of no person need none"


def test_the_context_of_a_member_has_no_name() -> None:
    found = nameless(CONTEXT, datetime(2026, 1, 1, tzinfo=UTC))
    assert "acme" not in str(found) and found.as_of.year == 2026 and found.timezone == CONTEXT.timezone


def test_every_partner_counts_once_in_the_backtest_and_none_can_be_read_off_it() -> None:
    entries = held((0.8, 1.0), (0.9, 1.0), (1.0, 1.3))
    entries[0] = replace(entries[0], cases=100_000)
    found = backtest_of(entries, metric="mase", rule="seasonal_naive", split="s", level=0.8)
    assert found.score("pooled").metrics["mase"] == pytest.approx(0.9) and found.rule.metrics["mase"] == pytest.approx(
        1.1
    )
    assert found.score("pooled").metrics["mae"] == 1.0 and found.rule.metrics["mae"] == 2.0
    assert found.score("pooled").coverage == pytest.approx(0.8) and found.score("pooled").coverage_cases == 300
    assert not found.score("pooled").segments and not found.rule.segments, (
        "a partner's figure is nobody else's business"
    )


@pytest.mark.parametrize(
    ("pairs", "covered", "promote", "said"),
    [
        ([(0.8, 1.0), (0.9, 1.0), (1.02, 1.0)], 0.8, True, "Every left-out partner"),
        ([(0.5, 1.0), (0.5, 1.0), (1.2, 1.0)], 0.8, False, "Not every left-out partner"),
        ([(1.04, 1.0), (1.04, 1.0), (1.04, 1.0)], 0.8, False, "does not beat the naive rule"),
        ([(0.8, 1.0), (0.9, 1.0), (0.9, 1.0)], 0.5, False, "do not cover"),
        ([(0.8, 1.0), (0.9, 1.0), (float("nan"), 1.0)], 0.8, False, "Not every left-out partner"),
        ([(0.8, 1.0), (0.9, 1.0), (0.9, 1.0)], None, False, "No coverage was measured"),
    ],
)
def test_the_gate_asks_the_mean_the_worst_and_the_intervals(
    pairs: list[tuple[float, float]], covered: float | None, promote: bool, said: str
) -> None:
    found = verdict(training(held(*pairs, covered=covered)), None)
    assert found.promote is promote and any(said in reason for reason in found.reasons), found.reasons
    assert "1.2" not in " ".join(found.reasons), "the worst partner's figure is not told"


def test_a_challenger_has_to_hold_the_champions_level() -> None:
    champion: Backtest = training(held((0.5, 1.0), (0.5, 1.0), (0.5, 1.0))).trained.backtest
    worse = training(held((0.8, 1.0), (0.8, 1.0), (0.8, 1.0)))
    assert not verdict(worse, champion).promote and verdict(worse, None).promote


@pytest.mark.parametrize(
    ("pooled", "rule", "reason", "served"),
    [(0.8, 1.0, "better", True), (1.0, 1.0, "not_better", False), (None, None, "not_judged", True)],
)
def test_a_receiving_partner_s_own_rows_decide_where_there_are_enough(
    pooled: float | None, rule: float | None, reason: str, served: bool
) -> None:
    found = Judgement(metric="mase", observations=30, pooled=pooled, rule=rule)
    assert (found.reason, found.is_served) == (reason, served)


def ruled(**changes: Any) -> Prediction:
    return Prediction(
        subject=Subject("event", "gala", "pretix"), status="fallback", rung="rule", value=9.0, unit="people",
        interval=None, confidence_label="low", coverage=None, observations=3, baseline=9.0, contributions=(),
        summary="About 9.", details={"p50": 9}, records=3, **changes,
    )  # fmt: skip


def test_the_rule_s_insight_says_why_the_pooled_model_does_not_speak() -> None:
    row = words.remembered({"event_id": "gala", "language": "en"}, "not_better")
    found = words.annotated(ruled(), row)
    assert found.summary.startswith("About 9. A model pooled over consenting partners was tried")
    assert found.details["ladder"] == {"pooled": "not_better"} and found.details["p50"] == 9
    assert words.annotated(ruled(), {"event_id": "gala"}) == ruled()
    failed = words.remembered({}, "failed")
    assert words.annotated(ruled(), failed) == ruled(), "that judging broke is the operator's business, not the host's"
    own = replace(ruled(), rung="partner", status="ready")
    assert words.annotated(own, row) == own


def test_every_state_of_readiness_has_its_sentence() -> None:
    from typing import get_args

    from integrator.contracts.readiness import PooledState

    for language in languages("pooling"):
        for state in get_args(PooledState):
            assert words.say(f"readiness.{state}", language, needed=3)
    assert "at least 3" in words.say("readiness.too_few_partners", needed=3)
    assert words.say("readiness.serving", "tlh") == words.say("readiness.serving"), "an unknown language is English"
    assert "en" in languages("pooling")


def test_whatever_is_pooled_keeps_the_protocol_and_an_unknown_state_is_refused() -> None:
    assert len(POOLED) == len(registry.USE_CASES)
    assert all(isinstance(found, PooledUseCase) for found in POOLED.values())
    with pytest.raises(Defect):
        registry.restored("pricing", {"rung": "pooled", "state_version": -1})
