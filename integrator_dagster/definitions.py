"""The code location, assembled: assets from the registries, the dbt project, checks, jobs, sensors and schedules.

Loading it touches no database and no network and reads no secret. Nothing is defined here.
"""

import warnings

from dagster import BetaWarning, DefaultSensorStatus, Definitions, in_process_executor

from integrator.settings import Settings, load_settings
from integrator_dagster.assets.files import file_assets
from integrator_dagster.assets.harmonize import harmonize_assets
from integrator_dagster.assets.ingest import ingest_assets
from integrator_dagster.assets.pooled import pooled_assets
from integrator_dagster.assets.publish import publish_assets
from integrator_dagster.assets.realized import realized_assets
from integrator_dagster.assets.score import score_assets
from integrator_dagster.assets.train import train_assets
from integrator_dagster.checks.freshness import freshness_check
from integrator_dagster.checks.verdict import verdict_check
from integrator_dagster.dbt.manifest import Manifest, manifest_of
from integrator_dagster.jobs import build_jobs
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.schedules.calendar import build_schedules
from integrator_dagster.sensors.failed_runs import failure_sensor
from integrator_dagster.sensors.files import files_sensor
from integrator_dagster.sensors.news import news_sensor
from integrator_dagster.sensors.promotions import promotion_sensor
from integrator_dagster.sensors.registry import registry_sensor
from integrator_dagster.sensors.retraining import retraining_sensor
from integrator_dagster.work import Work


def build_definitions(
    *,
    settings: Settings | None = None,
    work: Work | None = None,
    manifest: Manifest | None = None,
    integrator: Integrator | None = None,
) -> Definitions:
    """The whole code location; every argument is there for tests to put something else in its place."""
    with warnings.catch_warnings():
        # single-run backfill policies are marked beta, and the whole night stands on them
        warnings.simplefilter("ignore", BetaWarning)
        return _assembled(
            settings or load_settings(),
            work or Work(),
            manifest_of() if manifest is None else manifest,
            integrator or Integrator(),
        )


def _assembled(settings: Settings, work: Work, manifest: Manifest, integrator: Integrator) -> Definitions:
    jobs = build_jobs()
    sensors_on = DefaultSensorStatus.RUNNING if settings.sensors_on else DefaultSensorStatus.STOPPED
    return Definitions(
        assets=[
            *ingest_assets(work),
            *file_assets(work),
            harmonize_assets(work, manifest),
            *train_assets(work),
            *pooled_assets(work),
            *score_assets(work),
            *publish_assets(work),
            *realized_assets(work),
        ],
        asset_checks=[verdict_check(), freshness_check(work)],
        jobs=jobs.all(),
        schedules=build_schedules(jobs, settings),
        sensors=[
            registry_sensor(work, sensors_on),
            news_sensor(work, jobs, sensors_on),
            files_sensor(work, jobs, sensors_on),
            failure_sensor(jobs, sensors_on),
            promotion_sensor(jobs, sensors_on),
            retraining_sensor(work, jobs, sensors_on),
        ],
        resources={"integrator": integrator},
        executor=in_process_executor,
    )


defs = build_definitions()
