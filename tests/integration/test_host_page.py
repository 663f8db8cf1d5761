"""The sandbox's host: a page and a backend that mints tokens for it, over the real service; and how `up` sets it up."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from integrator.cli.host_page import open_host_pages
from integrator.security import clients, origins
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage.partners import Partner, register
from integrator_realtime.app import create_app
from integrator_sandbox import host
from tests.publishing import prediction, put_scored
from tests.serving import serving

HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def addresses(services: Services, tmp_path_factory: Any) -> Iterator[tuple[str, str, Path]]:
    """The sandbox's, the service's, and where the sandbox keeps accounts."""
    moment, folder = services.clock(), tmp_path_factory.mktemp("hosts")
    partner = Partner(partner="car_parks", timezone="Europe/London", currency="GBP", region="GB-ENG")
    register(services.database, partner, moment)
    put_scored(services, "car_parks", [prediction("gala"), prediction(HOSTILE)], position=10, at=moment)
    publish(services, "car_parks", "attendance", run_id="run-1")
    sandbox = FastAPI()
    sandbox.include_router(host.router(folder))
    with serving(sandbox) as page, serving(create_app(services)) as api:
        yield page, api, folder


def secret(folder: Path) -> str:
    return (folder / "car_parks.json").read_text()


def test_a_host_is_set_up_again_and_again_as_the_same_client(
    services: Services, addresses: tuple[str, str, Path]
) -> None:
    page, api, folder = addresses
    assert open_host_pages(services, page, api) == [f"{page}/host/car_parks"], "of the demo's partners, those there are"
    client_id = httpx.get(f"{page}/_sandbox/hosts/car_parks").json()["client_id"]
    first = secret(folder)
    open_host_pages(services, page, api)
    assert httpx.get(f"{page}/_sandbox/hosts/car_parks").json()["client_id"] == client_id and secret(folder) != first
    assert [row["origin"] for row in origins.list_all(services.database, "car_parks")] == [page]
    clients.revoke(services.database, "car_parks", client_id, services.clock(), cache=services.cache)
    open_host_pages(services, page, api)
    assert httpx.get(f"{page}/_sandbox/hosts/car_parks").json()["client_id"] != client_id
    assert stat.S_IMODE((folder / "car_parks.json").stat().st_mode) == 0o600


def test_its_page_and_its_tokens(services: Services, addresses: tuple[str, str, Path]) -> None:
    page, api, folder = addresses
    open_host_pages(services, page, api)
    answer = httpx.get(f"{page}/host/car_parks")
    assert f'<script src="{api}/v1/widget.js" defer></script>' in answer.text and 'subject="gala"' in answer.text
    assert HOSTILE not in answer.text and "&quot;&gt;&lt;script&gt;" in answer.text
    assert "script-src " + api in answer.headers["content-security-policy"]
    assert "isk_" not in answer.text
    for query in (
        {"use_case": HOSTILE, "subject": HOSTILE},
        {"use_case": "attendance", "subject": "x", "lang": HOSTILE},
    ):
        assert HOSTILE not in httpx.get(f"{page}/host/car_parks", params=query).text
    wanted, mine = {"use_case": "attendance", "subject": "gala"}, {"Origin": page}
    made = httpx.post(f"{page}/host/car_parks/token", json=wanted, headers=mine).json()
    seen = httpx.get(
        f"{api}/v1/insights/attendance/gala", headers={"Authorization": f"Bearer {made['token']}", "Origin": page}
    )
    assert seen.json()["value"] == 900
    assert httpx.post(f"{page}/host/car_parks/token", json=wanted).status_code == 403
    assert httpx.post(f"{page}/host/car_parks/token", json=wanted, headers={"Origin": api}).status_code == 403
    assert httpx.post(f"{page}/host/car_parks/token", json={"subject": 7}, headers=mine).status_code == 422
    later = FastAPI()
    later.include_router(host.router(folder))
    with serving(later) as again:
        assert httpx.get(f"{again}/host/car_parks").status_code == 200, "an account outlives the process"


def test_a_host_that_is_not_set_up(addresses: tuple[str, str, Path]) -> None:
    page, api, _ = addresses
    for name in ("grocer", "Nobody", "..%2Fsecrets"):
        assert httpx.get(f"{page}/host/{name}").status_code == 404
        assert httpx.post(f"{page}/host/{name}/token", json={}, headers={"Origin": page}).status_code == 404
        assert httpx.get(f"{page}/_sandbox/hosts/{name}").status_code == 404
    good = {"api": api, "client_id": "a", "client_secret": "b"}
    for name, body in (
        ("Nobody", good),
        ("grocer", {"api": api}),
        ("grocer", {**good, "api": "javascript:x"}),
        ("grocer", {**good, "x": 1}),
    ):
        assert httpx.put(f"{page}/_sandbox/hosts/{name}", json=body).status_code == 422
