"""Webhooks from the outbox to a real receiver: signatures, retries, refusals, crashes, and what is not connected to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from integrator.contracts.errors import InvalidInput, NotFound
from integrator.delivery.webhook.dispatcher import Dispatcher
from integrator.delivery.webhook.sender import UNREACHABLE
from integrator.security.addresses import Guard
from integrator.steps.deliver import deliver
from integrator.steps.services import Services
from integrator.storage import insights, outbox_log, webhook_secrets, webhooks
from tests.serving import serving
from tests.webhook_receiver import Receiver, put_out


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with serving(made) as url:
        made.url = f"{url}/hook?from=integrator"
        yield made


@pytest.fixture
def clean(services: Services) -> Services:
    with services.database.batch() as connection:
        for table in ("integrator.webhook_endpoint", "ops.outbox", "ops.delivery_attempt", "insights.version",
                      "insights.current", "ops.event_log", "ops.prediction_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    return services


def add(services: Services, url: str, **more: Any) -> webhooks.NewEndpoint:
    return webhooks.add(services.database, "alpha", url, services.clock(), allow_loopback=True, **more)


def rows(services: Services) -> list[Any]:
    with services.database.partner("alpha") as connection:
        return list(connection.execute(text("select * from ops.outbox where partner = 'alpha' order by outbox_id")))


def attempts(services: Services) -> list[outbox_log.Attempt]:
    """At the first message."""
    first = rows(services)[0]
    with services.database.partner("alpha") as connection:
        return outbox_log.attempts_at(connection, "alpha", first.endpoint_id, limit=9, message_id=first.message_id)


def dispatcher(services: Services, clock: Callable[[], datetime] | None = None) -> Dispatcher:
    return Dispatcher(services.database, clock or services.clock, Guard(allow_loopback=True), seed=7)


def test_delivered_signed_and_verified(clean: Services, receiver: Receiver) -> None:
    endpoint = add(clean, receiver.url)
    put_out(clean, "gala", "gälä ✓")
    report = deliver(clean, "alpha")
    assert (report.delivered, report.failed, report.pending) == (2, 0, 0)
    with clean.database.partner("alpha") as connection:
        documents = {served.document for served in insights.current(connection, "alpha", "attendance")}
    for headers, body in receiver.got:
        event = Webhook(endpoint.secret).verify(body, headers)
        assert event["type"] == "insight.updated"
        assert headers["content-type"] == "application/json" and headers["webhook-id"].startswith("msg_")
        assert any(document.encode() in body for document in documents)
        with pytest.raises(WebhookVerificationError):
            Webhook(endpoint.secret).verify(body.replace(b"900", b"901"), headers)
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {row.message_id for row in rows(clean)}
    (attempt,) = attempts(clean)
    assert (attempt.attempt, attempt.status_code, attempt.error) == (1, 204, None)
    assert deliver(clean).delivered == 0


def test_secrets_are_sealed_and_readable_again(clean: Services, receiver: Receiver) -> None:
    endpoint = add(clean, receiver.url)
    assert endpoint.secret.startswith("whsec_") and endpoint.secret not in repr(endpoint)
    assert webhook_secrets.secret(clean.database, "alpha", endpoint.endpoint_id) == endpoint.secret
    with clean.database.partner("alpha") as connection:
        sealed = bytes(connection.execute(text("select secret from integrator.webhook_endpoint")).scalar_one())
    assert endpoint.secret.encode() not in sealed
    webhooks.remove(clean.database, "alpha", endpoint.endpoint_id)
    with pytest.raises(NotFound):
        webhook_secrets.secret(clean.database, "alpha", endpoint.endpoint_id)


def test_retries_by_the_schedule_then_gives_up(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, "gala")
    receiver.status = 500
    moment = [clean.clock()]
    waits = []
    for _ in range(8):
        dispatcher(clean, lambda: moment[0]).dispatch("alpha")
        (row,) = rows(clean)
        waits.append((row.next_attempt_at - moment[0]).total_seconds())
        moment[0] = row.next_attempt_at
    assert (row.status, row.attempts) == ("failed", 8)
    for wait, planned in zip(waits, (5, 300, 1800, 7200, 18_000, 36_000, 36_000), strict=False):
        assert planned <= wait <= planned * 1.1
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1 and len(receiver.got) == 8
    dispatcher(clean, lambda: moment[0] + timedelta(days=2)).dispatch("alpha")
    assert len(receiver.got) == 8


def test_not_before_it_is_due(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, "gala")
    receiver.status = 503
    receiver.headers = [(b"retry-after", b"3600")]
    deliver(clean, "alpha")
    assert deliver(clean, "alpha").pending == 1
    assert len(receiver.got) == 1
    assert rows(clean)[0].next_attempt_at == clean.clock() + timedelta(hours=1)
    receiver.status, receiver.headers = 200, []
    assert dispatcher(clean, lambda: clean.clock() + timedelta(hours=1)).dispatch("alpha").delivered == 1


def test_a_redirect_is_refused(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, "gala")
    receiver.status, receiver.headers = 307, [(b"location", receiver.url.encode())]
    assert deliver(clean, "alpha").failed == 1
    assert len(receiver.got) == 1
    (attempt,) = attempts(clean)
    assert (attempt.status_code, attempt.error) == (307, "answered 307")


def test_gone_disables_and_tells(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url, event_types=("insight.updated", "insight.withdrawn"))
    with serving(other := Receiver()) as url:
        add(clean, url, event_types=("endpoint.disabled",))
        put_out(clean, "gala", "expo")
        receiver.status = 410
        deliver(clean, "alpha")
        gone = next(entry for entry in webhooks.list_all(clean.database, "alpha") if entry.url == receiver.url)
        assert (gone.status, gone.status_reason) == ("disabled", "it answered 410 Gone")
        assert {row.status for row in rows(clean) if row.endpoint_id == gone.endpoint_id} == {"failed"}
        deliver(clean, "alpha")
        told = json.loads(other.got[0][1])
        assert told["type"] == "endpoint.disabled"
        assert told["data"].keys() == {"endpoint_id", "reason", "given_up"}
        assert told["data"]["endpoint_id"] == gone.endpoint_id
    with clean.database.partner("alpha") as connection:
        facts = connection.execute(text("select data from ops.event_log where kind = 'endpoint.disabled'")).scalar_one()
    assert facts == told["data"], "and nowhere its address, which may hold a token"
    put_out(clean, "gala", "expo", position=11, value=1.0)
    assert not [row for row in rows(clean) if row.status == "pending"]


def test_five_days_of_failure_disable(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    receiver.status = 500
    for day in range(6):
        put_out(clean, "gala", position=10 + day, value=900.0 + day)
        dispatcher(clean, lambda day=day: clean.clock() + timedelta(days=day)).dispatch("alpha")  # type: ignore[misc]
    (endpoint,) = webhooks.list_all(clean.database, "alpha")
    assert (endpoint.status, endpoint.status_reason) == ("disabled", "no message was accepted for five days")
    with clean.database.partner("alpha") as connection:
        kinds = connection.execute(text("select kind from ops.event_log where partner = 'alpha'")).scalars().all()
    assert "endpoint.disabled" in kinds


def test_a_success_ends_the_failing(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    receiver.status = 500
    put_out(clean, "gala")
    deliver(clean, "alpha")
    assert webhooks.list_all(clean.database, "alpha")[0].failing_since == clean.clock()
    receiver.status = 200
    dispatcher(clean, lambda: clean.clock() + timedelta(minutes=1)).dispatch("alpha")
    assert webhooks.list_all(clean.database, "alpha")[0].failing_since is None


def test_killed_while_sending_loses_nothing(
    clean: Services, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent but not written down: it goes again, under the same id."""
    add(clean, receiver.url)
    put_out(clean, "gala", "expo")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("integrator.delivery.webhook.dispatcher.outbox.record", die)
        with pytest.raises(KeyboardInterrupt):
            dispatcher(clean).dispatch("alpha")
    assert {row.status for row in rows(clean)} == {"pending"}
    assert deliver(clean, "alpha").delivered == 2
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == 4 and len(set(ids)) == 2


def test_old_messages_and_attempts_are_forgotten_and_what_waits_is_not(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, "gala")
    deliver(clean, "alpha")
    receiver.status = 500
    put_out(clean, "gala", position=11, value=1.0)
    deliver(clean, "alpha")
    waiting = rows(clean)[1].message_id
    for before, left in ((clean.clock(), 2), (clean.clock() + timedelta(seconds=1), 1)):
        with clean.database.partner("alpha") as connection:
            outbox_log.forget(connection, "alpha", before)
        assert len(rows(clean)) == left
    assert rows(clean)[0].message_id == waiting
    with clean.database.partner("beta") as connection:
        assert outbox_log.forget(connection, "alpha", clean.clock() + timedelta(days=9)) == 0


def test_two_dispatchers_send_nothing_twice(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, *(str(number) for number in range(250)))
    threads = [threading.Thread(target=lambda: dispatcher(clean).dispatch("alpha")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver(clean, "alpha")
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == len(set(ids)) == 250


def test_versions_of_an_insight_arrive_in_order(clean: Services, receiver: Receiver) -> None:
    endpoint = add(clean, receiver.url)
    for step in range(5):
        put_out(clean, *(str(number) for number in range(8)), position=10 + step, value=100.0 + step)
    deliver(clean, "alpha")
    seen: dict[str, list[int]] = {}
    for headers, body in receiver.got:
        document = Webhook(endpoint.secret).verify(body, headers)["data"]
        seen.setdefault(document["subject"]["id"], []).append(document["insight_version"])
    assert list(seen.values()) == [[1, 2, 3, 4, 5]] * 8


def test_a_receiver_that_is_away(clean: Services) -> None:
    add(clean, "http://127.0.0.1:9/")
    put_out(clean, "gala")
    assert deliver(clean, "alpha").failed == 1
    (attempt,) = attempts(clean)
    assert attempt.status_code is None and "ConnectionRefusedError" in attempt.error


@pytest.mark.parametrize("host", ["10.0.0.8", "169.254.169.254", "0xa000008", "[::ffff:10.0.0.8]", "[fd00::1]"])
def test_private_addresses_are_not_connected_to(clean: Services, host: str) -> None:
    add(clean, f"https://{host}/")
    put_out(clean, "gala")
    assert deliver(clean, "alpha").failed == 1
    (attempt,) = attempts(clean)
    assert attempt.error == UNREACHABLE


def test_loopback_only_where_settings_say_so(clean: Services, receiver: Receiver) -> None:
    add(clean, receiver.url)
    put_out(clean, "gala")
    strict = Dispatcher(clean.database, clean.clock, Guard(allow_loopback=False), seed=1)
    assert strict.dispatch("alpha").failed == 1 and receiver.got == []


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com", "https://user:pw@example.com/", "https:///x", "https://a/#b", "x"],
)
def test_addresses_refused_when_added(clean: Services, url: str) -> None:
    with pytest.raises(InvalidInput, match="webhook address"):
        webhooks.add(clean.database, "alpha", url, clean.clock())


def test_unknown_event_types_and_use_cases(clean: Services) -> None:
    with pytest.raises(InvalidInput, match=r"insight\.updated"):
        add(clean, "https://example.com/", event_types=("insight.changed",))
    with pytest.raises(InvalidInput, match="lead_score"):
        add(clean, "https://example.com/", use_cases=("leads",))


def test_many(clean: Services, receiver: Receiver, record_testsuite_property: Callable[[str, object], None]) -> None:
    add(clean, receiver.url)
    put_out(clean, *(str(number) for number in range(1000)))
    started = time.perf_counter()
    assert deliver(clean, "alpha").delivered == 1000
    record_testsuite_property("webhooks_per_second", 1000 / (time.perf_counter() - started))
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1000
