"""The webhook receiver without a network: what it refuses, what it keeps once, and what outlasts its process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from standardwebhooks.webhooks import Webhook

from integrator_sandbox import webhooks
from tests.asgi import Direct

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
OTHER = "whsec_" + "OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2"
URL = "/_sandbox/webhooks/grocer"


@contextmanager
def receiver(folder: Path, secret: str | None = SECRET) -> Iterator[Direct]:
    """A process of its own, as it were: a new application over the same folder."""
    app = FastAPI()
    app.include_router(webhooks.router(folder))
    client = Direct(app)
    if secret is not None:
        assert client.put(URL, json={"secret": secret}).status_code == 200
    yield client


def signed(number: int, body: str, *, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    moment = at or datetime.now(UTC)
    return {
        "webhook-id": f"msg_{number}",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(f"msg_{number}", moment, body),
    }


def body_of(number: int) -> str:
    return json.dumps({"type": "insight.updated", "data": {"id": f"ins_{number}"}})


def send(client: Direct, number: int, **how: Any) -> int:
    body = body_of(number)
    return client.post(URL, content=body, headers=signed(number, body, **how)).status_code


def total(client: Direct) -> int:
    found: int = client.get(URL).json()["total"]
    return found


def test_what_verifies_is_kept_once(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        assert [send(client, number) for number in (1, 2, 1, 1)] == [204] * 4
        assert total(client) == 2


def test_messages_outlast_the_process_and_are_still_known(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        send(client, 1)
        send(client, 2)
    with receiver(tmp_path) as again:
        assert total(again) == 2
        assert send(again, 2) == 204 and send(again, 3) == 204
        assert [entry["insight_id"] for entry in again.get(URL).json()["results"]] == ["ins_1", "ins_2", "ins_3"]


def test_after_a_restart_nothing_is_taken_before_the_secret_is_registered_again(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        send(client, 1)
    with receiver(tmp_path, secret=None) as again:
        assert send(again, 2) == 404 and again.get(URL).status_code == 404


@pytest.mark.parametrize("change", ["signature", "body", "id", "timestamp", "missing", "old", "future", "secret"])
def test_a_wrong_signature_is_refused_and_nothing_is_kept(change: str, tmp_path: Path) -> None:
    now, body = datetime.now(UTC), body_of(1)
    headers = signed(1, body)
    if change == "signature":
        headers["webhook-signature"] = "v1,AAAA"
    elif change == "body":
        body = body_of(2)
    elif change == "id":
        headers["webhook-id"] = "msg_2"
    elif change == "timestamp":
        headers["webhook-timestamp"] = str(int(now.timestamp()) - 9)
    elif change == "missing":
        del headers["webhook-signature"]
    elif change == "old":
        headers = signed(1, body, at=now - timedelta(hours=1))
    elif change == "future":
        headers = signed(1, body, at=now + timedelta(hours=1))
    else:
        headers = signed(1, body, secret=OTHER)
    with receiver(tmp_path) as client:
        assert client.post(URL, content=body, headers=headers).status_code == 401
        assert total(client) == 0
    assert not list(tmp_path.iterdir())


def test_a_changed_secret_is_the_one_that_counts(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        send(client, 1)
        assert client.put(URL, json={"secret": OTHER}).json() == {"name": "grocer", "received": 1}
        assert send(client, 2) == 401 and send(client, 3, secret=OTHER) == 204


@pytest.mark.parametrize("name", ["nobody", "Grocer", "1st"])
def test_a_receiver_nobody_registered_is_not_there(name: str, tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        body = body_of(1)
        address = f"/_sandbox/webhooks/{name}"
        assert client.post(address, content=body, headers=signed(1, body)).status_code == 404
        assert client.get(address).status_code == 404


@pytest.mark.parametrize("name", ["Grocer", "1st", "a-b", "a" * 41, "a%0A", "a%20b", "%2e%2e"])
def test_a_name_that_could_be_a_path_is_refused(name: str, tmp_path: Path) -> None:
    with receiver(tmp_path, secret=None) as client:
        answer = client.put(f"/_sandbox/webhooks/{name}", json={"secret": SECRET})
        assert answer.status_code in (404, 405, 422)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%"])
def test_a_secret_that_is_none_is_refused(secret: str, tmp_path: Path) -> None:
    with receiver(tmp_path, secret=None) as client:
        assert client.put(URL, json={"secret": secret}).status_code == 422


def test_pages_follow_one_another_and_miss_nothing(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        for number in range(7):
            send(client, number)
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            page = client.get(URL, params={"after": after, "limit": 3}).json()
            found += [entry["webhook_id"] for entry in page["results"]]
            after = page["next"]
        assert found == [f"msg_{number}" for number in range(7)]
        one = client.get(URL, params={"insight_id": "ins_4"}).json()
        assert (one["total"], one["results"][0]["document"]) == (1, json.loads(body_of(4)))


def test_receivers_do_not_see_each_other_s_messages(tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        client.put("/_sandbox/webhooks/travel", json={"secret": SECRET})
        send(client, 1)
        assert client.get("/_sandbox/webhooks/travel").json()["total"] == 0
        body = body_of(1)
        assert client.post("/_sandbox/webhooks/travel", content=body, headers=signed(1, body)).status_code == 204
        assert client.get("/_sandbox/webhooks/travel").json()["total"] == 1


@pytest.mark.parametrize("body", ['{"data": 3}', "{}", '{"data": {"other": 1}}'])
def test_a_message_about_no_insight_is_kept_without_one(body: str, tmp_path: Path) -> None:
    with receiver(tmp_path) as client:
        assert client.post(URL, content=body, headers=signed(1, body)).status_code == 204
        assert client.get(URL).json()["results"][0]["insight_id"] is None
