"""What each step did for each partner in each run, and who is left out of the steps to come."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotReady, PermanentError, Unavailable
from integrator.settings import Settings
from integrator.steps import runs
from integrator.steps.services import Services
from integrator.storage import logs, step_runs
from integrator.storage.partners import Partner, register

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def night(database: Any, server: Any) -> Services:
    moment = datetime.fromisoformat("2026-03-16T12:00:00+00:00")
    for name in NAMES:
        register(database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), moment)
    return Services(Settings(home=server.home), database, server.redis_url, lambda: moment)


def succeed(night: Services, partner: str, step: str, run: str, use_case: str = "", rows: int = 1) -> None:
    with runs.recorded(night, partner, step, run, use_case) as progress:
        progress.rows = rows


def fail(
    night: Services, partner: str, step: str, run: str, use_case: str = "", error: Exception | None = None
) -> None:
    with pytest.raises(Exception), runs.recorded(night, partner, step, run, use_case) as progress:  # noqa: B017
        progress.rows = 7
        raise error or PermanentError("no more")


def test_success_is_written_with_rows_and_note(night: Services) -> None:
    with runs.recorded(night, "alpha", "train", "r1", "pricing") as progress:
        progress.rows, progress.note = 12, "kept 3"
    (entry,) = step_runs.of_run(night.database, "r1")
    assert (entry.partner, entry.step, entry.use_case, entry.status) == ("alpha", "train", "pricing", "success")
    assert (entry.row_count, entry.reason, entry.is_transient) == (12, "kept 3", False)
    assert entry.started_at == night.clock()


@pytest.mark.parametrize(
    ("error", "reason", "is_transient"),
    [
        (PermanentError("the token is wrong"), "the token is wrong", False),
        (Unavailable("pretix answered 502"), "pretix answered 502", True),
        (NotReady("3 of 40 events"), "3 of 40 events", False),
        (KeyError("x"), "KeyError: 'x'", False), (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero", False),
        (PermanentError("x" * 9000), "x" * 2000, False),
    ],
    ids=["permanent", "transient", "not ready", "key", "zero", "long"],
)  # fmt: skip
def test_a_failure_is_written_with_its_class_and_goes_on(
    night: Services, error: Exception, reason: str, is_transient: bool
) -> None:
    run = f"fails-{type(error).__name__}-{len(reason)}"
    with pytest.raises(type(error)), runs.recorded(night, "alpha", "score", run, "pricing") as progress:
        progress.rows = 5
        raise error
    (entry,) = step_runs.of_run(night.database, run)
    assert (entry.status, entry.reason, entry.is_transient, entry.row_count) == ("failed", reason, is_transient, 5)
    with night.database.partner("alpha") as connection:
        newest = logs.events(connection, "alpha", 1)[0]
    assert newest["kind"] == "step.failed" and newest["data"]["run_id"] == run
    assert newest["data"]["reason"] == reason


def test_being_stopped_by_a_person_is_no_failure_of_the_partner(night: Services) -> None:
    with pytest.raises(KeyboardInterrupt), runs.recorded(night, "alpha", "score", "stopped"):
        raise KeyboardInterrupt
    assert step_runs.of_run(night.database, "stopped") == []


def test_only_this_run_counts(night: Services) -> None:
    fail(night, "alpha", "ingest", "last-night")
    assert runs.excluded(night, "tonight") == {} and runs.failures(night, "tonight") == {}
    assert runs.excluded(night, "last-night") == {"alpha": "ingest: no more"}


def test_a_failure_of_one_use_case_leaves_the_partner_in_for_the_others(night: Services) -> None:
    fail(night, "alpha", "train", "r-use", "pricing")
    fail(night, "beta", "features", "r-use")
    assert runs.excluded(night, "r-use", "pricing") == {"alpha": "train pricing: no more", "beta": "features: no more"}
    assert set(runs.excluded(night, "r-use", "attendance")) == {"beta"}
    assert set(runs.excluded(night, "r-use")) == {"beta"}
    assert set(runs.failures(night, "r-use")) == {"alpha", "beta"}


def test_a_platform_that_failed_alone_does_not_stop_the_partner(night: Services) -> None:
    succeed(night, "alpha", "ingest", "r-alone")
    fail(night, "alpha", "ingest", "r-alone", error=Unavailable("shopify is away"))
    fail(night, "beta", "ingest", "r-alone", error=Unavailable("shopify is away"))
    assert runs.excluded(night, "r-alone") == {"beta": "ingest: shopify is away"}
    assert set(runs.failures(night, "r-alone")) == {"alpha", "beta"}, "the run is red all the same"


def test_the_order_of_success_and_failure_does_not_matter(night: Services) -> None:
    fail(night, "alpha", "ingest", "r-order")
    succeed(night, "alpha", "ingest", "r-order")
    succeed(night, "beta", "ingest", "r-order")
    fail(night, "beta", "ingest", "r-order")
    assert runs.excluded(night, "r-order") == {}


def test_a_success_in_another_step_does_not_excuse_a_pull(night: Services) -> None:
    succeed(night, "alpha", "harmonize", "r-other")
    fail(night, "alpha", "ingest", "r-other")
    fail(night, "beta", "harmonize", "r-other")
    succeed(night, "beta", "ingest", "r-other")
    assert set(runs.excluded(night, "r-other")) == {"alpha", "beta"}


def test_excluded_by_a_check_though_every_pull_succeeded(night: Services) -> None:
    succeed(night, "alpha", "ingest", "r-check")
    runs.exclude(night, "alpha", "harmonize", "r-check", "x" * 5000)
    runs.exclude(night, "alpha", "harmonize", "r-check", "a second reason")
    (reason,) = runs.excluded(night, "r-check").values()
    assert reason == "harmonize: " + "x" * 2000, "the first reason, and not all of it"
    with night.database.partner("alpha") as connection:
        assert logs.events(connection, "alpha", 1)[0]["kind"] == "step.excluded"


def test_skipped_is_no_failure(night: Services) -> None:
    now = night.clock()
    step_runs.record(night.database, step_runs.StepRun(
        partner="alpha", step="train", run_id="r-skip", status="skipped", started_at=now, finished_at=now,
    ))  # fmt: skip
    assert runs.failures(night, "r-skip") == {} and runs.excluded(night, "r-skip") == {}


def test_a_status_or_a_partner_that_is_none_is_not_written(night: Services) -> None:
    now = night.clock()
    entry = step_runs.StepRun(
        partner="alpha", step="train", run_id="r-bad", status="odd", started_at=now, finished_at=now
    )
    with pytest.raises(Exception, match="check constraint"):
        step_runs.record(night.database, entry)
    assert step_runs.of_run(night.database, "r-bad") == []


def test_another_partner_sees_none_of_it(night: Services) -> None:
    succeed(night, "alpha", "ingest", "r-mine")
    with night.database.partner("gamma") as connection:
        assert connection.execute(text("select count(*) from ops.step_runs")).scalar_one() == 0
        assert logs.events(connection, "alpha") == []
