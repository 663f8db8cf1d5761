"""What to do about a model: each finding gives its sentence with the command, nothing found gives one that says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.contracts.readiness import Readiness, Requirement
from integrator.steps.model_advice import NOTHING, advice
from integrator.steps.model_compare import differing_choices
from integrator.steps.model_health import Health
from integrator.steps.serving import Serving
from integrator.storage.inferences import Inferences
from integrator.storage.scored import LastScoring
from models.base import Choice
from models.gate import Verdict
from models.versions import VersionInfo

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def info(version: str, **changes: Any) -> VersionInfo:
    made = VersionInfo(
        version=version, champion=False, challenger=False, candidate="forest", metrics={"mase": 0.8}, promoted=False,
        reasons=("It does not beat the champion.",), logged_at="2026-03-15T06:00:00Z", data_hash="ab",
    )  # fmt: skip
    return replace(made, **changes)


def health(**changes: Any) -> Health:
    """A champion of yesterday, scored an hour ago, in which nothing is wrong."""
    made = Health(
        use_case="attendance",
        serving=Serving(
            use_case="attendance", partner="acme", rung="partner", name="attendance.acme", version="3"
        ),
        trained_at=NOW - DAY, age_days=1, trained=info("3", promoted=True, champion=True), challenger=None,
        challenger_verdict=None, backtest={}, gate_metric="mase", level=0.8, realized=(), checks=(), drift=(),
        inferences=(inferred(100, 0),), last_scoring=scored(NOW - timedelta(hours=1)), shadow=None, readiness=None,
        unreadable=None,
    )  # fmt: skip
    return replace(made, **changes)


def inferred(success: int, failure: int, **changes: Any) -> Inferences:
    made = Inferences(
        model_name="attendance.acme", model_version="3", is_shadow=False, runs=1, last_at=NOW, mean_ms=1.0, p50_ms=1.0,
        p95_ms=2.0, max_ms=3.0, counts={"success": success, "failure": failure, "fallback": 0, "refusal": 0},
    )  # fmt: skip
    return replace(made, **changes)


def scored(at: datetime, stale: int = 0) -> LastScoring:
    return LastScoring(
        at=at, run_id="r", model_name="attendance.acme", model_version="3", row_count=9, failure_count=0, stale=stale
    )


def check(passed: bool | None) -> dict[str, Any]:
    return {"name": "coverage", "passed": passed, "observed": "0.61 of 120 inside", "n": 120, "needed": 30}


def drifted(name: str, moved: bool | None) -> dict[str, Any]:
    return {"feature": name, "about": "feature", "statistic": "psi", "value": 0.4, "threshold": 0.2, "drifted": moved}


def realized(role: str, version: str, mae: float | None, count: int = 60, **changes: Any) -> dict[str, Any]:
    return {"subject_kind": "event", "role": role, "model_version": version, "window_days": 90, "mae": mae,
            "prediction_count": count, **changes}  # fmt: skip


RULE = Serving(use_case="attendance", partner="acme", rung="rule", name="attendance.rule", version="1")
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "unreadable": ({"unreadable": "attendance.acme 3: gone"}, "cannot be read (attendance.acme 3: gone): train it anew"),
    "never scored": ({"last_scoring": None}, "Nothing was ever scored: `integrator run nightly`"),
    "late": ({"last_scoring": scored(NOW - 5 * DAY, stale=9)}, "5 days old and 9 insights are stale"),
    "stale": ({"last_scoring": scored(NOW, stale=4)}, "4 insights are past their time"),
    "failing": ({"inferences": (inferred(90, 10),)}, "10 of 100 inferences by attendance.acme 3 failed"),
    "shadow failing": (
        {"inferences": (inferred(0, 7, is_shadow=True, model_version="4"),)},
        "7 of 7 inferences in the shadow by attendance.acme 4 failed; the reasons are in the events `shadow.failed`",
    ),
    "check": ({"checks": (check(False),)}, "The check coverage fails: 0.61 of 120 inside."),
    "drift": ({"drift": (drifted("price", True), drifted("day", False))}, "1 of 2 features moved away"),
    "passes": (
        {"challenger": "4", "challenger_verdict": Verdict(promote=True, reasons=("Better.",))},
        "`integrator models promote 4 --partner acme --use-case attendance`",
    ),
    "old": ({"age_days": 90}, "90 days old and nothing was trained since"),
    "refused since": ({"age_days": 90, "trained": info("5")}, "90 days old and its successors were refused"),
    "too early": (
        {"serving": RULE, "readiness": Readiness("attendance", "rule", [Requirement("days", "days", 20, 56, 36)])},
        "not due yet: 20 of 56 days, about 36 days",
    ),
    "gate": ({"serving": RULE}, "The gate let no version through; the last said: It does not beat the champion."),
    "untrained": ({"serving": RULE, "trained": None}, "never trained: `integrator retrain --partner acme"),
}  # fmt: skip


def test_nothing_wrong_is_said_too() -> None:
    assert advice(health(), "acme", NOW) == [NOTHING]
    quiet = health(
        checks=(check(True), check(None)), drift=(drifted("price", None),), inferences=(inferred(1000, 5),),
        challenger="4", challenger_verdict=Verdict(promote=False, reasons=("Worse.",)), age_days=59,
    )  # fmt: skip
    assert advice(quiet, "acme", NOW) == [NOTHING]


@pytest.mark.parametrize("name", CASES)
def test_each_finding_has_its_sentence(name: str) -> None:
    changes, sentence = CASES[name]
    told = advice(health(**changes), "acme", NOW)
    assert any(sentence in line for line in told), told
    assert NOTHING not in told


def test_failed_checks_and_drift_together_ask_once_for_a_training() -> None:
    told = advice(health(checks=(check(False),), drift=(drifted("price", True),)), "acme", NOW)
    assert sum("integrator retrain" in line for line in told) == 1 and len(told) == 3


def test_a_challenger_that_came_closer_in_reality_is_told_where_enough_is_known() -> None:
    beside = {"challenger": "4", "challenger_verdict": Verdict(promote=False, reasons=("Worse.",))}
    better = (realized("champion", "3", 12.0), realized("challenger", "4", 9.0))
    (told,) = advice(health(**beside, realized=better), "acme", NOW)
    assert "version 4 came closer over 90 days: mean absolute error 9 on 60 predictions against 12 on 60" in told
    for rows in (
        (realized("champion", "3", 12.0), realized("challenger", "4", 13.0)),
        (realized("champion", "3", 12.0), realized("challenger", "4", 9.0, count=29)),
        (realized("champion", "2", 12.0), realized("challenger", "4", 9.0)),
        (realized("champion", "3", 12.0, window_days=30), realized("challenger", "4", 9.0)),
        (realized("champion", "3", None), realized("challenger", "4", None)),
    ):
        assert advice(health(**beside, realized=rows), "acme", NOW) == [NOTHING]


def choice(subject: str, family: str, **scores: float) -> Choice:
    return Choice(subject=subject, family=family, scores=scores, why="lowest error")


def test_choices_that_differ_stand_with_the_largest_gain_first() -> None:
    before = [choice("a", "naive", naive=1.0), choice("b", "naive", naive=2.0), choice("c", "forest", forest=1.0),
              choice("d", "naive", naive=float("nan")), choice("gone", "naive", naive=1.0)]  # fmt: skip
    after = [choice("a", "forest", forest=0.9, naive=1.0), choice("b", "forest", forest=1.0), choice("c", "forest"),
             choice("d", "forest", forest=0.5), choice("new", "forest", forest=0.5)]  # fmt: skip
    found = differing_choices(before, after)
    assert found is not None
    assert [(one.subject, one.champion, one.challenger) for one in found] == [
        ("b", "naive", "forest"), ("a", "naive", "forest"), ("d", "naive", "forest"),
    ]  # fmt: skip
    assert (found[0].champion_score, found[0].challenger_score) == (2.0, 1.0)
    assert found[2].champion_score is None
    assert differing_choices(None, after) is None and differing_choices(before, None) is None
    assert differing_choices(before, before) == ()
