"""The jobs, and how many of them may run at once."""

from dataclasses import dataclass

from dagster import AssetKey, AssetSelection, DagsterInstance, DagsterRunStatus, RunsFilter, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from integrator.delivery.registry import CHANNELS
from integrator_dagster.assets.pooled import pooled_key, pooled_op
from integrator_dagster.assets.publish import TABLES, published_key
from integrator_dagster.assets.score import insight_key
from integrator_dagster.assets.train import model_key, op_name
from integrator_dagster.checks.freshness import NAME as FRESH
from models.registry import USE_CASES

EXCLUSIVE = "integrator/exclusive"
"""Runs with this tag queue behind one another: two nights never overlap (see dagster.yaml)."""
IN_FLIGHT = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
NIGHT, RETRAIN, RESCORE, FRESHNESS = "nightly_insights", "retrain", "rescore", "freshness"
TAGS = {EXCLUSIVE: "yes"}


@dataclass(frozen=True)
class Jobs:
    """All jobs of the code location."""

    night: UnresolvedAssetJobDefinition
    retrain: UnresolvedAssetJobDefinition
    rescore: UnresolvedAssetJobDefinition
    freshness: UnresolvedAssetJobDefinition

    def all(self) -> list[UnresolvedAssetJobDefinition]:
        """As a list."""
        return [self.night, self.retrain, self.rescore, self.freshness]


def training_config(*, force: bool) -> dict[str, dict[str, dict[str, dict[str, bool]]]]:
    """Run config by which every use case trains, pooled models too, or only those without a champion."""
    ops = [name for spec in USE_CASES for name in (op_name(spec.name), pooled_op(spec.name))]
    return {"ops": {name: {"config": {"force": force}} for name in ops}}


def published_keys() -> list[AssetKey]:
    """Every channel's asset."""
    return [published_key(channel.name) for channel in CHANNELS]


def rescore_keys(use_case: str) -> list[AssetKey]:
    """What a promoted model changes: its insights and everything published."""
    return [insight_key(use_case), *published_keys()]


def retrain_keys(use_case: str) -> list[AssetKey]:
    """Training, and what a promoted model changes."""
    return [model_key(use_case), *rescore_keys(use_case)]


def build_jobs() -> Jobs:
    """The night, the retraining, the rescoring after a promotion by hand, and the hourly look at freshness."""
    fresh = AssetSelection.checks_for_assets(published_key(TABLES))
    insights = AssetSelection.assets(*(insight_key(spec.name) for spec in USE_CASES), *published_keys())
    trained = [key(spec.name) for spec in USE_CASES for key in (model_key, pooled_key)]
    models = AssetSelection.assets(*trained)
    return Jobs(
        night=define_asset_job(
            NIGHT,
            AssetSelection.all(),
            config=training_config(force=False),
            tags=TAGS,
            description="All six steps for all partners in one run; trains only where no champion exists.",
        ),
        retrain=define_asset_job(
            RETRAIN,
            models | insights,
            config=training_config(force=True),
            tags=TAGS,
            description="Trains, lets the gate decide, scores and publishes, from the features as they are.",
        ),
        rescore=define_asset_job(
            RESCORE, insights, tags=TAGS, description="Scores and publishes; launched where a champion moved by hand."
        ),
        freshness=define_asset_job(FRESHNESS, fresh, description=f"The check `{FRESH}` alone."),
    )


def in_flight(instance: DagsterInstance) -> list[str]:
    """Ids of the runs that queue behind one another and have not ended."""
    runs = instance.get_runs(RunsFilter(statuses=list(IN_FLIGHT), tags=TAGS), limit=10)
    return [run.run_id for run in runs]
