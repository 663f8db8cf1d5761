"""What an endpoint wants is what it gets: filters, order, limits, pauses; and one endpoint is no other's burden."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.delivery.webhook.dispatcher import Dispatcher
from integrator.delivery.webhook.reference import LARGEST_BODY
from integrator.delivery.webhook.sender import Sender
from integrator.security.addresses import Guard
from integrator.steps.deliver import deliver, keep_delivering
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights, outbox, webhooks
from integrator.storage.outbox import Message
from tests.publishing import prediction, put_scored
from tests.serving import serving
from tests.webhook_receiver import Receiver, put_out


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
        made.url = f"{url}/hook"
        yield made


def add(services: Services, url: str, **more: Any) -> webhooks.NewEndpoint:
    return webhooks.add(services.database, "alpha", url, services.clock(), allow_loopback=True, **more)


def rows(services: Services) -> list[Any]:
    with services.database.partner("alpha") as connection:
        return list(connection.execute(text("select * from ops.outbox where partner = 'alpha' order by outbox_id")))


def endpoint(services: Services) -> webhooks.Endpoint:
    return webhooks.list_all(services.database, "alpha")[0]


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in receiver.got]


def at(services: Services, later: timedelta) -> Services:
    return replace(services, clock=lambda: services.clock() + later)


# --- what is written for it -------------------------------------------------------------------------------------------


def test_only_the_subjects_it_wants(services: Services) -> None:
    add(services, "https://a.example/", subject_prefix="ga")
    add(services, "https://b.example/", subject_kinds=("series",))
    add(services, "https://c.example/", subject_prefix="g_", statuses=("fallback",))
    put_out(services, "gala", "g_rand", "expo", "ga%")
    put_out(services, "g_other", position=11, status="fallback", rung="rule", use_case="pricing")
    by_url: dict[str, list[str]] = {}
    known = {one.endpoint_id: one.url for one in webhooks.list_all(services.database, "alpha")}
    for row in rows(services):
        by_url.setdefault(known[row.endpoint_id], []).append(json.loads(row.body)["data"]["subject"]["id"])
    assert by_url == {"https://a.example/": ["gala", "ga%"], "https://c.example/": ["g_other"]}


def test_a_withdrawal_is_told_whatever_statuses_are_wanted(services: Services) -> None:
    add(services, "https://a.example/", statuses=("ready",), minimum_change=0.5)
    put_out(services, "gala", "expo")
    put_out(services, "expo", position=11)
    assert [row.event_type for row in rows(services)] == ["insight.updated"] * 2 + ["insight.withdrawn"]


def test_small_changes_are_kept_back_until_they_add_up(services: Services) -> None:
    """Against what was last sent there, not against the version before: a value that creeps is told in the end."""
    add(services, "https://a.example/", minimum_change=0.05)
    for step, value in enumerate((1000.0, 1020.0, 1040.0, 1050.0, 1060.0, 1000.0)):
        put_out(services, "gala", position=10 + step, value=value)
    assert [json.loads(row.body)["data"]["value"] for row in rows(services)] == [1000, 1050]
    assert [row.insight_version for row in rows(services)] == [1, 4]
    put_out(services, "gala", position=20, value=0.0)
    put_out(services, "gala", position=21, value=1.0)
    put_out(services, "gala", position=22, value=1.0, status="fallback", rung="rule")
    assert [row.insight_version for row in rows(services)][2:] == [7, 8, 9], "to and from nothing, and another status"


def test_a_change_is_small_against_what_arrived_and_not_against_what_failed(services: Services) -> None:
    made = add(services, "https://a.example/", minimum_change=0.05)
    put_out(services, "gala", position=10, value=100.0)
    put_out(services, "gala", position=11, value=200.0)
    put_out(services, "gala", position=12, value=205.0)
    assert [row.insight_version for row in rows(services)] == [1, 2], "that of 200 may still arrive"
    with services.database.batch() as connection:
        connection.execute(text("update ops.outbox set status = 'delivered' where insight_version = 1"))
    with services.database.partner("alpha") as connection:
        assert outbox.give_up(connection, "alpha", made.endpoint_id, services.clock()) == 1
    put_out(services, "gala", position=13, value=206.0)
    put_out(services, "gala", position=14, value=207.0)
    assert [row.insight_version for row in rows(services)] == [1, 2, 4]


def test_a_document_that_is_too_large_is_referred_to(services: Services, receiver: Receiver) -> None:
    add(services, receiver.url)
    horizon = [{"at": f"day-{n}", "p10": n, "p50": n + 1, "p90": n + 2} for n in range(1_000)]
    put_scored(
        services, "alpha", [prediction("small"), prediction("large", details={"horizon": horizon})], position=10,
        at=services.clock(),
    )  # fmt: skip
    publish(services, "alpha", "attendance", run_id="run")
    assert deliver(services, "alpha").delivered == 2
    small, large = sorted((event["data"] for event in bodies(receiver)), key=lambda data: len(json.dumps(data)))[::-1]
    assert (small["schema"], large["schema"]) == ("insight/v1", "insight-reference/v1")
    assert large["href"] == "/v1/insights/attendance/large?platform=pretix" and large["insight_version"] == 1
    assert all(len(body) < LARGEST_BODY for _, body in receiver.got)
    with services.database.partner("alpha") as connection:
        whole = [one for one in insights.current(connection, "alpha", "attendance") if one.subject_id == "large"]
    assert whole[0].insight_id == large["id"] and len(whole[0].document) > LARGEST_BODY


# --- order ------------------------------------------------------------------------------------------------------------


def test_an_older_version_never_comes_after_a_newer_one(services: Services, receiver: Receiver) -> None:
    add(services, receiver.url)
    receiver.status = 500
    put_out(services, "gala", position=10, value=100.0)
    put_out(services, "expo", position=10, use_case="pricing")
    deliver(services, "alpha")
    receiver.status, before = 204, len(receiver.got)
    put_out(services, "gala", position=11, value=200.0)
    assert deliver(services, "alpha").delivered == 1, "the first waits for its second attempt, the second does not"
    for wait in (timedelta(minutes=1), timedelta(hours=9)):
        deliver(at(services, wait), "alpha")
    sent = [(event["data"]["subject"]["id"], event["data"]["insight_version"]) for event in bodies(receiver)[before:]]
    assert sent == [("gala", 2), ("expo", 1)]
    assert [row.status for row in rows(services)] == ["superseded", "delivered", "delivered"]


def test_a_failed_version_is_passed_by_the_next_in_one_batch(services: Services, receiver: Receiver) -> None:
    add(services, receiver.url)
    for step in range(3):
        put_out(services, "gala", position=10 + step, value=100.0 + step)
    answers = iter((500, 204, 500))

    def next_answer() -> None:
        receiver.status = next(answers)

    receiver.before = next_answer
    deliver(services, "alpha")
    assert [event["data"]["insight_version"] for event in bodies(receiver)] == [1, 2, 3]
    assert [row.status for row in rows(services)] == ["superseded", "delivered", "pending"]


# --- pauses and limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, b"600", 600), (429, None, 5), (503, b"600", 600), (429, b"Mon, 16 Mar 2026 13:00:00 GMT", 3600),
     (429, b"99999999", 86_400), (503, None, None), (500, b"600", None)],
)  # fmt: skip
def test_who_asks_for_a_pause_has_one(
    services: Services, receiver: Receiver, status: int, header: bytes | None, seconds: int | None
) -> None:
    """One message is refused, and the others are not even tried; what merely failed says nothing of the others."""
    add(services, receiver.url, max_in_flight=1)
    put_out(services, "gala", "expo", "fair")
    receiver.status = status
    receiver.headers = [(b"retry-after", header)] if header else []
    deliver(services, "alpha")
    if seconds is None:
        assert len(receiver.got) == 3 and endpoint(services).held_until is None
        return
    assert len(receiver.got) == 1
    assert endpoint(services).held_until == services.clock() + timedelta(seconds=seconds)
    assert [row.attempts for row in rows(services)].count(0) == 2
    receiver.status = 204
    assert deliver(at(services, timedelta(seconds=seconds - 1)), "alpha").delivered == 0
    assert deliver(at(services, timedelta(seconds=seconds * 1.2)), "alpha").delivered == 3
    assert (endpoint(services).held_until, endpoint(services).failing_since) == (None, None)


def test_one_that_does_not_answer_is_asked_less_and_less(services: Services) -> None:
    add(services, "http://127.0.0.1:9/", max_in_flight=1)
    put_out(services, *(f"e{number}" for number in range(9)))
    now, waits, tried = services.clock(), [], []
    for _ in range(4):
        later = replace(services, clock=lambda moment=now: moment)
        tried.append(deliver(later, "alpha").failed)
        until = endpoint(services).held_until
        assert until is not None
        waits.append((until - now).total_seconds())
        now = until
    assert tried == [1, 1, 1, 1] and waits == [5, 300, 1800, 1800]


def test_a_limited_endpoint_is_sent_to_at_its_pace(services: Services, receiver: Receiver) -> None:
    made = add(services, receiver.url, max_per_second=50, max_in_flight=4)
    put_out(services, *(f"e{number}" for number in range(11)))
    sent: list[float] = []
    receiver.before = lambda: sent.append(time.monotonic())
    assert deliver(services, "alpha").delivered == 11
    assert sent[-1] - sent[0] >= 0.18, "ten gaps of a fiftieth of a second, but for the way"
    webhooks_limited = replace(made.wanted, max_per_second=0.01)
    with services.database.partner("alpha") as connection:
        webhooks.change(connection, "alpha", made.endpoint_id, webhooks_limited, made.url)
    put_out(services, *(f"e{number}" for number in range(3)), position=11, value=5.0)
    assert deliver(services, "alpha").delivered == 1
    held = endpoint(services).held_until
    assert held is not None and timedelta(seconds=90) < held - services.clock() <= timedelta(seconds=100)


def test_no_more_requests_are_open_than_it_allows(services: Services) -> None:
    open_now, most, mutex = [0], [0], threading.Lock()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        if scope["type"] != "http":
            return
        with mutex:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
        await asyncio.sleep(0.02)
        with mutex:
            open_now[0] -= 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with serving(slow) as url:
        for allowed in (1, 3):
            most[0] = 0
            made = add(services, url, max_in_flight=allowed)
            put_out(services, *(f"e{number}" for number in range(12)), position=10 + allowed, value=float(allowed))
            assert deliver(services, "alpha").delivered == 12
            assert most[0] == allowed
            webhooks.remove(services.database, "alpha", made.endpoint_id)


# --- one is no other's burden -----------------------------------------------------------------------------------------


def trickling(listener: socket.socket) -> None:
    """Accepts, and sends an answer that never ends, a byte now and then."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_trickle, args=[connection], daemon=True).start()


def _trickle(connection: socket.socket) -> None:
    with connection:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                time.sleep(0.02)
                connection.sendall(b"X: y\r\n")
        except OSError:
            return


@pytest.fixture
def trickle() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickling, args=[listener], daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


def test_an_answer_that_never_ends_is_left_at_the_deadline(services: Services, trickle: str) -> None:
    """Each byte comes in time, all of them do not: the deadline is of the whole exchange."""
    sender = Sender(trickle, ["whsec_QUJD"], Guard(allow_loopback=True), services.clock, timeout=0.3)
    (found,) = sender.send([Message(1, "msg_1", "", "webhook.test", "{}", 0)])
    sender.close()
    assert found.status is None and found.error is not None and "Timeout" in found.error and found.pauses


def keeping(services: Services, until: Callable[[], bool]) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=keep_delivering, args=(services, stop), kwargs={"poll_seconds": 0.02})
    thread.start()
    for _ in range(1_000):
        if until():
            break
        time.sleep(0.02)
    reached = until()
    stop.set()
    thread.join(timeout=30)
    assert reached and not thread.is_alive()


def test_endpoints_that_hang_do_not_delay_another(services: Services, receiver: Receiver) -> None:
    """Three that failed before hang, more than there are places for such; the one that answers has a place of its own."""
    settings = services.settings.model_copy(update={"webhook_endpoints_at_once": 1})
    narrow = replace(services, settings=settings, clock=lambda: datetime.now(services.clock().tzinfo))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for number in range(3):
            made = add(services, f"{url}{number}")
            with services.database.partner("alpha") as connection:
                webhooks.mark_failing(connection, "alpha", made.endpoint_id, services.clock())
        add(services, receiver.url)
        put_out(narrow, "gala")

        def answered() -> bool:
            if receiver.got:
                silent.close()  # those that hang are released, so that the test ends
            return bool(receiver.got)

        keeping(narrow, answered)
    assert len(receiver.got) == 1


def test_the_queue_sends_again_when_it_is_time(services: Services, receiver: Receiver) -> None:
    """The second attempt is called for five seconds later, by the clock of everyone."""
    live = replace(services, clock=lambda: datetime.now(services.clock().tzinfo))
    add(live, receiver.url)
    receiver.status = 500

    def recovers() -> bool:
        if receiver.got:
            receiver.status = 204
        return len(receiver.got) == 2

    put_out(live, "gala")
    keeping(live, recovers)
    deliver(live, "alpha")
    assert [(row.status, row.attempts) for row in rows(live)] == [("delivered", 2)]
    (first, _), (second, _) = receiver.got
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) >= 4


def test_a_call_is_one_job_however_many_messages(services: Services) -> None:
    from integrator.delivery.webhook.queue import Queue

    made = add(services, "https://a.example/")
    with services.database.service() as connection:
        connection.exec_driver_sql("set local search_path to queue")
        connection.exec_driver_sql("delete from queue.procrastinate_jobs")
    put_out(services, *(f"e{number}" for number in range(50)))
    put_out(services, *(f"e{number}" for number in range(50)), position=11, value=3.0)
    queue, due = Queue(services.database), [outbox.Due(made.endpoint_id, True)]
    assert queue.call("alpha", due) == 0, "one waits already"
    assert queue.call("alpha", due, delay=timedelta(hours=2)) == 1
    with services.database.service() as connection:
        jobs = connection.exec_driver_sql(
            "select queue_name, args::text, scheduled_at is null from queue.procrastinate_jobs order by id"
        ).all()
    assert [(row[0], row[2]) for row in jobs] == [("webhooks", True), ("webhooks_patient", False)]
    assert all(json.loads(row[1]) == {"partner": "alpha", "endpoint_id": made.endpoint_id} for row in jobs)


def test_a_turn_ends_after_its_time_and_the_rest_is_more(services: Services, receiver: Receiver) -> None:
    made = add(services, receiver.url)
    put_out(services, *(f"e{number}" for number in range(250)))
    dispatcher = Dispatcher(services.database, services.clock, Guard(allow_loopback=True), seed=1)
    served = dispatcher.serve("alpha", made.endpoint_id, seconds=0.0)
    assert served.left == "more" and 0 < served.total.delivered < 250
    stopped = threading.Event()
    stopped.set()
    assert dispatcher.serve("alpha", made.endpoint_id, stop=stopped).left == "more"
    assert dispatcher.serve("alpha", made.endpoint_id).left == "nothing"
    assert {row.status for row in rows(services)} == {"delivered"} and len(receiver.got) == 250
