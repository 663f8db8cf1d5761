"""Large bodies in a process of their own: answered as before, killed in the middle, orphaned, and drained."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import exc, text

from integrator.contracts.errors import InvalidInput, Unavailable
from integrator.embedded.endpoints import HOST, free_port
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.push import KeyReused, Push, TooManyRecords
from integrator.steps.services import Services
from integrator.storage.database import Address
from integrator.storage.landing_merge import lock
from integrator_realtime.app import create_app
from integrator_realtime.intake import Intake
from integrator_realtime.push_landing import PushLanding
from integrator_realtime.worker import Task, answer
from integrator_realtime.workers import Workers
from tests.pushing import NDJSON, caller, is_problem, landed, lines, sale
from tests.serving import serving

MANY = 400


def many(name: str) -> bytes:
    body = lines(*(sale(f"{name}-{number}") for number in range(MANY)))
    assert len(body) > 64 << 10
    return body


def one(body: bytes, key: str | None = None) -> Push:
    return Push("alpha", "client", "sale", "direct", "ndjson", body, key)


@pytest.fixture(scope="module")
def workers(services: Services) -> Iterator[Workers]:
    made = Workers(services)
    yield made
    made.close()
    assert not any(map(is_there, made.pids))


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def waits_for_the_lock(services: Services) -> bool:
    """Whether a session of this database waits for landing's lock: somebody is in the middle of a batch."""
    with services.database.batch() as connection:
        return bool(connection.execute(
            text("select count(*) from pg_locks where locktype = 'advisory' and not granted "
                 "and database = (select oid from pg_database where datname = current_database())")
        ).scalar_one())  # fmt: skip


def test_it_answers_as_the_service_itself_would(services: Services, workers: Workers) -> None:
    now = services.clock()
    first = workers.push(one(many("w") + lines(sale("w-bad", quantity=-1)), "key"), now)
    assert (first.landed.accepted, first.landed.quarantined, first.replayed) == (MANY, 1, False)
    assert b'"field":"quantity"' in first.body and not first.landed.errors
    again = workers.push(one(many("w") + lines(sale("w-bad", quantity=-1)), "key"), now)
    assert again.replayed and again.body == first.body
    assert sum(name.startswith("w-") for name in landed(services, "alpha")) == MANY
    with services.database.partner("alpha") as connection:
        moments: Iterable[datetime] = connection.execute(
            text("select distinct arrived_at from landing.sale where partner = 'alpha' and native_id like 'w-%'")
        ).scalars()
        assert list(moments) == [now], "the service's time, not the worker's own"


def test_what_is_refused_there_is_raised_here(services: Services, workers: Workers) -> None:
    now = services.clock()
    workers.push(one(many("r"), "mine"), now)
    with pytest.raises(KeyReused, match="one key for one request"):
        workers.push(one(many("other"), "mine"), now)
    with pytest.raises(TooManyRecords):
        workers.push(one(b"1\n" * 10_001), now)
    with pytest.raises(InvalidInput) as broken:
        workers.push(replace(one(b"{"), form="array"), now)
    assert "no JSON array" in str(broken.value)


def test_what_cannot_be_sent_is_still_an_answer(services: Services) -> None:
    away = Workers(replace(services, database=type(services.database)(
        Address(**{**vars(services.database.address), "port": 1}), services.database.master
    )))  # fmt: skip
    try:
        with pytest.raises(Unavailable, match="no connection to PostgreSQL"):
            away.push(one(many("a")), services.clock())
    finally:
        away.close()


def test_an_error_of_the_database_survives_the_way(services: Services) -> None:
    """As the worker would send it: pickled, with what the driver said."""
    import pickle

    found = answer(services, Task(replace(one(many("e")), partner="nobody"), services.clock()))
    assert isinstance(found, Exception)
    assert str(pickle.loads(pickle.dumps(found))) == str(found)
    lost = exc.OperationalError("select 1", {}, Exception("gone"))
    assert isinstance(pickle.loads(pickle.dumps(lost)), exc.OperationalError)


def test_several_at_once_are_each_answered(services: Services, workers: Workers) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: workers.push(one(many(f"s{n}")), services.clock()), range(8)))
    assert [done.landed.accepted for done in found] == [MANY] * 8 and len(workers.pids) == 1


def test_killed_in_the_middle_of_a_batch(services: Services, workers: Workers) -> None:
    """All who wait there are told, nothing of theirs is there, and the next push finds a new process."""
    workers.start()
    before = workers.pids
    with ThreadPoolExecutor(2) as pool, services.database.partner("alpha") as connection:
        lock(connection, "alpha", "direct", "sale")
        waiting = [pool.submit(workers.push, one(many(f"k{n}")), services.clock()) for n in range(2)]
        until(lambda: waits_for_the_lock(services), "nobody came to the lock")
        os.kill(before[0], signal.SIGKILL)
        for done in waiting:
            with pytest.raises(Unavailable, match="can be sent again"):
                done.result(20)
    assert not any(name.startswith("k") for name in landed(services, "alpha"))
    assert workers.push(one(many("k0")), services.clock()).landed.accepted == MANY
    assert len(workers.pids) == 1 and workers.pids != before


def test_killed_while_idle_nobody_notices(services: Services, workers: Workers) -> None:
    workers.start()
    (worker,) = workers._workers
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait(20)
    assert workers.push(one(many("i")), services.clock()).landed.accepted == MANY


def test_over_http_a_killed_worker_is_503_and_small_pushes_do_not_notice(services: Services) -> None:
    app = create_app(services)
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as http:
        head = {**caller(http, services, "alpha"), **NDJSON}
        children = set(children_of(os.getpid()))
        assert http.post("/v1/sales", content=many("h"), headers=head).json()["accepted"] == MANY
        (worker,) = set(children_of(os.getpid())) - children
        with ThreadPoolExecutor(1) as pool, services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            waiting = pool.submit(http.post, "/v1/sales", content=many("h2"), headers=head)
            until(lambda: waits_for_the_lock(services), "nobody came to the lock")
            os.kill(worker, signal.SIGKILL)
            problem = is_problem(waiting.result(20), 503, "unavailable")
            assert "did not answer" in problem["detail"] and waiting.result().headers["retry-after"] == "1"
        assert http.post("/v1/sales", content=lines(sale("h-small")), headers=head).json()["accepted"] == 1
        assert http.post("/v1/sales", content=many("h2"), headers=head).json()["accepted"] == MANY
        (worker,) = set(children_of(os.getpid())) - children
    until(lambda: not is_there(worker), "it outlives the application")


def test_without_workers_the_service_lands_itself(services: Services) -> None:
    import asyncio

    alone = replace(services, settings=Settings(push_workers=0))
    landing = PushLanding(alone, Intake(alone.settings))
    assert not landing.workers and not landing.workers.pids
    done = asyncio.run(landing.push(one(b""), many("alone"), gzipped=False))
    assert done.landed.accepted == MANY
    landing.close()


def children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


class Served:
    """The service as a process of its own, over the tests' storage, with a client of alpha's."""

    def __init__(self, services: Services, folder: Path) -> None:
        address = services.database.address
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("INTEGRATOR_")},
            "INTEGRATOR_DATABASE_URL": services.database.url(
                address.owner, driver="psycopg", password=address.password
            ).set(drivername="postgresql").render_as_string(hide_password=False),
            "INTEGRATOR_REDIS_URL": services.redis_url,
            "INTEGRATOR_MASTER_KEY": base64.b64encode(services.database.master._raw).decode(),
            "INTEGRATOR_NOW": services.clock().isoformat(),
        }  # fmt: skip
        command = [sys.executable, "-m", "integrator_realtime", "--home", str(folder), "--port", str(port)]
        self.process = subprocess.Popen([*command, "--no-webhooks"], env=environment)
        self.url = f"http://{HOST}:{port}"
        until(self.answers, "it does not come up")
        made = clients.create(services.database, "alpha", "sales:write", services.clock())
        form = {"grant_type": "client_credentials"}
        token = httpx.post(f"{self.url}/oauth/token", data=form, auth=(made.client_id, made.client_secret)).json()
        self.head = {"Authorization": f"Bearer {token['access_token']}", **NDJSON}
        (self.worker,) = children_of(self.process.pid)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            assert self.process.poll() is None
            return False

    def post(self, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/sales", content=body, headers=self.head, timeout=30)


@pytest.fixture
def served(services: Services, tmp_path: Path) -> Iterator[Served]:
    made = Served(services, tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_an_orphan_does_not_outlive_the_service(services: Services, served: Served) -> None:
    """Killed with -9 while its worker is in the middle of a batch: the worker goes too, and the batch with it."""
    with ThreadPoolExecutor(1) as pool:
        with services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            waiting = pool.submit(served.post, many("orphan"))
            until(lambda: waits_for_the_lock(services), "nobody came to the lock")
            served.process.kill()
            until(lambda: not is_there(served.worker), "the worker outlives the service")
            assert isinstance(waiting.exception(20), httpx.HTTPError)
        until(lambda: not waits_for_the_lock(services), "its session stays")
    assert not any(name.startswith("orphan") for name in landed(services, "alpha"))


def test_told_to_stop_it_first_answers(services: Services, served: Served) -> None:
    """SIGTERM to both, as a supervisor sends it, in the middle of a batch: it lands, is answered, and nobody is left."""
    with ThreadPoolExecutor(2) as pool:
        with services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            waiting = [pool.submit(served.post, many("drain"))]
            until(lambda: waits_for_the_lock(services), "nobody came to the lock")
            waiting.append(pool.submit(served.post, lines(sale("drain-small"))))
            threading.Event().wait(0.3)
            for pid in (served.worker, served.process.pid):
                os.kill(pid, signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                served.process.wait(0.5)
        assert [done.result(20).json()["accepted"] for done in waiting] == [MANY, 1]
    served.process.wait(20)
    assert not is_there(served.worker)
    assert {"drain-0", f"drain-{MANY - 1}", "drain-small"} <= set(landed(services, "alpha"))
