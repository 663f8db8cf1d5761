"""Drift looked for on a database: which rows are compared, what is kept, when nothing is said; and how it is read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from integrator.contracts.insight import Subject
from integrator.security import clients
from integrator.steps.drift import look, verdict
from integrator.steps.realized import picture, realize
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.asgi import Direct
from tests.outcome_story import DAY, at, build_harmonized, empty, found, lead, plant, say
from tests.publishing import prediction

COLUMNS = "partner text not null, platform text, contact_id text, as_of timestamptz, age_days integer, source text, attributes jsonb"
EVENTS = "partner text not null, event_id text, starts_at timestamptz, capacity bigint, category text, attributes jsonb"


@pytest.fixture(scope="module", autouse=True)
def _built(services: Services) -> None:
    build_harmonized(services)
    with services.database.batch() as connection:
        for name, columns in (
            ("lead_score", COLUMNS),
            ("lead_score_training", COLUMNS),
            ("attendance_training", EVENTS),
        ):
            connection.exec_driver_sql(f"create table features.{name} ({columns})")


@pytest.fixture
def story(services: Services, now: datetime) -> Services:
    """A lead model trained ten days ago serves; 400 snapshots were labelled then."""
    empty(services)
    with services.database.batch() as connection:
        for name in ("lead_score", "lead_score_training", "attendance_training"):
            connection.exec_driver_sql(f"delete from features.{name}")
    trained(services, "lead_score", now - 10 * DAY)
    fill(services, "lead_score_training", 400, now - 40 * DAY, age=30, web=0.5)
    fill(
        services, "lead_score_training", 400, now - 2 * DAY, age=200, web=0.0
    )  # labelled since: the model never saw them
    return services


def trained(services: Services, use_case: str, moment: datetime, version: str = "7") -> None:
    plant(services, "metrics.model_quality", partner="alpha", use_case=use_case, model_name=f"{use_case}.alpha",
          model_version=version, candidate="c", metric="m", value=1, at=moment)  # fmt: skip


def fill(services: Services, table: str, count: int, moment: datetime, *, age: float, web: float) -> None:
    rng = np.random.default_rng(count)
    rows = [
        {"partner": "alpha", "platform": "hubspot", "contact_id": f"c{n}", "as_of": moment.isoformat(),
         "age_days": int(rng.normal(age, 9)), "source": "web" if rng.random() < web else "fair",
         "attributes": {"visits": int(rng.poisson(4)), "note": f"unique {n}"}}
        for n in range(count)
    ]  # fmt: skip
    with services.database.batch() as connection:
        connection.exec_driver_sql(
            f"insert into features.{table} select * from jsonb_to_recordset(%s) as t({COLUMNS.replace(' not null', '')})",
            (json.dumps(rows),),
        )


def leads(*values: float) -> list[Any]:
    return [lead(f"l{n}", value) for n, value in enumerate(values)]


def test_features_then_and_now(story: Services, now: datetime) -> None:
    say(story, now - DAY, leads(0.2), use_case="lead_score")
    fill(story, "lead_score", 120, now, age=30, web=0.9)
    report = look(story, "alpha", "lead_score")
    by_name = {one.feature: one for one in report.results}
    assert set(by_name) == {"age_days", "source", "attributes.visits", "value"}, (
        "ids, moments and unique texts say nothing"
    )
    assert by_name["source"].drifted and not by_name["age_days"].drifted and not by_name["attributes.visits"].drifted
    assert (by_name["source"].n_reference, by_name["source"].n_current) == (400, 120)
    assert by_name["value"].drifted is None, "the model has published once: there is nothing to compare"
    assert report.check.passed is False and "1 of 3 features drifted: source" in report.check.observed
    kept = found(story, "select feature, drifted, statistic, at from metrics.drift where partner = 'alpha'")
    assert len(kept) == 4 and {row.at for row in kept} == {now}
    look(story, "alpha", "lead_score")
    assert len(found(story, "select from metrics.drift")) == 4, "the same moment again replaces"
    look(at(story, now + 100 * DAY), "alpha", "lead_score")
    assert {row.at for row in found(story, "select at from metrics.drift")} == {now + 100 * DAY}, "kept for 90 days"


def test_predictions_of_the_first_run_and_of_the_last(story: Services, now: datetime) -> None:
    rng = np.random.default_rng(4)
    fill(story, "lead_score", 60, now, age=30, web=0.5)
    say(story, now - 9 * DAY, leads(*rng.beta(2, 8, 150).tolist()), use_case="lead_score", run_id="first")
    say(story, now - DAY, leads(*rng.beta(5, 5, 90).tolist()), use_case="lead_score", run_id="last")
    report = look(story, "alpha", "lead_score")
    moved = next(one for one in report.results if one.about == "prediction")
    assert moved.drifted and (moved.n_reference, moved.n_current) == (150, 90)
    assert report.check.passed is False and "predictions did" in report.check.observed


def test_events_before_the_training_and_since(story: Services, now: datetime) -> None:
    trained(story, "attendance", now - 10 * DAY)
    say(story, now - DAY, [prediction("gala")])
    rows = [
        {"partner": "alpha", "event_id": f"e{n}", "starts_at": (now - timedelta(hours=n)).isoformat(), "capacity": 100,
         "category": "concert", "attributes": {"is_members_only": n >= 240}}
        for n in range(900)
    ]  # fmt: skip
    with story.database.batch() as connection:
        connection.exec_driver_sql(
            f"insert into features.attendance_training select * from jsonb_to_recordset(%s) as t({EVENTS.replace(' not null', '')})",
            (json.dumps(rows),),
        )
    report = look(story, "alpha", "attendance")
    by_name = {one.feature: one for one in report.results}
    assert (by_name["capacity"].n_reference, by_name["capacity"].n_current) == (660, 240)
    assert by_name["attributes.is_members_only"].drifted and not by_name["category"].drifted


def test_nothing_is_said_where_there_is_nothing_to_compare(story: Services, now: datetime) -> None:
    assert look(story, "alpha", "lead_score").check.observed == "not judged: no trained model serves"
    say(story, now - DAY, leads(0.2), use_case="lead_score", model="8")  # whose training is not on record
    assert look(story, "alpha", "lead_score").check.passed is None
    say(story, now, leads(0.2), use_case="lead_score")
    fill(story, "lead_score", 7, now, age=900, web=0.0)
    few = look(story, "alpha", "lead_score")
    assert few.check.passed is None and few.check.observed == "not judged: 7 of 50 rows since the training"
    assert {row.drifted for row in found(story, "select drifted from metrics.drift")} == {None}
    assert found(story, "select passed, n, needed from metrics.model_check") == [(None, 7, 50)]
    assert verdict(()).passed is None


def test_a_partner_reads_how_its_insights_turned_out(story: Services, now: datetime) -> None:
    say(story, now - 2 * DAY, [prediction("gala")])
    for partner in ("alpha", "beta"):
        plant(story, "harmonized.event", partner=partner, platform="pretix", event_id="gala", series_id=None,
              starts_at=datetime(2026, 3, 15, 19, tzinfo=UTC), attendance=880, status="completed")  # fmt: skip
    realize(story, "alpha", "attendance")
    say(story, now, leads(0.2), use_case="lead_score")
    fill(story, "lead_score", 120, now, age=30, web=0.9)
    look(story, "alpha", "lead_score")
    answers = {}
    for partner in ("alpha", "beta"):
        key = clients.create(story.database, partner, "quality:read", now, method="api_key").client_secret
        answer = Direct(create_app(story)).get("/v1/quality", headers={"Authorization": f"Bearer {key}"})
        answers[partner] = answer.json()["models"]
    mine = answers["alpha"]
    assert mine["checks"][0]["name"] == "drift" and mine["checks"][0]["passed"] is False, "what failed comes first"
    served = next(one for one in mine["realized"] if one["model_name"] == "all" and one["window_days"] == 30)
    assert (served["mae"], served["coverage"], served["outcome_count"]) == (20, 1, 1)
    assert mine["drift"][0]["feature"] == "source" and mine["drift"][0]["drifted"] is True
    assert answers["beta"] == {"checks": [], "realized": [], "drift": []}


def test_a_picture_needs_answers(story: Services, now: datetime) -> None:
    assert picture(story, "alpha", "attendance") is None
    for n in range(6):
        moment = now - (n + 1) * DAY
        say(
            story,
            moment - DAY,
            [prediction("gala", 900 + n, subject=Subject("event", f"e{n}", "pretix"))],
            model=str(n + 1),
        )
        plant(story, "harmonized.event", partner="alpha", platform="pretix", event_id=f"e{n}", series_id=None,
              starts_at=moment, attendance=880, status="completed")  # fmt: skip
    realize(story, "alpha", "attendance")
    drawn = picture(story, "alpha", "attendance")
    assert drawn is not None and drawn.startswith(b"\x89PNG")
