"""One look of a sensor, in this process: what the daemon does every minute, for a command that does not wait for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster import (
    AddDynamicPartitionsRequest,
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    build_sensor_context,
)

from integrator_dagster.jobs import build_jobs
from integrator_dagster.launch import holding
from integrator_dagster.partitions import known_partners, partners_of
from integrator_dagster.sensors.news import news_sensor
from integrator_dagster.sensors.registry import registry_sensor
from integrator_dagster.work import Work

if TYPE_CHECKING:
    from dagster._core.definitions.sensor_definition import SensorExecutionData

    from integrator.steps.services import Services

STOPPED = DefaultSensorStatus.STOPPED


def find_partners(instance: DagsterInstance, services: "Services") -> list[str]:
    """Let the registry's sensor look, and do as it asks; the partitions that are new."""
    data = _tick(registry_sensor(Work(), STOPPED), instance, services)
    added: list[str] = []
    for request in data.dynamic_partitions_requests or []:
        if isinstance(request, AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            added += request.partition_keys
    return added


def find_news(instance: DagsterInstance, services: "Services") -> Sequence[str]:
    """Let the platforms' sensor look; the partners for whom it asks for a night."""
    data = _tick(news_sensor(Work(), build_jobs(), STOPPED), instance, services)
    known = known_partners(instance)
    return [name for request in data.run_requests or [] for name in partners_of(request.tags, known)]


def _tick(sensor: SensorDefinition, instance: DagsterInstance, services: "Services") -> "SensorExecutionData":
    resources = {"integrator": holding(services)}
    with build_sensor_context(instance=instance, sensor_name=sensor.name, resources=resources) as context:
        return sensor.evaluate_tick(context)
