"""Files that were dropped: a night for the partners concerned, which lands them first."""

import hashlib

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from integrator.contracts.errors import IntegratorError
from integrator_dagster.jobs import Jobs, in_flight, training_config
from integrator_dagster.partitions import known_partners, range_tags
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

EVERY_SECONDS = 30


def files_sensor(work: Work, jobs: Jobs, status: DefaultSensorStatus) -> SensorDefinition:
    """`files_dropped`."""

    @sensor(
        name="files_dropped", job=jobs.night, minimum_interval_seconds=EVERY_SECONDS, default_status=status,
        description="Looks for files that were dropped or changed, and launches a night for their partners.",
    )  # fmt: skip
    def files_dropped(context: SensorEvaluationContext, integrator: Integrator) -> SensorResult | SkipReason:
        services = integrator.services
        if services.settings.drop_url is None:
            return SkipReason("INTEGRATOR_DROP_URL is not set")
        running = in_flight(context.instance)
        if running:
            return SkipReason(f"run {running[0]} is in flight")
        known = known_partners(context.instance)
        found: dict[str, list[str]] = {}
        for partner in known:
            try:
                found[partner] = work.dropped(services, partner, None)
            except IntegratorError as error:
                # the night reports it; a sensor that fails would look for nobody else
                context.log.warning("the drop of %s could not be looked at: %s", partner, error)
        fresh = [partner for partner, files in found.items() if files]
        if not fresh:
            return SkipReason("nothing was dropped")
        # The same files are asked for once: what a run could not land waits for the night, or for its retry.
        request = RunRequest(
            run_key=f"files:{digest([found[partner] for partner in fresh])}",
            tags=range_tags(known, fresh),
            run_config=training_config(force=False),
        )
        return SensorResult(run_requests=[request])

    return files_dropped


def digest(files: list[list[str]]) -> str:
    """A short name for what was found: partner, path and mark of every file."""
    return hashlib.sha256("\n".join(sorted(name for names in files for name in names)).encode()).hexdigest()[:32]
