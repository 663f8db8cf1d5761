"""Runs started from the command line: who may start one, what stops it, and what is said of one that was killed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from sqlalchemy import text

from integrator.contracts.errors import Conflict, InvalidInput, NotFound
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator_dagster.dbt.manifest import manifest_of
from integrator_dagster.definitions import build_definitions
from integrator_dagster.jobs import TAGS, in_flight
from integrator_dagster.launch import (
    BY_COMMAND,
    COMMAND_CONFIG,
    LOCK,
    _alone,
    dagster_home,
    holding,
    run_night,
    run_retrain,
    sync_partners,
)
from integrator_dagster.partitions import known_partners
from tests.pipeline.conftest import NAMES


@pytest.fixture
def other_command(services: Services) -> Iterator[None]:
    """Another command in the middle of its run."""
    with services.database.batch() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield


def begun(services: Services, instance: DagsterInstance, tags: dict[str, str]) -> str:
    """A run that has started and not ended."""
    built = build_definitions(settings=services.settings, manifest=manifest_of(), integrator=holding(services))
    job = built.resolve_job_def("nightly_insights")
    return instance.create_run_for_job(job_def=job, status=DagsterRunStatus.STARTED, tags=tags).run_id


def status(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.usefixtures("other_command")
def test_a_second_command_waits_its_turn_and_leaves_no_run_behind(
    services: Services, instance: DagsterInstance
) -> None:
    with pytest.raises(Conflict, match="another command runs a night or a retraining"):
        run_night(instance, services)
    with pytest.raises(Conflict):
        run_retrain(instance, services, "alpha", "pricing")
    assert instance.get_runs() == []


def test_the_turn_comes_when_the_other_ends_however_it_ends(services: Services, instance: DagsterInstance) -> None:
    with pytest.raises(RuntimeError, match="killed"), _alone(services, instance):
        raise RuntimeError("killed")
    with _alone(services, instance), pytest.raises(Conflict), _alone(services, instance):
        raise AssertionError("both at once")
    with _alone(services, instance):
        pass


def test_what_a_killed_command_left_is_marked_failed(services: Services, instance: DagsterInstance) -> None:
    left = begun(services, instance, {**TAGS, **BY_COMMAND})
    daemon_s = begun(services, instance, TAGS)
    assert set(in_flight(instance)) == {left, daemon_s}
    with _alone(services, instance):
        assert status(instance, left) is DagsterRunStatus.FAILURE
        assert status(instance, daemon_s) is DagsterRunStatus.STARTED, "the daemon's runs are the daemon's"
    assert in_flight(instance) == [daemon_s]


@pytest.mark.usefixtures("other_command")
def test_a_run_that_still_goes_on_is_not_marked(services: Services, instance: DagsterInstance) -> None:
    going = begun(services, instance, {**TAGS, **BY_COMMAND})
    with pytest.raises(Conflict):
        run_night(instance, services)
    assert status(instance, going) is DagsterRunStatus.STARTED


def test_unknown_partners_and_use_cases_name_those_there_are(services: Services, instance: DagsterInstance) -> None:
    with pytest.raises(NotFound, match="'delta' is not registered; there are: alpha, beta, gamma"):
        run_night(instance, services, ["alpha", "delta"])
    with pytest.raises(NotFound, match="'delta'"):
        run_retrain(instance, services, "delta", "pricing")
    with pytest.raises(InvalidInput, match="use case 'churn' is not allowed; allowed: attendance, pricing, lead_score"):
        run_retrain(instance, services, "alpha", "churn")
    assert instance.get_runs() == []


def test_an_empty_list_of_partners_is_not_everybody(services: Services, instance: DagsterInstance) -> None:
    with pytest.raises(NotFound, match="no partner was named"):
        run_night(instance, services, [])
    assert not in_flight(instance)


def test_nobody_registered_is_said_with_what_to_do(
    services: Services, instance: DagsterInstance, make_database: Callable[[], Any]
) -> None:
    empty = Services(services.settings, make_database(), services.redis_url, services.clock)
    with pytest.raises(NotFound, match="integrator partners add"):
        run_night(instance, empty)


def test_partitions_follow_the_registry_once(instance: DagsterInstance) -> None:
    assert sync_partners(instance, NAMES) == []
    assert sync_partners(instance, [*NAMES, "delta"]) == ["delta"]
    assert known_partners(instance) == [*NAMES, "delta"]


def test_the_home_holds_both_configurations_and_is_made_again_as_it_was(services: Services) -> None:
    settings: Settings = services.settings
    home = dagster_home(settings)
    first = {path.name: path.read_text() for path in home.iterdir()}
    assert set(first) == {"dagster.yaml", COMMAND_CONFIG}
    assert first[COMMAND_CONFIG].startswith(first["dagster.yaml"]) and "NoOpComputeLogManager" in first[COMMAND_CONFIG]
    (home / "dagster.yaml").write_text("changed")
    assert {path.name: path.read_text() for path in dagster_home(settings).iterdir()} == first
