"""Between the nights: partitions follow the registry, news launches a night, failures are told, promotions rescore."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    Definitions,
    build_schedule_context,
    build_sensor_context,
)
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.sensor_definition import SensorExecutionData

from integrator.contracts.errors import Unavailable
from integrator.steps.services import Services
from integrator.storage import logs, step_runs
from integrator.storage.partners import Partner, register
from integrator_dagster.dbt.manifest import manifest_of
from integrator_dagster.definitions import build_definitions
from integrator_dagster.jobs import TAGS, rescore_keys
from integrator_dagster.launch import holding, sync_partners
from integrator_dagster.partitions import RANGE_END, RANGE_START, known_partners
from integrator_dagster.sensors.failed_runs import tell
from integrator_dagster.work import Work
from tests.pipeline.conftest import NAMES, Run
from tests.pipeline.hand_written import Recorder


def definitions(services: Services, work: Work | None = None) -> Definitions:
    """The code location over the test's services."""
    return build_definitions(
        settings=services.settings, work=work, manifest=manifest_of(), integrator=holding(services)
    )


def tick(
    services: Services, instance: DagsterInstance, name: str, *, work: Work | None = None, cursor: str | None = None
) -> SensorExecutionData:
    """One evaluation of a sensor."""
    built = definitions(services, work)
    context = build_sensor_context(
        instance=instance, cursor=cursor, repository_def=built.get_repository_def(),
        resources={"integrator": holding(services)},
    )  # fmt: skip
    with partition_loading_context(dynamic_partitions_store=instance):  # as the code server does
        return built.get_repository_def().get_sensor_def(name).evaluate_tick(context)


@pytest.fixture
def instance(services: Services, tmp_path: Path) -> Iterator[DagsterInstance]:
    """On disk, because sensors and schedules open their instance by its address."""
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with DagsterInstance.local_temp(
        str(tmp_path), overrides={"compute_logs": quiet, "telemetry": {"enabled": False}}
    ) as made:
        sync_partners(made, NAMES)
        yield made


@pytest.fixture
def busy(instance: DagsterInstance, services: Services) -> Iterator[str]:
    """A night that has not ended."""
    job = definitions(services).resolve_job_def("nightly_insights")
    run = instance.create_run_for_job(job_def=job, status=DagsterRunStatus.STARTED, tags=TAGS)
    yield run.run_id


def test_a_registered_partner_becomes_a_partition(services: Services, instance: DagsterInstance, now: datetime) -> None:
    register(services.database, Partner(partner="delta", timezone="UTC", currency="USD", region="US"), now)
    result = tick(services, instance, "partners_registry")
    (request,) = result.dynamic_partitions_requests or []
    assert request.partition_keys == ["delta"]
    unchanged = tick(services, instance, "partners_registry", work=Work(partners=lambda s: list(NAMES)))
    assert not unchanged.dynamic_partitions_requests


def test_a_partition_is_removed_only_when_no_run_is_in_flight(
    services: Services, instance: DagsterInstance, busy: str
) -> None:
    fewer = Work(partners=lambda s: ["alpha", "beta"])
    waiting = tick(services, instance, "partners_registry", work=fewer)
    assert not waiting.dynamic_partitions_requests and busy in (waiting.skip_message or "")
    instance.delete_run(busy)
    result = tick(services, instance, "partners_registry", work=fewer)
    assert [request.partition_keys for request in result.dynamic_partitions_requests or []] == [["gamma"]]


def with_news(*partners: str) -> Work:
    """Platforms of which only these partners' have news; beta's does not answer."""

    def has_news(services: Services, partner: str, platform: str) -> bool:
        if partner == "beta" and "beta" not in partners:
            raise Unavailable("503")
        return partner in partners

    return Work(platforms=lambda services, partner: ["pretix"], has_news=has_news)


def test_news_launches_one_night_for_the_partners_concerned(services: Services, instance: DagsterInstance) -> None:
    result = tick(services, instance, "platform_news", work=with_news("alpha", "gamma"))
    (request,) = result.run_requests or []
    assert request.tags[RANGE_START] == "alpha" and request.tags[RANGE_END] == "gamma"
    assert request.tags["integrator/partners"] == "alpha,gamma"


def test_news_that_stay_are_not_fetched_every_minute(
    services: Services, instance: DagsterInstance, now: datetime
) -> None:
    first = tick(services, instance, "platform_news", work=with_news("gamma"))
    assert first.run_requests
    again = tick(services, instance, "platform_news", work=with_news("gamma"), cursor=first.cursor)
    assert not again.run_requests
    later = Services(services.settings, services.database, services.redis_url, lambda: now + timedelta(minutes=6))
    third = tick(later, instance, "platform_news", work=with_news("gamma"), cursor=again.cursor)
    assert third.run_requests
    gone = tick(later, instance, "platform_news", work=with_news(), cursor=first.cursor)
    assert gone.cursor == "{}"


def test_nobody_is_asked_while_a_night_runs(services: Services, instance: DagsterInstance, busy: str) -> None:
    def never(services: Services, partner: str, platform: str) -> bool:
        raise AssertionError("asked")

    result = tick(services, instance, "platform_news", work=Work(has_news=never))
    assert not result.run_requests and busy in (result.skip_message or "")


def test_a_model_promoted_by_hand_is_scored_and_published(
    services: Services, instance: DagsterInstance, run: Run
) -> None:
    work = Recorder(refused=frozenset({("gamma", "pricing")})).work()
    for partner in ("beta", "gamma"):
        run("retrain", work=work, partners=[partner], only=[AssetKey(["model", "pricing"])])
    result = tick(services, instance, "model_promoted")
    (request,) = result.run_requests or []
    assert request.partition_key == "beta" and request.job_name == "rescore"
    assert set(request.asset_selection or []) == set(rescore_keys("pricing"))
    again = tick(services, instance, "model_promoted", cursor=result.cursor)
    assert not again.run_requests


def test_a_run_that_scores_by_itself_is_not_scored_again(
    services: Services, instance: DagsterInstance, run: Run
) -> None:
    run("nightly_insights", work=Recorder().work())
    result = tick(services, instance, "model_promoted")
    assert not result.run_requests


def test_what_rescoring_launches_publishes_that_partner(instance: DagsterInstance, run: Run) -> None:
    recorder = Recorder()
    assert run("rescore", work=recorder.work(), partners=["beta"], only=rescore_keys("pricing")).success
    assert recorder.of("score") == {("beta", "pricing")} and {call[0] for call in recorder.of("publish")} == {"beta"}


def test_a_failed_run_is_told_to_the_partner_concerned(services: Services, run: Run) -> None:
    result = run("nightly_insights", work=Recorder(broken={("score", "beta", "pricing"): Unavailable("503")}).work())
    failed = step_runs.failures(services.database, result.run_id)
    tell(services, result.dagster_run, list(NAMES), failed, "")
    with services.database.partner("beta") as connection:
        told = [event for event in logs.events(connection, "beta") if event["kind"] == "run.failed"]
    with services.database.partner("alpha") as connection:
        others = [event for event in logs.events(connection, "alpha") if event["kind"] == "run.failed"]
    assert "503" in told[0]["data"]["reason"] and not others


def test_the_night_s_schedule_is_one_run_over_all_partners(
    services: Services, instance: DagsterInstance, now: datetime
) -> None:
    built = definitions(services)
    schedule = built.get_repository_def().get_schedule_def("nightly_insights")
    context = build_schedule_context(instance=instance, scheduled_execution_time=now)
    (request,) = schedule.evaluate_tick(context).run_requests or []
    assert {key: request.tags[key] for key in (RANGE_START, RANGE_END)} == {RANGE_START: "alpha", RANGE_END: "gamma"}
    assert request.run_key == now.isoformat()
    assert known_partners(instance) == list(NAMES)
