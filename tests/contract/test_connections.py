"""Connections over HTTP against the live sandbox: connected by consent, pulled, paused, backfilled, reconciled, removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import text

from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from integrator_sandbox.demo import HUBSPOT_CLIENT, SHOPIFY_CLIENT, SHOPIFY_TOKEN
from tests.publishing import register_both
from tests.serving import serving

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

ISSUER = "https://api.example.com"
SECRETS = (HUBSPOT_CLIENT["refresh_token"], HUBSPOT_CLIENT["client_secret"], SHOPIFY_TOKEN)


class Clock:
    """The service's clock, moved by tests."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-03-16T20:00:00+00:00")

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def services(database: Any, server: Any, clock: Clock) -> Services:
    settings = Settings(home=server.home, allow_private_platforms=True, http_retries=0, token_minutes=60)
    made = Services(settings, database, server.redis_url, clock)
    register_both(made, clock())
    return made


@pytest.fixture(scope="module")
def api(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(services: Services, api: httpx.Client) -> dict[str, dict[str, str]]:
    found = {}
    for partner, scope in (("alpha", "connections:write"), ("beta", "connections:write"), ("reader", "insights:read")):
        owner = "alpha" if partner == "reader" else partner
        client = clients.create(services.database, owner, scope, services.clock())
        form = {
            "grant_type": "client_credentials",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
        }
        answer = api.post("/oauth/token", data=form).json()
        found[partner] = {"Authorization": f"Bearer {answer['access_token']}"}
    return found


@pytest.fixture
def alpha(
    api: httpx.Client, tokens: dict[str, dict[str, str]], services: Services, clock: Clock
) -> Iterator[httpx.Client]:
    """A client of alpha's; every connection and everything landed is gone before."""
    clock.now = datetime.fromisoformat("2026-03-16T20:00:00+00:00")
    with services.database.batch() as connection:
        for table in ("integrator.connection", "integrator.field_seen", "landing.event", "landing.contact", "landing.sale",
                      "ops.event_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    with httpx.Client(base_url=api.base_url, headers=tokens["alpha"], timeout=60) as client:
        yield client


def connect(alpha: httpx.Client, sandbox: LiveSandbox, platform: str, **more: Any) -> dict[str, Any]:
    settings, credentials = sandbox.connection(platform)
    body = {"platform": platform, "settings": settings, "credentials": credentials, **more}
    answer = alpha.post("/v1/connections", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def sync(alpha: httpx.Client, name: str) -> dict[str, Any]:
    answer = alpha.post(f"/v1/connections/{name}/sync")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(services: Services, kind: str) -> list[dict[str, Any]]:
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text("select data from ops.event_log where partner = 'alpha' and kind = :kind order by event_id"),
            {"kind": kind},
        )
        return [dict(row.data) for row in rows]


def consent(
    alpha: httpx.Client, sandbox: LiveSandbox, platform: str, answer: str = "yes", **more: Any
) -> dict[str, str]:
    """What the browser brings back after the administrator's answer."""
    client = SHOPIFY_CLIENT if platform == "shopify" else {k: HUBSPOT_CLIENT[k] for k in ("client_id", "client_secret")}
    settings, _ = sandbox.connection(platform)
    if platform == "hubspot":
        settings = {**settings, "authorize_url": settings["base_url"]}
    body = {"platform": platform, "settings": settings, "credentials": client, **more}
    begun = alpha.post("/v1/connections/authorize", json=body)
    assert begun.status_code == 200, begun.text
    assert begun.json()["redirect_uri"] == f"{ISSUER}/v1/connections/callback"
    address = begun.json()["authorize_url"]
    assert "code_challenge_method=S256" in address and client["client_secret"] not in address
    page = httpx.get(address)
    assert page.status_code == 200 and 'id="yes"' in page.text
    back = httpx.get(f"{address}&consent={answer}")
    assert back.status_code == 302
    parts = urlsplit(back.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ISSUER}/v1/connections/callback"
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


@pytest.mark.parametrize("platform", ["hubspot", "shopify", "salesforce"])
def test_an_administrator_lets_us_in(alpha: httpx.Client, sandbox: LiveSandbox, platform: str) -> None:
    brought = consent(alpha, sandbox, platform, connection_id="shop")
    answer = httpx.get(f"{alpha.base_url}/v1/connections/callback", params=brought)
    assert answer.status_code == 200 and "connected" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    shown = alpha.get("/v1/connections/shop")
    assert shown.json()["status"] == "active" and shown.json()["platform"] == platform
    assert not any(secret in shown.text + answer.text for secret in SECRETS)
    assert alpha.post("/v1/connections/shop/check").json() == {"connection_id": "shop", "missing": []}
    again = httpx.get(f"{alpha.base_url}/v1/connections/callback", params=brought)
    assert again.status_code == 422 and "begin it again" in again.json()["detail"]


def test_a_refusal_and_a_late_answer_connect_nothing(alpha: httpx.Client, sandbox: LiveSandbox, clock: Clock) -> None:
    callback = f"{alpha.base_url}/v1/connections/callback"
    brought = consent(alpha, sandbox, "hubspot", "no")
    assert brought["error"] == "access_denied"
    assert httpx.get(callback, params=brought).status_code == 422
    brought = consent(alpha, sandbox, "hubspot")
    clock.now += timedelta(minutes=10)
    late = httpx.get(callback, params=brought)
    assert late.status_code == 422 and "too long ago" in late.json()["detail"]
    assert alpha.get("/v1/connections").json() == {"connections": []}


@pytest.mark.parametrize("state", ["", "alpha", "alpha.x", "beta.x", "nobody.x", "no\x00body.x", "A.b", "x" * 5000])
def test_a_state_that_was_never_given_holds_nothing(alpha: httpx.Client, state: str) -> None:
    answer = httpx.get(f"{alpha.base_url}/v1/connections/callback", params={"state": state, "code": "c"})
    assert answer.status_code == 422


def test_a_state_belongs_to_its_partner_and_its_code_to_its_verifier(alpha: httpx.Client, sandbox: LiveSandbox) -> None:
    callback = f"{alpha.base_url}/v1/connections/callback"
    one, two = consent(alpha, sandbox, "hubspot"), consent(alpha, sandbox, "hubspot")
    swapped = httpx.get(callback, params={"state": "beta" + one["state"].removeprefix("alpha"), "code": one["code"]})
    assert swapped.status_code == 422
    crossed = httpx.get(callback, params={"state": one["state"], "code": two["code"]})
    assert crossed.status_code == 422 and "not accepted" in crossed.json()["detail"], "the other flow's code"
    assert alpha.get("/v1/connections").json() == {"connections": []}


def test_wrong_credentials_are_refused_and_not_kept(alpha: httpx.Client, sandbox: LiveSandbox) -> None:
    settings, _ = sandbox.connection("pretix")
    for credentials, said in (
        ({"token": "y" * 64}, "wrong or expired"),
        ({}, "token"),
        ({"token": "a\nb"}, "characters"),
    ):
        body = {"platform": "pretix", "settings": settings, "credentials": credentials}
        answer = alpha.post("/v1/connections", json=body)
        assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
        assert "y" * 64 not in answer.text and "WWW-Authenticate" not in answer.headers
    for body in (b"", b"[]", b'{"platform": 5}', b'{"platform": "pretix", "colour": 1}', b"[" * 10_000, b" " * 70_000):
        assert alpha.post("/v1/connections", content=body).status_code == 422
    assert alpha.get("/v1/connections").json() == {"connections": []}


def test_who_may(alpha: httpx.Client, sandbox: LiveSandbox, tokens: dict[str, dict[str, str]]) -> None:
    connect(alpha, sandbox, "pretix", connection_id="parks")
    assert httpx.get(f"{alpha.base_url}/v1/connections").status_code == 401
    assert httpx.get(f"{alpha.base_url}/v1/connections", headers=tokens["reader"]).status_code == 403
    for path in ("", "/reconcile"):
        assert httpx.get(f"{alpha.base_url}/v1/connections/parks{path}", headers=tokens["beta"]).status_code == 404
    for act in ("check", "sync", "pause", "resume", "backfill"):
        url = f"{alpha.base_url}/v1/connections/parks/{act}"
        assert httpx.post(url, headers=tokens["beta"], json={}).status_code == 404
    assert httpx.delete(f"{alpha.base_url}/v1/connections/parks", headers=tokens["beta"]).status_code == 404
    assert [one["connection_id"] for one in alpha.get("/v1/connections").json()["connections"]] == ["parks"]


def test_the_life_of_a_connection(alpha: httpx.Client, sandbox: LiveSandbox, services: Services) -> None:
    sandbox.fault("hubspot", 403, path="/crm/v3/properties")
    assert connect(alpha, sandbox, "hubspot") == {
        "connection_id": "hubspot", "platform": "hubspot", "missing": ["crm.schemas.contacts.read"],
    }  # fmt: skip
    before = alpha.get("/v1/connections/hubspot/reconcile").json()["kinds"]
    assert before[0]["gap"] == before[0]["counted"] > 400 and "never pulled" in before[0]["reason"]
    done = sync(alpha, "hubspot")
    assert done["complete"] and done["kinds"][0]["error"] is None
    after = alpha.get("/v1/connections/hubspot/reconcile").json()["kinds"][0]
    assert (after["gap"], after["landed"], after["reason"]) == (0, before[0]["counted"], "nothing is missing")
    shown = alpha.get("/v1/connections/hubspot").json()
    assert {one["attribute"]: one["type"] for one in shown["fields"]}["is_mobile"] == "boolean"
    assert shown["last_synced_at"] and "credentials" not in shown
    assert alpha.post("/v1/connections/hubspot/pause").json()["status"] == "paused"
    assert alpha.post("/v1/connections/hubspot/sync").status_code == 409
    assert alpha.post("/v1/connections/hubspot/resume").json()["status"] == "active"
    assert alpha.post("/v1/connections/rotate").json() == {"connections": ["hubspot"]}
    assert sync(alpha, "hubspot")["kinds"][0]["error"] is None
    assert alpha.delete("/v1/connections/hubspot").status_code == 204
    assert alpha.get("/v1/connections/hubspot").status_code == 404
    with services.database.partner("alpha") as connection:
        rows = connection.execute(text("select action, actor from integrator.audit_log where partner = 'alpha'")).all()
    actions = {row.action for row in rows}
    assert {
        "connection.save",
        "connection.pause",
        "connection.resume",
        "connection.rotate",
        "connection.remove",
    } <= actions
    assert all(row.actor != "cli" for row in rows if row.action.startswith("connection."))


def test_what_is_archived_leaves_and_what_is_restored_comes_back(
    alpha: httpx.Client, sandbox: LiveSandbox, services: Services
) -> None:
    connect(alpha, sandbox, "hubspot")
    sync(alpha, "hubspot")
    with services.database.partner("alpha") as connection:
        someone = connection.execute(
            text("select min(native_id) from landing.contact where valid_to is null")
        ).scalar_one()
    sandbox.state.removed("hubspot")[someone] = sandbox.clock()
    sandbox.move(timedelta(minutes=5))
    try:
        sync(alpha, "hubspot")
        found = alpha.get("/v1/connections/hubspot/reconcile").json()["kinds"][0]
        assert (found["deleted"], found["gap"]) == (1, 0)
    finally:
        sandbox.state.removed("hubspot").clear()


def gone(services: Services) -> set[str]:
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text(
                "select native_id from landing.event where partner = 'alpha' and valid_to is null and deleted_at is not null"
            )
        )
        return set(rows.scalars())


def test_a_date_no_longer_shown_is_deleted_and_comes_back(
    alpha: httpx.Client, sandbox: LiveSandbox, services: Services, clock: Clock
) -> None:
    connect(alpha, sandbox, "pretix")
    sync(alpha, "pretix")
    with services.database.partner("alpha") as connection:
        dates = sorted(connection.execute(text("select native_id from landing.event where valid_to is null")).scalars())
    lost = {dates[0], dates[-1]}
    removed = sandbox.state.removed("pretix")
    removed.update(dict.fromkeys(lost, sandbox.clock()))
    try:
        clock.now += timedelta(minutes=10)
        sync(alpha, "pretix")
        assert gone(services) == lost
        assert told(services, "listing.compared")[-1]["deleted"] == 2
        with services.database.partner("alpha") as connection:
            row = connection.execute(
                text("select * from landing.event where native_id = :id and valid_to is null"), {"id": dates[0]}
            ).one()
        assert row.name and row.starts_at and row.deleted_at == clock.now == row.valid_from
        removed.clear()
        clock.now += timedelta(minutes=10)
        sandbox.move(timedelta(days=1, minutes=1))  # more than before are listed again once a day
        sync(alpha, "pretix")
        assert gone(services) == set()
        assert told(services, "listing.compared")[-1]["restored"] == 2
    finally:
        removed.clear()


def test_a_listing_that_collapses_is_doubted_once(
    alpha: httpx.Client, sandbox: LiveSandbox, services: Services
) -> None:
    connect(alpha, sandbox, "pretix")
    sync(alpha, "pretix")
    with services.database.partner("alpha") as connection:
        dates = sorted(connection.execute(text("select native_id from landing.event where valid_to is null")).scalars())
    removed = sandbox.state.removed("pretix")
    removed.update(dict.fromkeys(dates[: len(dates) * 2 // 3], sandbox.clock()))
    try:
        sync(alpha, "pretix")
        assert gone(services) == set()
        assert told(services, "listing.doubted")[0]["before"] == len(dates)
        sync(alpha, "pretix")
        assert len(gone(services)) == len(dates) * 2 // 3
    finally:
        removed.clear()


@pytest.mark.parametrize("platform", ["pretix", "shopify", "salesforce"])
def test_reconciliation_counts_what_is_there(alpha: httpx.Client, sandbox: LiveSandbox, platform: str) -> None:
    connect(alpha, sandbox, platform)
    sync(alpha, platform)
    rows = alpha.get(f"/v1/connections/{platform}/reconcile").json()["kinds"]
    assert all(row["gap"] == 0 for row in rows), rows
    assert any(row["counted"] > 100 for row in rows)


def test_a_backfill_follows_what_is_new(alpha: httpx.Client, sandbox: LiveSandbox, clock: Clock) -> None:
    connect(alpha, sandbox, "shopify")
    sync(alpha, "shopify")
    wanted = {"since": (clock.now - timedelta(days=20)).isoformat(), "until": clock.now.isoformat(), "kind": "sales"}
    made = alpha.post("/v1/connections/shopify/backfill", json=wanted).json()["backfills"]
    assert [(one["kind"], one["status"]) for one in made] == [("sale", "waiting")]
    done = sync(alpha, "shopify")["kinds"][0]
    assert done["unchanged"] > 20
    (one,) = alpha.get("/v1/connections/shopify").json()["backfills"]
    assert (one["status"], one["quarantined"], one["accepted"]) == ("done", 0, 0) and one["pages"] >= 1
    for broken in ({"since": "2026-01-01"}, {"since": wanted["until"], "until": wanted["since"]}, {},
                   {**wanted, "kind": "events"}, {**wanted, "until": "2999-01-01T00:00:00Z"}):  # fmt: skip
        assert alpha.post("/v1/connections/shopify/backfill", json=broken).status_code == 422


def test_drift_of_custom_fields_is_told(
    alpha: httpx.Client, sandbox: LiveSandbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrator_sandbox import hubspot

    connect(alpha, sandbox, "hubspot")
    sync(alpha, "hubspot")
    assert alpha.get("/v1/connections/hubspot").json()["drift"] == []
    columns = {**hubspot.SEARCH_COLUMNS, "loyalty": "number", "channel": "number"}
    del columns["is_mobile"]
    monkeypatch.setattr(hubspot, "SEARCH_COLUMNS", columns)
    sync(alpha, "hubspot")
    shown = alpha.get("/v1/connections/hubspot").json()
    assert sorted((one["attribute"], one["change"], one["was"], one["now"]) for one in shown["drift"]) == [
        ("channel", "type", "string", "number"), ("is_mobile", "vanished", "boolean", None),
        ("loyalty", "new", None, "number"),
    ]  # fmt: skip
    assert alpha.get("/v1/connections").json()["connections"][0]["last_drift"]
    sync(alpha, "hubspot")
    assert len(told(services, "schema.drift")) == 3, "told once"
