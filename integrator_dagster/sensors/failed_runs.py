"""A run that failed: told in every partner's event log, and tried again for those whose failure may pass."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dagster import (
    DagsterRun,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    SensorDefinition,
    run_failure_sensor,
)

from integrator_dagster.jobs import NIGHT, Jobs, training_config
from integrator_dagster.partitions import SINGLE, known_partners, partners_of
from integrator_dagster.resources.integrator import Integrator

if TYPE_CHECKING:
    from integrator.steps.services import Services
    from integrator.storage.step_runs import StepRun

ATTEMPT = "integrator/attempt"
MOST_ATTEMPTS = 3


def failure_sensor(jobs: Jobs, status: DefaultSensorStatus) -> SensorDefinition:
    """`run_failed`."""

    @run_failure_sensor(
        name="run_failed", default_status=status, request_jobs=[jobs.night],
        description=f"Logs the failure for each partner; a transient one is tried again alone, at most {MOST_ATTEMPTS} times.",
    )  # fmt: skip
    def run_failed(context: RunFailureSensorContext, integrator: Integrator) -> Iterator[RunRequest]:
        from integrator.storage import step_runs

        run, services = context.dagster_run, integrator.services
        known = known_partners(context.instance)
        failed = {
            partner: entry
            for partner, entry in step_runs.failures(services.database, run.run_id).items()
            if partner in known  # who was removed meanwhile has no partition to try again
        }
        partners = partners_of(run.tags, known)
        tell(services, run, partners, failed, context.failure_event.message or "")
        yield from retries(run, failed)

    return run_failed


def retries(run: DagsterRun, failed: "Mapping[str, StepRun]") -> list[RunRequest]:
    """One run per partner whose failure was transient, while the attempts last; a permanent one waits for a person."""
    attempt = int(run.tags.get(ATTEMPT, "1"))
    if attempt >= MOST_ATTEMPTS:
        return []
    return [
        RunRequest(
            run_key=f"retry:{run.run_id}:{partner}",
            job_name=NIGHT,
            partition_key=partner,
            tags={ATTEMPT: str(attempt + 1)},
            run_config=training_config(force=False),
        )
        for partner, entry in sorted(failed.items())
        if entry.is_transient
    ]


def tell(
    services: "Services", run: DagsterRun, partners: list[str], failed: "Mapping[str, StepRun]", message: str
) -> None:
    """One line in the event log of each partner concerned: those that failed, or all when the run itself broke."""
    from integrator.storage import logs

    now = services.clock()
    for partner in [name for name in partners if name in failed] or partners:
        entry = failed.get(partner)
        reason = f"{entry.step} {entry.use_case}: {entry.reason}" if entry else message[:500]
        with services.database.partner(partner) as connection:
            logs.event(
                connection, partner, "run.failed", now,
                {"run_id": run.run_id, "job": run.job_name, "reason": reason, "single": SINGLE in run.tags},
            )  # fmt: skip
