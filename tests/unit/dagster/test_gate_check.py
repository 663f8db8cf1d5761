"""The gate's check: whom it names, what it says of models made elsewhere, and that nothing trained is no failure."""

from dataclasses import replace
from typing import Any

from dagster import AssetKey

from integrator.steps.challenge import Challenge
from integrator.steps.outside import Judged
from integrator.steps.train import TrainReport
from integrator_dagster.checks.gate import gate_result
from models.base import Backtest, Score, Trained
from models.gate import Verdict

KEY = AssetKey(["model", "pricing"])
YES = Verdict(promote=True, reasons=("It beats the rule.",))
NO = Verdict(promote=False, reasons=("It does not beat the rule.", "The intervals cover what they promise."))
RULE = Score(candidate="mean", is_rule=True, metrics={"wape": 0.4}, coverage=None)
TRAINED = Trained(
    model=None, params={}, dropped={}, data_hash="ab", sample=[],  # type: ignore[arg-type]
    backtest=Backtest(gate_metric="wape", chosen="forest", observations=9, scores=(
        RULE, replace(RULE, candidate="forest", is_rule=False))),
)  # fmt: skip


def report(verdict: Verdict | None, version: str = "4", **changes: Any) -> TrainReport:
    trained = None if verdict is None else TRAINED
    return replace(TrainReport(verdict=verdict, version=version, trained=trained, rows=9), **changes)


def elsewhere(verdict: Verdict | None, reason: str = "") -> Judged:
    made = None if verdict is None else Challenge(trained=TRAINED, version="8", card="", verdict=verdict)
    return Judged(wraps="7", challenge=made, reason=reason)


def said(reports: dict[str, TrainReport], failures: dict[str, str] | None = None) -> tuple[bool, str, dict[str, Any]]:
    found = gate_result(KEY, reports, failures or {})
    return found.passed, found.description or "", {name: value.value for name, value in found.metadata.items()}


def test_a_refused_partner_is_named_with_every_sentence() -> None:
    passed, description, shown = said({"beta": report(NO), "alpha": report(YES)})
    assert not passed and description == "not promoted: beta"
    assert (
        "| beta | 4 | forest | It does not beat the rule. The intervals cover what they promise. |" in shown["refusals"]
    )
    assert shown["verdicts"].splitlines() == ["- alpha: version 4 promoted", "- beta: version 4 not promoted"]
    assert (shown["challengers"], shown["refused"]) == (2, 1)


def test_kept_champions_and_nobody_are_no_failure() -> None:
    for reports in ({}, {"alpha": TrainReport(kept="3")}):
        passed, description, shown = said(reports)
        assert passed and description == "no challenger in this run" and shown["refusals"] == "none"


def test_a_broken_training_stands_among_the_verdicts() -> None:
    passed, description, shown = said({"alpha": report(YES)}, {"beta": "ValueError: a column is gone"})
    assert passed and description == "1 challenger, promoted"
    assert "- beta: failed: ValueError: a column is gone" in shown["verdicts"]


def test_models_made_elsewhere_are_judged_beside_our_own() -> None:
    own_refused = report(NO, outside=(elsewhere(YES),))
    passed, description, shown = said({"alpha": own_refused})
    assert not passed and description == "not promoted: alpha", "the one promoted does not hide the one refused"
    assert (shown["challengers"], shown["refused"]) == (2, 1)
    kept = TrainReport(kept="3", outside=(elsewhere(NO), elsewhere(None, "It cannot be loaded.")))
    passed, _, shown = said({"alpha": kept})
    assert not passed and shown["refused"] == 2
    assert "| alpha | 8 | forest | It does not beat" in shown["refusals"]
    assert "| alpha | 7 | made elsewhere | It cannot be loaded. |" in shown["refusals"]


def test_many_refused_partners_are_counted() -> None:
    _, description, shown = said({f"p{n:02d}": report(NO) for n in range(12)})
    assert description == "not promoted: p00, p01, p02, p03, p04 and 7 more"
    assert len([line for line in shown["refusals"].splitlines() if line.startswith("| p")]) == 13
