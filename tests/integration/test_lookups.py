"""The short way of a lookup answers as the long way does, in every respect but time."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from integrator.contracts.insight import Subject
from integrator.security import clients
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights
from integrator_realtime.app import create_app
from integrator_realtime.lookups import Lookups
from tests.publishing import prediction, put_scored
from tests.serving import serving

ODD = "50 % öff/row\n1?x"
CHANGING = ("date", "x-request-id", "ratelimit")


@pytest.fixture(scope="module")
def short(monkeypatch_module: pytest.MonkeyPatch) -> list[bytes]:
    """The raw ids that were answered the short way."""
    taken: list[bytes] = []
    plain = Lookups._answered

    async def noted(self: Lookups, scope: Any, rest: bytes, send: Any) -> bool:
        done = await plain(self, scope, rest, send)
        taken.extend([rest] if done else [])
        return done

    monkeypatch_module.setattr(Lookups, "_answered", noted)
    return taken


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def http(services: Services, short: list[bytes]) -> Iterator[httpx.Client]:
    moment = services.clock()
    both = [prediction("both"), prediction("both", subject=Subject("series", "both", "pretix"))]
    put_scored(services, "alpha", [prediction("gala"), prediction(ODD), *both], position=1, at=moment)
    publish(services, "alpha", "attendance", run_id="run-1")
    put_scored(services, "beta", [prediction("old")], position=1, at=moment - timedelta(days=9))
    publish(services, "beta", "attendance", run_id="run-1")
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


def bearer(services: Services, http: httpx.Client, partner: str, scopes: str = "insights:read") -> dict[str, str]:
    """A token nobody has seen: its first lookup goes the long way."""
    made = clients.create(services.database, partner, scopes, services.clock())
    form = {"grant_type": "client_credentials"}
    token = http.post("/oauth/token", data=form, auth=(made.client_id, str(made.client_secret))).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in CHANGING}


@pytest.mark.parametrize(
    ("partner", "subject", "more", "is_short"),
    [
        ("alpha", "gala", {}, True),
        ("alpha", "gala", {"If-None-Match": "*"}, True),
        ("alpha", "gala", {"If-None-Match": '"other", W/"more"'}, True),
        ("alpha", ODD, {}, True),
        ("beta", "old", {}, True),
        ("alpha", "both", {}, False),
        ("alpha", "nobody", {}, False),
        ("beta", "gala", {}, False),
        ("alpha", "gala", {"Origin": "https://host.example"}, False),
        ("alpha", "gala/history", {}, False),
        ("alpha", "gala?kind=event", {}, False),
        ("alpha", "", {}, False),
    ],
)
def test_both_ways_agree(
    services: Services, http: httpx.Client, short: list[bytes], partner: str, subject: str, more: dict[str, str],
    is_short: bool,
) -> None:  # fmt: skip
    from urllib.parse import quote

    path = f"/v1/insights/attendance/{quote(subject, safe='/?=' if subject != ODD else '')}"
    headers = {**bearer(services, http, partner), **more}
    http.get("/v1/insights/attendance/warm%2Fup", headers=bearer(services, http, partner))
    before = len(short)
    first = http.get(path, headers=headers)
    assert len(short) == before, "its token had not been seen"
    second = http.get(path, headers=headers)
    assert (len(short) > before) == is_short
    one, other = told(first), told(second)
    if first.status_code >= 400:  # each problem names its own request
        one, other = ((status, b"", shown) for status, _, shown in (one, other))
    assert one == other
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_what_is_asked_the_short_way_is_charged_once(services: Services, http: httpx.Client) -> None:
    headers = bearer(services, http, "alpha")

    def left(path: str) -> int:
        shown = http.get(f"/v1/insights/attendance/{path}", headers=headers).headers["ratelimit"]
        return int(shown.partition(";r=")[2].partition(";")[0])

    most = left("gala")
    for path in ("gala", "both", "nobody", "gala"):
        assert most - left(path) <= 2, "one for the request, one for what is not refilled by then"


def test_revocation_reaches_the_short_way_at_once(services: Services, http: httpx.Client, short: list[bytes]) -> None:
    headers = bearer(services, http, "alpha")
    for _ in range(2):
        assert http.get("/v1/insights/attendance/gala", headers=headers).status_code == 200
    before = len(short)
    services.cache.deny(_jti(headers), 60)
    assert http.get("/v1/insights/attendance/gala", headers=headers).status_code == 401
    assert len(short) == before


def test_a_scope_that_is_missing_is_refused_both_times(services: Services, http: httpx.Client) -> None:
    headers = bearer(services, http, "alpha", "quality:read")
    for _ in range(2):
        assert http.get("/v1/insights/attendance/gala", headers=headers).status_code == 403
        assert http.get("/v1/readiness", headers=headers).status_code == 200


def test_the_short_way_is_counted_and_logged_as_the_long_one(services: Services, http: httpx.Client) -> None:
    http.get("/v1/insights/attendance/gala", headers=bearer(services, http, "alpha"))
    lines = [line for line in http.get("/metrics").text.splitlines() if "/v1/insights/{use_case}" in line]
    assert {line.partition("{")[0] for line in lines} == {
        "integrator_requests_total", "integrator_request_seconds_total"
    }  # fmt: skip
    assert {line.partition('route="')[2].partition('"')[0] for line in lines} == {
        "/v1/insights/{use_case}/{subject_id:anything}"
    }
    with services.database.partner("alpha") as connection:
        served = insights.of_subject(connection, "alpha", "attendance", "gala")[0]
    assert f'"{served.insight_id}-1"' == http.get(
        "/v1/insights/attendance/gala", headers=bearer(services, http, "alpha")
    ).headers["etag"]  # fmt: skip


def _jti(headers: dict[str, str]) -> str:
    import json

    from joserfc import jws

    return str(json.loads(jws.extract_compact(headers["Authorization"][7:].encode()).payload)["jti"])
