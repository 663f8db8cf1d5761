"""Rate limits over HTTP and in Redis: the script counts as this process does, and everybody sees the same numbers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from integrator.security import clients
from integrator.security.clients import NewClient
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from integrator_realtime.limits import SCRIPT, Limits, Quota, numbers, question
from tests.serving import serving

NOWHERE = "/v1/insights/attendance/nowhere"
# A tenth of a request a second: nothing is refilled while a test runs, however slow the machine.
SLOW = {"read_rate": 0.1, "ingest_rate": 0.1, "partner_rate_factor": 1.5, "rate_burst_seconds": 40.0}


@pytest.fixture(scope="module")
def slow(services: Services) -> Services:
    settings = services.settings.model_copy(update=SLOW)
    return Services(settings, services.database, services.redis_url, services.clock)


@pytest.fixture(scope="module")
def http(slow: Services) -> Iterator[httpx.Client]:
    with serving(create_app(slow)) as url, httpx.Client(base_url=url) as client:
        yield client


def key_of(services: Services, partner: str, scopes: str = "insights:read sales:write") -> NewClient:
    return clients.create(services.database, partner, scopes, services.clock(), method="api_key")


def bearer(client: NewClient) -> dict[str, str]:
    return {"Authorization": f"Bearer {client.client_secret}"}


def is_limited(answer: httpx.Response) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:integrator:problem:rate-limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert ";r=0;" in answer.headers["ratelimit"]


def test_the_last_one_is_told_when_to_come_back(http: httpx.Client, slow: Services) -> None:
    first, second = key_of(slow, "alpha"), key_of(slow, "alpha")
    answers = [http.get(NOWHERE, headers=bearer(first)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404] * 4 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"read-client";q=4;w=40, "read-partner";q=6;w=40'
    remaining = [answer.headers["ratelimit"].split(";")[1] for answer in answers]
    assert remaining == ["r=3", "r=2", "r=1", "r=0", "r=0"]
    is_limited(answers[-1])
    # The partner's other client has what is left of the partner's.
    answers = [http.get("/v1/insights", headers=bearer(second)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    # Another budget and another partner are untouched.
    assert http.post("/v1/sales", content=b"[]", headers=bearer(first)).status_code != 429
    assert http.get(NOWHERE, headers=bearer(key_of(slow, "beta"))).status_code == 404
    page = http.get("/metrics").text
    assert 'integrator_rate_limited_total{budget="read"} 2' in page


def test_who_is_nobody_has_no_limits_to_see(http: httpx.Client) -> None:
    answer = http.get(NOWHERE, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401 and "ratelimit" not in answer.headers
    assert "ratelimit" not in http.get("/healthz").headers


def test_without_redis_each_process_counts(slow: Services) -> None:
    lonely = Services(slow.settings, slow.database, "redis://127.0.0.1:1/0", slow.clock)
    key = bearer(key_of(slow, "beta"))
    with serving(create_app(lonely)) as url, httpx.Client(base_url=url) as client:
        answers = [client.get(NOWHERE, headers=key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404] * 4 + [429]
    is_limited(answers[-1])


def test_spoilt_keys_do_not_stop_the_service(http: httpx.Client, slow: Services) -> None:
    key = key_of(slow, "beta")
    slow.cache.client.hset(f"rate:read:client:{key.client_id}", "x", "y")
    slow.cache.client.set("rate:read:partner:beta", b"not a number")
    answer = http.get(NOWHERE, headers=bearer(key))
    assert answer.status_code == 404 and '"read-client";r=3' in answer.headers["ratelimit"]
    slow.cache.client.delete("rate:read:partner:beta")


def test_redis_started_anew_has_no_script_yet(http: httpx.Client, slow: Services) -> None:
    key = bearer(key_of(slow, "beta", "quality:read"))
    slow.cache.client.script_flush()
    slow.cache.client.delete("rate:read:partner:beta")
    found = [http.get("/v1/readiness", headers=key).headers["ratelimit"].split(";")[1] for _ in range(2)]
    assert found == ["r=3", "r=2"]


def test_the_script_counts_as_this_process_does(slow: Services) -> None:
    redis: Any = slow.cache.client
    quotas = [Quota("a", 0.001, 3), Quota("b", 0.0005, 5)]
    asked, look = (question(["rate:test:a", "rate:test:b"], quotas, charge=charge) for charge in (True, False))
    here = Limits(slow.settings)
    for step in (asked, asked, look, asked, asked, look):
        denied, _, wait, *used = numbers(redis.eval(SCRIPT, 2, *step.keys, *step.arguments)) or []
        assert denied == 0
        local_wait, *local_used = here.count(step)
        assert abs(wait - local_wait) < 60e6 and (wait == 0) == (local_wait == 0)
        assert all(abs(one - other) < 60e6 for one, other in zip(used, local_used, strict=True))
    # One that was refused by the first quota is not charged to the second.
    assert used[1] < 4 * quotas[1].step
    assert 0 < redis.pttl("rate:test:a") <= 3_000_001, "nothing is kept longer than it matters"


def test_a_client_id_that_fails_too_often_waits(services: Services) -> None:
    settings = services.settings.model_copy(update={"failed_logins_per_minute": 3})
    strict = Services(settings, services.database, services.redis_url, services.clock)
    good = clients.create(services.database, "alpha", "insights:read", services.clock())
    form = {"grant_type": "client_credentials"}
    with serving(create_app(strict)) as url, httpx.Client(base_url=url) as http:
        for secret in ("wrong", "isk_x", "é"):
            assert http.post("/oauth/token", data=form, auth=(good.client_id, secret)).status_code == 401
        for secret in ("wrong", good.client_secret):
            answer = http.post("/oauth/token", data=form, auth=(good.client_id, secret))
            assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
            assert 1 <= int(answer.headers["retry-after"]) <= 20
        other = clients.create(services.database, "alpha", "insights:read", services.clock())
        assert http.post("/oauth/token", data=form, auth=(other.client_id, other.client_secret)).status_code == 200
        page = http.get("/metrics").text
    assert "integrator_login_failures_total 3" in page
    assert 'integrator_rate_limited_total{budget="failures"} 2' in page
