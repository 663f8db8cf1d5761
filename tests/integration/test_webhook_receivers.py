"""Receivers as they are: slow, broken, talkative, gone, malicious. None of them stops the sending to another."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from integrator.contracts.errors import NotFound, Unavailable
from integrator.delivery.webhook import dispatcher as dispatching
from integrator.delivery.webhook.dispatcher import BATCH, Dispatcher
from integrator.delivery.webhook.sender import Sender
from integrator.security.addresses import Guard
from integrator.steps.deliver import deliver, keep_delivering
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import outbox, outbox_log, webhooks
from integrator.storage.outbox import Message
from integrator.storage.turns import Turns
from tests.publishing import prediction, put_scored

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Talker:
    """A receiver on a bare socket: it answers exactly these bytes, and may close after each."""

    def __init__(self, answer: bytes = OK, *, close: bool = False) -> None:
        self.answer, self.close = answer, close
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while request := _request(connection):
                self.requests.append(request)
                try:
                    connection.sendall(self.answer)
                except OSError:
                    return
                if self.close:
                    return

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            block = connection.recv(65_536)
        except OSError:
            return b""
        if not block:
            return b""
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def talking(answer: bytes = OK, *, close: bool = False) -> Iterator[Talker]:
    made = Talker(answer, close=close)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    yield made
    made.stop()
    thread.join(timeout=5)


@pytest.fixture
def clean(services: Services) -> Services:
    with services.database.batch() as connection:
        for table in ("integrator.webhook_endpoint", "ops.outbox", "ops.delivery_attempt", "insights.version",
                      "insights.current", "ops.event_log", "ops.prediction_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    return services


def add(services: Services, url: str, partner: str = "alpha", **more: Any) -> webhooks.NewEndpoint:
    return webhooks.add(services.database, partner, url, services.clock(), allow_loopback=True, **more)


def put_out(services: Services, *subjects: str, partner: str = "alpha", use_case: str = "attendance") -> None:
    put_scored(
        services, partner, [prediction(s) for s in subjects], position=10, at=services.clock(), use_case=use_case
    )
    publish(services, partner, use_case, run_id="run")


def rows(services: Services, partner: str = "alpha") -> list[Any]:
    with services.database.partner(partner) as connection:
        return list(connection.execute(text("select * from ops.outbox order by outbox_id")))


def last_attempt(services: Services, partner: str = "alpha") -> outbox_log.Attempt:
    first = rows(services, partner)[0]
    with services.database.partner(partner) as connection:
        found = outbox_log.attempts_at(connection, partner, first.endpoint_id, limit=1, message_id=first.message_id)
    return found[0]


def answer(status: str, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content", "299 Odd"])
def test_any_2xx_is_accepted(clean: Services, status: str) -> None:
    with talking(answer(status)) as receiver:
        add(clean, receiver.url)
        put_out(clean, "gala")
        assert deliver(clean, "alpha").delivered == 1
    assert rows(clean)[0].status == "delivered"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 404, 409, 429, 500, 502, 503, 599])
def test_anything_else_is_tried_again(clean: Services, status: int) -> None:
    with talking(answer(f"{status} Word", "Location: http://169.254.169.254/")) as receiver:
        add(clean, receiver.url)
        put_out(clean, "gala")
        assert deliver(clean, "alpha").failed == 1
        assert len(receiver.requests) == 1
    (row,) = rows(clean)
    assert (row.status, row.attempts) == ("pending", 1) and row.next_attempt_at > clean.clock()
    attempt = last_attempt(clean)
    assert (attempt.status_code, attempt.error) == (status, f"answered {status}")


@pytest.mark.parametrize(
    "raw",
    [b"", b"rubbish\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 99999 X\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["nothing", "rubbish", "no number", "half", "ssh", "short", "many headers", "long header", "status", "chunks"],
)  # fmt: skip
def test_what_is_no_answer_is_an_attempt_that_failed(clean: Services, raw: bytes) -> None:
    with talking(raw, close=True) as receiver:
        add(clean, receiver.url)
        put_out(clean, "gala")
        report = deliver(clean, "alpha")
    assert report.delivered + report.failed == 1
    (row,) = rows(clean)
    assert row.attempts == 1
    if report.failed:
        assert row.status == "pending" and (last_attempt(clean).error or "").startswith("no answer: ")


@pytest.mark.parametrize(
    ("header", "wait"),
    [("Retry-After: 3600", 3600), ("Retry-After: 999999999", 86_400), ("Retry-After: " + "9" * 5000, 86_400),
     ("Retry-After: \u00b2", None), ("Retry-After: soon", None), ("Retry-After: -5", None),
     ("Retry-After: Mon, 16 Mar 99999999999999999999 12:00:00 GMT", None), ("Retry-After: 0", None),
     ("Retry-After: Mon, 16 Mar 2026 13:00:00 GMT", 3600)],
    ids=["hour", "years", "digits", "superscript", "word", "negative", "overflow", "zero", "date"],
)  # fmt: skip
def test_how_long_to_wait_is_honoured_within_reason(clean: Services, header: str, wait: int | None) -> None:
    with talking(answer("503 Later", header)) as receiver:
        add(clean, receiver.url)
        put_out(clean, "gala")
        deliver(clean, "alpha")
    waited = (rows(clean)[0].next_attempt_at - clean.clock()).total_seconds()
    assert waited == wait if wait else 5 <= waited <= 5.5


def test_a_large_answer_is_not_read_to_its_end(clean: Services) -> None:
    """A receiver that sends a lot back costs us two kilobytes; the connection is not used again."""
    with talking(answer("200 OK", body="x" * 1_000_000)) as receiver:
        add(clean, receiver.url)
        put_out(clean, "gala", "expo", "fair")
        assert deliver(clean, "alpha").delivered == 3
        assert receiver.connections == 3


def test_connections_are_kept_and_replaced_when_the_receiver_closes_them(clean: Services) -> None:
    message = [Message(number, f"msg_{number}", "ins_same", "webhook.test", "{}", 0) for number in range(5)]
    for close, connections in ((False, 1), (True, 5)):
        with talking(answer("200 OK"), close=close) as receiver:
            sender = Sender(receiver.url, [SECRET], Guard(allow_loopback=True), clean.clock)
            for one in message:
                (found,) = sender.send([one])
                assert found.accepted, found.error
            sender.close()
            assert len(receiver.requests) == 5 and receiver.connections == connections


def test_a_silent_receiver_is_left_after_a_while(clean: Services) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        sender = Sender(url, [SECRET], Guard(allow_loopback=True), clean.clock, timeout=0.05)
        (found,) = sender.send([Message(1, "msg_1", "ins_1", "webhook.test", "{}", 0)])
        sender.close()
    assert not found.accepted and found.status is None
    assert found.error is not None and "Timeout" in found.error


def test_the_request_is_whole_and_signed_over_its_bytes(clean: Services) -> None:
    body = '{"type":"webhook.test","data":"ü ✓ \\n"}'
    with talking() as receiver:
        sender = Sender(receiver.url + "?a=b%20c", [SECRET], Guard(allow_loopback=True), clean.clock)
        sender.send([Message(1, "msg_1", "", "webhook.test", body, 3)])
        sender.close()
        head, _, sent = receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook?a=b%20c HTTP/1.1" and sent == body.encode()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["host"] == receiver.url.removeprefix("http://").split("/")[0]
    assert Webhook(SECRET).verify(sent, headers)
    assert not {"authorization", "cookie"} & headers.keys()


def test_only_what_was_asked_for_is_sent(clean: Services) -> None:
    with talking() as pricing, talking() as gone:
        add(clean, pricing.url, use_cases=("pricing",))
        add(clean, gone.url, event_types=("insight.withdrawn",))
        put_out(clean, "gala")
        assert deliver(clean, "alpha").delivered == 0
        put_out(clean, "day", use_case="pricing")
        assert deliver(clean, "alpha").delivered == 1 and len(pricing.requests) == 1
        put_scored(clean, "alpha", [], position=11, at=clean.clock())
        publish(clean, "alpha", "attendance", run_id="run")
        assert deliver(clean, "alpha").delivered == 1 and b"insight.withdrawn" in gone.requests[0]


def test_partners_do_not_get_each_others(clean: Services) -> None:
    with talking() as mine, talking() as theirs:
        add(clean, mine.url)
        add(clean, theirs.url, partner="beta")
        put_out(clean, "gala")
        report = deliver(clean)
        assert (report.delivered, len(mine.requests), len(theirs.requests)) == (1, 1, 0)


def test_a_disabled_endpoint_gets_nothing_and_a_removed_one_leaves_nothing(clean: Services) -> None:
    with talking() as receiver:
        disabled, removed = add(clean, receiver.url), add(clean, receiver.url + "2")
        put_out(clean, "gala")
        with clean.database.partner("alpha") as connection:
            webhooks.disable(connection, "alpha", disabled.endpoint_id, "by hand")
        webhooks.remove(clean.database, "alpha", removed.endpoint_id)
        assert deliver(clean, "alpha").delivered == 0 and receiver.requests == []
        assert {row.endpoint_id for row in rows(clean)} == {disabled.endpoint_id}
    with pytest.raises(NotFound):
        webhooks.remove(clean.database, "alpha", removed.endpoint_id)
    with pytest.raises(NotFound):
        webhooks.remove(clean.database, "beta", disabled.endpoint_id)


def test_more_than_a_batch_goes_out_in_one_go(clean: Services) -> None:
    with talking() as receiver:
        add(clean, receiver.url)
        put_out(clean, *(f"e{number}" for number in range(BATCH * 2 + 5)))
        assert deliver(clean, "alpha").delivered == BATCH * 2 + 5
        assert len(receiver.requests) == BATCH * 2 + 5


def test_one_sender_at_a_time_at_an_endpoint(clean: Services) -> None:
    first, second = Turns(clean.database), Turns(clean.database)
    assert first.take("alpha", "we_1") and not first.take("alpha", "we_1") and not second.take("alpha", "we_1")
    assert second.take("alpha", "we_2") and second.take("beta", "we_1")
    with clean.database.service() as connection:
        sessions = (
            connection.execute(
                text("""select pid from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'
          and database = (select oid from pg_database where datname = current_database())""")
            )
            .scalars()
            .all()
        )
    assert (len(sessions), len(set(sessions))) == (3, 2), "one connection a process, however many turns"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(first.give_back, "alpha", "we_1").result()
    assert not second.take("alpha", "we_1"), "only who took it gives it back"
    first.give_back("alpha", "we_1")
    first.give_back("alpha", "we_1")
    assert second.take("alpha", "we_1")
    for partner, endpoint_id in (("alpha", "we_1"), ("alpha", "we_2"), ("beta", "we_1")):
        second.give_back(partner, endpoint_id)


def test_who_is_killed_gives_its_turns_back_at_once(clean: Services) -> None:
    dying, living = Turns(clean.database), Turns(clean.database)
    assert dying.take("alpha", "we_1")
    end_sessions(clean)
    assert living.take("alpha", "we_1")
    living.give_back("alpha", "we_1")
    dying.give_back("alpha", "we_1")
    with pytest.raises(Unavailable):
        lost(dying, clean)
    assert dying.take("alpha", "we_1")
    dying.give_back("alpha", "we_1")


def lost(turns: Turns, services: Services) -> None:
    """Its session is ended while it has a turn, and another is asked for."""
    turns.take("alpha", "we_2")
    end_sessions(services)
    turns.take("alpha", "we_3")


def end_sessions(services: Services) -> None:
    """What a database that goes down does to everyone who works with it."""
    with services.database.service() as connection:
        connection.execute(
            text("""select pg_terminate_backend(pid, 5000) from pg_stat_activity
            where datname = current_database() and usename = 'integrator_service' and pid <> pg_backend_pid()""")
        )


def test_an_outcome_written_twice_is_one_attempt(clean: Services) -> None:
    endpoint = add(clean, "http://127.0.0.1:9/")
    put_out(clean, "gala")
    now = clean.clock()
    with clean.database.partner("alpha") as connection:
        (message,) = outbox.claim(connection, "alpha", endpoint.endpoint_id, now, 1)
        outcome = outbox.Outcome(message, now, False, 500, "answered 500", 1.5, now + timedelta(hours=1))
        outbox.record(connection, "alpha", endpoint.endpoint_id, [outcome])
        outbox.record(connection, "alpha", endpoint.endpoint_id, [outcome])
        outbox.record(connection, "alpha", endpoint.endpoint_id, [])
        assert len(outbox_log.attempts_at(connection, "alpha", endpoint.endpoint_id, limit=9)) == 1
        assert outbox.counts(connection, "alpha") == {"pending": 1, "delivered": 0, "failed": 0, "superseded": 0}
        assert outbox.counts(connection, "beta") == {"pending": 0, "delivered": 0, "failed": 0, "superseded": 0}


def keeping(services: Services, until: Callable[[], bool]) -> None:
    """The service's own sending thread, until something holds (or ten seconds, which no good run takes)."""
    stop = threading.Event()
    thread = threading.Thread(target=keep_delivering, args=(services, stop), kwargs={"poll_seconds": 0.02})
    thread.start()
    pause = threading.Event()
    for _ in range(500):
        if until() or not thread.is_alive():
            break
        pause.wait(0.02)
    alive = thread.is_alive()
    stop.set()
    thread.join(timeout=20)
    assert alive, "the only thread that sends has died"
    assert until()


def test_the_sending_thread_outlives_a_partner_that_cannot_be_sent_to(
    clean: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A row nobody foresaw (here: an address older checks let in) costs its partner alone."""
    bad = add(clean, "http://127.0.0.1:9/")
    with clean.database.partner("alpha") as connection:
        connection.execute(
            text("update integrator.webhook_endpoint set url = :url"), {"url": "http://127.0.0.1:9/grün"}
        )
    with talking() as receiver:
        add(clean, receiver.url, partner="beta")
        put_out(clean, "gala")
        put_out(clean, "expo", partner="beta")
        keeping(clean, lambda: len(receiver.requests) == 1)
    assert bad.endpoint_id not in " ".join(row.endpoint_id for row in rows(clean, "beta"))
    assert [row.status for row in rows(clean)] == ["pending"], "kept, and seen in the log"


def test_the_sending_thread_outlives_its_database(clean: Services) -> None:
    """Every session is ended, the worker's and the listener's too; what is published afterwards is sent."""
    with talking() as receiver:
        add(clean, receiver.url)

        def sent_before_and_after() -> bool:
            if not receiver.requests and not rows(clean):
                put_out(clean, "gala")
            if len(receiver.requests) == 1 and len(rows(clean)) == 1:
                end_sessions(clean)
                clean.database.close()
                put_out(clean, "gala", "expo")
            return len({request.partition(b"\r\n\r\n")[2] for request in receiver.requests}) == 2

        keeping(clean, sent_before_and_after)


def test_an_endpoint_removed_while_it_is_being_served_is_no_disaster(
    clean: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = add(clean, "http://127.0.0.1:9/")
    put_out(clean, "gala")
    real = outbox.due_endpoints

    def removed_after(*arguments: Any) -> Any:
        found = real(*arguments)
        if found:
            webhooks.remove(clean.database, "alpha", endpoint.endpoint_id)
        return found

    monkeypatch.setattr(dispatching.outbox, "due_endpoints", removed_after)
    gone = Dispatcher(clean.database, clean.clock, Guard(allow_loopback=True), seed=1).dispatch("alpha")
    assert (gone.delivered, gone.failed) == (0, 0) and rows(clean) == []
