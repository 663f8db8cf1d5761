"""Publish, afterwards: one asset `realized/{use_case}` per use case: outcomes joined to what was published before them.

What happened comes back with the records that the night has just brought, or through the API; figures, pictures and drift
go on the partner's materialization, verdicts are checks.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, MetadataValue, asset

from integrator_dagster.assets.publish import GROUP, TABLES, published_key
from integrator_dagster.checks.models import image, results, specs
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.base import UseCaseSpec
from models.markdown import bullets, table
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.drift import DriftReport
    from integrator.steps.realized import RealizedReport
    from integrator.steps.runs import Progress
    from models.verdicts import Check

MOST_PICTURES = 20
"""Pictures of one run: they take longer than the figures, and nobody looks at a thousand."""
COLUMNS = (
    "subject_kind", "role", "model_version", "lead_bucket", "window_days", "outcome_count", "pending_count", "mae",
    "mae_ratio", "bias", "coverage", "log_loss", "calibration_error", "auc", "lift",
)  # fmt: skip
FIGURE_ROWS, DRIFT_ROWS = 40, 30


def realized_key(use_case: str) -> AssetKey:
    """`realized/attendance`."""
    return AssetKey(["realized", use_case])


def realized_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each use case."""
    return [_realized(work, spec) for spec in USE_CASES]


def _realized(work: Work, spec: UseCaseSpec) -> AssetsDefinition:
    key = realized_key(spec.name)

    @asset(
        key=key,
        deps=[published_key(TABLES)],
        description=f"{spec.name}: what really happened, held against what was published before it: accuracy, coverage, "
        "calibration and lift over the naive rule, by model version; drift of features and predictions.",
        group_name=GROUP,
        kinds={"python", "postgres"},
        owners=["team:integrator"],
        tags={"step": GROUP, "use_case": spec.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
        check_specs=specs(key),
    )
    def realized(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Any]:
        services = integrator.services
        found: dict[str, dict[str, Check]] = {}
        pictures: dict[str, bytes] = {}

        def judge(partner: str, use_case: str, progress: "Progress") -> Metadata:
            report, drift = work.realize(services, partner, use_case), work.drift(services, partner, use_case)
            found[partner] = {check.name: check for check in (*report.checks, drift.check)}
            progress.rows = report.answered
            wanted = report.joined or any(check.passed is False for check in report.checks)
            if wanted and len(pictures) < MOST_PICTURES:
                png = work.realized_picture(services, partner, use_case)
                if png is not None:
                    pictures[partner] = png
            return facts(report, drift, pictures.get(partner))

        def applies(partner: str, use_case: str) -> bool:
            return work.was_scored(services, partner, use_case)

        ended = list(
            each_partner(
                context, services, step=GROUP, key=key, body=judge, use_cases=(spec.name,), applies=applies, quiet=True
            )
        )
        yield from results(key, found, pictures)
        yield from ended

    return realized


def facts(report: "RealizedReport", drift: "DriftReport", picture: bytes | None) -> Metadata:
    """What is shown of one partner: counts, figures by version, verdicts, drift, and the picture."""
    rows = [{name: getattr(one, name) for name in COLUMNS} for one in report.quality if one.lead_bucket == "all"]
    drifted = sorted(drift.results, key=lambda one: (not one.drifted, -(one.value or 0.0)))
    found: Metadata = {
        "outcomes_new": report.gathered,
        "outcomes_joined": report.joined,
        "quality": MetadataValue.md(table(rows, most=FIGURE_ROWS) if rows else "nothing was answered yet"),
        "verdicts": MetadataValue.md(
            bullets(f"{check.name}: {check.observed}" for check in (*report.checks, drift.check))
        ),
    }
    if drifted:
        shown = [
            {"feature": one.feature, "about": one.about, "statistic": one.statistic, "value": one.value,
             "p_value": one.p_value, "drifted": one.drifted, "then": one.n_reference, "now": one.n_current}
            for one in drifted
        ]  # fmt: skip
        found["drift"] = MetadataValue.md(table(shown, most=DRIFT_ROWS))
    return found if picture is None else {**found, "picture": image(picture)}
