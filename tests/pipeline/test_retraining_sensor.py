"""The sensor that listens to feedback: what it launches, once, and what that run does."""

from dagster import DagsterInstance

from integrator.steps.retraining import Wish
from integrator.steps.services import Services
from integrator.storage import logs
from integrator_dagster.jobs import RETRAIN, retrain_keys
from integrator_dagster.sensors.retraining import EVERY_SECONDS
from integrator_dagster.work import Work
from tests.pipeline.conftest import Run
from tests.pipeline.hand_written import Recorder
from tests.pipeline.test_sensors import busy, definitions, instance, tick

__all__ = ["busy", "instance"]
NAME = "enough_feedback"
BETA = Wish("beta", "pricing", "coverage: 61% of 200", "feedback:beta:pricing:1")


def wishing(*wishes: Wish) -> Work:
    return Recorder().work(retrainings=lambda services: list(wishes))


def test_it_asks_for_that_partner_and_use_case_alone(services: Services, instance: DagsterInstance) -> None:
    result = tick(services, instance, NAME, work=wishing(BETA))
    (request,) = result.run_requests or []
    assert (request.job_name, request.partition_key, request.run_key) == (RETRAIN, "beta", BETA.key)
    assert request.asset_selection == retrain_keys("pricing") and request.tags["integrator/reason"] == BETA.reason
    with services.database.partner("beta") as connection:
        (told,) = logs.events(connection, "beta", kind="retraining.asked")
    assert told["data"]["reason"] == BETA.reason


def test_it_asks_once_and_forgets_what_was_done(services: Services, instance: DagsterInstance) -> None:
    first = tick(services, instance, NAME, work=wishing(BETA))
    again = tick(services, instance, NAME, work=wishing(BETA), cursor=first.cursor)
    assert first.run_requests and not again.run_requests and again.cursor == first.cursor
    done = tick(services, instance, NAME, work=wishing(), cursor=again.cursor)
    assert (done.cursor, done.skip_message) == ("[]", "no model asks to be trained again")
    with services.database.partner("beta") as connection:
        assert len(logs.events(connection, "beta", kind="retraining.asked")) == 1


def test_it_waits_for_runs_in_flight_and_knows_partitions_only(
    services: Services, instance: DagsterInstance, busy: str
) -> None:
    waits = tick(services, instance, NAME, work=wishing(BETA))
    assert not waits.run_requests and busy in (waits.skip_message or "")
    instance.delete_run(busy)
    removed = Wish("delta", "pricing", "why", "feedback:delta:pricing:1")
    assert not tick(services, instance, NAME, work=wishing(removed)).run_requests


def test_a_fresh_installation_asks_for_nothing(services: Services, instance: DagsterInstance) -> None:
    assert not tick(services, instance, NAME, work=Work()).run_requests


def test_it_is_registered_and_looks_every_few_minutes(services: Services) -> None:
    sensor = definitions(services).get_repository_def().get_sensor_def(NAME)
    assert sensor.minimum_interval_seconds == EVERY_SECONDS and sensor.description


def test_what_it_launches_trains_scores_and_publishes_that_model(
    services: Services, instance: DagsterInstance, run: Run
) -> None:
    (request,) = tick(services, instance, NAME, work=wishing(BETA)).run_requests or []
    recorder = Recorder()
    result = run(
        RETRAIN, work=recorder.work(), partners=["beta"], only=list(request.asset_selection or []),
        run_config=dict(request.run_config or {}),
    )  # fmt: skip
    assert result.success and recorder.of("train") == recorder.of("score") == {("beta", "pricing")}
