"""Platforms that have something new: one night for the partners concerned, without waiting for the clock."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

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

EVERY_SECONDS = 60
FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=12)


@dataclass(frozen=True)
class Tried:
    """How often a partner's news was fetched without their being gone afterwards, and until when to wait."""

    times: int
    until: str

    def waits(self, now: datetime) -> bool:
        """Whether it is too early for another try."""
        return now < datetime.fromisoformat(self.until)

    def again(self, now: datetime) -> "Tried":
        """After one more try: 5 min, 10 min, … up to 12 h."""
        wait = min(FIRST_WAIT * 2**self.times, LONGEST_WAIT)
        return Tried(self.times + 1, (now + wait).isoformat())


NEVER = Tried(0, "1970-01-01T00:00:00+00:00")


def news_sensor(work: Work, jobs: Jobs, status: DefaultSensorStatus) -> SensorDefinition:
    """`platform_news`."""

    @sensor(
        name="platform_news", job=jobs.night, minimum_interval_seconds=EVERY_SECONDS, default_status=status,
        description="Asks each partner's platforms whether there is anything new, and launches a night for those partners.",
    )  # fmt: skip
    def platform_news(context: SensorEvaluationContext, integrator: Integrator) -> SensorResult | SkipReason:
        running = in_flight(context.instance)
        if running:
            return SkipReason(f"run {running[0]} is in flight")
        services = integrator.services
        now, known = services.clock(), known_partners(context.instance)
        tried = read(context.cursor)
        asked = [partner for partner in known if not tried.get(partner, NEVER).waits(now)]
        fresh = [partner for partner in asked if _has_news(context, work, integrator, partner)]
        kept = {p: t for p, t in tried.items() if p in known and (p not in asked)}
        cursor = write(kept | {partner: tried.get(partner, NEVER).again(now) for partner in fresh})
        if not fresh:
            return SensorResult(skip_reason="no platform has news", cursor=cursor)
        request = RunRequest(
            run_key=f"news:{now.isoformat()}:{','.join(fresh)}",
            tags=range_tags(known, fresh),
            run_config=training_config(force=False),
        )
        return SensorResult(run_requests=[request], cursor=cursor)

    return platform_news


def _has_news(context: SensorEvaluationContext, work: Work, integrator: Integrator, partner: str) -> bool:
    services = integrator.services
    for platform in _names(work.platforms(services, partner)):
        try:
            if work.has_news(services, partner, platform):
                return True
        except IntegratorError as error:
            # the night reports it; a sensor that fails would ask nobody else
            context.log.warning("%s/%s could not be asked: %s", partner, platform, error)
    return False


def _names(platforms: Iterable[str]) -> list[str]:
    return sorted(set(platforms))


def read(cursor: str | None) -> dict[str, Tried]:
    """The cursor's content by partner."""
    return {partner: Tried(*entry) for partner, entry in json.loads(cursor or "{}").items()}


def write(tried: dict[str, Tried]) -> str:
    """The same as text."""
    return json.dumps({partner: [entry.times, entry.until] for partner, entry in sorted(tried.items())})
