"""The promotion gate as a check of each `model/{use_case}`: which partners' challengers it refused, and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from models.markdown import bullets, table

if TYPE_CHECKING:
    from integrator.steps.train import TrainReport

GATE = "gate"
WIDEST = 400


def gate_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of one model; it warns and stops nobody, for the champion of before goes on serving."""
    return AssetCheckSpec(GATE, asset=key, description="Whether this run's challengers passed the promotion gate.")


def gate_result(key: AssetKey, reports: "Mapping[str, TrainReport]", failures: Mapping[str, str]) -> AssetCheckResult:
    """What the gate said in this run; `failures` are the partners whose training broke, so that no one misses."""
    judged = {partner: report for partner, report in reports.items() if report.verdict is not None}
    refused = {partner: report for partner, report in judged.items() if not report.promoted}
    lines = [f"{partner}: {report.outcome}" for partner, report in sorted(reports.items())]
    lines += [f"{partner}: failed: {reason}" for partner, reason in sorted(failures.items())]
    return AssetCheckResult(
        asset_key=key,
        check_name=GATE,
        passed=not refused,
        severity=AssetCheckSeverity.WARN,
        description=_described(refused, len(judged)),
        metadata={
            "challengers": len(judged),
            "refused": len(refused),
            "verdicts": MetadataValue.md(bullets(lines, "nobody was trained")),
            "refusals": MetadataValue.md(_refusals(refused)),
        },
    )


def _described(refused: "Mapping[str, TrainReport]", judged: int) -> str:
    if not refused:
        return f"{judged} challengers, all promoted" if judged else "no challenger in this run"
    first = sorted(refused)[:5]
    more = f" and {len(refused) - len(first)} more" if len(refused) > len(first) else ""
    return f"not promoted: {', '.join(first)}{more}"


def _refusals(refused: "Mapping[str, TrainReport]") -> str:
    """Each refused challenger with every sentence of the gate; what it failed for comes first."""
    if not refused:
        return "none"
    rows = [
        {"partner": partner, "version": report.version, "candidate": report.trained and report.trained.backtest.chosen,
         "why": " ".join(report.verdict.reasons if report.verdict else ())}
        for partner, report in sorted(refused.items())
    ]  # fmt: skip
    return table(rows, widest=WIDEST)
