"""What every channel keeps, over the registry: the same version and bytes, nothing older, nothing lost, nobody else's.

Kafka's far end needs a broker of its own: the same promises are kept in `tests/stream`.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import IntegratorError
from integrator.contracts.insight import Subject
from integrator.delivery.registry import CHANNELS
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps import connections, host_databases, host_sync, write_back, write_back_run
from integrator.steps.connections import Actor, account_of
from integrator.steps.deliver import deliver
from integrator.steps.publish import fill_cache, publish
from integrator.steps.services import Services
from integrator.storage import insights, webhooks
from integrator_realtime.app import create_app
from integrator_sandbox.hubspot import FIRST_ID
from tests.publishing import prediction, put_scored, register_both
from tests.serving import serving
from tests.streams import Reader
from tests.webhook_receiver import Receiver

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

USE_CASE = "lead_score"
PARTNERS = ("alpha", "beta")
ELSEWHERE = {"kafka"}
Held = dict[str, tuple[int, str | None]]


class Clock:
    """The service's clock, moved by tests."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-03-16T20:00:00+00:00")

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """One integrator, the sandbox's platforms, and a folder."""

    services: Services
    sandbox: LiveSandbox
    folder: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def later(self, step: timedelta) -> None:
        """Time passes, and every retry is due."""
        self.services.clock.now += step  # type: ignore[attr-defined]

    def publish(self, partner: str, position: int, **scores: int) -> None:
        """These leads of the partner, by their number, and no others."""
        told = [lead(str(FIRST_ID + int(name[1:])), score) for name, score in scores.items()]
        at = self.services.clock()
        put_scored(self.services, partner, told, position=position, at=at, use_case=USE_CASE)
        publish(self.services, partner, USE_CASE, run_id=f"run-{position}")

    def published(self, partner: str) -> Held:
        """What PostgreSQL holds: the truth that every channel tells."""
        with self.services.database.partner(partner) as connection:
            rows = insights.current(connection, partner, USE_CASE)
        return {row.subject_id: (row.insight_version, row.document) for row in rows}


def lead(native_id: str, score: int) -> Any:
    return prediction(
        native_id, score / 100, subject=Subject("contact", native_id, "hubspot"), unit="probability", interval=None,
        details={"score": score, "grade": "A"}, baseline=score / 100 - 0.1, summary=f"Scored {score}.",
    )  # fmt: skip


class Way(ABC):
    """A channel with its far end, as a host has it."""

    has_document = True

    def __init__(self, world: World) -> None:
        self.world, self.services = world, world.services

    def connect(self, partner: str) -> None:
        """Let a partner have it; nothing where it always does."""
        return

    def send(self, partner: str) -> None:
        """What senders do all the time, once."""
        return

    def again(self, partner: str) -> None:
        """The same once more, from the beginning where it has one."""
        self.send(partner)

    @abstractmethod
    def held(self, partner: str) -> Held:
        """Version and document of each subject, as the host has them now."""

    def away(self, partner: str) -> None:
        """The far end of a partner goes away."""
        raise NotImplementedError

    def back(self, partner: str) -> None:
        """It comes back."""
        raise NotImplementedError


class Tables(Way):
    def held(self, partner: str) -> Held:
        with self.services.database.partner(partner) as connection:
            rows = connection.execute(text("select subject_id, insight_version, document from insights.lead_score"))
            return {row.subject_id: (row.insight_version, row.document) for row in rows}


class CacheWay(Way):
    def send(self, partner: str) -> None:
        fill_cache(self.world.services, partner, USE_CASE)

    def held(self, partner: str) -> Held:
        found = {}
        for number in range(5):
            for entry in self.services.cache.get(partner, USE_CASE, str(FIRST_ID + number)):
                found[str(FIRST_ID + number)] = (entry.insight_version, entry.document.decode())
        return found

    def away(self, partner: str) -> None:
        gone = Services(self.services.settings, self.services.database, "redis://127.0.0.1:9/0", self.services.clock)
        self.world.services, self.kept = gone, self.world.services

    def back(self, partner: str) -> None:
        self.world.services = self.kept


class WebhookWay(Way):
    def connect(self, partner: str) -> None:
        self.receivers = getattr(self, "receivers", {})
        made = self.receivers[partner] = Receiver()
        made.url = self.world.stack.enter_context(serving(made)) + "/hook"
        webhooks.add(self.services.database, partner, made.url, self.services.clock(), allow_loopback=True)

    def send(self, partner: str) -> None:
        deliver(self.services, partner)

    def held(self, partner: str) -> Held:
        found: Held = {}
        if partner not in getattr(self, "receivers", {}):
            return found
        for _, body in self.receivers[partner].got if self.receivers[partner].status == 204 else ():
            document = json.loads(body)["data"]
            told = (document["insight_version"], body.decode().partition('"data":')[2][:-1].strip())
            found[document["subject"]["id"]] = max(told, found.get(document["subject"]["id"], told))
        return found

    def away(self, partner: str) -> None:
        self.receivers[partner].status = 503

    def back(self, partner: str) -> None:
        self.receivers[partner].status = 204
        self.world.later(timedelta(minutes=1))


class HostDatabaseWay(Way):
    locked = False

    def _file(self, partner: str) -> Path:
        return self.world.folder / partner / "own.db"

    def connect(self, partner: str) -> None:
        self._file(partner).parent.mkdir(exist_ok=True)
        self._file(partner).unlink(missing_ok=True)
        with sqlite3.connect(self._file(partner)) as own:
            own.execute("create table told (subject_id text, platform text, insight_version integer, status text, document text, "
                        "primary key (subject_id, platform))")  # fmt: skip
        wanted = host_databases.Wanted(
            name="own", address="sqlite:///own.db", table="told", key=("subject_id", "platform"), use_cases=(USE_CASE,),
            subject_kinds=("contact",),
        )  # fmt: skip
        host_databases.save(self.services, Actor(partner, "tester"), wanted)

    def send(self, partner: str) -> None:
        host_sync.sync_due(self.services, partner)

    def again(self, partner: str) -> None:
        host_sync.sync(self.services, partner, "own", whole=True)

    def held(self, partner: str) -> Held:
        if not self._file(partner).exists() or self.locked:
            return {}
        with sqlite3.connect(self._file(partner)) as own:
            rows = own.execute("select subject_id, insight_version, document from told").fetchall()
        return {subject: (version, document) for subject, version, document in rows}

    def away(self, partner: str) -> None:
        self.holder = sqlite3.connect(self._file(partner), isolation_level=None)
        self.holder.execute("begin exclusive")
        self.locked = True

    def back(self, partner: str) -> None:
        self.holder.execute("rollback")
        self.holder.close()
        self.locked = False
        self.world.later(timedelta(minutes=1))


class LiveWay(Way):
    """A page that follows the stream from the beginning."""

    def connect(self, partner: str) -> None:
        self.readers = getattr(self, "readers", {})
        if not hasattr(self, "url"):
            self.url = self.world.stack.enter_context(serving(create_app(self.services)))
        made = clients.create(
            self.services.database, partner, ("insights:read",), self.services.clock(), method="api_key"
        )
        self.readers[partner] = self.world.stack.enter_context(Reader(self.url, made.client_secret, last="0"))

    def send(self, partner: str) -> None:
        wanted = {document for _, document in self.world.published(partner).values()}
        self.readers[partner].wait(lambda reader: wanted <= {one.decode() for one in reader.documents})

    def held(self, partner: str) -> Held:
        found: Held = {}
        for one in getattr(self, "readers", {})[partner].documents if partner in getattr(self, "readers", {}) else ():
            document = json.loads(one)
            found[document["subject"]["id"]] = (document["insight_version"], one.decode())
        return found


class WriteBackWay(Way):
    has_document = False

    def connect(self, partner: str) -> None:
        settings, credentials = self.world.sandbox.connection("hubspot")
        actor = Actor(partner, "tester")
        connections.save(self.services, actor, account_of(partner, "hubspot", None, settings, credentials))
        write_back.plan(self.services, actor, "hubspot")
        write_back.enable(self.services, actor, "hubspot")

    def send(self, partner: str) -> None:
        write_back_run.run_due(self.services, partner)

    def again(self, partner: str) -> None:
        write_back_run.run(self.services, partner, "hubspot")

    def held(self, partner: str) -> Held:
        """The sandbox is one account, so a partner's are those of its own leads."""
        written = self.world.sandbox.state.writes("hubspot")
        mine = self.world.published(partner)
        held = {name: fields for name, fields in written.items() if name in mine and fields["integrator_lead_version"]}
        return {name: (int(fields["integrator_lead_version"]), None) for name, fields in held.items()}

    def away(self, partner: str) -> None:
        self.world.sandbox.fault("hubspot", 503, path="/batch/update")

    def back(self, partner: str) -> None:
        self.world.later(timedelta(minutes=1))


WAYS: dict[str, type[Way]] = {
    "tables": Tables, "webhook": WebhookWay, "cache": CacheWay, "host_database": HostDatabaseWay, "live": LiveWay,
    "write_back": WriteBackWay,
}  # fmt: skip
CAN_BE_AWAY = ("webhook", "cache", "host_database", "write_back")


@pytest.fixture(scope="module")
def services(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    settings = Settings(
        home=server.home, allow_private_platforms=True, allow_loopback_webhooks=True, http_retries=0, read_rate=1e6,
        host_database_folder=tmp_path_factory.mktemp("hosts"),
    )  # fmt: skip
    made = Services(settings, database, server.redis_url, Clock())
    register_both(made, made.clock())
    return made


@pytest.fixture
def world(services: Services, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from redis import Redis

    monkeypatch.setattr("integrator.delivery.host_database.address.LOCK_SECONDS", 0.1)
    with services.database.batch() as connection:
        for table in ("integrator.connection", "integrator.host_database", "integrator.webhook_endpoint", "insights.version",
                      "insights.current", "ops.prediction_log", "ops.outbox", "ops.event_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    with Redis.from_url(services.redis_url) as redis:
        redis.flushdb()
    folder = services.settings.host_database_folder
    assert folder is not None
    with ExitStack() as stack:
        yield World(replace(services), sandbox, folder, stack)


def test_every_channel_of_the_registry_is_held_to_it() -> None:
    assert {entry.name for entry in CHANNELS} == WAYS.keys() | ELSEWHERE


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, world: World) -> Way:
    return WAYS[request.param](world)


def expected(way: Way, partner: str = "alpha") -> Held:
    """What is published, as far as the channel carries it."""
    found = way.world.published(partner)
    return found if way.has_document else {name: (version, None) for name, (version, _) in found.items()}


def test_the_same_version_and_bytes_news_and_nothing_twice(way: Way) -> None:
    way.connect("alpha")
    way.world.publish("alpha", 1, n0=50, n1=60)
    way.send("alpha")
    assert way.held("alpha") == expected(way) and len(way.held("alpha")) == 2
    way.world.publish("alpha", 2, n0=70, n1=60)
    way.send("alpha")
    assert way.held("alpha") == expected(way)
    assert sorted(version for version, _ in way.held("alpha").values()) == [1, 2]
    before = way.held("alpha")
    way.again("alpha")
    way.send("alpha")
    assert way.held("alpha") == before


def test_older_input_never_replaces_what_is_newer(way: Way) -> None:
    way.connect("alpha")
    way.world.publish("alpha", 5, n0=50)
    way.send("alpha")
    newest = way.held("alpha")
    way.world.publish("alpha", 4, n0=90)
    way.send("alpha")
    assert way.held("alpha") == newest == expected(way)


def test_nobody_elses(way: Way) -> None:
    for partner in PARTNERS:
        way.connect(partner)
    way.world.publish("alpha", 1, n0=50)
    way.world.publish("beta", 1, n1=60)
    for partner in PARTNERS:
        way.send(partner)
    assert set(way.held("alpha")) == {str(FIRST_ID)} and set(way.held("beta")) == {str(FIRST_ID + 1)}


@pytest.mark.parametrize("name", CAN_BE_AWAY)
def test_what_is_published_while_it_is_away_comes_later_and_harms_no_other(world: World, name: str) -> None:
    way = WAYS[name](world)
    for partner in PARTNERS:
        way.connect(partner)
    way.away("alpha")
    world.publish("alpha", 1, n0=50)
    world.publish("alpha", 2, n0=55, n1=60)
    _quietly(way, "alpha")
    assert way.held("alpha") == {}
    way.back("alpha")
    world.publish("beta", 1, n2=70)
    for partner in PARTNERS:
        way.send(partner)
        assert way.held(partner) == expected(way, partner)
    assert len(way.held("alpha")) == 2


def _quietly(way: Way, partner: str) -> None:
    try:
        way.send(partner)
    except IntegratorError:  # it is away, and says so
        return
