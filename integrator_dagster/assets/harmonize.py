"""Harmonize and features: the dbt project as one step, one dbt invocation for all partners, data quality after it.

dbt assets are unpartitioned. A partner whose rows fail a test or an expectation of error severity is left out of the
steps after this one; a model that cannot be built fails every partner and the step itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)

from integrator_dagster.checks import quality
from integrator_dagster.dbt.build import BuildReport, NodeResult
from integrator_dagster.dbt.manifest import Manifest
from integrator_dagster.dbt.specs import GROUP_OF_SCHEMA, asset_key, asset_specs, check_specs, models, tested, tests
from integrator_dagster.outcomes import partners_in_run
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

if TYPE_CHECKING:
    from integrator.steps.services import Services

OP = "harmonize"
Reasons = dict[str, list[str]]


def harmonize_assets(work: Work, manifest: Manifest) -> AssetsDefinition:
    """All models and tests of the project, and the quality checks of each kind, as one step."""

    @multi_asset(
        name=OP,
        specs=asset_specs(manifest),
        check_specs=[*check_specs(manifest), *quality.specs(manifest)],
        can_subset=False,
        op_tags={"step": OP},
    )
    def harmonize(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Any]:
        from integrator.steps.runs import excluded

        services = integrator.services
        out = excluded(services, context.run.run_id)
        partners = [partner for partner in partners_in_run(context) if partner not in out]
        with WholeStep(services, partners, context.run.run_id) as timing:
            report = work.build(services, context.run.run_id, context.log.info)
        yield from _materialized(manifest, report)
        reasons: Reasons = defaultdict(list)
        yield from _tested(manifest, report, partners, reasons)
        yield from quality.results(work, services, manifest, partners, context.run.run_id, reasons)
        record(services, report, manifest, partners, reasons, context.run.run_id, timing)
        for partner, why in sorted(reasons.items()):
            context.log.warning("%s is left out from here: %s", partner, why[0])

    return harmonize


def _materialized(manifest: Manifest, report: BuildReport) -> Iterator[MaterializeResult[None]]:
    for node in models(manifest):
        result = report.nodes.get(node["unique_id"])
        rows = report.rows.get(f"{node['schema']}.{node['alias']}")
        metadata: dict[str, Any] = {"seconds": result.seconds if result else 0.0}
        if rows is not None:
            metadata["dagster/row_count"] = sum(rows.values())
            lines = ["| partner | rows |", "| --- | ---: |", *(f"| {p} | {n} |" for p, n in sorted(rows.items()))]
            metadata["rows_by_partner"] = MetadataValue.md("\n".join(lines))
        yield MaterializeResult(asset_key=asset_key(node), metadata=metadata)


def _tested(
    manifest: Manifest, report: BuildReport, partners: list[str], reasons: Reasons
) -> Iterator[AssetCheckResult]:
    for node in tests(manifest):
        model = tested(node, manifest)
        result = report.nodes.get(node["unique_id"]) or NodeResult(unique_id=node["unique_id"], status="skipped")
        blocking = _blocks(node)
        offenders = dict(report.offenders.get(node["unique_id"], {}))
        passed = result.status == "pass"
        if not passed and blocking:
            # a test whose rows name nobody speaks of all
            for partner in offenders or partners:
                if partner in partners:
                    reasons[partner].append(f"{node['name']}: {offenders.get(partner, result.failures)} rows")
        assert model is not None
        yield AssetCheckResult(
            asset_key=asset_key(model),
            check_name=str(node["name"]),
            passed=passed,
            severity=AssetCheckSeverity.ERROR if blocking else AssetCheckSeverity.WARN,
            metadata={"failing_rows": result.failures or 0, "by_partner": offenders, "status": result.status},
            description=result.message or None,
        )


def _blocks(test: Mapping[str, Any]) -> bool:
    """Whether a failing row leaves its partner out of the steps to come, as the test's meta says."""
    meta = {**test["config"].get("meta", {}), **test.get("meta", {})}
    return bool(meta.get("excludes_partner", True))


class WholeStep:
    """One invocation for all: when it fails as a whole, every partner of the run failed, and each is told so."""

    def __init__(self, services: "Services", partners: list[str], run_id: str) -> None:
        self.services, self.partners, self.run_id = services, partners, run_id
        self.started_at = self.finished_at = services.clock()

    def __enter__(self) -> "WholeStep":
        self.started_at = self.services.clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.finished_at = self.services.clock()
        if not isinstance(error, Exception):
            return
        from integrator.contracts.errors import TransientError
        from integrator.storage import step_runs

        for partner in self.partners:
            step_runs.record(
                self.services.database,
                step_runs.StepRun(
                    partner=partner, step=OP, run_id=self.run_id, status="failed", reason=str(error)[:2000],
                    is_transient=isinstance(error, TransientError),
                    started_at=self.started_at, finished_at=self.finished_at,
                ),
            )  # fmt: skip


def record(
    services: "Services",
    report: BuildReport,
    manifest: Manifest,
    partners: list[str],
    reasons: Mapping[str, list[str]],
    run_id: str,
    timing: WholeStep,
) -> None:
    """Both steps of each partner in `ops.step_runs`; an excluded partner with its first reasons."""
    from integrator.steps.runs import exclude
    from integrator.storage import step_runs

    for step in ("harmonize", "features"):
        nodes = {n["unique_id"]: n for n in models(manifest) if GROUP_OF_SCHEMA[n["schema"]] == step}
        results = [report.nodes[name] for name in nodes if name in report.nodes]
        begun = min((r.started_at for r in results if r.started_at), default=timing.started_at)
        ended = max((r.finished_at for r in results if r.finished_at), default=timing.finished_at)
        relations = [f"{n['schema']}.{n['alias']}" for n in nodes.values()]
        for partner in partners:
            rows = sum(report.rows.get(relation, {}).get(partner, 0) for relation in relations)
            step_runs.record(
                services.database,
                step_runs.StepRun(
                    partner=partner, step=step, run_id=run_id, status="success", row_count=rows,
                    started_at=begun, finished_at=ended,
                ),
            )  # fmt: skip
    for partner, why in sorted(reasons.items()):
        exclude(services, partner, "harmonize", run_id, "; ".join(why[:3]))
