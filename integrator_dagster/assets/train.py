"""Train: one asset `model/{use_case}` per use case, with its gate as a check, from the registry of use cases."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    Config,
    MetadataValue,
    asset,
)
from pydantic import Field

from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.base import TrainConfig, UseCaseSpec
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.runs import Progress
    from integrator.steps.train import TrainReport

GROUP = "train"
GATE = "gate"
SAMPLE_ROWS = 5
WIDEST_CELL = 40


class Training(Config):
    """What to turn for one training; empty means the use case's own default."""

    window_days: int | None = Field(None, gt=0, description="Learn from the last so many days only.")
    horizon_days: int | None = Field(None, gt=0, description="How far ahead to predict.")
    candidates: list[str] | None = Field(None, description="Compare only these; the naive rule is always among them.")
    excluded_attributes: list[str] = Field([], description="Custom fields that the model must not use.")
    promote: bool = Field(True, description="Let the gate move the champion; off, the version is only registered.")
    force: bool = Field(True, description="Train even where there is a champion; the night turns this off.")

    def config(self) -> TrainConfig:
        """The same for the models."""
        return TrainConfig(
            window_days=self.window_days,
            horizon_days=self.horizon_days,
            candidates=None if self.candidates is None else tuple(self.candidates),
            excluded_attributes=tuple(self.excluded_attributes),
            promote=self.promote,
        )


def model_key(use_case: str) -> AssetKey:
    """`model/attendance`."""
    return AssetKey(["model", use_case])


def op_name(use_case: str) -> str:
    """The name under which run config addresses the training of a use case."""
    return model_key(use_case).to_python_identifier()


def train_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each use case."""
    return [_model(work, spec) for spec in USE_CASES]


def _model(work: Work, spec: UseCaseSpec) -> AssetsDefinition:
    key = model_key(spec.name)

    @asset(
        key=key,
        deps=[AssetKey(["features", spec.training_relation])],
        description=f"{spec.name}: candidates compared on a time-ordered backtest; the alias `champion` moves only "
        f"through the gate. Learns from features.{spec.training_relation}. One registered model per partner.",
        group_name=GROUP,
        kinds={"mlflow", "scikitlearn"},
        owners=["team:integrator"],
        tags={"step": GROUP, "use_case": spec.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
        check_specs=[
            AssetCheckSpec(GATE, asset=key, description="Whether this run's challengers passed the promotion gate.")
        ],
    )
    def model(context: AssetExecutionContext, config: Training, integrator: Integrator) -> Iterator[Any]:
        services = integrator.services
        reports: dict[str, TrainReport] = {}

        def train(partner: str, use_case: str, progress: "Progress") -> Metadata:
            report = work.train(services, partner, use_case, config.config(), context.run.run_id, not config.force)
            reports[partner] = report
            progress.rows, progress.note = report.rows, outcome(report)
            return facts(report)

        ended = list(each_partner(context, services, step=GROUP, key=key, body=train, use_cases=(spec.name,)))
        yield _gate_result(key, reports)
        yield from ended

    return model


def outcome(report: "TrainReport") -> str:
    """What training came to, in a few words."""
    if report.kept is not None:
        return f"champion {report.kept} kept, nothing trained"
    if report.verdict is None:
        return f"not ready: {report.readiness}"
    return f"version {report.version} {'promoted' if report.promoted else 'not promoted'}"


def facts(report: "TrainReport") -> Metadata:
    """What a data scientist looks for on the page: verdict, figures, the backtest's picture, sample rows."""
    found: Metadata = {"outcome": outcome(report), "promoted": report.promoted}
    if report.readiness is not None:
        found["readiness"] = MetadataValue.md("\n".join(f"- {line}" for line in report.readiness.requirements))
    if report.trained is None or report.verdict is None:
        return found
    backtest = report.trained.backtest
    found |= {
        "version": report.version,
        "gate": MetadataValue.md("\n".join(f"- {reason}" for reason in report.verdict.reasons)),
        "chosen": backtest.chosen,
        "observations": backtest.observations,
        "candidates": MetadataValue.md(_table([_figures(score) for score in backtest.scores])),
        "sample": MetadataValue.md(_table([dict(row) for row in report.trained.sample[:SAMPLE_ROWS]])),
        "data_hash": report.trained.data_hash,
        "params": MetadataValue.json({name: str(value) for name, value in report.trained.params.items()}),
    }
    chosen = backtest.score(backtest.chosen)
    found[backtest.gate_metric] = float(chosen.metrics[backtest.gate_metric])
    if chosen.coverage is not None:
        found["coverage"] = float(chosen.coverage)
    if report.trained.dropped:
        found["left_out"] = MetadataValue.md(
            "\n".join(f"- {name}: {why}" for name, why in report.trained.dropped.items())
        )
    if backtest.plot_png:
        picture = base64.b64encode(backtest.plot_png).decode()
        found["backtest"] = MetadataValue.md(f"![backtest](data:image/png;base64,{picture})")
    return found


def _figures(score: Any) -> dict[str, Any]:
    coverage = {} if score.coverage is None else {"coverage": score.coverage}
    return {"candidate": f"{score.candidate} (rule)" if score.is_rule else score.candidate, **score.metrics, **coverage}


def _table(rows: list[dict[str, Any]]) -> str:
    """Rows as a markdown table; cells are cut, for a page and not for a computation."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return "no rows"
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row.get(name)) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= WIDEST_CELL else f"{text[: WIDEST_CELL - 1]}…"


def _gate_result(key: AssetKey, reports: "dict[str, TrainReport]") -> AssetCheckResult:
    judged = {partner: report for partner, report in reports.items() if report.verdict is not None}
    refused = sorted(partner for partner, report in judged.items() if not report.promoted)
    lines = [f"- {partner}: {outcome(report)}" for partner, report in reports.items()]
    return AssetCheckResult(
        asset_key=key,
        check_name=GATE,
        passed=not refused,
        severity=AssetCheckSeverity.WARN,
        description=f"not promoted: {', '.join(refused)}" if refused else f"{len(judged)} challengers, all promoted",
        metadata={"challengers": len(judged), "verdicts": MetadataValue.md("\n".join(lines) or "nobody was trained")},
    )
