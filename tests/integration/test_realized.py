"""Outcomes joined to the predictions they answer: the right version, each once, the API before the platforms."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.insight import Interval, Subject
from integrator.steps.realized import realize
from integrator.steps.services import Services
from integrator.storage import outcomes
from integrator.storage.outcomes import Outcome
from models.registry import use_case
from tests import attendance_frames, pricing_frames
from tests.outcome_story import (
    DAY,
    WEEK,
    answers,
    at,
    build_harmonized,
    empty,
    found,
    lead,
    plant,
    say,
    series,
    shadow,
)
from tests.publishing import prediction

EVENING = datetime(2026, 2, 20, 19, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _built(services: Services) -> None:
    build_harmonized(services)


@pytest.fixture
def story(services: Services) -> Services:
    """Nothing predicted, nothing happened."""
    empty(services)
    return services


def gala(value: float, **more: Any) -> Any:
    return prediction("gala", value, interval=Interval(0.8, value - 80, value + 65), **more)


def attend(services: Services, attendance: int | None, starts_at: datetime = EVENING, **more: Any) -> None:
    row = {
        "partner": "alpha",
        "platform": "pretix",
        "event_id": "gala",
        "series_id": None,
        "status": "completed",
        **more,
    }
    plant(services, "harmonized.event", starts_at=starts_at, attendance=attendance, **row)


def api(
    services: Services, value: float, *, subject: Subject, moment: datetime, case: str = "attendance", **more: Any
) -> None:
    said = Outcome(
        use_case=case, subject_kind=subject.kind, subject_id=subject.id, platform=subject.platform, happened_at=moment,
        begins_at=more.pop("begins_at", moment), value=value, **more,
    )  # fmt: skip
    with services.database.partner("alpha") as connection:
        outcomes.write(connection, "alpha", [said], services.clock())


def test_each_lead_is_answered_by_the_version_that_stood_then(story: Services, now: datetime) -> None:
    say(story, EVENING - 10 * DAY, [gala(800)])
    say(story, EVENING - 2 * DAY, [gala(900)])
    say(story, EVENING - timedelta(hours=5), [gala(950)], model="8")
    attend(story, 880)
    report = realize(story, "alpha", "attendance")
    assert (report.gathered, report.joined, report.answered) == (1, 1, 4)
    rows = {key[1]: row for key, row in answers(story).items()}
    assert {bucket: (row.predicted, row.insight_version) for bucket, row in rows.items()} == {
        "last": (950, 3), "1d": (900, 2), "3d": (800, 1), "7d": (800, 1),
    }  # fmt: skip
    last, early = rows["last"], rows["7d"]
    assert (last.error, last.is_inside, last.model_version, last.rung) == (70, True, "8", "partner")
    assert (early.error, early.is_inside, early.low, early.high) == (-80, False, 720, 865)
    assert last.due_at == EVENING and round(last.lead_days * 24, 6) == 5 and early.lead_days == 10
    assert last.outcome_source == "platform"


def test_what_was_taken_back_or_refused_answers_nothing(story: Services) -> None:
    say(story, EVENING - 10 * DAY, [gala(800)])
    say(story, EVENING - 2 * DAY, [prediction("other")])  # gala is scored no more: withdrawn
    refused = prediction("gala", 1, status="refused")
    say(story, EVENING - DAY / 2, [replace(refused, value=None, interval=None, baseline=None, contributions=())])
    attend(story, 880)
    realize(story, "alpha", "attendance")
    assert {key[1] for key in answers(story)} == {"3d", "7d"}


def test_a_series_is_answered_date_by_date_and_not_beyond_its_horizon(story: Services) -> None:
    days = [EVENING + n * DAY for n in range(3)]
    say(story, EVENING - 2 * DAY, [series("north", days[:2], 100)])
    for day, people in zip(days, (105, 130, 90), strict=True):
        attend(story, people, day, event_id=f"e{day:%d}", series_id="north")
    attend(story, 97, days[0], event_id="late show", series_id="north")  # two at one moment: their mean
    realize(story, "alpha", "attendance")
    rows = found(story, "select due_at, lead_bucket, actual, error, is_inside from metrics.realized order by 1, 2")
    assert [(row.due_at, row.lead_bucket, row.actual) for row in rows] == [
        (days[0], "1d", 101), (days[0], "last", 101), (days[1], "1d", 130), (days[1], "3d", 130), (days[1], "last", 130),
    ]  # fmt: skip
    assert [row.is_inside for row in rows] == [True, True, False, False, False] and rows[0].error == -1


def test_the_api_beats_the_platform_and_a_second_run_changes_nothing(story: Services) -> None:
    say(story, EVENING - DAY / 2, [gala(900)])
    attend(story, 880)
    realize(story, "alpha", "attendance")
    before = found(story, "select * from metrics.realized")
    again = realize(story, "alpha", "attendance")
    assert (again.gathered, again.joined) == (0, 0) and found(story, "select * from metrics.realized") == before
    api(story, 700, subject=Subject("event", "gala", "pretix"), moment=EVENING)
    assert realize(story, "alpha", "attendance").joined == 2
    (row,) = answers(story).values()
    assert (row.actual, row.outcome_source) == (700, "api")


def test_a_mended_moved_or_deleted_event_is_answered_anew(story: Services) -> None:
    say(story, EVENING - 2 * DAY, [gala(900)])
    attend(story, 880)
    realize(story, "alpha", "attendance")
    with story.database.batch() as connection:
        connection.execute(
            text("update harmonized.event set attendance = 860, starts_at = :at"), {"at": EVENING - DAY / 4}
        )
    realize(story, "alpha", "attendance")
    assert {(row.due_at, row.actual) for row in answers(story).values()} == {(EVENING - DAY / 4, 860)}
    with story.database.batch() as connection:
        connection.execute(text("update harmonized.event set status = 'cancelled'"))
    realize(story, "alpha", "attendance")
    assert not answers(story) and not found(story, "select from metrics.outcome")


def test_a_challenger_is_answered_apart_while_it_stands(story: Services) -> None:
    say(story, EVENING - 2 * DAY, [gala(900)])
    shadow(story, EVENING - 2 * DAY, gala(870), "9")
    plant(story, "ops.inference_log", partner="alpha", use_case="attendance", run_id="r", at=EVENING - DAY / 2,
          model_name="attendance.alpha", model_version="7", outcome="success", inference_count=1)  # fmt: skip
    attend(story, 880)
    realize(story, "alpha", "attendance")
    rows = answers(story)
    # by the last half day the partner was scored without it
    assert {key[1:] for key in rows} == {("last", "champion", "7"), ("1d", "champion", "7"), ("1d", "challenger", "9")}
    assert rows["gala", "1d", "challenger", "9"].error == -10 and rows["gala", "1d", "champion", "7"].error == 20
    summed = found(story, """select role, mae from metrics.realized_quality where model_version in ('7', '9')
      and lead_bucket = 'all' and window_days = 30 order by role""")  # fmt: skip
    assert [tuple(row) for row in summed] == [("challenger", 10), ("champion", 20)]


def test_demand_is_read_off_the_curve_at_the_price_taken(story: Services, now: datetime) -> None:
    monday = datetime(2026, 2, 22, 23, tzinfo=UTC)  # Monday in Berlin
    frame = pricing_frames.shop(products=1, days=28)
    context = replace(pricing_frames.CONTEXT, as_of=datetime(2025, 12, 1, tzinfo=UTC))
    row = use_case("pricing").rows(frame, context)[0]
    curve = [
        {"price": price, "quantity": quantity, "quantity_low": 0.75 * quantity, "quantity_high": 1.25 * quantity}
        for price, quantity in ((10, 60), (12, 40), (14, 30))
    ]
    mug = prediction(
        "mug", 12, subject=Subject("product", "mug", "shopify"), unit="EUR", interval=Interval(0.8, 11, 13),
        details={"current_price": 14, "expected_quantity": 40, "demand_curve": curve},
    )  # fmt: skip
    say(story, monday - 2 * DAY, [mug], use_case="pricing", rows=[row])
    sold = {"partner": "alpha", "platform": "shopify", "product": "mug", "tier": ""}
    for day, quantity, price in ((23, 20, 11), (25, 26, 11), (27, 3, None)):
        plant(story, "harmonized.sale", **sold, sold_on=f"2026-02-{day}", quantity=quantity, net_quantity=quantity,
              unit_price_reported=price)  # fmt: skip
    plant(story, "harmonized.sale", **sold, sold_on="2026-03-08", quantity=1, net_quantity=1, unit_price_reported=99)
    plant(story, "harmonized.sale", **sold, sold_on="2026-03-09", quantity=9, net_quantity=9, unit_price_reported=11)
    assert realize(story, "alpha", "pricing").gathered == 2  # the week after 8 March has not ended
    rows = found(story, "select * from metrics.realized order by due_at")
    assert len(rows) == 1, "99 is beyond the curve: nothing was said of it"
    week = rows[0]
    assert (week.due_at, week.predicted, week.actual, week.error) == (monday + WEEK, 50, 49, 1)
    assert (week.low, week.high, week.is_inside) == (37.5, 62.5, True)
    assert week.naive is not None and week.naive_error == week.naive - 49
    api(story, 15, subject=mug.subject, moment=monday + 2 * DAY, case="pricing", begins_at=monday + DAY, price=12)
    realize(story, "alpha", "pricing")
    short = found(story, "select * from metrics.realized order by due_at")[0]
    assert (short.predicted, short.low, short.is_inside) == (pytest.approx(40 / 7), None, None)


def test_the_naive_rule_is_asked_with_the_same_feature_row(story: Services, now: datetime) -> None:
    code = use_case("attendance")
    rows = [
        row for row in code.rows(attendance_frames.arena(days=28), attendance_frames.CONTEXT)
        if row["subject"]["id"] in ("hall-2026-03-18", "hall")
    ]  # fmt: skip
    event, series = sorted(rows, key=lambda row: row["subject"]["kind"])
    ruled, whole = code.rule().predict([event, series])
    assert ruled.value is not None and whole.details["horizon"]
    models = [replace(one, value=500, interval=None, baseline=500, contributions=()) for one in (ruled, whole)]
    say(story, now, models, rows=[event, series])
    starts = datetime.fromisoformat(event["at"])
    key = {"partner": "alpha", "platform": "pretix", "status": "completed", "series_id": "hall", "attendance": 480}
    plant(story, "harmonized.event", event_id="hall-2026-03-18", starts_at=starts, **key)
    realize(at(story, starts + DAY), "alpha", "attendance")
    found_of = {key[0]: row for key, row in answers(story).items() if key[1] == "last"}
    assert (found_of["hall-2026-03-18"].naive, found_of["hall-2026-03-18"].predicted) == (ruled.value, 500)
    at_start = next(one for one in whole.details["horizon"] if datetime.fromisoformat(one["at"]) == starts)
    assert found_of["hall"].naive == at_start["p50"] == found_of["hall"].predicted
    assert found_of["hall"].naive_error == at_start["p50"] - 480


def test_leads_are_judged_when_their_horizon_is_over_and_not_by_who_converted_first(
    story: Services, now: datetime
) -> None:
    start = now - 40 * DAY
    say(story, start, [lead("won", 0.3), lead("lost", 0.1), lead("late", 0.2)], use_case="lead_score")
    say(story, start + 5 * DAY, [lead("won", 0.8), lead("lost", 0.1), lead("late", 0.2)], use_case="lead_score")
    say(story, now - 4 * DAY, [lead("young", 0.4)], use_case="lead_score", model="8")
    for name, converted in {"won": start + 6 * DAY, "lost": None, "late": start + 35 * DAY, "young": now - DAY}.items():
        plant(story, "harmonized.identity", partner="alpha", platform="hubspot", person_id=name, native_id=name)
        plant(story, "harmonized.contact", partner="alpha", platform="hubspot", person_id=name, contact_id=name,
              converted_at=converted)  # fmt: skip
    realize(story, "alpha", "lead_score")
    rows = {key[0]: row for key, row in answers(story).items()}
    assert {name: (row.predicted, row.actual, row.due_at) for name, row in rows.items()} == {
        "won": (0.3, 1, start + 30 * DAY), "lost": (0.1, 0, start + 30 * DAY), "late": (0.2, 0, start + 30 * DAY),
        "young": (0.4, 1, now + 26 * DAY),
    }  # fmt: skip
    assert rows["won"].is_inside is None and rows["won"].naive == 0.2 and rows["won"].lead_bucket == "first"
    (summed,) = found(story, """select * from metrics.realized_quality where model_version = 'all' and lead_bucket = 'all'
      and window_days = 30""")  # fmt: skip
    assert (summed.prediction_count, summed.pending_count) == (3, 1), "a conversion before its time favours the rate"
    later = realize(at(story, now + 27 * DAY), "alpha", "lead_score")
    assert next(one for one in later.quality if one.window_days == 90 and one.model_name == "all").prediction_count == 4


def test_a_conversion_that_came_to_light_late_takes_the_place_of_none(story: Services, now: datetime) -> None:
    start = now - 40 * DAY
    say(story, start, [lead("won", 0.3)], use_case="lead_score")
    key = {"partner": "alpha", "platform": "hubspot", "person_id": "won"}
    plant(story, "harmonized.identity", **key, native_id="won")
    plant(story, "harmonized.contact", **key, contact_id="won", converted_at=None)
    realize(story, "alpha", "lead_score")
    assert [row.actual for row in answers(story).values()] == [0]
    with story.database.batch() as connection:
        connection.execute(text("update harmonized.contact set converted_at = :at"), {"at": start + DAY})
    realize(story, "alpha", "lead_score")
    assert [row.actual for row in answers(story).values()] == [1]
    api(story, 0, subject=Subject("contact", "won", "hubspot"), moment=start + 2 * DAY, case="lead_score")
    realize(story, "alpha", "lead_score")
    assert [(row.actual, row.outcome_source) for row in answers(story).values()] == [(0, "api")]
    with story.database.batch() as connection:  # erased, or no longer to be processed
        connection.execute(text("delete from harmonized.contact"))
        connection.execute(text("delete from metrics.outcome where source = 'api'"))
    realize(story, "alpha", "lead_score")
    assert not found(story, "select from metrics.outcome")


def test_one_tenant_at_a_time(story: Services) -> None:
    for partner in ("alpha", "beta"):
        say(story, EVENING - DAY / 2, [gala(900)], partner=partner)
        attend(story, 880, partner=partner)
    realize(story, "alpha", "attendance")
    assert answers(story) and not answers(story, "beta")
    assert not found(story, "select from metrics.outcome where partner = 'beta'")


def test_without_harmonized_records_there_is_nothing_to_do(story: Services) -> None:
    report = realize(story, "beta", "pricing")
    assert (report.gathered, report.joined, report.quality) == (0, 0, ())
    assert [(check.name, check.passed) for check in report.checks] == [
        ("accuracy", None), ("coverage", None), ("calibration", None),
    ]  # fmt: skip
    assert report.checks[0].observed == "not judged: 0 of 30 outcomes"
