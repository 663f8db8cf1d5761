"""What a host's receiver goes through, whatever it is written in: it is the guide's example, run as its own process."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from integrator.steps import webhooks as steps
from integrator.steps.connections import Actor
from integrator.steps.deliver import deliver
from integrator.steps.services import Services
from integrator.storage.webhook_rules import Wanted
from tests.webhook_receiver import put_out

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "guides" / "examples" / "webhook-receiver"
ACTOR = Actor("alpha", "tester")


@contextmanager
def running(command: Sequence[str], secret: str, port: int) -> Iterator[str]:
    """The example, listening; it prints its port when it does."""
    environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.terminate()
            process.wait(timeout=20)


def kept(url: str) -> dict[str, Any]:
    """What the example says that it keeps."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def posted(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Somebody else's request; the status."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def tell(services: Services, command: Sequence[str], port: int) -> None:
    """From the first message to one under a new secret; every step is asserted on what the receiver keeps."""
    made = steps.add(services, ACTOR, f"http://127.0.0.1:{port}/hook", Wanted())
    secret = str(steps.shown(made)["secret"])
    with running(command, secret, port) as url:
        assert steps.test(services, ACTOR, made.endpoint_id).delivered
        put_out(services, "gala", "gälä ✓", value=900.0)
        assert deliver(services, "alpha").delivered == 2
        put_out(services, "gala", "gälä ✓", position=11, value=950.0)
        assert deliver(services, "alpha").delivered == 2
        newest = {"messages": 5, "versions": [2, 2], "values": [950, 950]}
        assert summed(url) == newest
        _again(services, made.endpoint_id)
        assert summed(url) == newest, "the same message is kept once, and an older version is not gone back to"
        forged(url, secret)
        assert summed(url) == newest
        steps.rotate(services, ACTOR, made.endpoint_id)
        put_out(services, "gala", position=12, value=1.0)  # the other is withdrawn
        assert deliver(services, "alpha").delivered == 2, "the secret from before the rotation still verifies"
        assert summed(url) == {"messages": 7, "versions": [3, 3], "values": [1, None]}


def _again(services: Services, endpoint_id: str) -> None:
    since = services.clock().replace(hour=0)
    assert steps.replay(services, ACTOR, endpoint_id, since, since.replace(hour=23)) == 4
    assert deliver(services, "alpha").delivered == 4


def forged(url: str, secret: str) -> None:
    """Another's secret, a changed body, an old timestamp, no signature: nothing of it is taken."""
    now, body = datetime.now(UTC), '{"type":"insight.updated","data":{"id":"ins_1","insight_version":9}}'

    def signed(by: str, at: datetime) -> dict[str, str]:
        return {
            "webhook-id": "msg_forged", "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(by).sign("msg_forged", at, body), "content-type": "application/json",
        }  # fmt: skip

    other = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
    good = signed(secret, now)
    for headers, sent in (
        (signed(other, now), body), (good, body.replace("9", "8")), (signed(secret, now - timedelta(minutes=10)), body),
        ({"content-type": "application/json"}, body), ({**good, "webhook-id": "msg_other"}, body),
        ({**good, "webhook-signature": "v1,AAAA"}, body), (good, body + "x" * 30_000), (good, "no json"),
    ):  # fmt: skip
        assert posted(url, headers, sent.encode()) == 401, (headers, sent[:80])


def summed(url: str) -> dict[str, Any]:
    """How many messages, and which versions and values stand."""
    found = kept(url)
    data = sorted((one["data"] for one in found["insights"]), key=lambda one: str(one["subject"]["id"]))
    return {
        "messages": found["messages"], "versions": [one["insight_version"] for one in data],
        "values": [one["value"] for one in data],
    }  # fmt: skip
