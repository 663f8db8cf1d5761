"""A partner reads how good its data is: over HTTP with the scope for it, and by command."""

import json
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from integrator.cli import quality as command
from integrator.cli.main import app
from integrator.security import clients
from integrator.steps.services import Services
from integrator.storage import connections, landing, quality_results
from integrator.storage.connections import PlatformConnection
from integrator.storage.quality_results import Result
from integrator_realtime.app import create_app
from tests.asgi import Direct


def result(expectation: str, passed: bool | None, **changes: Any) -> Result:
    facts: dict[str, Any] = {
        "kind": "sale", "platform": "shop", "dimension": "references", "severity": "warning", "observed": "2 of 9 records",
    }  # fmt: skip
    return Result(**{**facts, "expectation": expectation, "passed": passed, **changes})


@pytest.fixture(scope="module")
def read(services: Services) -> Services:
    """Results of two partners, a quarantined record and a connection."""
    now = services.clock()
    found = [
        result("contact_is_there", True),
        result("event_is_there", False, count=2, ids=("s1", "s2"), mend="Send the event too."),
        result(
            "quantity_in_range",
            False,
            severity="error",
            dimension="contract",
            count=1,
            ids=("s3",),
            mend="It is negative.",
        ),
        result("last_day_as_usual", None, dimension="volume", observed="3 weeks of history, 8 needed"),
        result("name_filled_as_usual", True, kind="event", dimension="completeness"),
    ]
    with services.database.partner("alpha") as connection:
        quality_results.store(connection, "alpha", "run-1", found, now)
        account = PlatformConnection(
            partner="alpha", connection_id="main", platform="pretix", settings={}, credentials={"token": "secret-token"}
        )
        connections.save(connection, services.database.master, account, now)
        connections.mark_synced(connection, "alpha", "main", now - timedelta(hours=2))
    with services.database.partner("beta") as connection:
        quality_results.store(connection, "beta", "run-1", [result("event_is_there", False, ids=("only-beta",))], now)
    for number in range(3):
        broken = {"native_id": f"q{number}", "created_at": "soon", "name": "Zyxwv Planted"}
        landing.write(services.database, "alpha", "shop", "contact", [broken], now=now)
    return services


def ask(services: Services, scopes: str, url: str = "/v1/quality") -> Any:
    http = Direct(create_app(services))
    client = clients.create(services.database, "alpha", scopes, services.clock())
    token = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client.client_id, client.client_secret)
    ).json()["access_token"]
    return http.get(url, headers={"Authorization": f"Bearer {token}"})


def test_what_failed_comes_first_with_ids_and_words(read: Services) -> None:
    answer = ask(read, "quality:read")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [(one["expectation"], one["passed"]) for one in body["results"]] == [
        ("quantity_in_range", False), ("event_is_there", False), ("name_filled_as_usual", True), ("contact_is_there", True),
        ("last_day_as_usual", None),
    ]  # fmt: skip
    first = body["results"][0]
    assert first["severity"] == "error" and first["ids"] == ["s3"] and first["mend"] == "It is negative."
    assert first["at"] == "2026-03-16T12:00:00Z" and first["run_id"] == "run-1"
    (waiting,) = body["quarantine"]
    assert (waiting["platform"], waiting["kind"], waiting["field"], waiting["count"]) == (
        "shop",
        "contact",
        "created_at",
        3,
    )
    assert body["connections"] == [{
        "connection": "main", "platform": "pretix", "status": "active", "reason": None,
        "last_synced_at": "2026-03-16T10:00:00Z", "age_seconds": 7200,
    }]  # fmt: skip
    assert not any(secret in answer.text for secret in ("only-beta", "Planted", "secret-token"))


@pytest.mark.parametrize("kind", ["event", "events"])
def test_one_kind_is_asked_for_by_either_of_its_names(read: Services, kind: str) -> None:
    body = ask(read, "quality:read", f"/v1/quality?kind={kind}").json()
    assert [one["expectation"] for one in body["results"]] == ["name_filled_as_usual"] and body["quarantine"] == []


def test_an_unknown_kind_and_a_missing_scope_are_refused(read: Services) -> None:
    answer = ask(read, "quality:read", "/v1/quality?kind=orders")
    assert answer.status_code == 422 and "event, contact, sale" in answer.text
    assert ask(read, "insights:read").status_code == 403


@pytest.mark.parametrize(("words", "count"), [([], 2), (["--all"], 5), (["--kind", "events", "--all"], 1)])
def test_the_command_prints_the_same(
    read: Services, monkeypatch: pytest.MonkeyPatch, words: list[str], count: int
) -> None:
    monkeypatch.setattr(command, "open_session", lambda: read)
    done = CliRunner().invoke(app, ["quality", "--partner", "alpha", "--json", *words])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0 and len(lines) == count
    if not words:
        assert lines[0]["mend"] == "It is negative." and lines[0]["ids"] == ["s3"]


def test_the_command_refuses_a_kind_and_a_partner_that_are_not_there(
    read: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "open_session", lambda: read)
    assert CliRunner().invoke(app, ["quality", "--partner", "nobody"]).exit_code != 0
    assert CliRunner().invoke(app, ["quality", "--partner", "alpha", "--kind", "sale"]).exit_code != 0
