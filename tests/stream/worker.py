"""`integrator stream` as a process of its own, and what it left behind."""

import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from integrator.embedded.endpoints import HOST, free_port
from integrator.steps.services import Services
from tests.stream.broker import Broker

WAIT_SECONDS = 120.0


@dataclass
class World:
    """One partner world: topics of its own on the shared broker, a database of its own."""

    broker: Broker
    services: Services
    name: str
    master: bytes
    log: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def records(self) -> str:
        return f"{self.name}.records"

    @property
    def dead_letters(self) -> str:
        return f"{self.name}.dlq"

    @property
    def insights(self) -> str:
        return f"{self.name}.insights"

    @property
    def environment(self) -> dict[str, str]:
        address = self.services.database.address
        ours = {
            "HOME": str(self.services.settings.root),
            "DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
            "REDIS_URL": self.services.redis_url,
            "MASTER_KEY": b64encode(self.master).decode(),
            "KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "KAFKA_GROUP": self.name,
            "KAFKA_RECORDS_TOPIC": self.records,
            "KAFKA_DEAD_LETTER_TOPIC": self.dead_letters,
            "KAFKA_INSIGHTS_TOPIC": self.insights,
            **self.settings,
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("INTEGRATOR_")}
        return others | {f"INTEGRATOR_{name}": value for name, value in ours.items()}

    def send(self, *records: dict[str, Any], **more: Any) -> None:
        """Each under the key it must have."""
        keyed = [(f"{one['partner']}/{one['kind']}/{one['native_id']}", one) for one in records]
        self.broker.send(self.records, keyed, **more)

    def rows(self, statement: str, partner: str = "alpha") -> list[tuple[Any, ...]]:
        with self.services.database.partner(partner) as connection:
            return [tuple(row) for row in connection.execute(text(statement), {"partner": partner})]

    def sales(self, partner: str = "alpha") -> list[str]:
        """The native ids of the current sales, in order."""
        found = self.rows(
            "select native_id from landing.sale where partner = :partner and valid_to is null and deleted_at is null"
            " order by native_id", partner,
        )  # fmt: skip
        return [native_id for (native_id,) in found]

    def versions(self, native_id: str, partner: str = "alpha") -> list[int]:
        """The quantities its versions say, oldest first."""
        found = self.rows(
            "select native_id, quantity from landing.sale where partner = :partner order by valid_from, version_id",
            partner,
        )
        return [quantity for one, quantity in found if one == native_id]

    @contextmanager
    def worker(self, **settings: str) -> Iterator["Process"]:
        process = Process(self, settings)
        try:
            process.await_partitions()
            yield process
        finally:
            process.end()


class Process:
    """The command, with its metrics at a port."""

    def __init__(self, world: World, settings: dict[str, str] | None = None) -> None:
        self.world, self.port = world, free_port()
        environment = world.environment | {f"INTEGRATOR_{name}": value for name, value in (settings or {}).items()}
        environment["INTEGRATOR_KAFKA_METRICS_PORT"] = str(self.port)
        with world.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "integrator.cli.main", "stream"], env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def await_partitions(self) -> None:
        def reads() -> bool:
            assert self.process.poll() is None, self.world.log.read_text()
            try:
                return httpx.get(f"http://{HOST}:{self.port}/healthz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        until(reads, lambda: self.world.log.read_text()[-3000:])

    def metric(self, line: str) -> float:
        page = httpx.get(f"http://{HOST}:{self.port}/metrics", timeout=5).text
        found = [row.rpartition(" ")[2] for row in page.splitlines() if row.startswith(f"{line} ")]
        return float(found[0]) if found else 0.0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """SIGTERM, and it ends well."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            assert code == 0, self.world.log.read_text()[-3000:]


def until(condition: Callable[[], Any], told: Callable[[], object] = lambda: "") -> None:
    """Wait for it; fails after a while, saying what is known."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass: {told()}"
        time.sleep(0.1)


def sale(native_id: str, partner: str = "alpha", **changes: Any) -> dict[str, Any]:
    """A good sale as a producer writes it."""
    made = {
        "partner": partner, "kind": "sale", "platform": "direct", "native_id": native_id, "product": "ticket",
        "sold_at": "2026-03-01T10:00:00Z", "quantity": 2, "unit_price": "25.00", "currency": "EUR", "status": "paid",
    }  # fmt: skip
    return made | changes
