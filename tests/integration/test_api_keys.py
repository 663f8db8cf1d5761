"""Plain API keys: shown once, kept as a hash, good at every route, ended within a second, followed in the log."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, Unauthorized
from integrator.security import clients
from integrator.security.api_keys import ApiKeys
from integrator.security.clients import NewClient
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.serving import serving

PAGE = "/v1/insights"


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


def made(services: Services, partner: str = "alpha", scopes: str = "insights:read", **more: timedelta) -> NewClient:
    return clients.create(services.database, partner, scopes, services.clock(), method="api_key", **more)


def status(http: httpx.Client, key: str, path: str = PAGE) -> int:
    return http.get(path, headers={"Authorization": f"Bearer {key}"}).status_code


def test_a_key_is_recognised_and_only_its_hash_is_kept(services: Services, http: httpx.Client) -> None:
    key = made(services)
    assert key.client_secret.startswith("iak_") and len(key.client_secret) == 72
    assert key.shown() == {"client_id": key.client_id, "api_key": key.client_secret}
    assert status(http, key.client_secret) == 200
    with services.database.service() as connection:
        lines = connection.execute(text("select cast(client as text) from integrator.client client")).scalars()
        assert all(key.client_secret[33:] not in line for line in lines)
    (row,) = [row for row in clients.list_all(services.database, "alpha") if row["client_id"] == key.client_id]
    assert row["method"] == "api_key" and key.client_secret.startswith(row["secret_prefix"])
    assert len(row["secret_prefix"]) == 33, "enough to tell two keys of one client apart"


def test_scopes_hold(services: Services, http: httpx.Client) -> None:
    answer = http.get("/v1/readiness", headers={"Authorization": f"Bearer {made(services).client_secret}"})
    assert answer.status_code == 403 and 'scope="quality:read"' in answer.headers["www-authenticate"]


def test_altered_keys_and_other_secrets_are_refused(services: Services, http: httpx.Client) -> None:
    key, other = made(services).client_secret, made(services, "beta").client_secret
    oauth = clients.create(services.database, "alpha", "insights:read", services.clock())
    mixed = f"{other[:29]}{key[29:]}"
    under_oauth = f"iak_{oauth.client_id.removeprefix('icl_')}_{oauth.client_secret.removeprefix('isk_')}"
    for wrong in (key[:-1], key + "A", key.upper(), mixed, under_oauth, "iak_", "iak_x", f"iak_{'0' * 24}_{'A' * 43}",
                  oauth.client_secret, key.replace("_", "-"), "iak_\u00e9", f"{key} {key}"):  # fmt: skip
        answer = http.get(PAGE, headers={"Authorization": f"Bearer {wrong}".encode()})
        assert answer.status_code == 401, wrong
        assert wrong not in answer.text


def test_a_key_is_no_oauth_secret(services: Services, http: httpx.Client) -> None:
    key = made(services)
    form = {"grant_type": "client_credentials"}
    answer = http.post("/oauth/token", data=form, auth=(key.client_id, key.client_secret))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_revoked_within_a_second(services: Services, http: httpx.Client) -> None:
    key = made(services)
    assert status(http, key.client_secret) == 200
    clients.revoke(services.database, "alpha", key.client_id, services.clock(), cache=services.cache)
    assert status(http, key.client_secret) == 401
    assert status(http, key.client_secret, "/v1/insights/attendance/x") == 401


def test_revoked_without_redis_too(services: Services) -> None:
    lonely = Services(services.settings, services.database, "redis://127.0.0.1:1/0", services.clock)
    key = made(services)
    with serving(create_app(lonely)) as url, httpx.Client(base_url=url) as client:
        assert status(client, key.client_secret) == 200
        clients.revoke(services.database, "alpha", key.client_id, services.clock())
        assert status(client, key.client_secret) == 401


def test_rotation_overlaps_and_the_third_key_ends_the_first(services: Services, http: httpx.Client) -> None:
    first = made(services)
    assert status(http, first.client_secret) == 200
    second = clients.rotate(services.database, "alpha", first.client_id, services.clock(), cache=services.cache)
    assert second.client_id == first.client_id and second.client_secret != first.client_secret
    assert status(http, first.client_secret) == status(http, second.client_secret) == 200
    (row,) = [row for row in clients.list_all(services.database, "alpha") if row["client_id"] == first.client_id]
    assert row["previous_until"] == services.clock() + timedelta(hours=24)
    third = clients.rotate(services.database, "alpha", first.client_id, services.clock(), cache=services.cache)
    keys = (first, second, third)
    assert [status(http, key.client_secret) for key in keys] == [401, 200, 200]
    last = clients.rotate(
        services.database, "alpha", first.client_id, services.clock(), overlap=timedelta(0), cache=services.cache
    )
    assert [status(http, key.client_secret) for key in (*keys, last)] == [401, 401, 401, 200]


def test_a_key_ends_with_its_overlap_and_with_its_time(services: Services, now: datetime) -> None:
    moment = now
    keys = ApiKeys(services.database, lambda: moment)
    old = made(services, expires_in=timedelta(days=2))
    new = clients.rotate(services.database, "alpha", old.client_id, now, overlap=timedelta(hours=1))
    moment = now + timedelta(minutes=59, seconds=30)
    assert keys.verify(old.client_secret).expires_at == now + timedelta(hours=1), "not remembered for longer"
    assert keys.known(old.client_secret) is not None
    moment = now + timedelta(hours=1)
    assert keys.known(old.client_secret) is None
    with pytest.raises(Unauthorized):
        keys.verify(old.client_secret)
    assert keys.verify(new.client_secret).scopes == {"insights:read"}
    moment = now + timedelta(days=2)
    with pytest.raises(Unauthorized):
        keys.verify(new.client_secret)


@pytest.mark.parametrize("overlap", [timedelta(minutes=59), timedelta(days=30, seconds=1), timedelta(hours=-1)])
def test_other_overlaps_are_refused(services: Services, now: datetime, overlap: timedelta) -> None:
    key = made(services)
    with pytest.raises(InvalidInput, match="1 hour to 30 days"):
        clients.rotate(services.database, "alpha", key.client_id, now, overlap=overlap)


def test_requests_and_last_use_are_known(services: Services, http: httpx.Client) -> None:
    key = made(services)
    answer = http.get(PAGE, headers={"Authorization": f"Bearer {key.client_secret}"})
    refused = http.get(PAGE, headers={"Authorization": f"Bearer {key.client_secret[:-1]}x"})
    row = used = None
    for _ in range(60):
        with services.database.partner("alpha") as connection:
            row = connection.execute(
                text("select * from ops.request_log where partner = 'alpha' and request_id = :id"),
                {"id": answer.headers["x-request-id"]},
            ).one_or_none()
        (used,) = [r for r in clients.list_all(services.database, "alpha") if r["client_id"] == key.client_id]
        if row and used["last_used_at"]:
            break
        time.sleep(0.1)
    assert row and (row.client_id, row.route, row.status) == (key.client_id, PAGE, 200) and row.latency_ms > 0
    assert used and used["last_used_at"] == services.clock()
    with services.database.partner("alpha") as connection:
        assert not connection.execute(
            text("select from ops.request_log where partner = 'alpha' and request_id = :id"),
            {"id": refused.headers["x-request-id"]},
        ).all(), "who is nobody is in no partner's log"
    assert 'status="401"' in http.get("/metrics").text


def test_a_flood_of_keys_does_not_fill_the_memory(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrator.security.api_keys._CACHED", 3)
    keys = ApiKeys(services.database, services.clock)
    for _ in range(8):
        keys.verify(made(services).client_secret)
        assert len(keys._verified) <= 3
