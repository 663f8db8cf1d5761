"""The registry of partners becomes the partitions: added at once, removed when no run is in flight."""

from collections.abc import Sequence

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SensorResult, SkipReason, sensor

from integrator_dagster.jobs import in_flight
from integrator_dagster.partitions import PARTNERS, known_partners
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work

EVERY_SECONDS = 30


def registry_sensor(work: Work, status: DefaultSensorStatus) -> SensorDefinition:
    """`partners_registry`."""

    @sensor(
        name="partners_registry", minimum_interval_seconds=EVERY_SECONDS, default_status=status,
        description="Adds and removes partitions as partners are registered and removed.",
    )  # fmt: skip
    def partners_registry(context: SensorEvaluationContext, integrator: Integrator) -> SensorResult | SkipReason:
        added, removed = changes(known_partners(context.instance), work.partners(integrator.services))
        waiting = removed and in_flight(context.instance)
        requests = [PARTNERS.build_add_request(added)] if added else []
        if removed and not waiting:
            requests.append(PARTNERS.build_delete_request(removed))  # type: ignore[arg-type]
        if not requests:
            return SkipReason(
                f"waiting for {waiting[0]} to end before removing {removed}" if waiting else "nothing changed"
            )
        return SensorResult(dynamic_partitions_requests=requests)

    return partners_registry


def changes(known: Sequence[str], registered: Sequence[str]) -> tuple[list[str], list[str]]:
    """What to add and what to remove, so that the partitions are the registry."""
    return [name for name in registered if name not in known], [name for name in known if name not in registered]
