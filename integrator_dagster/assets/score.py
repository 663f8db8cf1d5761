"""Score: one asset `insight/{use_case}` per use case: predictions waiting to be published."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, MetadataValue, Output, asset

from integrator_dagster.assets.pooled import pooled_key
from integrator_dagster.assets.train import model_key
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.base import UseCaseSpec
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.runs import Progress
    from integrator.steps.shadow import ShadowReport

GROUP = "score"


def insight_key(use_case: str) -> AssetKey:
    """`insight/attendance`."""
    return AssetKey(["insight", use_case])


def score_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each use case."""
    return [_insight(work, spec) for spec in USE_CASES]


def _insight(work: Work, spec: UseCaseSpec) -> AssetsDefinition:
    key = insight_key(spec.name)

    @asset(
        key=key,
        deps=[model_key(spec.name), pooled_key(spec.name), AssetKey(["features", spec.relation])],
        group_name=GROUP,
        description=f"{spec.name}: everything in features.{spec.relation} scored with the partner's champion, "
        "else with the pooled model, else with the rule; "
        "success, failure, fallback and refusal counted apart. A challenger scores the same in its shadow, unpublished.",
        kinds={"python", "postgres"},
        owners=["team:integrator"],
        tags={"step": GROUP, "use_case": spec.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
    )
    def insight(context: AssetExecutionContext, integrator: Integrator) -> Iterator[Output[None]]:
        services = integrator.services

        def score(partner: str, use_case: str, progress: "Progress") -> Metadata:
            report = work.score(services, partner, use_case, context.run.run_id)
            progress.rows = report.rows
            made = {**report.by_outcome, "model": report.model_name, "version": report.model_version}
            return made if report.shadow is None else {**made, **beside(report.shadow)}

        yield from each_partner(context, services, step="score", key=key, body=score, use_cases=(spec.name,))

    return insight


def beside(shadow: "ShadowReport") -> Metadata:
    """What the challenger came to: how many of each outcome, and how far it agrees with what was published."""
    found: Metadata = {
        "challenger": shadow.model_version,
        "challenger_outcomes": MetadataValue.json(dict(shadow.by_outcome)),
        "challenger_agreement": MetadataValue.json(dict(shadow.agreement)),
    }
    return found if shadow.reason is None else {**found, "challenger_failed": shadow.reason}
