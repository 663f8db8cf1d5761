"""By the clock: the night, the weekly retraining, the hourly look at freshness. Cron lines and zone come from Settings."""

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from integrator.settings import Settings
from integrator_dagster.jobs import Jobs, training_config
from integrator_dagster.partitions import known_partners, range_tags


def build_schedules(jobs: Jobs, settings: Settings) -> list[ScheduleDefinition]:
    """The schedules. A missed tick is made up for once; a run in flight makes the next one queue, not overlap."""
    status = DefaultScheduleStatus.RUNNING if settings.sensors_on else DefaultScheduleStatus.STOPPED
    zone = settings.schedule_timezone

    @schedule(
        job=jobs.night, cron_schedule=settings.night_cron, execution_timezone=zone, default_status=status,
        name="nightly_insights", description="One run over all partners, every night.",
    )  # fmt: skip
    def nightly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return over_all(context, force=False)

    @schedule(
        job=jobs.retrain, cron_schedule=settings.retrain_cron, execution_timezone=zone, default_status=status,
        name="weekly_retrain", description="Every model of every partner is challenged once a week.",
    )  # fmt: skip
    def weekly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        return over_all(context, force=True)

    hourly = ScheduleDefinition(
        name="freshness", job=jobs.freshness, cron_schedule="17 * * * *", execution_timezone=zone, default_status=status,
        description="Looks for insights that no night confirmed in time.",
    )  # fmt: skip
    return [nightly, weekly, hourly]


def over_all(context: ScheduleEvaluationContext, *, force: bool) -> RunRequest | SkipReason:
    """One run over all partners; its key is the tick's time, so that a tick said twice is one run.

    `force` trains where there is a champion too. Said in the request, for a job's own config fills the launchpad alone.
    """
    tags = range_tags(known_partners(context.instance))
    if not tags:
        return SkipReason("no partner is registered yet")
    moment = context.scheduled_execution_time
    return RunRequest(run_key=moment.isoformat(), tags=tags, run_config=training_config(force=force))
