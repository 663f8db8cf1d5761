"""Train, shared: one asset `pooled/{use_case}` per use case: the model of all partners who consented, with its gate.

It belongs to no partner and has no partitions; nothing it shows names a partner or tells one partner's figures.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetsDefinition,
    Config,
    MetadataValue,
    asset,
)
from pydantic import Field

from integrator_dagster.assets.train import GROUP, model_key, tracked
from integrator_dagster.checks.gate import GATE, gate_spec
from integrator_dagster.outcomes import NOTHING, Metadata, ordered
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.base import UseCaseSpec
from models.card import figures
from models.markdown import bullets, table
from models.pooling.base import POOLED
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.pooling import PooledReport

OUTCOMES = {
    "not_pooled": "this use case has no pooled model",
    "kept": "champion kept, nothing trained",
    "too_few_partners": "not trained: too few consenting partners with enough data",
    "failed": "training broke",
}


class Pooling(Config):
    """Whether to train where a pooled champion stands."""

    force: bool = Field(True, description="Train even where there is a pooled champion; the night turns this off.")


def pooled_key(use_case: str) -> AssetKey:
    """`pooled/attendance`."""
    return AssetKey(["pooled", use_case])


def pooled_op(use_case: str) -> str:
    """The name under which run config addresses the pooled training of a use case."""
    return pooled_key(use_case).to_python_identifier()


def pooled_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each use case."""
    return [_pooled(work, spec) for spec in USE_CASES]


def _pooled(work: Work, spec: UseCaseSpec) -> AssetsDefinition:
    key = pooled_key(spec.name)

    @asset(
        key=key,
        deps=[model_key(spec.name), AssetKey(["features", spec.training_relation])],
        description=f"{spec.name}: one model from the rows of all partners who consented to pooling, judged with each of "
        "them left out once. It serves a consenting partner without a model of its own, where it beats that partner's rule.",
        group_name=GROUP,
        kinds={"mlflow", "scikitlearn"},
        owners=["team:integrator"],
        tags={"step": GROUP, "use_case": spec.name},
        dagster_type=NOTHING,
        check_specs=[gate_spec(key)],
    )
    def pooled(context: AssetExecutionContext, config: Pooling, integrator: Integrator) -> Iterator[Any]:
        services = integrator.services
        report = work.pool(services, spec.name, context.run.run_id, not config.force)
        way = tracked(work, services, POOLED, spec.name, report.version if report.trained is not None else None)
        context.log_event(AssetMaterialization(key, metadata={**facts(report), **way}))
        yield _gate_result(key, report)
        yield ordered()

    return pooled


def facts(report: "PooledReport") -> Metadata:
    """What is the same for every partner: outcome, verdict, means over partners. No sample: rows are somebody's."""
    found: Metadata = {"outcome": outcome(report), "promoted": report.promoted, "retired": report.retired}
    if report.trained is None or report.verdict is None:
        return found
    backtest = report.trained.backtest
    found |= {
        "version": report.version,
        "gate": MetadataValue.md(bullets(report.verdict.reasons)),
        "candidates": MetadataValue.md(table(figures(score) for score in backtest.scores)),
        "params": MetadataValue.json({name: str(value) for name, value in report.trained.params.items()}),
        backtest.gate_metric: float(backtest.score(backtest.chosen).metrics[backtest.gate_metric]),
    }
    if report.card is not None:
        found["model_card"] = MetadataValue.md(report.card)
    return found


def outcome(report: "PooledReport") -> str:
    """What pooling came to, in a few words."""
    if report.outcome == "trained":
        return f"version {report.version} {'promoted' if report.promoted else 'not promoted'}"
    said = OUTCOMES[report.outcome]
    return f"{said}: {report.reason}" if report.reason else said


def _gate_result(key: AssetKey, report: "PooledReport") -> AssetCheckResult:
    refused = report.verdict is not None and not report.promoted
    said = [outcome(report)]
    if report.retired:
        said.append("the champion was taken down, for a partner it had learned from took its consent back")
    if report.has_failures:
        said.append("rows of some partner could not be used or judged; that partner's event log says why")
    return AssetCheckResult(
        asset_key=key,
        check_name=GATE,
        passed=not (refused or report.has_failures or report.outcome == "failed"),
        severity=AssetCheckSeverity.ERROR if report.outcome == "failed" else AssetCheckSeverity.WARN,
        description="; ".join(said),
    )
