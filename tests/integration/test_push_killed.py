"""Nothing is lost on kill -9: the real service and a PostgreSQL of its own, both killed under load, then reconciled."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text

from integrator.contracts.errors import Unavailable
from integrator.embedded import postgres
from integrator.embedded.endpoints import HOST, Endpoints, free_port
from integrator.embedded.session import close_storage
from integrator.embedded.system_user import server_place
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.services import Services, open_services
from integrator.storage import quarantine
from integrator.storage.partners import Partner, register
from tests.pushing import GZIP, NDJSON, lines, packed, sale

PARTNER = "killed"
ISSUER = "http://killed.test"
BATCH = 100
SENDERS = 3


@pytest.fixture
def home() -> Iterator[Path]:
    """Where PostgreSQL's own user can go too."""
    path = Path(tempfile.mkdtemp(prefix="integrator-killed-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    close_storage(Settings(home=path))
    shutil.rmtree(path, ignore_errors=True)


class Service:
    """`python -m integrator_realtime`, started again after each kill at the same address."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "integrator_realtime", "--home", str(self.home), "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INTEGRATOR_")}
        with (self.home / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--public-url", ISSUER, "--no-webhooks"], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError((self.home / "service.log").read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


class Sender(threading.Thread):
    """Sends batch after batch, each until it is acknowledged; one sender in three has no idempotency keys."""

    def __init__(self, number: int, url: str, header: dict[str, str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.url, self.stop = number, url, stop
        self.header = {**header, **NDJSON, **GZIP}
        self.acknowledged: set[str] = set()
        self.rejected: set[str] = set()
        self.batches = self.retries = 0

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            while not self.stop.is_set():
                ids = [f"{self.number}-{self.batches}-{n}" for n in range(BATCH)]
                key = {"Idempotency-Key": f"{self.number}-{self.batches}"} if self.number else {}
                bad = sale(f"bad-{ids[0]}", currency="XXZ")
                self.send(client, packed(lines(*(sale(one) for one in ids), bad)), key)
                self.acknowledged |= set(ids)
                self.rejected.add(bad["native_id"])
                self.batches += 1

    def send(self, client: httpx.Client, body: bytes, key: dict[str, str]) -> None:
        while True:
            try:
                answer = client.post("/v1/sales", content=body, headers={**self.header, **key})
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                told = answer.json()
                assert (told["accepted"] + told["unchanged"], told["quarantined"]) == (BATCH, 1), told
                assert not key or told["accepted"] == BATCH, "an answer is kept with what it acknowledges"
                return
            assert answer is None or answer.status_code == 503, answer.text
            self.retries += 1
            time.sleep(0.05)


def kill_postgres(home: Path, services: Services) -> None:
    """The postmaster dies, and all it leaves behind; it is started again at its old port."""
    place = server_place(home, postgres.programs())
    pid = int((place.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:  # the orphaned backends hold the old shared memory until they notice
        try:
            postgres.start(home, services.database.master)
            return
        except (Unavailable, psycopg.OperationalError):
            assert time.monotonic() < deadline, (place.data / "server.log").read_text()[-2000:]
            time.sleep(0.1)


def test_what_was_acknowledged_is_there_exactly_once(home: Path) -> None:
    chance = random.Random(3)
    services = open_services(Settings(home=home))
    register(services.database, Partner(partner=PARTNER, timezone="UTC", currency="EUR", region="DE"), services.clock())
    made = clients.create(services.database, PARTNER, "sales:write", services.clock())
    service = Service(home)
    stop = threading.Event()
    try:
        service.start()
        form = {"grant_type": "client_credentials"}
        token = httpx.post(f"{service.url}/oauth/token", data=form, auth=(made.client_id, made.client_secret)).json()
        header = {"Authorization": f"Bearer {token['access_token']}"}
        senders = [Sender(number, service.url, header, stop) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for victim in ("service", "postgres", "service", "postgres"):
            time.sleep(chance.uniform(0.4, 0.9))
            if victim == "service":
                service.kill()
                service.start()
            else:
                kill_postgres(home, services)
        time.sleep(0.5)
        stop.set()
        for sender in senders:
            sender.join(30)
        assert not any(sender.is_alive() for sender in senders), "a sender was never answered, or failed"
        reconcile(services, senders)
    finally:
        stop.set()
        service.kill()
        services.database.close()
    assert "Traceback" not in (home / "service.log").read_text()
    assert Endpoints(home).read()["realtime"]["url"] == service.url


def reconcile(services: Services, senders: list[Sender]) -> None:
    """Every acknowledged record once, landed or in quarantine, and nothing that was not."""
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    rejected = sorted(name for sender in senders for name in sender.rejected)
    batches = sum(sender.batches for sender in senders if sender.number)
    assert min(sender.batches for sender in senders) > 3 and sum(sender.retries for sender in senders) > 3
    with services.database.partner(PARTNER) as connection:
        rows = connection.execute(text("select native_id from landing.sale where partner = 'killed'")).scalars().all()
        waiting = [entry.native_id for entry in quarantine.waiting(connection, PARTNER, 10_000)]
        answers = connection.execute(text("select count(*) from ops.idempotency where partner = 'killed'")).scalar_one()
    assert len(rows) == len(set(rows)), "a batch sent again made a second version"
    assert set(rows) == acknowledged
    assert sorted(map(str, waiting)) == rejected
    assert answers == batches
