"""The promotion gate as a check of each `model/{use_case}`: which partners' challengers it refused, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey, MetadataValue

from models.markdown import bullets, table

if TYPE_CHECKING:
    from integrator.steps.train import TrainReport

GATE = "gate"
WIDEST = 400
MOST_NAMED = 5


@dataclass(frozen=True)
class _Judged:
    """One challenger of a partner, and what the gate said of it."""

    partner: str
    version: str | None
    candidate: str | None
    promoted: bool
    why: str


def gate_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of one model; it warns and stops nobody, for the champion of before goes on serving."""
    return AssetCheckSpec(GATE, asset=key, description="Whether this run's challengers passed the promotion gate.")


def gate_result(key: AssetKey, reports: "Mapping[str, TrainReport]", failures: Mapping[str, str]) -> AssetCheckResult:
    """What the gate said in this run; `failures` are the partners whose training broke, so that no one misses."""
    judged = [one for partner, report in sorted(reports.items()) for one in _judged(partner, report)]
    refused = [one for one in judged if not one.promoted]
    lines = [f"{partner}: {report.outcome}" for partner, report in sorted(reports.items())]
    lines += [f"{partner}: failed: {reason}" for partner, reason in sorted(failures.items())]
    rows = (
        {"partner": one.partner, "version": one.version, "candidate": one.candidate, "why": one.why} for one in refused
    )
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
            "refusals": MetadataValue.md(table(rows, widest=WIDEST) if refused else "none"),
        },
    )


def _judged(partner: str, report: "TrainReport") -> Iterator[_Judged]:
    """Our own challenger and those made elsewhere; one that could not even be judged is refused for that reason."""
    if report.verdict is not None and report.trained is not None:
        why = " ".join(report.verdict.reasons)
        yield _Judged(partner, report.version, report.trained.backtest.chosen, report.verdict.promote, why)
    for one in report.outside:
        if one.challenge is None:
            yield _Judged(partner, one.wraps, "made elsewhere", False, one.reason)
        else:
            chosen, why = one.challenge.trained.backtest.chosen, " ".join(one.challenge.verdict.reasons)
            yield _Judged(partner, one.challenge.version, chosen, one.promoted, why)


def _described(refused: Sequence[_Judged], judged: int) -> str:
    if not refused:
        many = "1 challenger, promoted" if judged == 1 else f"{judged} challengers, all promoted"
        return many if judged else "no challenger in this run"
    partners = list(dict.fromkeys(one.partner for one in refused))
    more = f" and {len(partners) - MOST_NAMED} more" if len(partners) > MOST_NAMED else ""
    return f"not promoted: {', '.join(partners[:MOST_NAMED])}{more}"
