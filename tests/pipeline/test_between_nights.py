"""Sensors and schedules at their edges: cursors, removed partners, empty registries, ticks said twice."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, build_schedule_context

from integrator.contracts.errors import Unavailable
from integrator.steps.services import Services
from integrator.storage import step_runs
from integrator_dagster.launch import sync_partners
from integrator_dagster.partitions import PARTNERS, RANGE_START, partners_of
from integrator_dagster.sensors.news import read
from integrator_dagster.work import Work
from tests.pipeline.conftest import NAMES, Run
from tests.pipeline.hand_written import Recorder
from tests.pipeline.test_sensors import definitions, tick, with_news


@pytest.fixture
def instance(services: Services, tmp_path: Path) -> Iterator[DagsterInstance]:
    """On disk, because sensors and schedules open their instance by its address."""
    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with DagsterInstance.local_temp(
        str(tmp_path), overrides={"compute_logs": quiet, "telemetry": {"enabled": False}}
    ) as made:
        sync_partners(made, NAMES)
        yield made


def test_added_and_removed_at_once(services: Services, instance: DagsterInstance) -> None:
    result = tick(services, instance, "partners_registry", work=Work(partners=lambda s: ["alpha", "gamma", "zeta"]))
    assert [request.partition_keys for request in result.dynamic_partitions_requests or []] == [["zeta"], ["beta"]]


def test_an_empty_registry_removes_everybody_and_nothing_is_scheduled(
    services: Services, instance: DagsterInstance, now: datetime
) -> None:
    result = tick(services, instance, "partners_registry", work=Work(partners=lambda s: []))
    (request,) = result.dynamic_partitions_requests or []
    assert list(request.partition_keys) == list(NAMES)
    for name in NAMES:
        instance.delete_dynamic_partition(str(PARTNERS.name), name)
    schedule = definitions(services).get_repository_def().get_schedule_def("nightly_insights")
    data = schedule.evaluate_tick(build_schedule_context(instance=instance, scheduled_execution_time=now))
    assert not data.run_requests and "no partner is registered" in (data.skip_message or "")
    assert not tick(services, instance, "platform_news", work=with_news("alpha")).run_requests


@pytest.mark.parametrize(("name", "force"), [("nightly_insights", False), ("weekly_retrain", True)])
def test_a_tick_said_twice_is_one_run_and_the_next_is_another(
    name: str, force: bool, services: Services, instance: DagsterInstance, now: datetime
) -> None:
    schedule = definitions(services).get_repository_def().get_schedule_def(name)

    def key(moment: datetime) -> str | None:
        context = build_schedule_context(instance=instance, scheduled_execution_time=moment)
        (request,) = schedule.evaluate_tick(context).run_requests or []
        assert {op["config"]["force"] for op in request.run_config["ops"].values()} == {force}
        assert partners_of(request.tags, NAMES) == list(NAMES)
        return request.run_key

    assert key(now) == key(now) != key(now + timedelta(days=1))


def test_the_cursor_forgets_partners_that_are_gone_and_news_that_are_fetched(
    services: Services, instance: DagsterInstance, now: datetime
) -> None:
    first = tick(services, instance, "platform_news", work=with_news("alpha", "gamma"))
    assert set(read(first.cursor)) == {"alpha", "gamma"}
    instance.delete_dynamic_partition(str(PARTNERS.name), "gamma")
    later = Services(services.settings, services.database, services.redis_url, lambda: now + timedelta(minutes=1))
    second = tick(later, instance, "platform_news", work=with_news(), cursor=first.cursor)
    assert set(read(second.cursor)) == {"alpha"}, "alpha still waits, gamma is no partner any more"
    much_later = Services(services.settings, services.database, services.redis_url, lambda: now + timedelta(hours=1))
    third = tick(much_later, instance, "platform_news", work=with_news(), cursor=second.cursor)
    assert read(third.cursor) == {}


def test_the_wait_grows_while_news_stay(services: Services, instance: DagsterInstance, now: datetime) -> None:
    cursor, moment, waits = None, now, []
    for _ in range(4):
        at = Services(services.settings, services.database, services.redis_url, lambda moment=moment: moment)  # type: ignore[misc]
        result = tick(at, instance, "platform_news", work=with_news("gamma"), cursor=cursor)
        assert [request.tags[RANGE_START] for request in result.run_requests or []] == ["gamma"]
        cursor = result.cursor
        until = datetime.fromisoformat(read(cursor)["gamma"].until)
        waits.append(until - moment)
        early = Services(
            services.settings, services.database, services.redis_url, lambda until=until: until - timedelta(seconds=1)
        )  # type: ignore[misc]
        assert not tick(early, instance, "platform_news", work=with_news("gamma"), cursor=cursor).run_requests
        moment = until
    assert waits == [timedelta(minutes=5) * 2**n for n in range(4)]


def test_a_partner_of_two_platforms_is_asked_until_one_has_news(services: Services, instance: DagsterInstance) -> None:
    asked: list[tuple[str, str]] = []

    def has_news(services: Services, partner: str, platform: str) -> bool:
        asked.append((partner, platform))
        return (partner, platform) == ("alpha", "hubspot")

    work = Work(platforms=lambda services, partner: ["shopify", "hubspot", "shopify"], has_news=has_news)
    result = tick(services, instance, "platform_news", work=work)
    assert len(result.run_requests or []) == 1
    assert asked[0] == ("alpha", "hubspot") and ("alpha", "shopify") not in asked
    assert [pair for pair in asked if pair[0] == "beta"] == [("beta", "hubspot"), ("beta", "shopify")]


def test_a_run_that_failed_for_somebody_since_removed_is_no_trouble(
    services: Services, instance: DagsterInstance, run: Run
) -> None:
    broken = {("score", name, "pricing"): Unavailable("503") for name in ("alpha", "gamma")}
    result = run("nightly_insights", work=Recorder(broken=broken).work())
    assert set(step_runs.failures(services.database, result.run_id)) == {"alpha", "gamma"}
    instance.delete_dynamic_partition(str(PARTNERS.name), "gamma")
    left = [name for name in NAMES if name != "gamma"]
    assert partners_of(result.dagster_run.tags, left) == left


def test_freshness_names_who_is_stale(run: Run, services: Services) -> None:
    work = Recorder().work(stale=lambda services: {"beta": 2, "alpha": 1})
    result = run("freshness", work=work, partners=[])
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed and check.description == "stale: alpha, beta"
    assert check.metadata["insights"].value == 3
    (fine,) = run("freshness", work=Recorder().work(), partners=[]).get_asset_check_evaluations()
    assert fine.passed and fine.description is None
