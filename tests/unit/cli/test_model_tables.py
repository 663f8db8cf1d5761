"""What people see of comparisons and health: the verdict in words, figures along a line, nothing where nothing is known."""

from dataclasses import replace
from typing import Any

import pytest

from integrator.cli.model_tables import compared, moved, shown_health
from integrator.cli.models import readable
from integrator.steps.model_compare import Comparison, Differing
from tests.model_health import NOW, check, drifted, health, inferred, info, realized

COMPARISON = Comparison(
    use_case="attendance", champion="3", challenger="4", candidate="per_series", promote=False,
    reasons=("It does not beat the champion on the same split: mase 0.9 against 0.8.",), same_split=True,
    metrics={"champion": {"mase": 0.8, "coverage": 0.81}, "challenger": {"mase": 0.9, "mae": 12.3456}, "rule": {"mase": 1.1}},
    choices=40, differing=(
        Differing(subject="hall", champion="seasonal_naive", challenger="prophet", champion_score=1.2,
                  challenger_score=0.8, why="prophet was closest"),
    ),
    shadow={"at": NOW, "rows": 12, "failures": 0, "reason": None, "mean_difference": 1.5}, realized=(),
)  # fmt: skip


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_comparison_stands_along_a_line_with_the_verdict_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    compared([COMPARISON])
    shown = lines(capsys)
    assert shown[0] == "attendance: version 4 (per_series) against champion 3, the same split"
    assert shown[1:5] == ["metric champion challenger rule", "mase 0.8 0.9 1.1", "coverage 0.81 – –", "mae – 12.35 –"]
    assert "version 4 does not pass the gate now" in shown
    assert "1 of 40 subjects chose otherwise" in shown
    assert "hall seasonal_naive 1.2 prophet 0.8 prophet was closest" in shown
    assert any(line.startswith("at rows failures mean difference") for line in shown)


def test_without_a_champion_the_rule_is_what_it_is_held_against(capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(replace(COMPARISON.differing[0], subject=f"s{n}") for n in range(30)) if COMPARISON.differing else ()
    compared([replace(COMPARISON, champion=None, same_split=False, promote=True, shadow=None, differing=many)])
    shown = lines(capsys)
    assert shown[0].endswith("against the naive rule (no champion yet), each on its own split")
    assert "version 4 passes the gate now" in shown
    assert "30 of 40 subjects chose otherwise; the first 20" in shown and not any("s20" in line for line in shown)
    assert not any("shadow" in line for line in shown)


def test_health_shows_what_is_known_and_leaves_out_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    shown_health(health(), ["Nothing to do."])
    shown = lines(capsys)
    assert shown[0] == "attendance" and any(line.startswith("attendance.acme 3 partner") for line in shown)
    for absent in ("realized", "checks", "drifted", "in the shadow", "backtest"):
        assert absent not in shown
    assert shown[-2:] == ["what to do", "Nothing to do."]


def test_health_shows_figures_checks_drift_and_inferences(capsys: pytest.CaptureFixture[str]) -> None:
    full = health(
        backtest={"champion": {"mase": 0.8}, "rule": {"mase": 1.0}}, realized=(realized("champion", "3", 12.0),),
        checks=(check(False), check(None)), drift=(drifted("price", True), drifted("day", False)),
        inferences=(inferred(97, 3), inferred(50, 0, is_shadow=True, model_version="4", p50_ms=None)),
        challenger="4", trained=info("4"),
    )  # fmt: skip
    shown_health(full, ["Look here.", "And there."])
    shown = lines(capsys)
    assert "mase 0.8 1" in shown
    assert "subject kind role model version window days prediction count mae" in shown
    assert "coverage failed 0.61 of 120 inside 120 of 30" in shown
    assert "coverage not judged 0.61 of 120 inside 120 of 30" in shown
    assert "price feature psi 0.4 0.2 90" in shown and not any(line.startswith("day ") for line in shown)
    assert "attendance.acme 3 serving 1 97 3 0 0 1 1 2" in shown
    assert "attendance.acme 4 shadow 1 50 0 0 0 1 – 2" in shown
    assert shown[-3:] == ["what to do", "Look here.", "And there."]


def test_a_version_reads_as_champion_challenger_or_neither() -> None:
    def serves(**changes: Any) -> Any:
        return readable({"use_case": "attendance", **info("4", **changes).__dict__})["serves"]

    assert (serves(champion=True), serves(challenger=True), serves()) == ("champion", "challenger", None)
    assert readable({"use_case": "attendance", **info("4").__dict__})["figures"] == "mase 0.8"


def test_a_move_says_where_it_came_from() -> None:
    row = moved({"partner": "acme", "use_case": "attendance", "version": "3", "before": "4", "reasons": ()})
    assert row == {"partner": "acme", "use case": "attendance", "serves now": "3", "served before": "4", "why": None}
