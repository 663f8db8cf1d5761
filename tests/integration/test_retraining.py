"""What asks for retraining: new outcomes by count and share, a failed check, and never within the rest after the last."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from integrator.contracts.insight import Subject
from integrator.steps.retraining import Wish, tell, wishes
from integrator.steps.services import Services
from integrator.storage import logs, outcomes
from integrator.storage.outcomes import Outcome
from models.registry import spec
from tests.outcome_story import DAY, at, build_harmonized, empty, plant, say
from tests.publishing import prediction

TRAINING = f"features.{spec('attendance').training_relation}"


@pytest.fixture
def story(services: Services, now: datetime) -> Services:
    """A model of alpha's own, trained ten days ago on 400 rows, serves; 400 rows are labelled."""
    with services.database.batch() as connection:
        connection.exec_driver_sql(f"create table if not exists {TRAINING} (partner text not null)")
    build_harmonized(services)
    empty(services)
    label(services, 400)
    trained(services, now - 10 * DAY, 400)
    figures(services, "alpha", "7", now - 10 * DAY)
    say(services, now - DAY, [prediction("gala")], model="7")
    return services


def label(services: Services, count: int) -> None:
    with services.database.batch() as connection:
        connection.exec_driver_sql(f"delete from {TRAINING}")
        connection.exec_driver_sql(f"insert into {TRAINING} select 'alpha' from generate_series(1, {count})")


def trained(services: Services, moment: datetime, rows: int, *, status: str = "success") -> None:
    plant(services, "ops.step_runs", partner="alpha", step="train", use_case="attendance", run_id=f"t{moment:%m%d}",
          status=status, row_count=rows, started_at=moment, finished_at=moment)  # fmt: skip


def figures(services: Services, partner: str, version: str, moment: datetime) -> None:
    plant(services, "metrics.model_quality", partner=partner, use_case="attendance", model_name=f"attendance.{partner}",
          model_version=version, candidate="mean", metric="mase", value=1, at=moment)  # fmt: skip


def failed(services: Services, moment: datetime, *, passed: bool | None = False, name: str = "coverage") -> None:
    plant(services, "metrics.model_check", partner="alpha", use_case="attendance", name=name, passed=passed,
          observed="61% of 200", n=200, needed=50, at=moment)  # fmt: skip


def asked(services: Services) -> list[tuple[str, str]]:
    return [(wish.partner, wish.use_case) for wish in wishes(services)]


@pytest.mark.parametrize(("rows", "asks"), [(400, False), (479, False), (480, True), (380, False)])
def test_a_fifth_more_than_it_was_trained_on(story: Services, rows: int, asks: bool) -> None:
    label(story, rows)
    assert asked(story) == ([("alpha", "attendance")] if asks else [])


def test_the_reason_has_the_numbers_and_goes_to_the_event_log(story: Services) -> None:
    label(story, 500)
    (wish,) = wishes(story)
    assert wish.reason == "100 new outcomes since the last training, on 400; 80 are enough"
    tell(story, wish)
    with story.database.partner("alpha") as connection:
        (told,) = logs.events(connection, "alpha", kind="retraining.asked")
    assert told["data"] == {"use_case": "attendance", "reason": wish.reason}


def test_few_outcomes_are_not_enough_however_large_their_share(story: Services, now: datetime) -> None:
    trained(story, now - 9 * DAY, 40)
    label(story, 89)
    assert asked(story) == []
    label(story, 90)
    assert asked(story) == [("alpha", "attendance")]
    quick = replace(story, settings=story.settings.model_copy(update={"retrain_least_outcomes": 500}))
    assert asked(quick) == []


def test_what_the_api_alone_has_told_counts_too(story: Services, now: datetime) -> None:
    said = [
        Outcome(use_case="attendance", subject_kind="event", subject_id=f"e{n}", platform="pretix",
                happened_at=now - 2 * DAY, begins_at=now - 2 * DAY, value=n)
        for n in range(80)
    ]  # fmt: skip
    with story.database.partner("alpha") as connection:
        outcomes.write(connection, "alpha", said, now - DAY)
    assert asked(story) == [("alpha", "attendance")]
    plant(story, "metrics.outcome", partner="alpha", use_case="attendance", subject_kind="event", subject_id="e0",
          platform="pretix", happened_at=now - 2 * DAY, begins_at=now - 2 * DAY, source="platform", value=0,
          received_at=now)  # fmt: skip
    assert asked(story) == [], "one of them the platform knows as well: it is among the labelled rows or will be"


@pytest.mark.parametrize(("passed", "asks"), [(False, True), (None, False), (True, False)])
def test_a_failed_check_asks_and_an_open_one_does_not(
    story: Services, now: datetime, passed: bool | None, asks: bool
) -> None:
    failed(story, now, passed=passed)
    assert [wish.reason for wish in wishes(story)] == (["coverage: 61% of 200"] if asks else [])


def test_a_verdict_on_what_was_before_the_training_is_none_on_it(story: Services, now: datetime) -> None:
    failed(story, now - 11 * DAY)
    assert asked(story) == []


@pytest.mark.parametrize("status", ["success", "failed"])
def test_after_a_training_it_rests_whatever_became_of_it(story: Services, now: datetime, status: str) -> None:
    label(story, 900)
    failed(story, now)
    before = wishes(story)
    trained(story, now - 2 * DAY, 0 if status == "failed" else 900, status=status)
    assert before and asked(story) == []
    later = at(story, now + 6 * DAY)
    (again,) = wishes(later)
    assert again.key != before[0].key and again.reason == "coverage: 61% of 200"


def test_one_key_until_it_was_tried_or_a_rest_has_passed(story: Services, now: datetime) -> None:
    label(story, 900)
    first, soon, much_later = (
        wishes(at(story, now + wait)) for wait in (timedelta(0), timedelta(hours=5), timedelta(days=5))
    )
    assert first[0].key == soon[0].key != much_later[0].key


def test_a_training_that_kept_the_champion_is_none(story: Services, now: datetime) -> None:
    label(story, 900)
    trained(story, now - timedelta(hours=1), 0)
    assert asked(story) == [("alpha", "attendance")]


def test_who_is_served_by_the_rule_or_by_a_pooled_model_asks_for_nothing(story: Services, now: datetime) -> None:
    label(story, 900)
    failed(story, now)
    with story.database.batch() as connection:
        connection.exec_driver_sql("update ops.scoring set model_name = 'attendance.pooled'")
    assert wishes(story) == []


def test_the_other_tenant_s_outcomes_are_its_own(story: Services, now: datetime) -> None:
    figures(story, "beta", "3", now - 10 * DAY)
    other = prediction("gala", subject=Subject("event", "gala", "pretix"))
    say(story, now - DAY, [other], model="3", partner="beta")
    label(story, 900)
    found: list[Any] = wishes(story)
    assert all(isinstance(one, Wish) for one in found) and [one.partner for one in found] == ["alpha"]
