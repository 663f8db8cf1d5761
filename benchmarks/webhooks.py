"""Webhooks delivered, signed and logged, by the service's own process to a receiver in another one; and what a kill loses.

Beside it, in the same run, the queue as it is mostly used: one procrastinate job for each message, with the same sender.
`INTEGRATOR_BENCH_WEBHOOKS` says how many messages (default 10,000).
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from benchmarks.figure import Figure
from benchmarks.push import spent
from benchmarks.service import wait_for
from integrator.contracts.insight import Interval, Subject
from integrator.delivery.webhook.queue import connection_arguments
from integrator.delivery.webhook.sender import Sender
from integrator.embedded.endpoints import HOST, free_port
from integrator.embedded.session import close_storage
from integrator.security.addresses import Guard
from integrator.settings import Settings
from integrator.steps.predictions import RULE_VERSION, encode, rule_name, stored
from integrator.steps.publish import publish
from integrator.steps.services import Services, open_services
from integrator.storage import outbox, scored, webhooks
from integrator.storage.outbox import Message, Outcome
from integrator.storage.partners import Partner, register
from models.base import Prediction

PARTNER = "bench"
AT_ONCE = 16
PATIENCE_SECONDS = 180
KILLED_AFTER = 0.3


def measure(home: Path) -> list[Figure]:
    """A steady run, one job for each message, and a run whose sender is killed in the middle."""
    settings = Settings(home=home / "webhooks", allow_loopback_webhooks=True)
    services = open_services(settings)
    count = int(os.environ.get("INTEGRATOR_BENCH_WEBHOOKS", "10000"))
    try:
        register(services.database, Partner(partner=PARTNER, timezone="UTC", currency="EUR", region="DE"), _now())
        with receiver() as url:
            endpoint = webhooks.add(services.database, PARTNER, url, _now(), allow_loopback=True)
            tell(url, endpoint.secret)
            with _service(services) as process:
                ours, spent = _rate(services, url, count, 1, process.pid)
            tell(url, endpoint.secret)
            plain = _one_job_each(services, endpoint, count // 5)
            tell(url, endpoint.secret)
            lost, again = _killed(services, url, count, 2)
    finally:
        services.database.close()
        close_storage(settings)
    return [
        Figure(
            "webhooks delivered, signed, logged", ours, "messages/s", "1,000", "one procrastinate job a message", plain
        ),
        Figure("processor time of a webhook in the service", spent, "ms"),
        Figure(f"webhooks lost of {count:,}, their sender killed in the middle", lost, "messages", "0"),
        Figure("webhooks sent twice then, under the same id", again, "messages"),
    ]


def _rate(services: Services, url: str, count: int, position: int, pid: int) -> tuple[float, float]:
    """Messages a second, from the first attempt until all are written down, and milliseconds of processor time of each."""
    _rest(pid)
    before = spent(pid)
    _publish(services, count, position)
    end, used = _settled(services, count), spent(pid) - before
    with services.database.partner(PARTNER) as connection:
        first: datetime = connection.execute(
            text("select min(at) from ops.delivery_attempt where partner = :partner"), {"partner": PARTNER}
        ).scalar_one()
    assert counted(url)["messages"] == count
    return count / (end - first).total_seconds(), used * 1000 / count


def _rest(pid: int) -> None:
    """Wait until the service has started what it starts beside: it answers before that."""
    for _ in range(60):
        before = spent(pid)
        time.sleep(1)
        if spent(pid) - before < 0.1:
            return


def _killed(services: Services, url: str, count: int, position: int) -> tuple[int, int]:
    with _service(services) as process:
        _publish(services, count, position)
        while counted(url)["messages"] < count * KILLED_AFTER:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with _service(services):
        _settled(services, count * 2)
    got = counted(url)
    return count - got["messages"], got["requests"] - got["messages"]


def _one_job_each(services: Services, endpoint: webhooks.NewEndpoint, count: int) -> float:
    """The same work with the library's own unit of work: fetch a job, send, log, finish the job."""
    body = '{"type":"webhook.test","data":"' + "x" * 900 + '"}'
    with services.database.partner(PARTNER) as connection:
        for number in range(count):
            outbox.put(connection, PARTNER, endpoint.endpoint_id, f"msg_plain_{number}", "webhook.test", body, _now())
        rows = outbox.claim(connection, PARTNER, endpoint.endpoint_id, _now(), count)
    return asyncio.run(_worked(services, endpoint, rows))


async def _worked(services: Services, endpoint: webhooks.NewEndpoint, rows: list[Message]) -> float:
    from procrastinate import App, PsycopgConnector
    from procrastinate.types import JSONValue

    app = App(connector=PsycopgConnector(**connection_arguments(services.database), min_size=4, max_size=8))
    known = {row.message_id: row for row in rows}
    senders = [_sender(services, endpoint) for _ in range(AT_ONCE)]

    def send(message: Message, sender: Sender) -> None:
        (answer,) = sender.send([message])
        outcome = Outcome(message, answer.at, True, answer.status, None, answer.duration_ms, None)
        with services.database.partner(PARTNER) as connection:
            outbox.record(connection, PARTNER, endpoint.endpoint_id, [outcome])

    with ThreadPoolExecutor(AT_ONCE) as pool:

        @app.task(name="one")
        async def one(message_id: str) -> None:
            sender = senders.pop()
            await asyncio.get_running_loop().run_in_executor(pool, send, known[message_id], sender)
            senders.append(sender)

        async with app.open_async():
            await app.configure_task("one", queue="plain").batch_defer_async(
                *(dict[str, JSONValue](message_id=row.message_id) for row in rows)
            )
            started = time.perf_counter()
            await app.run_worker_async(
                queues=["plain"], concurrency=AT_ONCE, wait=False, delete_jobs="always", install_signal_handlers=False
            )
            taken = time.perf_counter() - started
    for sender in senders:
        sender.close()
    return len(rows) / taken


def _sender(services: Services, endpoint: webhooks.NewEndpoint) -> Sender:
    return Sender(endpoint.url, [endpoint.secret], Guard(allow_loopback=True), services.clock, lanes=1)


def _publish(services: Services, count: int, position: int) -> None:
    made = [_prediction(number, float(position)) for number in range(count)]
    at = services.clock()
    scoring = scored.Scoring(
        partner=PARTNER, use_case="attendance", run_id=f"bench-{position}", scored_at=at, input_position=position,
        as_of=at, model_name=rule_name("attendance"), model_version=RULE_VERSION, row_count=count, failure_count=0,
    )  # fmt: skip
    rows = ((n, encode(one), stored({"event_id": one.subject.id})) for n, one in enumerate(made))
    with services.database.partner(PARTNER) as connection:
        scored.replace(connection, scoring, rows)
    publish(services, PARTNER, "attendance", run_id=f"bench-{position}")


def _prediction(number: int, value: float) -> Prediction:
    return Prediction(
        subject=Subject("event", f"event-{number}", "pretix"), status="ready", rung="partner", value=value, unit="people",
        interval=Interval(0.8, value - 1, value + 1), confidence_label="high", coverage=0.81, observations=42,
        baseline=value, contributions=(), summary=f"Expected attendance {value:g}.", details={}, records=120,
    )  # fmt: skip


def _settled(services: Services, count: int) -> datetime:
    """When so many messages about insights were written down as delivered."""
    for _ in range(PATIENCE_SECONDS * 20):
        with services.database.partner(PARTNER) as connection:
            found: int = connection.execute(
                text("""select count(*) from ops.outbox where partner = :partner and status = 'delivered'
                  and event_type = 'insight.updated'"""),
                {"partner": PARTNER},
            ).scalar_one()
        if found >= count:
            return _now()
        time.sleep(0.05)
    raise SystemExit(f"{found} of {count} webhooks were delivered after {PATIENCE_SECONDS} s")


@contextmanager
def _service(services: Services) -> Iterator[subprocess.Popen[bytes]]:
    port = free_port()
    words = ["--home", str(services.settings.root), "--port", str(port)]
    environment = {**os.environ, "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true", "INTEGRATOR_PUSH_WORKERS": "0"}
    process = subprocess.Popen([sys.executable, "-m", "integrator_realtime", *words], env=environment)
    try:
        wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def receiver() -> Iterator[str]:
    """A process that verifies and counts what it gets; where to send it."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.receiver", str(port)])
    try:
        wait_for(port, "/")
        yield f"http://{HOST}:{port}/hook"
    finally:
        process.terminate()
        process.wait(timeout=30)


def tell(url: str, secret: str) -> None:
    """With this secret the receiver is to verify what comes to this path; it counts from nothing."""
    urllib.request.urlopen(urllib.request.Request(url, secret.encode(), method="PUT"), timeout=10).close()


def counted(url: str) -> dict[str, int]:
    """How many `requests` came, and how many different `messages` among them."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def _now() -> datetime:
    return datetime.now(UTC)
