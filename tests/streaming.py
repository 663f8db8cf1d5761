"""A shop with shows, guests and a first night behind it, for the tests of streaming. Written by hand, two partners alike."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from integrator.embedded.endpoints import HOST, free_port
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.stream import Touched
from integrator.storage import insights, landing, partners
from integrator.storage.insights import Served
from models.registry import USE_CASES

DAY = timedelta(days=1)
PLATFORM = "direct"
Record = dict[str, Any]


def event(day: int, now: datetime, **changes: Any) -> Record:
    """A show of the series `late`, `day` days from now; past ones say how many came."""
    made: Record = {
        "native_id": f"show{day}", "name": "Late show", "starts_at": (now + day * DAY).isoformat(), "timezone": "UTC",
        "status": "completed" if day < 0 else "scheduled", "series_id": "late", "capacity": 200,
        "on_sale_at": (now - 60 * DAY).isoformat(),
        "updated_at": (now - 50 * DAY).isoformat(),
    }  # fmt: skip
    return made | ({"attendance": 100 + (day * 7) % 30} if day < 0 else {}) | changes


def contact(number: int, now: datetime, **changes: Any) -> Record:
    """A guest who gave an e-mail address `number % 150` days ago; every fifth has converted."""
    created = now - (number % 150 + 1) * DAY
    made: Record = {
        "native_id": f"guest{number}", "email": f"guest{number}@example.com", "created_at": created.isoformat(),
        "stage": "lead", "source": "web", "country": "DE", "consent": {"processing": "granted", "pooling": "denied"},
        "updated_at": created.isoformat(),
    }  # fmt: skip
    return made | ({"converted_at": (created + DAY).isoformat()} if number % 5 == 0 else {}) | changes


def sale(number: int, now: datetime, **changes: Any) -> Record:
    """A ticket to one of the coming shows, or one of the past ones."""
    sold = now - (number % 40) * DAY - timedelta(hours=1)
    made: Record = {
        "native_id": f"line{number}", "event_id": f"show{number % 6 + 1}", "contact_id": f"guest{number % 40}",
        "product": f"seat{number % 2}", "sold_at": sold.isoformat(), "quantity": 1 + number % 3,
        "unit_price": str(20 + number % 5), "currency": "EUR", "status": "paid", "updated_at": sold.isoformat(),
    }  # fmt: skip
    return made | changes


def land(services: Services, partner: str, kind: str, records: Iterable[Record]) -> list[Touched]:
    """Land records as every way in does; what they touch."""
    given = list(records)
    result = landing.write(services.database, partner, PLATFORM, kind, given, now=services.clock())
    assert not result.errors, result.errors
    return [Touched(kind, PLATFORM, record["native_id"]) for record in given]


def furnish(services: Services, partner: str) -> None:
    """What was there before the first night."""
    now = services.clock()
    with services.database.partner(partner) as connection:
        currency = partners.get(connection, partner).currency
    land(services, partner, "event", [event(day, now) for day in range(-60, 8) if day])
    land(services, partner, "contact", [contact(number, now) for number in range(60)])
    land(services, partner, "sale", [sale(number, now, currency=currency) for number in range(200)])


def publish_all(services: Services, partner: str, run_id: str) -> dict[str, tuple[int, int]]:
    """The night's score and publish; (changed, discarded) by use case."""
    found = {}
    for spec in USE_CASES:
        score(services, partner, spec.name, run_id=run_id)
        report = publish(services, partner, spec.name, run_id=run_id)
        found[spec.name] = report.changed, report.discarded
    return found


def current(services: Services, partner: str, use_case: str) -> dict[str, Served]:
    """What is published now, by subject id."""
    with services.database.partner(partner) as connection:
        return {served.subject_id: served for served in insights.current(connection, partner, use_case)}


def wait(is_done: Callable[[], bool], seconds: float = 90.0) -> None:
    """Until it is so; fails when it never is."""
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


class Service:
    """`python -m integrator_realtime` over the test's own stores, streaming; ended, and killed, by its id."""

    def __init__(self, services: Services, log: Path, **settings: str) -> None:
        self.port, self._log = free_port(), log
        self.url = f"http://{HOST}:{self.port}"
        address = services.database.address
        owner = services.database.url(address.owner, password=address.password).set(drivername="postgresql")
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("INTEGRATOR_")
        } | {
            "INTEGRATOR_HOME": str(services.settings.root),
            "INTEGRATOR_DATABASE_URL": owner.render_as_string(hide_password=False),
            "INTEGRATOR_REDIS_URL": services.redis_url,
            "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
            "INTEGRATOR_NOW": services.clock().isoformat(),
            "INTEGRATOR_STREAM": "push",
            "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true",
            **{f"INTEGRATOR_{name}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """And wait until it answers."""
        command = [sys.executable, "-m", "integrator_realtime", "--port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        wait(self._answers)

    def worker(self) -> int:
        """The id of the process that streams; 0 while there is none."""
        assert self._process is not None
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            for word in (thread / "children").read_text().split():
                with suppress(OSError):
                    if b"stream_worker" in Path(f"/proc/{word}/cmdline").read_bytes():
                        return int(word)
        return 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Its worker ends with it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False
