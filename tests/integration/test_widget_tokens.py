"""Widget tokens and CORS over HTTP: what a page may read, from where, for how long, and who else may not."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from integrator.contracts.errors import InvalidInput, NotFound
from integrator.security import clients, origins
from integrator.security.clients import NewClient
from integrator.security.scopes import SCOPES
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import widget_origins
from integrator_realtime.app import create_app
from tests.publishing import prediction, put_scored
from tests.serving import serving

ISSUER = "https://api.example"
HOST, OTHER, BETA, UNKNOWN = (
    "https://app.alpha.example", "https://admin.alpha.example", "https://app.beta.example", "https://evil.example",
)  # fmt: skip
GALA = "/v1/insights/attendance/gala"
ODD = 'a/b "c"?d'


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    moment = services.clock()
    for partner, subjects in (("alpha", ["gala", "ball", ODD, "x/history"]), ("beta", ["gala", "only-beta"])):
        put_scored(services, partner, [prediction(subject) for subject in subjects], position=10, at=moment)
        publish(services, partner, "attendance", run_id="run-1")
    for partner, origin in (("alpha", HOST), ("alpha", OTHER), ("beta", BETA)):
        assert origins.add(services.database, partner, origin, moment)
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def backend(services: Services) -> NewClient:
    scopes = "widgets:issue insights:read quality:read"
    return clients.create(services.database, "alpha", scopes, services.clock())


def access_token(http: httpx.Client, client: NewClient) -> str:
    form = {"grant_type": "client_credentials"}
    answer = http.post("/oauth/token", data=form, auth=(client.client_id, client.client_secret))
    return str(answer.json()["access_token"])


def ask(http: httpx.Client, client: NewClient, **changes: Any) -> httpx.Response:
    body = {"use_cases": ["attendance"], "subjects": ["gala"], "origin": HOST, **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    return http.post("/v1/widget-tokens", json=body, headers={"Authorization": f"Bearer {access_token(http, client)}"})


def page(http: httpx.Client, client: NewClient, sent: str | None = HOST, **changes: Any) -> dict[str, str]:
    """The headers of a request from the host's page."""
    answer = ask(http, client, **changes)
    assert answer.status_code == 200, answer.text
    found = {"Authorization": f"Bearer {answer.json()['token']}"}
    return found if sent is None else {**found, "Origin": sent}


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_page_reads_its_insight_and_the_bytes_are_the_same(http: httpx.Client, backend: NewClient) -> None:
    answer = ask(http, backend)
    assert answer.json().keys() == {"token", "token_type", "expires_in"} and answer.json()["expires_in"] == 300
    assert answer.headers["cache-control"] == "no-store" and "access-control-allow-origin" not in answer.headers
    seen = http.get(GALA, headers=page(http, backend))
    direct = http.get(GALA, headers={"Authorization": f"Bearer {access_token(http, backend)}"})
    assert seen.status_code == 200 and seen.content == direct.content
    assert seen.headers["access-control-allow-origin"] == HOST
    assert http.get(GALA, headers={**page(http, backend), "If-None-Match": seen.headers["etag"]}).status_code == 304
    odd = page(http, backend, subjects=[ODD, "gala"])
    assert http.get(f"/v1/insights/attendance/{quote(ODD, safe='')}", headers=odd).json()["subject"]["id"] == ODD


def test_a_token_reaches_its_subjects_and_use_cases_alone(http: httpx.Client, backend: NewClient) -> None:
    mine = page(http, backend)
    for path in ("/v1/insights/attendance/ball", "/v1/insights/pricing/gala", "/v1/insights/attendance/only-beta"):
        assert "not for" in refused(http.get(path, headers=mine), 403)
    every = page(http, backend, subjects="all")
    assert http.get("/v1/insights/attendance/ball", headers=every).status_code == 200
    refused(http.get("/v1/insights/attendance/only-beta", headers=every), 404)
    refused(http.get("/v1/insights/pricing/gala", headers=every), 403)
    assert "history" in refused(http.get(f"{GALA}/history", headers=every), 403)
    assert http.get("/v1/insights/attendance/x%2Fhistory", headers=every).status_code == 200


def test_a_token_opens_nothing_else(http: httpx.Client, backend: NewClient) -> None:
    every = page(http, backend, subjects="all", use_cases=["attendance", "pricing", "lead_score"])
    paths = http.get("/openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        for method in operations:
            if not path.startswith("/v1/") or path in (
                "/v1/insights/{use_case}/{subject_id}", "/v1/live", "/v1/schemas/{name}", "/v1/connections/callback", "/v1/widget.js",
            ):  # fmt: skip
                continue
            filled = path.replace("{quarantine_id}", "1").replace("{", "").replace("}", "")
            answer = http.request(method, filled, headers={**every, "Content-Type": "application/json"}, content=b"[]")
            refused(answer, 401)
            tried += 1
    assert tried > 15
    token = every["Authorization"].removeprefix("Bearer ")
    login = (backend.client_id, backend.client_secret)
    assert http.post("/oauth/introspect", data={"token": token}, auth=login).json() == {"active": False}


@pytest.mark.parametrize("origin", [None, OTHER, BETA, UNKNOWN, "null", "*", HOST + "/", HOST.upper(), HOST + ":443"])
def test_another_page_is_refused(http: httpx.Client, backend: NewClient, origin: str | None) -> None:
    answer = http.get(GALA, headers=page(http, backend, origin))
    assert HOST in refused(answer, 403)
    shown = answer.headers.get("access-control-allow-origin")
    assert shown == (OTHER if origin == OTHER else None), "another partner's page cannot even read the refusal"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"origin": UNKNOWN}, "allowed: https://admin.alpha.example, https://app.alpha.example"),
        ({"origin": BETA}, "allowed: https://admin.alpha.example"), ({"origin": "*"}, "allowed: https://host"),
        ({"origin": "null"}, "allowed: https://host"), ({"origin": ...}, "missing required field `origin`"),
        ({"use_cases": []}, "length >= 1"), ({"use_cases": ["weather"]}, "weather"), ({"use_cases": ...}, "use_cases"),
        ({"subjects": []}, "length >= 1"), ({"subjects": [""]}, "length >= 1"), ({"subjects": "gala"}, "subjects"),
        ({"subjects": ...}, "subjects"), ({"subjects": [str(n) for n in range(101)]}, "length <= 100"),
        ({"subjects": ["x" * 400 + str(n) for n in range(20)]}, "name fewer subjects"), ({"subjects": ["a\x00"]}, "characters"),
        ({"expires_in": 301}, "<= 300"), ({"expires_in": 0}, ">= 30"), ({"expires_in": -1}, ">= 30"), ({"partner": "beta"}, "partner"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_for(http: httpx.Client, backend: NewClient, changes: dict[str, Any], said: str) -> None:
    assert said in refused(ask(http, backend, **changes), 422)


def test_the_scope_is_needed(http: httpx.Client, services: Services) -> None:
    scopes = [scope for scope in SCOPES if scope != "widgets:issue"]
    reader = clients.create(services.database, "alpha", scopes, services.clock())
    assert "widgets:issue" in refused(ask(http, reader), 403)
    issuing = clients.create(services.database, "alpha", "widgets:issue", services.clock(), method="api_key")
    headers = {"Authorization": f"Bearer {issuing.client_secret}"}
    body = {"use_cases": ["attendance"], "subjects": "all", "origin": HOST, "expires_in": 30}
    assert http.post("/v1/widget-tokens", json=body, headers=headers).json()["expires_in"] == 30
    refused(http.get(GALA, headers=headers), 403)


@pytest.mark.parametrize("redis", ["there", "emptied", "away"])
def test_a_revoked_client_takes_its_tokens_with_it(http: httpx.Client, services: Services, redis: str) -> None:
    gone = clients.create(services.database, "alpha", "widgets:issue", services.clock())
    headers = page(http, gone)
    assert http.get(GALA, headers=headers).status_code == 200
    cache = None if redis == "away" else services.cache
    clients.revoke(services.database, "alpha", gone.client_id, services.clock(), cache=cache)
    if redis == "emptied":
        services.cache.client.flushdb()
    if redis == "away":
        lonely = Services(services.settings, services.database, "redis://127.0.0.1:1/0", services.clock)
        with serving(create_app(lonely, issuer=ISSUER)) as url:
            answer = httpx.get(url + GALA, headers=headers)
    else:
        answer = http.get(GALA, headers=headers)
    assert "revoked" in refused(answer, 401)
    assert answer.headers["access-control-allow-origin"] == HOST, "the page can read why"


def test_a_token_ends_with_the_registration_of_its_origin(
    http: httpx.Client, services: Services, backend: NewClient
) -> None:
    short = "https://short.alpha.example"
    assert origins.add(services.database, "alpha", short, services.clock())
    assert not origins.add(services.database, "alpha", short, services.clock())
    headers = page(http, backend, short, origin=short)
    wait_until(lambda: http.get(GALA, headers=headers).status_code == 200)
    origins.remove(services.database, "alpha", short, services.clock())
    wait_until(lambda: http.get(GALA, headers=headers).status_code == 403)
    assert "access-control-allow-origin" not in http.get(GALA, headers=headers).headers
    with pytest.raises(NotFound):
        origins.remove(services.database, "alpha", short, services.clock())


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- CORS -------------------------------------------------------------------------------------------------------------


def preflight(http: httpx.Client, path: str, origin: str, method: str = "GET") -> httpx.Response:
    names = {"Origin": origin, "Access-Control-Request-Method": method}
    return http.options(path, headers={**names, "Access-Control-Request-Headers": "authorization,last-event-id"})


@pytest.mark.parametrize("path", [GALA, "/v1/live", "/v1/insights/attendance/a%2Fhistory"])
@pytest.mark.parametrize("origin", [HOST, OTHER, BETA])
def test_preflight_of_a_registered_origin(http: httpx.Client, path: str, origin: str) -> None:
    answer = preflight(http, path, origin)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-methods"] == "GET"
    assert {"Authorization", "Last-Event-ID"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert "Origin" in answer.headers["vary"] and "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", [UNKNOWN, "null", "*", HOST + ".evil.example", HOST.replace("https", "http"), "", "é"]
)
def test_preflight_of_any_other_is_refused(http: httpx.Client, origin: str) -> None:
    answer = http.options(
        GALA,
        headers={b"Origin": origin.encode(), b"Access-Control-Request-Method": b"GET"},  # type: ignore[dict-item]
    )
    refused(answer, 403)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "get", "PUT"])
def test_only_reading_is_allowed(http: httpx.Client, method: str) -> None:
    assert repr(method) in refused(preflight(http, GALA, HOST, method), 403)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/insights",
        f"{GALA}/history",
        "/v1/events",
        "/v1/widget-tokens",
        "/oauth/token",
        "/v1/connections",
        "/metrics",
    ],
)
def test_no_other_route_shares_anything(http: httpx.Client, backend: NewClient, path: str) -> None:
    assert not [name for name in preflight(http, path, HOST).headers if name.startswith("access-control")]
    headers = {"Authorization": f"Bearer {access_token(http, backend)}", "Origin": HOST}
    assert not [name for name in http.get(path, headers=headers).headers if name.startswith("access-control")]


def test_errors_can_be_read_by_the_page_and_nothing_is_by_others(http: httpx.Client, backend: NewClient) -> None:
    bearer = {"Authorization": f"Bearer {access_token(http, backend)}"}
    cases: list[tuple[str, dict[str, str], int]] = [
        (GALA, {}, 401), (GALA, {"Authorization": "Bearer x.y.z"}, 401), ("/v1/insights/weather/x", bearer, 404),
        ("/v1/insights/attendance/none", bearer, 404), (f"{GALA}?a=1&a=2", bearer, 422), (GALA, bearer, 200),
    ]  # fmt: skip
    for path, headers, status in cases:
        answer = http.get(path, headers={**headers, "Origin": HOST})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == HOST, path
        assert "ETag" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        for origin in (UNKNOWN, "null"):
            assert "access-control-allow-origin" not in http.get(path, headers={**headers, "Origin": origin}).headers
        assert "Origin" in http.get(path, headers=headers).headers["vary"]
    theirs = http.get(GALA, headers={**bearer, "Origin": BETA})
    assert theirs.status_code == 200 and "access-control-allow-origin" not in theirs.headers


def test_a_defect_can_be_read_too(services: Services, http: httpx.Client, backend: NewClient) -> None:
    app = create_app(services, issuer=ISSUER)

    @app.get("/v1/insights/broken/now/please")
    async def broken() -> None:
        raise RuntimeError("on purpose")

    app.router.routes.insert(0, app.router.routes.pop())
    with serving(app) as url:
        answer = httpx.get(f"{url}/v1/insights/broken/now/please", headers={"Origin": HOST})
        unknown = httpx.get(f"{url}/v1/insights/broken/now/please", headers={"Origin": UNKNOWN})
    assert answer.status_code == unknown.status_code == 500 and "on purpose" not in answer.text
    assert answer.headers["access-control-allow-origin"] == HOST
    assert "access-control-allow-origin" not in unknown.headers


# --- registration -----------------------------------------------------------------------------------------------------


def test_origins_are_a_partners_own(services: Services, http: httpx.Client) -> None:
    listed = [row["origin"] for row in origins.list_all(services.database, "beta")]
    assert listed == [BETA]
    with services.database.partner("beta") as connection:
        assert not widget_origins.remove(connection, "alpha", HOST), "row-level security, not only the query"
    assert HOST in [row["origin"] for row in origins.list_all(services.database, "alpha")]
    for origin in ("*", "null", "http://app.alpha.example", HOST + "/"):
        with pytest.raises(InvalidInput):
            origins.add(services.database, "alpha", origin, services.clock())
    with pytest.raises(NotFound):
        origins.add(services.database, "gamma", HOST, services.clock())
    with pytest.raises(NotFound):
        origins.remove(services.database, "alpha", "a\x00", services.clock())


def test_a_hundred_origins_are_enough(services: Services) -> None:
    for number in range(99):
        origins.add(services.database, "beta", f"https://h{number}.beta.example", services.clock())
    with pytest.raises(InvalidInput, match="100"):
        origins.add(services.database, "beta", "https://one-more.beta.example", services.clock())
    assert not origins.add(services.database, "beta", BETA, services.clock())
