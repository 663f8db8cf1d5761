"""What to do about a model: each finding gives its sentence with the command, nothing found gives one that says so."""

from typing import Any

import pytest

from integrator.contracts.readiness import Readiness, Requirement
from integrator.steps.model_advice import NOTHING, advice
from integrator.steps.model_compare import differing_choices
from models.base import Choice
from models.gate import Verdict
from tests.model_health import DAY, NOW, RULE, check, drifted, health, inferred, info, realized, scored

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
