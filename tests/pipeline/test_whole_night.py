"""One night over real platforms, storage, dbt, Great Expectations, models and channels; then one without news."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import requests
from sqlalchemy import Connection, text

from integrator.cli.demo.cast import Login
from integrator.cli.demo.verify import published
from integrator.storage import quarantine
from integrator.storage.step_runs import STEPS
from integrator_realtime.app import create_app
from tests.pipeline.installation import NOW, PARTNERS, TIMEOUT, USE_CASES, Installation, Night
from tests.pipeline.planted import BROKEN_DATE, KNOWN_DAYS, NEWCOMER, TRACES, known_attendance
from tests.serving import serving

pytestmark = pytest.mark.timeout(600)
OF_PARTNER = {"car_parks": "attendance", "grocer": "pricing", "travel": "lead_score"}


@pytest.fixture(scope="module")
def api(installation: Installation, first: Night) -> Iterator[str]:
    """The realtime API in a real server."""
    with serving(create_app(installation.services)) as url:
        yield url


def token(api: str, login: Login) -> dict[str, str]:
    """The headers of a partner's client."""
    answer = requests.post(
        f"{api}/oauth/token", data={"grant_type": "client_credentials"}, auth=(login.client_id, login.client_secret),
        timeout=TIMEOUT,
    )  # fmt: skip
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def lookup(api: str, headers: dict[str, str], document: str) -> requests.Response:
    """The insight of that document's subject."""
    facts = json.loads(document)
    subject = quote(facts["subject"]["id"], safe="")
    return requests.get(
        f"{api}/v1/insights/{facts['use_case']}/{subject}", params={"platform": facts["subject"]["platform"]},
        headers=headers, timeout=TIMEOUT,
    )  # fmt: skip


def test_the_night_is_green_and_every_step_is_recorded_for_every_partner(first: Night) -> None:
    assert first.result.success and first.result.failed_partners == {}, first.result
    for partner in PARTNERS:
        steps = first.steps(partner)
        assert set(steps.values()) == {"success"}
        assert {step for step, _ in steps} == set(STEPS)
        for step in ("train", "score", "publish"):
            assert {case for name, case in steps if name == step} == set(USE_CASES)
    assert {step for step, _ in first.steps(NEWCOMER)} == set(STEPS) - {"ingest"}


@pytest.mark.parametrize("partner", PARTNERS)
def test_the_same_bytes_are_in_the_partners_views_the_api_and_the_webhook(
    partner: str, installation: Installation, first: Night, api: str
) -> None:
    login = installation.logins[partner]
    seen = [insight.document for insight in published(login)]
    told = {m["document"]["data"]["id"]: m["body"] for m in first.after[partner].messages}
    assert sorted(first.after[partner].current) == sorted(told)
    headers = token(api, login)
    for document in first.after[partner].current.values():
        body = told[json.loads(document)["id"]]
        assert body[body.index('"data":') + len('"data":') : -1] == document
    # The views and the API speak of now: whatever later nights of the story did, they agree.
    for document in seen[:: max(1, len(seen) // 40)]:
        answer = lookup(api, headers, document)
        assert answer.status_code == 200 and answer.content.decode() == document


@pytest.mark.parametrize("partner", PARTNERS)
def test_another_partner_finds_none_of_them(partner: str, installation: Installation, first: Night, api: str) -> None:
    stranger = installation.logins[PARTNERS[(PARTNERS.index(partner) + 1) % len(PARTNERS)]]
    with psycopg.connect(stranger.database_url) as connection:
        for view in (*USE_CASES, "history"):
            others = connection.execute(
                f"select count(*) from insights.{view} where partner = %s", [partner]
            ).fetchone()
            assert others == (0,), view
        for table in (
            "insights.version",
            "landing.event",
            "ops.prediction_log",
            "vault.personal",
            "features.attendance",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                rows = connection.execute(f"select from {table} where partner = %s", [partner]).fetchall()
                if table == "insights.version" and not rows:  # readable through the views, and row-level security holds
                    raise psycopg.errors.InsufficientPrivilege
    document = next(iter(first.after[partner].current.values()))
    assert lookup(api, token(api, stranger), document).status_code == 404


STANDS = {("ready", "partner"), ("refused", "partner"), ("fallback", "rule"), ("refused", "rule")}


def test_statuses_and_rungs_say_what_stands_behind_an_insight(first: Night) -> None:
    for partner, use_case in OF_PARTNER.items():
        documents = [json.loads(text) for text in first.after[partner].current.values()]
        assert {document["use_case"] for document in documents} == {use_case}
        for document in documents:
            # A model of one's own refuses, too, what its data cannot tell.
            assert (document["status"], document["rung"]) in STANDS
            assert (document["value"] is None) == (document["status"] == "refused")
            assert document["explanation"]["summary"]
            named = document["model"]["name"]
            assert named == (f"{use_case}.{partner}" if document["rung"] == "partner" else f"{use_case}.rule")
            if document["interval"] is not None:
                assert document["interval"]["low"] <= document["value"] <= document["interval"]["high"]
            if document["value"] is not None:
                parts = [part["effect"] for part in document["explanation"]["contributions"]]
                assert document["explanation"]["baseline"] + sum(parts) == pytest.approx(document["value"], abs=1e-6)
    ready = [json.loads(text) for text in first.after["car_parks"].current.values()]
    # A series for which the model was far off on its own past is left to the rule.
    assert {"ready"} <= {document["status"] for document in ready} <= {"ready", "fallback"}
    assert {document["subject"]["kind"] for document in ready} == {"event", "series"}


def test_everything_is_logged(installation: Installation, first: Night, api: str) -> None:
    database = installation.services.database
    lookup(api, token(api, installation.logins["travel"]), next(iter(first.after["travel"].current.values())))
    for partner, use_case in OF_PARTNER.items():
        with database.partner(partner) as connection:
            facts = {"partner": partner, "run": first.result.run_id, "use_case": use_case}
            predictions = connection.execute(
                text(
                    "select outcome, count(*) from ops.prediction_log where partner = :partner and run_id = :run group by 1"
                ),
                facts,
            ).all()
            counted = connection.execute(
                text("""select outcome, inference_count from ops.inference_log where partner = :partner and run_id = :run
                  and use_case = :use_case and inference_count > 0 and not is_shadow"""), facts,
            ).all()  # fmt: skip
            kinds = set(
                connection.execute(text("select kind from ops.event_log where partner = :partner"), facts).scalars()
            )
        assert Counter(dict(map(tuple, predictions))) == Counter(dict(map(tuple, counted)))
        assert sum(count for _, count in predictions) == len(first.after[partner].current)
        assert {"connection.pulled", "insights.published"} <= kinds


def test_requests_are_logged_by_client_and_route(installation: Installation, first: Night) -> None:
    login = installation.logins["grocer"]
    document = next(iter(first.after["grocer"].current.values()))
    with serving(create_app(installation.services)) as url:  # leaving it writes what is left
        assert lookup(url, token(url, login), document).status_code == 200
    with installation.services.database.partner("grocer") as connection:
        rows = connection.execute(
            text("select client_id, method, route, status from ops.request_log where partner = 'grocer'")
        ).all()
    assert (login.client_id, "GET", "/v1/insights/{use_case}/{subject_id:anything}", 200) in [
        tuple(row) for row in rows
    ]
    assert not any(json.loads(document)["subject"]["id"] in row.route for row in rows)


def test_a_malformed_record_is_in_quarantine_with_its_reason_and_the_others_landed(
    installation: Installation, first: Night
) -> None:
    database = installation.services.database
    with database.partner("car_parks") as connection:
        (date,) = [entry for entry in quarantine.waiting(connection, "car_parks") if entry.kind == "event"]
        landed = connection.execute(
            text(
                "select count(distinct native_id) from landing.event where partner = 'car_parks' and series_id = :series"
            ),
            {"series": str(date.native_id).split(":")[0]},
        ).scalar_one()
        raw = quarantine.payload(connection, database.master, "car_parks", date.quarantine_id)
    assert date.field == "starts_at" and date.reason and landed > 50
    assert raw is not None and json.loads(raw)["starts_at"] == BROKEN_DATE
    with database.partner("travel") as connection:
        (contact,) = quarantine.waiting(connection, "travel")
        assert "quarantined.person" not in contact.reason
        there = connection.execute(
            text("select count(*) from landing.contact where partner = 'travel' and native_id = '900001'")
        ).scalar_one()
    assert there == 1


def test_personal_data_is_in_the_vault_and_nowhere_else(installation: Installation, first: Night) -> None:
    """The planted person's address, number and name: in no row of any table, no artifact, no log, no message."""
    services = installation.services
    with services.database.batch() as connection:
        readable, holding = tables_with_traces(connection)
        assert {"landing.contact", "features.lead_score", "ops.event_log", "mlflow.params"} <= set(readable)
        sealed = connection.exec_driver_sql(
            "select count(*) from vault.personal where native_id = '900001'"
        ).scalar_one()
    assert holding == [] and sealed == 1
    with services.database.service() as connection:  # what the service alone may read, with no partner set
        readable, holding = tables_with_traces(connection)
        assert "queue.procrastinate_jobs" in readable and holding == []
    for folder in (services.settings.root, installation.sandbox.home / "sandbox-webhooks"):
        assert [str(path) for path in files(folder) if traces_in(path)] == []


def tables_with_traces(connection: Connection) -> tuple[list[str], list[str]]:
    """The tables that the role may read, and those of them that tell of the planted person."""
    tables = connection.exec_driver_sql(
        "select schemaname || '.' || quote_ident(tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema') and not starts_with(schemaname, 'pg_temp')"
        " and has_schema_privilege(schemaname, 'usage')"
    ).scalars()
    readable = [
        name for name in tables
        if connection.execute(text("select has_table_privilege(:name, 'select')"), {"name": name}).scalar_one()
    ]  # fmt: skip
    likes = " or ".join(f"t::text ilike '%%{trace}%%'" for trace in TRACES)
    holding = [
        name for name in readable if connection.exec_driver_sql(f"select from {name} t where {likes} limit 1").all()
    ]
    return readable, holding


def files(folder: Path) -> list[Path]:
    """Every file below."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return found


def traces_in(path: Path) -> list[str]:
    """What a file tells of the planted person."""
    content = path.read_bytes().lower()
    return [trace for trace in TRACES if trace.encode() in content]


def test_a_partner_with_little_data_is_told_what_is_missing(first: Night) -> None:
    reports = first.readiness
    assert reports["attendance"].rung == "rule" and not reports["attendance"].ready
    lines = [str(requirement) for report in reports.values() for requirement in report.requirements]
    assert f"{KNOWN_DAYS} of 42 days of attendance history, about 30 days" in lines
    assert all(" of " in line for line in lines)
    trained = [e for e in first.result.steps if e.partner == NEWCOMER and e.step == "train"]
    assert all((entry.reason or "").startswith("not ready: ") for entry in trained) and len(trained) == 3


def test_a_partner_with_little_data_gets_the_rule_or_a_refusal_and_no_made_up_number(first: Night) -> None:
    documents = [json.loads(text) for text in first.after[NEWCOMER].current.values()]
    seen = {known_attendance(day) for day in range(1, KNOWN_DAYS + 1)}
    by_case = {case: [d for d in documents if d["use_case"] == case] for case in USE_CASES}
    for document in documents:
        assert document["rung"] == "rule" and document["status"] in ("fallback", "refused")
        assert document["confidence"]["label"] == "low" and document["interval"] is None
        assert (document["value"] is None) == (document["status"] == "refused")
    for document in by_case["attendance"]:
        alone = document["subject"]["id"] == "premiere"
        assert document["value"] in ({None} if alone else seen)
        assert ("no past attendance is known" if alone else "12 known days are not enough") in document["explanation"][
            "summary"
        ]
    assert [d["value"] for d in by_case["pricing"]] == [10]
    assert [d["value"] for d in by_case["lead_score"]] == [None] * 3
    assert all("0 leads" in d["explanation"]["summary"] for d in by_case["lead_score"])


def test_a_second_night_without_news_changes_nothing_and_says_so(first: Night, second: Night) -> None:
    assert second.result.success
    for partner, after in second.after.items():
        before = first.after[partner]
        assert after.landed == before.landed
        assert after.versions.keys() == before.versions.keys()
        assert after.current == before.current
        assert len(after.messages) == len(before.messages)
        assert after.publications == before.publications + len(USE_CASES)
        assert {moment > NOW for moment in after.checked} == {True}
    ingested = [entry for entry in second.result.steps if entry.step == "ingest"]
    assert sum(entry.row_count for entry in ingested) == 0
    assert all((e.reason or "").startswith("0 changed") for e in second.result.steps if e.step == "publish")


def test_the_second_night_keeps_the_champion_and_trains_only_where_there_is_none(second: Night) -> None:
    trained = {e.use_case: e.reason for e in second.result.steps if (e.partner, e.step) == ("car_parks", "train")}
    assert trained["attendance"] == "champion 1 kept, nothing trained"
    assert (trained["pricing"] or "").startswith("not ready")


def test_every_partition_is_materialized(first: Night) -> None:
    everyone = {*PARTNERS, NEWCOMER}
    for key in ("raw/pretix/events", "model/attendance", "insight/pricing", "published/tables", "published/webhook"):
        assert first.materialized[key] == everyone, key
