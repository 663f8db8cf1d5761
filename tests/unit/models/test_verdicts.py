"""Verdicts on what was served: open below a number of outcomes, failed only beyond chance and by something that matters."""

import polars as pl
import pytest
from scipy import stats

from models.verdicts import CHECKS, NEEDED, RATES_NEEDED, Check, judge
from tests.answered_frames import NOW, leads, people

SERVING = ("attendance.alpha", "7")
LEADS = ("lead_score.alpha", "7")


def verdicts(rows: pl.DataFrame, serving: tuple[str, str] = SERVING, *, is_rate: bool = False) -> dict[str, Check]:
    return {check.name: check for check in judge(rows, NOW, serving, is_rate=is_rate)}


def test_a_good_model_passes_and_the_numbers_are_told() -> None:
    found = verdicts(people())
    assert tuple(found) == CHECKS[:3] and all(check.passed for check in found.values()), found
    assert "of version 7" in found["accuracy"].observed and "120 outcomes of 20 days" in found["accuracy"].observed
    assert "promise 80%" in found["coverage"].observed and found["coverage"].n == 120


def test_below_the_number_needed_nothing_is_judged() -> None:
    for count, rows in ((0, people(1)[:0]), (29, people(29, naive_spread=1))):
        found = verdicts(rows)
        assert {name: check.passed for name, check in found.items()} == dict.fromkeys(CHECKS[:3])
        assert found["accuracy"].observed == f"not judged: {count} of {NEEDED['accuracy']} outcomes"
        assert (found["coverage"].n, found["coverage"].needed) == (count, NEEDED["coverage"])
    short = verdicts(people(60, days=2, naive_spread=1))["accuracy"]
    assert short.passed is None and "2 of 4 days with outcomes" in short.observed, "one bad weekend is one case"


def test_worse_than_the_naive_rule_fails_beyond_chance_only() -> None:
    assert verdicts(people(spread=16, naive_spread=8))["accuracy"].passed is False
    for seed in range(12):  # about as good as the rule: what a paired t-test over the days says, and nothing else
        rows = people(seed=seed, spread=9, naive_spread=8)
        more = rows.group_by(pl.col("due_at").dt.date()).agg(
            (pl.col("error").abs() - pl.col("naive_error").abs()).mean()
        )
        chance = stats.ttest_1samp(more["error"].to_numpy(), 0, alternative="greater").pvalue
        assert verdicts(rows)["accuracy"].passed is not (chance < 0.05), seed
    same = people().with_columns(naive=pl.col("predicted"), naive_error=pl.col("error"))
    assert verdicts(same)["accuracy"].passed is True, "where the naive rule serves it cannot be worse than itself"
    unknown = people().with_columns(naive=pl.lit(None, pl.Float64), naive_error=pl.lit(None, pl.Float64))
    assert verdicts(unknown)["accuracy"].passed is None


@pytest.mark.parametrize(("spread", "passed"), [(8, True), (20, False), (1, False)])
def test_coverage_is_held_to_both_sides(spread: float, passed: bool) -> None:
    assert verdicts(people(spread=spread))["coverage"].passed is passed


def test_a_tail_that_misses_alone_is_miscalibrated() -> None:
    found = verdicts(people(bias=9))
    assert found["calibration"].passed is False and "below" in found["calibration"].observed
    assert verdicts(people())["calibration"].passed is True


def test_many_predictions_of_one_outcome_are_one_case() -> None:
    rows = people(20)
    many = pl.concat([rows.with_columns(lead_bucket=pl.lit(name)) for name in ("last", "1d", "7d", "14d")])
    assert verdicts(many)["accuracy"].passed is None and verdicts(many)["accuracy"].n == 20


def test_a_young_version_is_judged_by_what_was_served_before_it_and_a_shadow_by_nobody() -> None:
    old = verdicts(people(), ("attendance.alpha", "8"))["coverage"]
    assert old.passed and "what was served" in old.observed
    shadow = people(spread=60).with_columns(role=pl.lit("challenger"))
    assert verdicts(pl.concat([people(), shadow]))["accuracy"].observed == verdicts(people())["accuracy"].observed
    assert verdicts(people().with_columns(pl.col("due_at").dt.offset_by("-120d")))["accuracy"].passed is None


def test_rates_are_judged_as_rates() -> None:
    found = verdicts(leads(), LEADS, is_rate=True)
    assert all(check.passed for check in found.values()), found
    assert "log-loss" in found["accuracy"].observed and "Spiegelhalter" in found["calibration"].observed
    tilted = verdicts(leads(tilt=2.2), LEADS, is_rate=True)
    assert not any(check.passed for check in tilted.values()), tilted
    few = verdicts(leads(RATES_NEEDED - 1), LEADS, is_rate=True)
    assert all(check.passed is None and check.needed == RATES_NEEDED for check in few.values())
    nobody = leads().with_columns(actual=pl.lit(0.0))
    assert all(check.passed is None for check in verdicts(nobody, LEADS, is_rate=True).values()), "no conversion came"
