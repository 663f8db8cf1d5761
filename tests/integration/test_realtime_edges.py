"""The realtime service at its edges: odd headers and ids, wrong methods, conditional requests, paging, what it logs."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.insight import Subject
from integrator.security import clients
from integrator.security.clients import NewClient
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.publishing import prediction, put_scored
from tests.serving import serving

ISSUER = "https://api.example"
ODD_IDS = (
    "a/b", "a/history", "history", "history/history", "a%2Fb", "a%b", "50%", "a+b c", "ü ✓ 日本", "a?b#c&d=e", "a:b|c", "..", "../x",
    "a//b", "/lead", "trail/", "v1/insights/x", "x" * 200, "a\\b", 'a"b\'c', "<script>", "a;b", "~_-.", "\u00a0", "a\nb", "\n", "tail\r\n",
)  # fmt: skip
FORM = {"grant_type": "client_credentials"}


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    moment = services.clock()
    for step in range(3):
        put_scored(
            services, "alpha", [prediction("gala", 900.0 + step), *(prediction(name) for name in ODD_IDS)],
            position=10 + step, at=moment,
        )  # fmt: skip
        publish(services, "alpha", "attendance", run_id=f"run-{step}")
    product = Subject("product", "day", "pretix")
    put_scored(services, "alpha", [prediction("x", subject=product)], position=1, at=moment - timedelta(days=9),
               use_case="pricing")  # fmt: skip
    publish(services, "alpha", "pricing", run_id="run-p")
    with serving(create_app(services, issuer=ISSUER + "/")) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def alpha(services: Services) -> NewClient:
    return clients.create(services.database, "alpha", "insights:read quality:read", services.clock())


@pytest.fixture(scope="module")
def token(http: httpx.Client, alpha: NewClient) -> str:
    answer = http.post("/oauth/token", data=FORM, auth=(alpha.client_id, alpha.client_secret))
    return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status and document["title"] and document["detail"]
    assert document["type"].startswith("urn:integrator:problem:")
    assert document["instance"] == f"urn:integrator:request:{answer.headers['x-request-id']}"
    return document


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}"])
def test_the_scheme_is_read_in_any_case(http: httpx.Client, token: str, form: str) -> None:
    answer = http.get("/v1/insights/attendance/gala", headers={"Authorization": form.format(token)})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "form",
    ["{}", "Bearer{}", "Token {}", "Bearer {},Bearer {}", "Bearer {} extra", 'Bearer "{}"', "Basic {}", "Bearer ,", "Bearer",
     "Bearer é", "DPoP {}"],
)  # fmt: skip
def test_other_forms_are_refused(http: httpx.Client, token: str, form: str) -> None:
    value = form.replace("{}", token).encode("latin-1")
    answer = http.get("/v1/insights/attendance/gala", headers=[(b"authorization", value)])
    document = is_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith('Bearer realm="integrator"')
    assert token not in json.dumps(document)


def test_the_token_is_taken_from_the_header_and_from_nowhere_else(http: httpx.Client, token: str) -> None:
    for query in ("access_token", "token", "authorization"):
        is_problem(http.get(f"/v1/insights/attendance/gala?{query}={token}"), 401)
    is_problem(http.get("/v1/insights/attendance/gala", headers={"Cookie": f"access_token={token}"}), 401)


@pytest.mark.parametrize(
    "path", ["/v1/insights/attendance/gala", "/v1/insights", "/v1/readiness", "/v1/insights/weather/x"]
)
def test_every_route_of_a_partner_wants_a_token_first(http: httpx.Client, path: str) -> None:
    is_problem(http.get(path), 401)


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json", "/v1/schemas/insight",
     "/.well-known/oauth-authorization-server"],
)  # fmt: skip
def test_open_routes_need_none_and_ignore_a_bad_one(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200
    assert http.get(path, headers={"Authorization": "Bearer rubbish"}).status_code == 200


@pytest.mark.parametrize("client_id", ["a\x00b", "", "icl_" + "x" * 5000, "' or 1=1 --", "ü", "icl_*"])
def test_client_ids_that_are_none(http: httpx.Client, client_id: str) -> None:
    in_form = http.post("/oauth/token", data={**FORM, "client_id": client_id, "client_secret": "isk_x"})
    assert (in_form.status_code, in_form.json()["error"]) == (401, "invalid_client")
    pair = base64.b64encode(f"{quote_plus(client_id)}:isk_x".encode()).decode()
    in_header = http.post("/oauth/token", data=FORM, headers={"Authorization": f"Basic {pair}"})
    assert (in_header.status_code, in_header.json()["error"]) == (401, "invalid_client")
    assert in_form.json() == in_header.json(), "one answer, whatever is wrong"


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic //79", "Bearer x", "basic"])
def test_a_basic_header_that_is_none(http: httpx.Client, value: str) -> None:
    answer = http.post("/oauth/token", data=FORM, headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="integrator"'
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded", 400),
     (b"&".join(b"a%d=1" % n for n in range(30)), "application/x-www-form-urlencoded", 400),
     (b"\xff\xfe=1", "application/x-www-form-urlencoded", 400), (b"", "application/x-www-form-urlencoded", 401),
     (b"grant_type=client_credentials", "text/plain", 400), (b"{}", "application/json", 400),
     (b"grant_type=client_credentials", "", 400)],
)  # fmt: skip
def test_bodies_that_are_no_form(http: httpx.Client, body: bytes, kind: str, status: int) -> None:
    answer = http.post("/oauth/token", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == status and "error_description" in answer.json()


def test_a_form_may_say_its_character_set(http: httpx.Client, alpha: NewClient) -> None:
    body = f"grant_type=client_credentials&client_id={alpha.client_id}&client_secret={alpha.client_secret}"
    kind = "Application/X-WWW-Form-Urlencoded; charset=UTF-8"
    assert http.post("/oauth/token", content=body, headers={"Content-Type": kind}).status_code == 200


def test_an_expired_client_gets_nothing(http: httpx.Client, services: Services) -> None:
    past = services.clock() - timedelta(days=2)
    gone = clients.create(services.database, "alpha", "insights:read", past, expires_in=timedelta(days=1))
    answer = http.post("/oauth/token", data=FORM, auth=(gone.client_id, gone.client_secret))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_the_issuer_stands_without_its_slash(http: httpx.Client) -> None:
    metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == ISSUER
    assert all(value.startswith(f"{ISSUER}/") for key, value in metadata.items() if key.endswith(("_endpoint", "_uri")))


def test_keys_are_public_halves_for_verifying(http: httpx.Client) -> None:
    for key in http.get("/.well-known/jwks.json").json()["keys"]:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        assert not {"d", "p", "q", "k"} & key.keys()


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ODD_IDS, ids=[repr(name)[:20] for name in ODD_IDS])
def test_any_id_percent_encoded(http: httpx.Client, header: dict[str, str], subject: str) -> None:
    path = f"/v1/insights/attendance/{quote(subject, safe='')}"
    if subject in ("..", "."):
        path = "/v1/insights/attendance/%2E%2E"
    url = httpx.URL(str(http.base_url)).copy_with(raw_path=path.encode())
    for _ in ("cold", "warm"):
        answer = http.get(url, headers=header)
        assert answer.status_code == 200, answer.text
        assert answer.json()["subject"]["id"] == subject
    history = http.get(url.copy_with(raw_path=f"{path}/history".encode()), headers=header)
    assert [entry["document"]["subject"]["id"] for entry in history.json()["versions"]] == [subject]


@pytest.mark.parametrize(
    "path",
    [
        "a%00b",
        "%00",
        "%ff%fe",
        "%",
        "%zz",
        "nowhere/history",
        "x" * 3000,
        "%2E%2E%2Fgala",
        "gala%20",
        "GALA",
        "gala%00",
    ],
)
def test_ids_that_are_nobodys(http: httpx.Client, header: dict[str, str], path: str) -> None:
    url = httpx.URL(str(http.base_url)).copy_with(raw_path=f"/v1/insights/attendance/{path}".encode())
    is_problem(http.get(url, headers=header), 404)


@pytest.mark.parametrize("use_case", ["weather", "Attendance", "attendance%00", "pricing%2Fx", "%2E%2E"])
def test_use_cases_that_are_none(http: httpx.Client, header: dict[str, str], use_case: str) -> None:
    url = httpx.URL(str(http.base_url)).copy_with(raw_path=f"/v1/insights/{use_case}/gala".encode())
    assert is_problem(http.get(url, headers=header), 404)["type"].endswith(":not-found")


@pytest.mark.parametrize("query", ["platform=hubspot", "platform=%00", "kind=series", "kind=", "platform=PRETIX"])
def test_a_platform_or_kind_that_is_not_its_own(http: httpx.Client, header: dict[str, str], query: str) -> None:
    is_problem(http.get(f"/v1/insights/attendance/gala?{query}", headers=header), 404)


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/insights", "/v1/insight/x/y", "/admin", "/v1/schemas/", "/docs", "/redoc"]
)
def test_nothing_there(http: httpx.Client, header: dict[str, str], path: str) -> None:
    is_problem(http.get(path, headers=header), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/v1/insights", "GET"), ("PUT", "/v1/insights/attendance/gala", "GET"), ("DELETE", "/v1/readiness", "GET"),
     ("PATCH", "/healthz", "GET"), ("POST", "/metrics", "GET"), ("GET", "/oauth/token", "POST"),
     ("PUT", "/oauth/revoke", "POST"), ("OPTIONS", "/v1/insights", "GET"), ("DELETE", "/.well-known/jwks.json", "GET")],
)  # fmt: skip
def test_methods_that_are_not_possible(
    http: httpx.Client, header: dict[str, str], method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path, headers=header)
    assert allowed in is_problem(answer, 405)["detail"] and answer.headers["allow"] == allowed


def test_no_page_may_read_us_from_a_browser_of_strangers(http: httpx.Client, header: dict[str, str]) -> None:
    answer = http.get("/v1/insights/attendance/gala", headers={**header, "Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_request_id_of_the_callers_is_not_taken_over(http: httpx.Client) -> None:
    seen = {http.get("/healthz", headers={"X-Request-Id": "mine"}).headers["x-request-id"] for _ in range(5)}
    assert len(seen) == 5 and "mine" not in seen


# --- conditional requests and freshness -------------------------------------------------------------------------------


def test_conditional_requests(http: httpx.Client, header: dict[str, str]) -> None:
    path = "/v1/insights/attendance/gala"
    etag = http.get(path, headers=header).headers["etag"]
    for same in (etag, f"W/{etag}", f'"other", {etag}', f'{etag},"x"', "*"):
        answer = http.get(path, headers={**header, "If-None-Match": same})
        assert (answer.status_code, answer.content) == (304, b""), same
        assert answer.headers["etag"] == etag and answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["insight-stale"] == "false" and "content-type" not in answer.headers
    for other in ('"other"', "", etag.strip('"'), etag.replace("-3", "-2"), '""'):
        assert http.get(path, headers={**header, "If-None-Match": other}).status_code == 200, other
    is_problem(http.get(path, headers={"If-None-Match": "*"}), 401)


def test_caches_between_keep_partners_apart(http: httpx.Client, header: dict[str, str]) -> None:
    answer = http.get("/v1/insights/attendance/gala", headers=header)
    assert answer.headers["vary"].startswith("Authorization") and "private" in answer.headers["cache-control"]


def test_what_is_stale_says_so_and_keeps_its_bytes(http: httpx.Client, header: dict[str, str]) -> None:
    answer = http.get("/v1/insights/pricing/day", headers=header)
    assert answer.headers["insight-stale"] == "true" and answer.headers["insight-checked-at"] == "2026-03-07T12:00:00Z"
    (item,) = http.get("/v1/insights?use_case=pricing", headers=header).json()["insights"]
    assert item["stale"] is True and item["stale_after"] == answer.headers["insight-stale-after"]
    assert "stale" not in answer.json(), "freshness is no part of the document"


def test_history_has_every_version_in_order(http: httpx.Client, header: dict[str, str]) -> None:
    versions = http.get("/v1/insights/attendance/gala/history", headers=header).json()["versions"]
    assert [entry["document"]["insight_version"] for entry in versions] == [1, 2, 3]
    assert [entry["document"]["value"] for entry in versions] == [900, 901, 902]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 4, 5, 26, 27, 28, 1000])
def test_pages_to_the_end_whatever_their_size(http: httpx.Client, header: dict[str, str], limit: int) -> None:
    seen: list[int] = []
    cursor: int | None = 0
    while cursor is not None:
        page = http.get(f"/v1/insights?limit={limit}&cursor={cursor}", headers=header).json()
        assert len(page["insights"]) <= limit
        assert page["next"] in (None, page["last"])
        seen += [entry["published_seq"] for entry in page["insights"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == len(ODD_IDS) + 2 and seen == sorted(seen)


def test_what_is_new_since_the_last_look(http: httpx.Client, header: dict[str, str]) -> None:
    first = http.get("/v1/insights?use_case=attendance&limit=3", headers=header).json()
    rest = http.get(f"/v1/insights?use_case=attendance&since={first['last']}&limit=1000", headers=header).json()
    assert len(rest["insights"]) == len(ODD_IDS) + 1 - 3 and rest["next"] is None
    empty = http.get(f"/v1/insights?use_case=attendance&since={rest['last']}", headers=header).json()
    assert empty == {"insights": [], "last": rest["last"], "next": None}
    assert http.get("/v1/insights?use_case=lead_score&since=5", headers=header).json()["last"] == 5


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1.5", "since=-1", "since=x", "cursor=-1", "cursor=now",
     "since=" + "9" * 5000, "limit="],
)  # fmt: skip
def test_numbers_that_are_not_allowed_are_named(http: httpx.Client, header: dict[str, str], query: str) -> None:
    document = is_problem(http.get(f"/v1/insights?{query}", headers=header), 422)
    assert document["errors"][0]["field"] == query.split("=")[0] and document["errors"][0]["reason"]


@pytest.mark.parametrize("since", ["9223372036854775807", "9223372036854775808", "9" * 40])
def test_a_position_beyond_everything_is_an_empty_page(http: httpx.Client, header: dict[str, str], since: str) -> None:
    answer = http.get(f"/v1/insights?since={since}", headers=header)
    assert (answer.status_code, answer.json()["insights"]) == (200, [])


def test_a_use_case_that_is_none_on_a_page(http: httpx.Client, header: dict[str, str]) -> None:
    assert (
        "attendance, pricing, lead_score"
        in is_problem(http.get("/v1/insights?use_case=x", headers=header), 404)["detail"]
    )


# --- behind it --------------------------------------------------------------------------------------------------------


def test_a_key_of_another_shape_in_redis_is_survived(
    http: httpx.Client, services: Services, header: dict[str, str]
) -> None:
    """Somebody else's use of the same Redis must not take the service away; PostgreSQL answers."""
    services.cache.client.set("insight:alpha:attendance:gala", b"not a hash")
    try:
        answer = http.get("/v1/insights/attendance/gala", headers=header)
        assert answer.status_code == 200 and answer.json()["value"] == 902
    finally:
        services.cache.client.flushdb()


def test_the_request_log_holds_templates_and_no_address(
    http: httpx.Client, services: Services, header: dict[str, str], alpha: NewClient
) -> None:
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as client:
        ids = [
            client.get(path, headers=header).headers["x-request-id"]
            for path in (
                "/v1/insights/attendance/ü ✓ 日本",
                "/v1/insights?limit=0",
                "/v1/insights/attendance/none",
                "/nowhere",
            )
        ]
        open_id = client.get("/healthz").headers["x-request-id"]
    # The service has ended, so its log is written.
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text("select * from ops.request_log where partner = 'alpha' and request_id = any(:ids)"),
            {"ids": [*ids, open_id]},
        ).all()
    logged = {row.request_id: row for row in rows}
    assert (logged[ids[0]].status, logged[ids[0]].client_id) == (200, alpha.client_id)
    assert logged[ids[2]].status == 404
    assert open_id not in logged, "only who said who it is"
    whole = " ".join(str(value) for row in rows for value in row)
    assert "日本" not in whole and "127.0.0.1" not in whole and "limit" not in whole
    assert all(row.latency_ms >= 0 for row in rows)


def test_metrics_count_routes_and_not_ids(http: httpx.Client, header: dict[str, str]) -> None:
    for number in range(5):
        http.get(f"/v1/insights/attendance/probe-{number}", headers=header)
        http.get(f"/probe/{number}")
    page = http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "probe" not in page.text and 'route="unmatched"' in page.text


@pytest.mark.parametrize(
    ("field", "value"),
    [(b"pretix|event", b"rubbish"), (b"no bar", b"1 2 3 ins_1 {}"), (b"pretix|event", b"1 2 x ins_1 {}"),
     (b"\xff|event", b"1 2 3 ins_1 {}"), (b"pretix|event", b"1 2 " + b"9" * 40 + b" ins_1 {}")],
)  # fmt: skip
def test_a_spoilt_entry_in_redis_is_replaced(
    http: httpx.Client, services: Services, header: dict[str, str], field: bytes, value: bytes
) -> None:
    services.cache.client.hset("insight:alpha:attendance:gala", field, value)
    answer = http.get("/v1/insights/attendance/gala", headers=header)
    assert answer.status_code == 200 and answer.json()["value"] == 902
    (entry,) = services.cache.get("alpha", "attendance", "gala")
    assert entry.document == answer.content, "the next one comes from the cache again"
