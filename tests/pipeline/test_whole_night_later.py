"""The nights after: a day's news, a wrong credential, a platform in trouble, and a look back at a past moment."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.insight import parse
from integrator.steps.ingest import accounts
from tests.pipeline.installation import NOW, PARTNERS, Installation, Night, Standing
from tests.pipeline.planted import NEWCOMER
from tests.pipeline.story import PAST, TOMORROW

pytestmark = pytest.mark.timeout(600)


def fresh(before: Standing, after: Standing) -> Mapping[tuple[str, int], Mapping[str, Any]]:
    """The versions that came meanwhile."""
    return {key: row for key, row in after.versions.items() if key not in before.versions}


def statement(document: str) -> tuple[object, ...]:
    """What a document says, without what every night writes anew."""
    found = json.loads(document)
    del found["source"], found["generated_at"], found["insight_version"]
    del found["confidence"]["coverage"], found["confidence"]["observations"]
    return tuple(sorted((key, json.dumps(value, sort_keys=True)) for key, value in found.items()))


@pytest.mark.parametrize("partner", ["car_parks", "travel"])
def test_only_what_changed_gets_a_version_and_only_that_is_sent(partner: str, second: Night, tomorrow: Night) -> None:
    before, after = second.after[partner], tomorrow.after[partner]
    new = fresh(before, after)
    assert new and after.landed != before.landed
    for (insight_id, version), row in new.items():
        if version == 1:
            assert insight_id not in before.current
        else:
            assert statement(row["document"]) != statement(before.versions[insight_id, version - 1]["document"])
    untouched = set(before.current) - {insight_id for insight_id, _ in new}
    assert untouched and all(after.current[key] == before.current[key] for key in untouched)
    assert sorted(after.sent()) == sorted(after.versions)


def test_positions_grow_and_nothing_older_overwrites(second: Night, tomorrow: Night, healed: Night) -> None:
    for partner in ("car_parks", "travel", NEWCOMER):
        before, after = second.after[partner], tomorrow.after[partner]
        highest = max(row["input_position"] for row in before.versions.values())
        assert all(row["input_position"] > highest for row in fresh(before, after).values())
    for partner in PARTNERS:
        for insight_id, document in healed.after[partner].current.items():
            versions = [number for key, number in healed.after[partner].versions if key == insight_id]
            assert parse(document).insight_version == max(versions) == len(versions)


def test_a_past_event_is_taken_back_once_and_says_why(second: Night, tomorrow: Night, healed: Night) -> None:
    gone = [
        row
        for row in fresh(second.after["car_parks"], tomorrow.after["car_parks"]).values()
        if row["status"] == "withdrawn"
    ]
    assert len({row["subject_id"].split(":")[0] for row in gone}) == len(gone) > 1
    for row in gone:
        document = json.loads(row["document"])
        assert document["value"] is None and document["interval"] is None
        assert document["explanation"]["summary"].startswith("Withdrawn: the event is over")
    messages = [m for m in tomorrow.after["car_parks"].messages if m["document"]["type"] == "insight.withdrawn"]
    assert len(messages) == len(gone)


def test_what_came_true_is_held_against_what_was_said(installation: Installation, tomorrow: Night) -> None:
    assert "car_parks" in tomorrow.materialized["realized/attendance"]
    with installation.services.database.partner("car_parks") as connection:
        answers = connection.execute(
            text("""select subject_kind, actual, predicted, naive, predicted_at, due_at, outcome_source from metrics.realized
              where partner = 'car_parks' and use_case = 'attendance' and due_at > :then"""),
            {"then": NOW},
        ).all()
        named = set(
            connection.execute(text("select name from metrics.model_check where partner = 'car_parks'")).scalars()
        )
    assert {row.subject_kind for row in answers} == {"event", "series"}
    assert all(row.predicted_at < row.due_at and row.outcome_source == "platform" for row in answers)
    assert all(row.naive is not None for row in answers)
    assert named == {"accuracy", "coverage", "calibration", "drift"}


def test_a_wrong_credential_stops_that_connection_alone(
    installation: Installation, second: Night, tomorrow: Night
) -> None:
    assert not tomorrow.result.success and not tomorrow.result.is_transient
    assert set(tomorrow.result.failed_partners) == {"grocer"}
    assert "401" in tomorrow.result.failed_partners["grocer"] and "grocer" in tomorrow.result.message
    others = {"car_parks", "travel", NEWCOMER}
    assert tomorrow.materialized["raw/shopify/sales"] & set(PARTNERS) == others & set(PARTNERS)
    for key in ("model/pricing", "insight/pricing", "published/tables", "published/cache", "published/webhook"):
        assert tomorrow.materialized[key] == others, key
    before, after = second.after["grocer"], tomorrow.after["grocer"]
    assert (after.current, after.versions, after.landed, after.publications) == (
        before.current, before.versions, before.landed, before.publications,
    )  # fmt: skip
    assert all(tomorrow.after[name].publications > second.after[name].publications for name in others)
    failed = [entry for entry in tomorrow.result.steps if entry.partner == "grocer"]
    assert [(entry.step, entry.status, entry.is_transient) for entry in failed] == [("ingest", "failed", False)]
    with installation.services.database.partner("grocer") as connection:
        events = connection.execute(
            text("select data from ops.event_log where partner = 'grocer' and kind = 'connection.failed'")
        ).scalars()
        assert [(event["permanent"], event["connection"]) for event in events] == [(True, "shopify")]


def test_saving_the_right_credential_heals_it_in_the_next_night(
    installation: Installation, tomorrow: Night, healed: Night
) -> None:
    assert set(healed.steps("grocer").values()) == {"success"}
    assert healed.after["grocer"].landed["sale"] > tomorrow.after["grocer"].landed["sale"]
    assert fresh(tomorrow.after["grocer"], healed.after["grocer"])
    assert "grocer" in healed.materialized["published/tables"]
    (account,) = accounts(installation.services, "grocer")
    assert (account.status, account.status_reason) == ("active", None)


def test_a_platform_that_answers_500_beyond_the_bound_is_transient_and_stops_no_connection(
    installation: Installation, tomorrow: Night, healed: Night
) -> None:
    assert not healed.result.success and healed.result.is_transient
    assert set(healed.result.failed_partners) == {"car_parks"} and "500" in healed.result.failed_partners["car_parks"]
    for key in ("raw/pretix/events", "model/attendance", "insight/attendance", "published/tables"):
        assert healed.materialized[key] == {"grocer", "travel", NEWCOMER}, key
    before, after = tomorrow.after["car_parks"], healed.after["car_parks"]
    assert (after.current, after.versions, after.landed) == (before.current, before.versions, before.landed)
    (account,) = accounts(installation.services, "car_parks")
    assert account.status == "active"


def test_a_night_as_of_a_past_moment_knows_nothing_of_what_came_after(
    installation: Installation, promoted: Any, past: Night
) -> None:
    assert past.result.success, past.result
    with installation.services.database.batch() as connection:

        def count(query: str) -> int:
            found: int = connection.execute(text(f"select count(*) from {query}"), {"past": PAST}).scalar_one()
            return found

        assert count("features.attendance where as_of <> :past") == 0
        assert count("features.attendance where starts_at >= :past and (attendance is not null or is_past)") == 0
        assert count("features.attendance where starts_at < :past and attendance is not null") > 100
        assert (
            count("harmonized.event where starts_at >= :past and attendance is not null and partner = 'car_parks'") > 0
        )
        assert count("features.attendance_training where starts_at >= :past") == 0
        assert (
            count("features.pricing where partner = 'grocer' and sold_on > (:past at time zone 'Asia/Taipei')::date")
            == 0
        )
        assert count("harmonized.sale where partner = 'grocer' and sold_at > :past") > 0
        assert count("features.lead_score where created_at > :past or as_of <> :past") == 0
        assert count("features.lead_score_training where as_of > :past") == 0
        assert count("harmonized.contact where created_at > :past and partner = 'travel'") > 0


def test_insights_of_a_past_moment_say_so(promoted: Any, past: Night) -> None:
    for partner in PARTNERS:
        new = [
            json.loads(row["document"]) for row in fresh(promoted.night.after[partner], past.after[partner]).values()
        ]
        assert new
        assert {document["source"]["as_of"] for document in new} == {"2026-03-09T20:00:00Z"}
    predicted = [
        json.loads(row["document"])
        for row in fresh(promoted.night.after["car_parks"], past.after["car_parks"]).values()
        if row["status"] == "ready"
    ]
    series = [document for document in predicted if document["subject"]["kind"] == "series"]
    days = {day["at"][:10] for document in series for day in document["details"]["horizon"]}
    assert min(days) > PAST.date().isoformat() and min(days) < NOW.date().isoformat() < TOMORROW.date().isoformat()
