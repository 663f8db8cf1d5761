"""The realtime service over its own HTTP: tokens, exact bytes, freshness, tenants kept apart, life without Redis."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.insight import Subject
from integrator.security import clients
from integrator.security.clients import NewClient
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights
from integrator.storage.cache import subject_key
from integrator_realtime.app import create_app
from tests.publishing import prediction, publish_one, put_scored
from tests.serving import serving

ISSUER = "http://127.0.0.1:8080"
PRODUCT = Subject("tier", "spring gala/vip:row 1", "pretix")


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    moment = services.clock()
    shared = [
        prediction("shared"), prediction("shared", subject=Subject("event", "shared", "eventbrite")),
        prediction("both"), prediction("both", subject=Subject("series", "both", "pretix")),
    ]  # fmt: skip
    put_scored(services, "alpha", [prediction("gala"), _refused(), *shared], position=10, at=moment)
    publish(services, "alpha", "attendance", run_id="run-1")
    put_scored(services, "alpha", [prediction("x", subject=PRODUCT)], position=10, at=moment, use_case="pricing")
    publish(services, "alpha", "pricing", run_id="run-1")
    put_scored(services, "beta", [prediction("only-beta")], position=10, at=moment - timedelta(days=9))
    publish(services, "beta", "attendance", run_id="run-1")
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as client:
        yield client


def _refused() -> Any:
    from dataclasses import replace

    return replace(
        prediction("young"), status="refused", rung="rule", value=None, interval=None, baseline=None,
        contributions=(), details={}, summary="Refused: 3 of 40 past events.",
    )  # fmt: skip


@pytest.fixture(scope="module")
def alpha(services: Services) -> NewClient:
    return clients.create(services.database, "alpha", "insights:read quality:read", services.clock())


@pytest.fixture(scope="module")
def beta(services: Services) -> NewClient:
    return clients.create(services.database, "beta", ["insights:read"], services.clock())


def token(http: httpx.Client, client: NewClient, **form: str) -> str:
    answer = http.post(
        "/oauth/token", data={"grant_type": "client_credentials", **form}, auth=(client.client_id, client.client_secret)
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def bearer(http: httpx.Client, client: NewClient, **form: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(http, client, **form)}"}


def stored(services: Services, partner: str, use_case: str, subject_id: str) -> list[insights.Served]:
    with services.database.partner(partner) as connection:
        return insights.of_subject(connection, partner, use_case, subject_id)


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status and document["title"] and document["detail"]
    assert document["type"].startswith("urn:integrator:problem:")
    assert document["instance"].endswith(answer.headers["x-request-id"])
    return document


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_token_by_header_and_by_form(http: httpx.Client, alpha: NewClient) -> None:
    form = {"grant_type": "client_credentials", "client_id": alpha.client_id, "client_secret": alpha.client_secret}
    answer = http.post("/oauth/token", data=form)
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert body["token_type"] == "Bearer" and body["expires_in"] == 600
    assert body["scope"] == "insights:read quality:read"
    head, payload, _ = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in
                        [*body["access_token"].split(".")[:2], base64.urlsafe_b64encode(b"{}").decode()])  # fmt: skip
    assert head["alg"] == "ES256" and head["typ"] == "at+jwt"
    assert {"iss", "aud", "sub", "client_id", "partner", "scope", "jti", "iat", "exp"} <= payload.keys()
    assert payload["iss"] == ISSUER and payload["partner"] == "alpha" and payload["exp"] - payload["iat"] == 600
    keys = http.get("/.well-known/jwks.json").json()["keys"]
    assert head["kid"] in {key["kid"] for key in keys} and all("d" not in key for key in keys)


@pytest.mark.parametrize(
    ("form", "authentication", "status", "error"),
    [
        ({}, "right", 400, "invalid_request"),
        ({"grant_type": "password"}, "right", 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "scope": "privacy:erase"}, "right", 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "nonsense"}, "right", 400, "invalid_scope"),
        ({"grant_type": "client_credentials"}, "wrong", 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, "none", 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_secret": "x"}, "right", 400, "invalid_request"),
    ],
)
def test_token_errors(
    http: httpx.Client, alpha: NewClient, form: dict[str, str], authentication: str, status: int, error: str
) -> None:
    auth = {"right": (alpha.client_id, alpha.client_secret), "wrong": (alpha.client_id, "isk_guess"), "none": None}
    answer = http.post("/oauth/token", data=form or {"a": "b"}, auth=auth[authentication])
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert (status == 401) == ("www-authenticate" in answer.headers)


def test_token_wants_a_form(http: httpx.Client) -> None:
    assert http.post("/oauth/token", json={"grant_type": "client_credentials"}).json()["error"] == "invalid_request"
    too_much = http.post("/oauth/token", data={"grant_type": "x" * 20_000})
    assert too_much.status_code == 413


def test_narrower_scope(http: httpx.Client, alpha: NewClient) -> None:
    header = bearer(http, alpha, scope="quality:read")
    answer = http.get("/v1/insights/attendance/gala", headers=header)
    assert is_problem(answer, 403)["type"].endswith("forbidden")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer x.y.z", "Bearer eyJhbGciOiJub25lIn0.e30."])
def test_no_good_token(http: httpx.Client, header: str) -> None:
    answer = http.get("/v1/insights/attendance/gala", headers={"Authorization": header} if header else {})
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_altered_token(http: httpx.Client, alpha: NewClient) -> None:
    head, payload, signature = token(http, alpha).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "partner": "beta"}).encode()).decode().rstrip("=")
    answer = http.get(
        "/v1/insights/attendance/only-beta", headers={"Authorization": f"Bearer {head}.{forged}.{signature}"}
    )
    is_problem(answer, 401)


def test_revoked_token_is_refused_at_once(http: httpx.Client, services: Services, alpha: NewClient) -> None:
    good = token(http, alpha)
    header = {"Authorization": f"Bearer {good}"}
    assert http.get("/v1/insights/attendance/gala", headers=header).status_code == 200
    revoked = http.post("/oauth/revoke", data={"token": good}, auth=(alpha.client_id, alpha.client_secret))
    assert revoked.status_code == 200
    is_problem(http.get("/v1/insights/attendance/gala", headers=header), 401)
    is_problem(http.get("/v1/readiness", headers=header), 401)
    services.cache.client.flushdb()
    assert (
        http.post("/oauth/revoke", data={"token": "x"}, auth=(alpha.client_id, alpha.client_secret)).status_code == 200
    )


def test_nobody_revokes_anothers_token(http: httpx.Client, alpha: NewClient, beta: NewClient) -> None:
    theirs = token(http, alpha)
    answer = http.post("/oauth/revoke", data={"token": theirs}, auth=(beta.client_id, beta.client_secret))
    assert answer.status_code == 400
    header = {"Authorization": f"Bearer {theirs}"}
    assert http.get("/v1/insights/attendance/gala", headers=header).status_code == 200


def test_revoked_client(http: httpx.Client, services: Services) -> None:
    gone = clients.create(services.database, "alpha", "insights:read", services.clock())
    header = bearer(http, gone)
    clients.revoke(services.database, "alpha", gone.client_id, services.clock(), cache=services.cache)
    is_problem(http.get("/v1/insights/attendance/gala", headers=header), 401)
    answer = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(gone.client_id, gone.client_secret)
    )
    assert answer.json()["error"] == "invalid_client"


# --- insights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["warm", "cold"])
def test_exact_bytes_and_headers(http: httpx.Client, services: Services, alpha: NewClient, state: str) -> None:
    header = bearer(http, alpha)
    if state == "cold":
        services.cache.client.flushdb()
    answer = http.get("/v1/insights/attendance/gala", headers=header)
    (served,) = stored(services, "alpha", "attendance", "gala")
    assert answer.content == served.document.encode()
    assert answer.headers["etag"] == f'"{served.insight_id}-1"'
    assert answer.headers["insight-checked-at"] == "2026-03-16T12:00:00Z"
    assert answer.headers["insight-stale-after"] == "2026-03-18T12:00:00Z"
    assert answer.headers["insight-stale"] == "false"
    again = http.get("/v1/insights/attendance/gala", headers={**header, "If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["insight-checked-at"] == "2026-03-16T12:00:00Z"
    assert services.cache.get("alpha", "attendance", "gala")


def test_ids_with_slashes_and_colons(http: httpx.Client, services: Services, alpha: NewClient) -> None:
    answer = http.get(f"/v1/insights/pricing/{quote(PRODUCT.id, safe='')}", headers=bearer(http, alpha))
    (served,) = stored(services, "alpha", "pricing", PRODUCT.id)
    assert answer.content == served.document.encode()


def test_ambiguous_ids(http: httpx.Client, alpha: NewClient) -> None:
    header = bearer(http, alpha)
    assert "eventbrite, pretix" in is_problem(http.get("/v1/insights/attendance/shared", headers=header), 409)["detail"]
    one = http.get("/v1/insights/attendance/shared?platform=eventbrite", headers=header)
    assert one.json()["subject"]["platform"] == "eventbrite"
    assert "event, series" in is_problem(http.get("/v1/insights/attendance/both", headers=header), 409)["detail"]
    one = http.get("/v1/insights/attendance/both?kind=series", headers=header)
    assert one.json()["subject"]["kind"] == "series"


def test_an_id_that_several_share_stays_ambiguous_when_one_is_published_anew(
    http: httpx.Client, services: Services, beta: NewClient
) -> None:
    """The subject's key has expired; a sale on one platform fills it again, and with the other platform's insight."""
    header, path = bearer(http, beta), "/v1/insights/pricing/Ticket"
    both = [prediction("Ticket", 30.0, subject=Subject("product", "Ticket", name)) for name in ("pretix", "shopify")]
    put_scored(services, "beta", both, position=10, at=services.clock(), use_case="pricing")
    publish(services, "beta", "pricing", run_id="run-1")
    services.cache.client.delete(subject_key("beta", "pricing", "Ticket"))
    publish_one(services, "beta", "pricing", prediction("Ticket", 31.0, subject=both[0].subject), position=11)
    assert "pretix, shopify" in is_problem(http.get(path, headers=header), 409)["detail"]
    answers = {name: http.get(f"{path}?platform={name}", headers=header).json() for name in ("pretix", "shopify")}
    assert {name: found["value"] for name, found in answers.items()} == {"pretix": 31.0, "shopify": 30.0}


def test_a_refusal_is_an_answer(http: httpx.Client, alpha: NewClient) -> None:
    answer = http.get("/v1/insights/attendance/young", headers=bearer(http, alpha))
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["value"]) == ("refused", None)


@pytest.mark.parametrize(
    "path", ["/v1/insights/attendance/nowhere", "/v1/insights/weather/gala", "/v1/insights/attendance/gala?platform=x"]
)
def test_unknown(http: httpx.Client, alpha: NewClient, path: str) -> None:
    is_problem(http.get(path, headers=bearer(http, alpha)), 404)


def test_another_partners_insight_does_not_exist(http: httpx.Client, alpha: NewClient, beta: NewClient) -> None:
    path = "/v1/insights/attendance/only-beta"
    mine = http.get(path, headers=bearer(http, beta))
    assert mine.status_code == 200 and mine.headers["insight-stale"] == "true"
    is_problem(http.get(path, headers=bearer(http, alpha)), 404)
    assert "only-beta" not in http.get("/v1/insights?limit=1000", headers=bearer(http, alpha)).text


def test_pages(http: httpx.Client, services: Services, alpha: NewClient) -> None:
    header = bearer(http, alpha)
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = http.get(f"/v1/insights?limit=2{cursor}", headers=header).json()
        seen += page["insights"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == 7
    assert [entry["published_seq"] for entry in seen] == sorted(entry["published_seq"] for entry in seen)
    assert http.get(f"/v1/insights?since={page['last']}", headers=header).json()["insights"] == []
    only = http.get("/v1/insights?use_case=pricing", headers=header)
    (served,) = stored(services, "alpha", "pricing", PRODUCT.id)
    assert served.document in only.text and len(only.json()["insights"]) == 1
    assert is_problem(http.get("/v1/insights?limit=0", headers=header), 422)["errors"][0]["field"] == "limit"


def test_history(http: httpx.Client, services: Services, alpha: NewClient) -> None:
    (served,) = stored(services, "alpha", "pricing", PRODUCT.id)
    answer = http.get(f"/v1/insights/pricing/{quote(PRODUCT.id, safe='')}/history", headers=bearer(http, alpha))
    assert [entry["document"] for entry in answer.json()["versions"]] == [json.loads(served.document)]
    assert served.document in answer.text


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_schemas(http: httpx.Client) -> None:
    for name in ("event", "contact", "sale", "insight"):
        answer = http.get(f"/v1/schemas/{name}")
        assert answer.status_code == 200 and "$defs" in answer.json()
    assert "insight" in is_problem(http.get("/v1/schemas/order"), 404)["detail"]


def test_readiness(http: httpx.Client, services: Services, alpha: NewClient, now: datetime) -> None:
    document = {"use_case": "attendance", "rung": "rule", "requirements": [{"name": "events", "have": 3, "need": 40}]}
    for partner in ("alpha", "beta"):
        with services.database.partner(partner) as connection:
            connection.execute(
                text(
                    "insert into metrics.readiness values (:partner, 'attendance', 'rule', cast(:doc as jsonb), :now)"
                ),
                {"partner": partner, "doc": json.dumps(document), "now": now},
            )
    found = http.get("/v1/readiness", headers=bearer(http, alpha)).json()["readiness"]
    assert found == [{**document, "at": "2026-03-16T12:00:00Z"}]


def test_framework_errors_are_problems_too(http: httpx.Client) -> None:
    assert is_problem(http.get("/nowhere"), 404)["detail"] == "there is nothing at /nowhere"
    assert "POST" in is_problem(http.post("/v1/insights"), 405)["detail"]


def test_operation(http: httpx.Client, alpha: NewClient) -> None:
    http.get("/v1/insights/attendance/gala", headers=bearer(http, alpha))
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok", "postgres": True, "redis": True}
    text = http.get("/metrics").text
    assert 'integrator_insights_served_total{use_case="attendance",source="cache"}' in text
    assert (
        'integrator_requests_total{route="/v1/insights/{use_case}/{subject_id:anything}",method="GET",status="200"}'
        in text
    )
    assert http.get("/openapi.json").status_code == 200
    metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == ISSUER and metadata["token_endpoint"] == f"{ISSUER}/oauth/token"


def test_request_log_by_partner_and_without_ids(http: httpx.Client, services: Services, alpha: NewClient) -> None:
    answer = http.get("/v1/insights/attendance/gala", headers=bearer(http, alpha))
    found = None
    for _ in range(40):
        with services.database.partner("alpha") as connection:
            found = connection.execute(
                text("select * from ops.request_log where partner = 'alpha' and request_id = :id"),
                {"id": answer.headers["x-request-id"]},
            ).one_or_none()
        if found:
            break
        time.sleep(0.1)
    assert found is not None
    assert (found.client_id, found.status, found.method) == (alpha.client_id, 200, "GET")
    assert "gala" not in found.route


def test_without_redis(services: Services, alpha: NewClient, http: httpx.Client) -> None:
    """Slower, and everything holds: bytes, revocation, tenants."""
    lonely = Services(services.settings, services.database, "redis://127.0.0.1:1/0", services.clock)
    with serving(create_app(lonely, issuer=ISSUER)) as url, httpx.Client(base_url=url) as client:
        good = token(client, alpha)
        header = {"Authorization": f"Bearer {good}"}
        (served,) = stored(services, "alpha", "attendance", "gala")
        assert client.get("/v1/insights/attendance/gala", headers=header).content == served.document.encode()
        is_problem(client.get("/v1/insights/attendance/only-beta", headers=header), 404)
        assert client.get("/readyz").json() == {"status": "degraded", "postgres": True, "redis": False}
        revoke = client.post("/oauth/revoke", data={"token": good}, auth=(alpha.client_id, alpha.client_secret))
        assert (revoke.status_code, revoke.json()["error"]) == (503, "temporarily_unavailable")
        is_problem(client.get("/v1/insights/attendance/gala", headers=header), 401)
