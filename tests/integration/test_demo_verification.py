"""The demo's own proof, held against real services: it passes on the truth and fails on every kind of difference."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from integrator.cli.demo import cast, verify
from integrator.cli.demo.cast import Login
from integrator.contracts.errors import Defect, Unavailable
from integrator.contracts.insight import Subject
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.deliver import deliver
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import webhooks
from integrator.storage.partners import Partner, register
from integrator.storage.roles import create_partner_role
from integrator_realtime.app import create_app
from integrator_sandbox.webhooks import router
from tests.publishing import prediction, put_scored
from tests.serving import serving

NAMES = ("shown", "stranger")


@pytest.fixture(scope="module")
def stage(services: Services) -> Services:
    for name in NAMES:
        register(
            services.database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), services.clock()
        )
    return services


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    app = FastAPI()
    app.include_router(router(tmp_path_factory.mktemp("inbox")))
    with serving(app) as url:
        yield f"{url}/_sandbox/webhooks"


@pytest.fixture(scope="module")
def api(stage: Services) -> Iterator[str]:
    with serving(create_app(stage, issuer="http://127.0.0.1:8080")) as url:
        yield url


@pytest.fixture(scope="module")
def logins(stage: Services, receiver: str) -> dict[str, Login]:
    """Two partners with insights, database logins, API clients and a webhook each; everything delivered."""
    made = {}
    moment = stage.clock()
    for name in NAMES:
        address = create_partner_role(stage.database, name) or ""
        client = clients.create(stage.database, name, list(cast.SCOPES), moment)
        made[name] = Login(name, address, client.client_id, client.client_secret)
        endpoint = webhooks.add(stage.database, name, f"{receiver}/{name}", moment, allow_loopback=True)
        cast._tell_receiver(f"{receiver}/{name}", endpoint.secret)
        put_scored(stage, name, [prediction(f"{name}-{n}", 100.0 + n) for n in range(130)], position=1, at=moment)
        publish(stage, name, "attendance", run_id="demo")
        odd = prediction("x", subject=Subject("tier", "day/ü ✓?", "pretix"))
        put_scored(stage, name, [odd], position=1, at=moment, use_case="pricing")
        publish(stage, name, "pricing", run_id="demo")
        assert deliver(stage, name).delivered == 131
    return made


def test_the_truth_passes_and_is_counted(logins: dict[str, Login], api: str, receiver: str) -> None:
    for name, login in logins.items():
        found = verify.published(login)
        assert len(found) == 131 and {entry.partner for entry in found} == {name}
        counts = verify.compare(login, found, api=api, receiver=f"{receiver}/{name}", sample=10)
        assert counts["tables"] == counts["webhooks"] == 131 and 10 <= counts["api"] <= 12


def test_a_stranger_is_refused(logins: dict[str, Login], api: str) -> None:
    insight = verify.published(logins["shown"])[0]
    verify.stranger_is_refused(logins["stranger"], insight, api)
    with pytest.raises(Defect, match="shown asked for an insight of shown and got 200"):
        verify.stranger_is_refused(logins["shown"], insight, api)


def test_one_byte_of_difference_to_the_api_is_a_defect(logins: dict[str, Login], api: str, receiver: str) -> None:
    found = verify.published(logins["shown"])
    altered = [replace(found[0], document=found[0].document.replace('"value":100', '"value":101')), *found[1:]]
    assert altered[0] != found[0]
    with pytest.raises(Defect, match="differs between the table and the API"):
        verify.compare(logins["shown"], altered, api=api, receiver=f"{receiver}/shown", sample=1)


def test_a_difference_to_the_webhook_is_a_defect(
    logins: dict[str, Login], api: str, receiver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = verify.published(logins["shown"])
    real = verify._delivered
    monkeypatch.setattr(
        verify, "_delivered", lambda url: {key: body.replace("Expected", "expected") for key, body in real(url).items()}
    )
    with pytest.raises(Defect, match="differs between the table and the webhook"):
        verify.compare(logins["shown"], found, api=api, receiver=f"{receiver}/shown", sample=1)


def test_a_webhook_that_did_not_arrive_is_a_defect(logins: dict[str, Login], api: str, receiver: str) -> None:
    found = verify.published(logins["shown"])
    document = json.loads(found[5].document)
    newer = {**document, "insight_version": document["insight_version"] + 1}
    ahead = [*found[:5], replace(found[5], document=json.dumps(newer)), *found[6:]]
    with pytest.raises(Defect, match="1 of 131 insights of shown have not reached"):
        verify.compare(logins["shown"], ahead, api=api, receiver=f"{receiver}/shown", sample=1)


def test_the_receiver_is_read_to_its_last_page(logins: dict[str, Login], receiver: str) -> None:
    assert len(verify._delivered(f"{receiver}/shown")) == 131
    assert not set(verify._delivered(f"{receiver}/shown")) & set(verify._delivered(f"{receiver}/stranger"))


def test_a_login_that_sees_another_partner_is_a_defect(logins: dict[str, Login]) -> None:
    with pytest.raises(Defect, match="the login of stranger sees insights of shown"):
        verify.published(replace(logins["stranger"], database_url=logins["shown"].database_url))


def test_a_receiver_that_does_not_take_the_secret_is_unavailable(receiver: str) -> None:
    for url, secret in (
        (f"{receiver}/Not-A-Name", "whsec_QUJD"),
        (f"{receiver}/other", ""),
        ("http://127.0.0.1:9/", "x"),
    ):
        with pytest.raises(Unavailable, match="did not take the secret"):
            cast._tell_receiver(url, secret)


def test_the_receiver_takes_nothing_unsigned(logins: dict[str, Login], receiver: str) -> None:
    body = {"type": "insight.updated", "data": {"id": "ins_forged", "insight_version": 1}}
    headers = {"webhook-id": "msg_x", "webhook-timestamp": "1773662400", "webhook-signature": "v1,AAAA"}
    for more in ({}, headers, {**headers, "webhook-signature": ""}):
        assert httpx.post(f"{receiver}/shown", json=body, headers=more).status_code == 401
    assert httpx.post(f"{receiver}/unknown", json=body, headers=headers).status_code == 404
    assert not [key for key in verify._delivered(f"{receiver}/shown") if key[0] == "ins_forged"]


def test_a_login_of_the_demo_is_made_once_and_found_again(stage: Services, tmp_path: Path) -> None:
    """Passwords are shown once; the demo keeps its own in a file that nobody else can read."""
    home = Services(Settings(home=tmp_path), stage.database, stage.redis_url, stage.clock)
    register(stage.database, Partner(partner="kept", timezone="UTC", currency="EUR", region="DE"), stage.clock())
    first = cast._login(home, "kept")
    path = tmp_path / "demo-logins.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert verify.published(first) == []
    assert cast._login(home, "kept") == first
    path.unlink()
    second = cast._login(home, "kept")
    assert second.database_url != first.database_url and second.client_id != first.client_id
    assert verify.published(second) == []


def test_a_webhook_of_the_demo_follows_the_receiver(stage: Services, receiver: str) -> None:
    name = "follows"
    register(stage.database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), stage.clock())
    base = receiver.removesuffix("/_sandbox/webhooks")
    other = base.replace("127.0.0.1", "localhost")

    def active() -> list[Any]:
        return [e for e in webhooks.list_all(stage.database, name) if e.status == "active"]

    cast._receive_webhooks(stage, name, base)
    (first,) = active()
    cast._receive_webhooks(stage, name, base)
    assert active() == [first], "said again, nothing changes"
    cast._receive_webhooks(stage, name, other)
    (moved,) = active()
    assert moved.url.startswith(other) and moved.endpoint_id != first.endpoint_id
