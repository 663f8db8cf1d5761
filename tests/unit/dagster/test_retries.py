"""What is tried again after a failed run: transient failures alone, one partition each, and not for ever."""

from datetime import UTC, datetime

import pytest
from dagster import DagsterRun
from hypothesis import given
from hypothesis import strategies as st

from integrator.storage.step_runs import StepRun
from integrator_dagster.jobs import NIGHT, RETRAIN
from integrator_dagster.sensors.failed_runs import ATTEMPT, MOST_ATTEMPTS, retries

NOW = datetime(2026, 3, 16, 2, tzinfo=UTC)


def failed(partner: str, *, transient: bool) -> StepRun:
    return StepRun(
        partner=partner, step="ingest", run_id="r", status="failed", reason="503", is_transient=transient,
        started_at=NOW, finished_at=NOW,
    )  # fmt: skip


def run(attempt: int | None = None, job: str = NIGHT) -> DagsterRun:
    return DagsterRun(job_name=job, run_id="r", tags={} if attempt is None else {ATTEMPT: str(attempt)})


def test_each_transient_failure_is_one_partition_of_the_night() -> None:
    entries = {name: failed(name, transient=name != "beta") for name in ("gamma", "beta", "alpha")}
    found = retries(run(), entries)
    assert [request.partition_key for request in found] == ["alpha", "gamma"]
    assert {request.job_name for request in found} == {NIGHT}
    assert {request.tags[ATTEMPT] for request in found} == {"2"}
    assert len({request.run_key for request in found}) == 2


def test_a_retry_trains_nothing_that_has_a_champion() -> None:
    (request,) = retries(run(job=RETRAIN), {"alpha": failed("alpha", transient=True)})
    assert all(op["config"] == {"force": False} for op in request.run_config["ops"].values())


@pytest.mark.parametrize("attempt", range(1, MOST_ATTEMPTS + 3))
def test_attempts_are_bounded(attempt: int) -> None:
    found = retries(run(attempt), {"alpha": failed("alpha", transient=True)})
    assert len(found) == (attempt < MOST_ATTEMPTS)
    assert [request.tags[ATTEMPT] for request in found] == [str(attempt + 1)] * len(found)


@given(st.dictionaries(st.sampled_from("abcdef"), st.booleans()), st.integers(1, 9))
def test_never_a_permanent_failure_and_never_a_partner_twice(entries: dict[str, bool], attempt: int) -> None:
    found = retries(run(attempt), {name: failed(name, transient=passing) for name, passing in entries.items()})
    asked = [request.partition_key for request in found]
    assert len(asked) == len(set(asked)) and set(asked) <= {name for name, passing in entries.items() if passing}


def test_the_same_failure_asked_about_twice_is_the_same_request() -> None:
    entries = {"alpha": failed("alpha", transient=True)}
    assert retries(run(), entries)[0].run_key == retries(run(), entries)[0].run_key
