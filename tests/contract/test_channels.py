"""The promises of every channel that needs no server of its own: `tests.channel_suite` over the registry.

Kafka's far end is a broker: `tests/stream` holds it to the same.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.delivery.registry import CHANNELS
from integrator.security import clients
from integrator.steps import connections, host_databases, host_sync, write_back, write_back_run
from integrator.steps.connections import Actor, account_of
from integrator.steps.deliver import deliver
from integrator.steps.publish import fill_cache
from integrator.steps.services import Services
from integrator.storage import webhooks
from integrator_realtime.app import create_app
from tests.channel_suite import (
    FIRST_ID,
    USE_CASE,
    ChannelSuite,
    HangingWay,
    Held,
    LeavingWay,
    Way,
    World,
    called,
    emptied,
    two_tenants,
)
from tests.serving import serving
from tests.streams import Reader
from tests.webhook_receiver import Receiver

if TYPE_CHECKING:
    from integrator_sandbox.limits import Fault
    from tests.contract.conftest import LiveSandbox

ELSEWHERE = {"kafka"}


@dataclass(kw_only=True)
class FullWorld(World):
    """The sandbox's platforms and a folder too."""

    sandbox: LiveSandbox
    folder: Path


class Tables(Way):
    def held(self, partner: str) -> Held:
        with self.services.database.partner(partner) as connection:
            rows = connection.execute(text("select subject_id, insight_version, document from insights.lead_score"))
            return {row.subject_id: (row.insight_version, row.document) for row in rows}


class CacheWay(LeavingWay):
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


class WebhookWay(HangingWay):
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

    @contextmanager
    def silent(self, partner: str) -> Iterator[Callable[[], object]]:
        asked, over = threading.Event(), threading.Event()

        def hang() -> None:
            asked.set()
            over.wait(60)

        self.receivers[partner].before = hang
        try:
            yield lambda: asked.wait(20)
        finally:
            over.set()


class HostDatabaseWay(HangingWay):
    world: FullWorld
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

    @contextmanager
    def silent(self, partner: str) -> Iterator[Callable[[], object]]:
        """It can be read, and whoever writes waits."""
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr("integrator.delivery.host_database.address.LOCK_SECONDS", 60)
            asked = stack.enter_context(called("integrator.delivery.host_database.write.write"))
            holder = stack.enter_context(closing(sqlite3.connect(self._file(partner), isolation_level=None)))
            holder.execute("begin immediate")
            yield lambda: asked.wait(20)
            holder.execute("rollback")


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


class WriteBackWay(HangingWay):
    world: FullWorld
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

    @contextmanager
    def silent(self, partner: str) -> Iterator[Callable[[], object]]:
        faults, asked, over = self.world.sandbox.state.faults, threading.Event(), threading.Event()
        usual = faults.next_for

        def hang(platform: str, path: str) -> Fault | None:
            if path.endswith("/batch/update"):
                asked.set()
                over.wait(60)
            return usual(platform, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faults, "next_for", hang)
            yield lambda: asked.wait(20)
            over.set()


WAYS: dict[str, type[Way]] = {
    "tables": Tables, "webhook": WebhookWay, "cache": CacheWay, "host_database": HostDatabaseWay, "live": LiveWay,
    "write_back": WriteBackWay,
}  # fmt: skip
LEAVING: dict[str, type[LeavingWay]] = {n: way for n, way in WAYS.items() if issubclass(way, LeavingWay)}
HANGING: dict[str, type[HangingWay]] = {n: way for n, way in WAYS.items() if issubclass(way, HangingWay)}


@pytest.fixture(scope="module")
def services(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    folder = tmp_path_factory.mktemp("hosts")
    return two_tenants(database, server, allow_loopback_webhooks=True, read_rate=1e6, host_database_folder=folder)


@pytest.fixture
def world(services: Services, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[FullWorld]:
    monkeypatch.setattr("integrator.delivery.host_database.address.LOCK_SECONDS", 0.1)
    emptied(services)
    folder = services.settings.host_database_folder
    assert folder is not None
    with ExitStack() as stack:
        yield FullWorld(services=replace(services), sandbox=sandbox, folder=folder, stack=stack)


def test_every_channel_of_the_registry_is_held_to_it() -> None:
    assert {entry.name for entry in CHANNELS} == WAYS.keys() | ELSEWHERE


class TestChannels(ChannelSuite):
    @pytest.fixture(params=WAYS)
    def way(self, request: pytest.FixtureRequest, world: FullWorld) -> Way:
        return WAYS[request.param](world)

    @pytest.fixture(params=LEAVING)
    def way_that_leaves(self, request: pytest.FixtureRequest, world: FullWorld) -> LeavingWay:
        return LEAVING[request.param](world)

    @pytest.fixture(params=HANGING)
    def way_that_hangs(self, request: pytest.FixtureRequest, world: FullWorld) -> HangingWay:
        return HANGING[request.param](world)
