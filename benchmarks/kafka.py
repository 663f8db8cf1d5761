"""From a record produced to Kafka to the insight in the host's webhook receiver: Apache Kafka, `integrator stream`, 50 a second.

The installation is that of `stream.py`, over `INTEGRATOR_BENCH_STREAM_SALES` sale lines. Every record is a new lead, all of
one partner or of twenty in turn. Beside it, in the same run, a plain consumer of the same topic says how long the broker
alone takes.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.client import quantiles
from benchmarks.figure import Figure
from benchmarks.service import RATES, wait_for
from benchmarks.stream import PARTNERS, PATIENCE_SECONDS, RATE, SECONDS, WARM_SECONDS, furnished, receiver
from integrator.embedded.endpoints import free_port
from integrator.embedded.session import close_storage
from integrator.settings import Settings
from integrator.steps.services import open_services
from integrator.storage import webhooks

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "kafka"
TOPIC = "integrator.records.v1"


def measure(home: Path) -> list[Figure]:
    """Produced → webhook, beside produced → read by a plain consumer."""
    settings = Settings(home=home / "kafka-stream", allow_loopback_webhooks=True)
    services = open_services(settings)
    try:
        furnished(services)
        with receiver() as (url, arrived), _broker(home / "kafka") as bootstrap, _processes(settings, bootstrap):
            for number in range(PARTNERS):
                webhooks.add(
                    services.database, f"p{number}", url, datetime.now(UTC), allow_loopback=True, use_cases=("lead_score",)
                )  # fmt: skip
            with _plain_consumer(bootstrap) as heard:
                taken: dict[int, tuple[list[float], list[float]]] = {}
                for partners in (1, PARTNERS):
                    _measured(bootstrap, partners, "warm", WARM_SECONDS, arrived, heard)
                    taken[partners] = _measured(bootstrap, partners, "kafka", SECONDS, arrived, heard)
    finally:
        services.database.close()
        close_storage(settings)
    return [*_figures("one partner's", *taken[1]), *_figures(f"{PARTNERS} partners'", *taken[PARTNERS])]


def _figures(whose: str, taken: Sequence[float], plain: Sequence[float]) -> list[Figure]:
    half, most = quantiles(taken)
    half_plain, most_plain = quantiles(plain)
    what = f"record produced to Kafka → insight in the webhook receiver, {whose} {RATE}/s for {SECONDS} s"
    return [
        Figure(f"{what}, p50", half, "ms", "", "read by a plain consumer, p50", half_plain),
        Figure(f"{what}, p99", most, "ms", "< 2,000 ms", "read by a plain consumer, p99", most_plain),
    ]


def _measured(
    bootstrap: str, partners: int, name: str, seconds: int, arrived: dict[str, float], heard: dict[str, float]
) -> tuple[list[float], list[float]]:
    """Seconds from when each record was due until its insight arrived, and until the plain consumer had it."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    due: dict[str, float] = {}
    began = time.time() + 0.2
    for place in range(RATE * seconds):
        lead = f"{name}-{partners}-{place}"
        due[lead] = began + place / RATE
        time.sleep(max(0.0, due[lead] - time.time()))
        key, value = _record(f"p{place % partners}", lead, place)
        producer.produce(TOPIC, key=key, value=value)
        producer.poll(0)
    producer.flush()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (due.keys() <= arrived.keys() and due.keys() <= heard.keys()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(due.keys() - arrived.keys())} of {len(due)} insights never arrived")
        time.sleep(0.1)
    return [arrived[lead] - at for lead, at in due.items()], [heard[lead] - at for lead, at in due.items()]


def _record(partner: str, lead: str, place: int) -> tuple[str, bytes]:
    record = {
        "partner": partner, "kind": "contact", "platform": "direct", "native_id": lead, "email": f"{lead}@example.com",
        "created_at": (datetime.now(UTC) - timedelta(days=place % 50)).isoformat(), "stage": "trial", "source": "web",
        "country": "DE", "consent": {"processing": "granted", "pooling": "denied"},
    }  # fmt: skip
    return f"{partner}/contact/{lead}", json.dumps(record).encode()


@contextmanager
def _broker(home: Path) -> Iterator[str]:
    """`Missing` Java or Maven ends the measurement, with the script's own words."""
    started = subprocess.run([str(SCRIPT), "start", "--home", str(home)], stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield started.stdout.strip()
    finally:
        subprocess.run([str(SCRIPT), "stop", "--home", str(home)], check=True)


@contextmanager
def _processes(settings: Settings, bootstrap: str) -> Iterator[None]:
    """The worker, and the realtime service, which sends the webhooks."""
    port, metrics = free_port(), free_port()
    environment = {
        **os.environ, **RATES, "INTEGRATOR_HOME": str(settings.root), "INTEGRATOR_KAFKA_BOOTSTRAP": bootstrap,
        "INTEGRATOR_KAFKA_METRICS_PORT": str(metrics), "INTEGRATOR_STREAM": "off",
        "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true",
    }  # fmt: skip
    commands = (
        ["-m", "integrator.cli.main", "stream"],
        ["-m", "integrator_realtime", "--home", str(settings.root), "--port", str(port)],
    )
    processes = [subprocess.Popen([sys.executable, *command], env=environment) for command in commands]
    try:
        wait_for(port)
        wait_for(metrics, "/metrics")
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


@contextmanager
def _plain_consumer(bootstrap: str) -> Iterator[dict[str, float]]:
    """When a consumer that does nothing else has each record."""
    from confluent_kafka import Consumer

    heard: dict[str, float] = {}
    stop = threading.Event()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "plain", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])

    def listen() -> None:
        while not stop.is_set():
            message = consumer.poll(0.2)
            if message is not None and not message.error():
                heard.setdefault((message.key() or b"").decode().rpartition("/")[2], time.time())

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        stop.set()
        thread.join()
        consumer.close()
