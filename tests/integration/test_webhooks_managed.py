"""Webhook endpoints by the API and the command: added, tested, rotated, replayed, kept apart, written down."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from integrator.contracts.errors import Conflict
from integrator.security import clients
from integrator.steps import webhooks as steps
from integrator.steps.connections import Actor
from integrator.steps.deliver import deliver
from integrator.steps.services import Services
from integrator.storage import logs
from integrator.storage.webhook_rules import Wanted
from integrator_realtime.app import create_app
from tests.command_line import Answer, called
from tests.serving import serving
from tests.webhook_receiver import Receiver, put_out

ALPHA = Actor("alpha", "tester")
Keys = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def api(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def strict(services: Services) -> Iterator[httpx.Client]:
    """The service as it is in production: public addresses over https."""
    settings = services.settings.model_copy(update={"allow_loopback_webhooks": False})
    with (
        serving(create_app(replace(services, settings=settings))) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def keys(services: Services) -> Keys:
    made = {}
    for name, partner, scope in (
        ("alpha", "alpha", "webhooks:write"), ("beta", "beta", "webhooks:write"), ("reader", "alpha", "insights:read"),
    ):  # fmt: skip
        secret = clients.create(services.database, partner, (scope,), services.clock(), method="api_key").client_secret
        made[name] = {"Authorization": f"Bearer {secret}"}
    return made


@pytest.fixture(autouse=True)
def nothing_there(services: Services) -> None:
    with services.database.batch() as connection:
        for table in ("integrator.webhook_endpoint", "ops.outbox", "ops.delivery_attempt", "insights.version",
                      "insights.current", "ops.event_log", "ops.prediction_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with serving(made) as url:
        made.url = f"{url}/hook?token=of-the-host"
        yield made


def added(api: httpx.Client, keys: Keys, url: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": url, **more}, headers=keys["alpha"])
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def kinds(services: Services) -> list[str]:
    with services.database.partner("alpha") as connection:
        return [entry["kind"] for entry in reversed(logs.events(connection, "alpha"))]


def test_by_the_api_from_adding_to_removing(
    services: Services, api: httpx.Client, keys: Keys, receiver: Receiver
) -> None:
    made = added(api, keys, receiver.url, use_cases=["attendance"], minimum_change=0.05, max_in_flight=2)
    path, mine = f"/v1/webhooks/{made['endpoint_id']}", keys["alpha"]
    put_out(services, "gala")
    deliver(services, "alpha")
    headers, body = receiver.got[0]
    assert Webhook(made["secret"]).verify(body, headers)["data"]["subject"]["id"] == "gala"
    shown = api.get(path, headers=mine).json()
    assert shown["messages"] == {"pending": 0, "delivered": 1, "failed": 0, "superseded": 0}
    assert "secret" not in shown and shown["use_cases"] == ["attendance"] and shown["status"] == "active"
    changed = api.patch(path, json={"subject_prefix": "ga", "minimum_change": None}, headers=mine).json()
    assert (changed["subject_prefix"], changed["minimum_change"], changed["max_in_flight"]) == ("ga", None, 2)
    (listed,) = api.get("/v1/webhooks", headers=mine).json()["webhooks"]
    assert listed == {name: value for name, value in changed.items()}
    assert api.post(f"{path}/replay", json={"since": "2026-03-16T00:00:00Z", "until": "2026-03-17T00:00:00Z"},
                    headers=mine).json()["messages"] == 1  # fmt: skip
    deliver(services, "alpha")
    assert receiver.got[1][0]["webhook-id"] == headers["webhook-id"] and receiver.got[1][1] == body
    for act, state in (("disable", "disabled"), ("disable", "disabled"), ("enable", "active"), ("enable", "active")):
        assert api.post(f"{path}/{act}", headers=mine).json()["status"] == state
    assert api.delete(path, headers=mine).status_code == 204
    assert api.get(path, headers=mine).status_code == api.delete(path, headers=mine).status_code == 404
    told = [kind for kind in kinds(services) if kind.startswith("webhook")]
    assert told == ["webhook.added", "webhook.changed", "webhook.replayed", "webhook.disabled", "webhook.enabled",
                    "webhook.removed"]  # fmt: skip
    with services.database.batch() as connection:
        audit = connection.execute(text("select actor, action, subject, data::text from integrator.audit_log")).all()
    assert [row.action for row in audit if row.action.startswith("webhook")] == told
    assert not [row for row in audit if "of-the-host" in row.data], "an address may hold a token"


def test_the_service_sends_by_itself_and_counts(services: Services, receiver: Receiver, keys: Keys) -> None:
    """From publishing to the receiver through the service alone; a replay asked for over HTTP goes out at once too."""
    live = replace(services, clock=lambda: datetime.now(UTC))
    with serving(create_app(live, deliver=True)) as url, httpx.Client(base_url=url, headers=keys["alpha"]) as client:
        made = client.post("/v1/webhooks", json={"url": receiver.url}).json()
        put_out(live, "gala")
        wait(lambda: len(receiver.got) == 1)
        path = f"/v1/webhooks/{made['endpoint_id']}"
        wait(lambda: client.get(path).json()["messages"]["delivered"] == 1)
        client.post(f"{path}/replay", json={"message_id": receiver.got[0][0]["webhook-id"]})
        wait(lambda: len(receiver.got) == 2)
        wait(lambda: 'integrator_webhooks_total{outcome="delivered"} 2' in client.get("/metrics").text)


def wait(until: Callable[[], bool]) -> None:
    """Up to twenty seconds, which no good run takes."""
    for _ in range(1_000):
        if until():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def test_added_twice_is_one_endpoint_and_its_secret_is_not_shown_again(api: httpx.Client, keys: Keys) -> None:
    made = added(api, keys, "https://host.example/hook")
    again = api.post("/v1/webhooks", json={"url": "https://host.example/hook"}, headers=keys["alpha"])
    assert (again.status_code, again.json()["endpoint_id"]) == (200, made["endpoint_id"])
    assert "secret" not in again.json() and again.headers["location"] == f"/v1/webhooks/{made['endpoint_id']}"
    other = added(api, keys, "https://host.example/hook", use_cases=["pricing"])
    assert other["endpoint_id"] != made["endpoint_id"]


def test_a_test_says_what_came_of_it(services: Services, api: httpx.Client, keys: Keys, receiver: Receiver) -> None:
    made = added(api, keys, receiver.url)
    path = f"/v1/webhooks/{made['endpoint_id']}/test"
    done = api.post(path, headers=keys["alpha"]).json()
    assert (done["delivered"], done["status_code"], done["error"]) == (True, 204, None)
    headers, body = receiver.got[0]
    event = Webhook(made["secret"]).verify(body, headers)
    assert event["type"] == "webhook.test" and event["data"]["endpoint_id"] == made["endpoint_id"]
    assert headers["webhook-id"] == done["message_id"]
    receiver.status, receiver.body = 500, b"no: ann@example.org, +49 170 1234567"
    refused = api.post(path, headers=keys["alpha"]).json()
    assert (refused["delivered"], refused["error"]) == (False, "answered 500")
    assert refused["response"] == "no: [removed], [removed]"
    api.post(f"/v1/webhooks/{made['endpoint_id']}/disable", headers=keys["alpha"])
    assert api.post(path, headers=keys["alpha"]).json()["status_code"] == 500, "tried before it is enabled again"
    deliver(services, "alpha")
    assert len(receiver.got) == 3, "a test is tried once"
    (entry,) = api.get("/v1/webhooks", headers=keys["alpha"]).json()["webhooks"]
    assert entry["failing_since"] is None


def test_the_log_of_attempts_page_by_page(
    services: Services, api: httpx.Client, keys: Keys, receiver: Receiver
) -> None:
    made = added(api, keys, receiver.url)
    receiver.status, receiver.body = 500, b"x" * 5_000
    put_out(services, "gala", "expo", "fair")
    deliver(services, "alpha")
    path, mine = f"/v1/webhooks/{made['endpoint_id']}/attempts", keys["alpha"]
    first = api.get(path, params={"limit": 2}, headers=mine).json()
    second = api.get(path, params={"limit": 2, "cursor": first["next"]}, headers=mine).json()
    assert (len(first["attempts"]), len(second["attempts"]), second["next"]) == (2, 1, None)
    attempt = first["attempts"][0]
    assert attempt["attempt_id"] > second["attempts"][0]["attempt_id"]
    assert (attempt["status_code"], attempt["message_status"], len(attempt["response"])) == (500, "pending", 2_048)
    assert attempt["next_attempt_at"] > attempt["at"]
    one = api.get(path, params={"message_id": attempt["message_id"]}, headers=mine).json()["attempts"]
    assert [row["message_id"] for row in one] == [attempt["message_id"]]


def test_a_new_secret_and_the_one_before_sign_for_a_day(
    services: Services, api: httpx.Client, keys: Keys, receiver: Receiver
) -> None:
    made = added(api, keys, receiver.url)
    fresh = api.post(f"/v1/webhooks/{made['endpoint_id']}/rotate", headers=keys["alpha"]).json()
    assert fresh["secret"] != made["secret"] and fresh["former_until"] == "2026-03-17T12:00:00Z"
    put_out(services, "gala")
    deliver(services, "alpha")
    headers, body = receiver.got[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(made["secret"]).verify(body, headers) == Webhook(fresh["secret"]).verify(body, headers)
    later = replace(services, clock=lambda: services.clock() + timedelta(hours=24))
    put_out(later, "gala", position=11, value=1.0)
    deliver(later, "alpha")
    headers, body = receiver.got[1]
    assert Webhook(fresh["secret"]).verify(body, headers) and len(headers["webhook-signature"].split(" ")) == 1
    for _ in range(3):
        assert api.post(f"/v1/webhooks/{made['endpoint_id']}/rotate", headers=keys["alpha"]).status_code == 200
    stopped = api.post(f"/v1/webhooks/{made['endpoint_id']}/rotate", headers=keys["alpha"])
    assert stopped.status_code == 409 and "former secrets" in stopped.json()["detail"]


def test_another_partners_are_not_there(services: Services, api: httpx.Client, keys: Keys, receiver: Receiver) -> None:
    made = added(api, keys, receiver.url)
    put_out(services, "gala")
    body = {"since": "2026-03-16T00:00:00Z"}
    for method, path, sent in (
        ("GET", "", None), ("PATCH", "", {"max_in_flight": 1}), ("DELETE", "", None), ("POST", "/test", None),
        ("POST", "/rotate", None), ("POST", "/enable", None), ("POST", "/disable", None), ("POST", "/replay", body),
        ("GET", "/attempts", None),
    ):  # fmt: skip
        for endpoint_id in (made["endpoint_id"], "we_nothing", "we_%00", "..%2Fwe"):
            answer = api.request(method, f"/v1/webhooks/{endpoint_id}{path}", json=sent, headers=keys["beta"])
            assert answer.status_code == 404, (method, path, endpoint_id, answer.text)
        denied = api.request(method, f"/v1/webhooks/{made['endpoint_id']}{path}", json=sent, headers=keys["reader"])
        assert denied.status_code == 403 and denied.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/webhooks", headers=keys["beta"]).json() == {"webhooks": []} and receiver.got == []
    assert api.get(f"/v1/webhooks/{made['endpoint_id']}", headers=keys["alpha"]).json()["status"] == "active"


@pytest.mark.parametrize(
    ("sent", "said"),
    [({"url": "http://example.com/"}, "webhook address"), ({"url": "https://example.com/", "colour": 1}, "colour"),
     ({"url": "https://example.com/", "event_types": []}, "event_types"), ({}, "url"),
     ({"url": "https://example.com/", "event_types": ["insight.changed"]}, "insight.withdrawn"),
     ({"url": "https://example.com/", "use_cases": ["leads"]}, "lead_score"),
     ({"url": "https://example.com/", "use_cases": ["pricing", "pricing"]}, "once"),
     ({"url": "https://example.com/", "statuses": ["good"]}, "fallback"),
     ({"url": "https://example.com/", "subject_kinds": ["person"]}, "contact"),
     ({"url": "https://example.com/", "subject_prefix": ""}, "subject_prefix"),
     ({"url": "https://example.com/", "minimum_change": 0}, "minimum_change"),
     ({"url": "https://example.com/", "minimum_change": -1.0}, "minimum_change"),
     ({"url": "https://example.com/", "max_per_second": 0}, "max_per_second"),
     ({"url": "https://example.com/", "max_per_second": 1e9}, "max_per_second"),
     ({"url": "https://example.com/", "max_in_flight": 0}, "max_in_flight"),
     ({"url": "https://example.com/", "max_in_flight": 17}, "max_in_flight"),
     ({"url": "https://example.com/" + "x" * 2_000}, "webhook address")],
)  # fmt: skip
def test_what_is_not_allowed_is_said(strict: httpx.Client, keys: Keys, sent: dict[str, Any], said: str) -> None:
    answer = strict.post("/v1/webhooks", json=sent, headers=keys["alpha"])
    assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
    assert strict.get("/v1/webhooks", headers=keys["alpha"]).json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("sent", "status"),
    [({}, 422), ({"since": "2026-03-16T00:00:00"}, 422), ({"since": "2026-03-16T00:00:00Z", "message_id": "m"}, 422),
     ({"since": "2026-03-17T00:00:00Z"}, 422), ({"message_id": "msg_nothing"}, 404),
     ({"since": "2026-03-16T00:00:00Z", "event_types": ["x"]}, 422), ({"since": "0001-01-01T00:00:00Z"}, 200)],
)  # fmt: skip
def test_what_can_be_replayed(api: httpx.Client, keys: Keys, sent: dict[str, Any], status: int) -> None:
    made = added(api, keys, "https://host.example/hook")
    answer = api.post(f"/v1/webhooks/{made['endpoint_id']}/replay", json=sent, headers=keys["alpha"])
    assert answer.status_code == status, answer.text
    api.post(f"/v1/webhooks/{made['endpoint_id']}/disable", headers=keys["alpha"])
    if status == 200:
        assert (
            api.post(f"/v1/webhooks/{made['endpoint_id']}/replay", json=sent, headers=keys["alpha"]).status_code == 409
        )


def test_a_range_is_replayed_by_type_and_by_failure_in_its_order(services: Services, receiver: Receiver) -> None:
    made = steps.add(services, ALPHA, receiver.url, Wanted())
    for step in range(3):
        put_out(services, "gala", position=10 + step, value=100.0 + step)
        deliver(services, "alpha")
    put_out(services, position=20)
    deliver(services, "alpha")
    day = services.clock() - timedelta(hours=12)
    until = services.clock() + timedelta(hours=1)
    assert steps.replay(services, ALPHA, made.endpoint_id, day, until, ("insight.withdrawn",)) == 1
    assert steps.replay(services, ALPHA, made.endpoint_id, day, until, ("insight.updated",)) == 3
    assert steps.replay(services, ALPHA, made.endpoint_id, day, until) == 0, "what waits already is left alone"
    receiver.got.clear()
    assert deliver(services, "alpha").delivered == 4
    versions = [json.loads(body)["data"]["insight_version"] for _, body in receiver.got]
    assert versions == [1, 2, 3, 4]
    assert steps.replay(services, ALPHA, made.endpoint_id, day, until, only_failed=True) == 0
    receiver.status = 500
    put_out(services, "gala", position=30)
    deliver(services, "alpha")
    steps.disable(services, ALPHA, made.endpoint_id)
    with pytest.raises(Conflict, match="disabled"):
        steps.replay(services, ALPHA, made.endpoint_id, day, until, only_failed=True)
    steps.enable(services, ALPHA, made.endpoint_id)
    receiver.status = 204
    assert steps.replay(services, ALPHA, made.endpoint_id, day, until, only_failed=True) == 1
    assert deliver(services, "alpha").delivered == 1


def test_a_replayed_message_has_the_whole_schedule_again(services: Services, receiver: Receiver) -> None:
    made = steps.add(services, ALPHA, receiver.url, Wanted())
    put_out(services, "gala")
    deliver(services, "alpha")
    receiver.status = 500
    message_id = receiver.got[0][0]["webhook-id"]
    assert steps.replay_one(services, ALPHA, made.endpoint_id, message_id) == 1
    deliver(services, "alpha")
    (attempt, _) = steps.attempts(services, "alpha", made.endpoint_id, limit=9)
    assert (attempt.attempt, attempt.message_status) == (2, "pending") and attempt.next_attempt_at is not None
    assert 5 <= (attempt.next_attempt_at - services.clock()).total_seconds() <= 5.5


def test_there_is_an_end_to_endpoints(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST_ENDPOINTS", 2)
    for number in range(2):
        steps.add(services, ALPHA, f"https://host.example/{number}", Wanted())
    with pytest.raises(Conflict, match="allowed: 2"):
        steps.add(services, ALPHA, "https://host.example/2", Wanted())
    assert steps.add(services, ALPHA, "https://host.example/1", Wanted()).url == "https://host.example/1"


@pytest.fixture
def run(services: Services, server: Any) -> Callable[..., Answer]:
    """The command over the tests' database; loopback is allowed, as in the sandbox."""
    address = services.database.address
    environment = {
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": services.redis_url, "INTEGRATOR_HOME": str(server.home),
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
        "INTEGRATOR_NOW": services.clock().isoformat(), "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true",
    }  # fmt: skip
    return lambda *words: called(environment, "webhooks", words[0], "--partner", "alpha", *words[1:])


def test_by_the_command(services: Services, receiver: Receiver, run: Callable[..., Answer]) -> None:
    wanted = ("--url", receiver.url, "--use-case", "attendance", "--minimum-change", "0.1", "--json")
    (made,) = run("add", *wanted).documents
    assert made["secret"].startswith("whsec_")
    again = run("add", *wanted)
    assert again.documents == [{"endpoint_id": made["endpoint_id"], "url": receiver.url}] and "already" in again.err
    name = made["endpoint_id"]
    assert run("test", name, "--json").documents[0]["delivered"] is True
    put_out(services, "gala")
    deliver(services, "alpha")
    (attempt, _) = run("attempts", name, "--json").documents
    assert attempt["status_code"] == 204
    replayed = run("replay", name, "--message", attempt["message_id"], "--json")
    assert replayed.documents == [{"endpoint_id": name, "messages": 1}]
    assert run("replay", name, "--since", "2026-03-16", "--until", "2026-03-18").code == 0
    assert run("rotate", name, "--json").documents[0]["secret"] != made["secret"]
    (entry,) = run("list", "--json").documents
    assert entry["minimum_change"] == 0.1 and "secret" not in entry
    assert run("show", name, "--json").documents[0]["messages"]["pending"] == 1
    assert name in run("show", name).out and name in run("list").out
    for act in ("disable", "enable", "remove"):
        assert run(act, name).code == 0
    assert run("list", "--json").documents == []
    assert run("show", name).code == 1


def test_how_a_test_ends(receiver: Receiver, run: Callable[..., Answer]) -> None:
    (made,) = run("add", "--url", receiver.url, "--json").documents
    for status, code in ((204, 0), (400, 1), (307, 1), (429, 75), (503, 75)):
        receiver.status = status
        assert run("test", made["endpoint_id"]).code == code
    (away,) = run("add", "--url", "http://127.0.0.1:9/", "--json").documents
    assert run("test", away["endpoint_id"]).code == 75


@pytest.mark.parametrize(
    "words",
    [("replay", "we_1"), ("replay", "we_1", "--since", "yesterday"), ("add", "--url", "ftp://x"),
     ("add", "--url", "https://x.example", "--event-type", "insight.changed"), ("test", "we_nothing"),
     ("rotate", "we_nothing"), ("attempts", "we_nothing"), ("remove", "we_nothing")],
)  # fmt: skip
def test_a_command_says_what_is_wrong(run: Callable[..., Answer], words: tuple[str, ...]) -> None:
    answer = run(*words)
    assert (answer.code, answer.out) == (1, "")
    assert "allowed" in answer.err or "needs either" in answer.err or "no webhook endpoint" in answer.err
