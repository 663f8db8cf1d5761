"""What every channel keeps: the same version and bytes, nothing older, nothing lost, nobody else's, and nobody held up.

The same tests over every way out: `tests/contract` runs them over those that need no server of their own, `tests/stream`
over Kafka.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pkgutil import resolve_name
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from integrator.contracts.errors import IntegratorError
from integrator.contracts.insight import Subject
from integrator.settings import Settings
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights, stream_positions
from integrator_sandbox.hubspot import FIRST_ID
from tests.publishing import prediction, put_scored, register_both
from tests.streaming import event, land

USE_CASE = "lead_score"
PARTNERS = ("alpha", "beta")
Held = dict[str, tuple[int, str | None]]


class Clock:
    """The service's clock, moved by tests."""

    def __init__(self) -> None:
        self.now = datetime.fromisoformat("2026-03-16T20:00:00+00:00")

    def __call__(self) -> datetime:
        return self.now


@dataclass(kw_only=True)
class World:
    """One integrator whose clock is moved by tests."""

    services: Services
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


class LeavingWay(Way):
    """One whose far end can be away."""

    @abstractmethod
    def away(self, partner: str) -> None:
        """The far end of a partner goes away."""

    @abstractmethod
    def back(self, partner: str) -> None:
        """It comes back."""


class HangingWay(LeavingWay):
    """One whose far end can make us wait."""

    @abstractmethod
    def silent(self, partner: str) -> AbstractContextManager[Callable[[], object]]:
        """The far end of a partner takes a call and says nothing while the block lasts; yields what waits for the call."""


def two_tenants(database: Any, server: Any, **settings: Any) -> Services:
    """An integrator of two partners over the servers of the tests, which may call platforms on loopback, each once."""
    given = Settings(home=server.home, allow_private_platforms=True, http_retries=0, **settings)
    made = Services(given, database, server.redis_url, Clock())
    register_both(made, made.clock())
    return made


def emptied(services: Services) -> None:
    """Nothing is connected, and nothing was ever published."""
    with services.database.batch() as connection:
        for table in ("integrator.connection", "integrator.host_database", "integrator.webhook_endpoint", "insights.version",
                      "insights.current", "ops.prediction_log", "ops.outbox", "ops.event_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    with Redis.from_url(services.redis_url) as redis:
        redis.flushdb()


@contextmanager
def called(name: str, first: Callable[[], object] = lambda: None) -> Iterator[threading.Event]:
    """Is set once the function of that dotted name was called, which goes on as ever after `first`."""
    event = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        real = resolve_name(name)

        def told(*arguments: Any, **named: Any) -> Any:
            first()
            event.set()
            return real(*arguments, **named)

        patch.setattr(name, told)
        yield event


def expected(way: Way, partner: str = "alpha") -> Held:
    """What is published, as far as the channel carries it."""
    found = way.world.published(partner)
    return found if way.has_document else {name: (version, None) for name, (version, _) in found.items()}


class ChannelSuite:
    """Every test takes a way out; a subclass's module gives the three fixtures `way`, `way_that_leaves`, `way_that_hangs`."""

    def test_the_same_version_and_bytes_news_and_nothing_twice(self, way: Way) -> None:
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

    def test_older_input_never_replaces_what_is_newer(self, way: Way) -> None:
        way.connect("alpha")
        way.world.publish("alpha", 5, n0=50)
        way.send("alpha")
        newest = way.held("alpha")
        way.world.publish("alpha", 4, n0=90)
        way.send("alpha")
        assert way.held("alpha") == newest == expected(way)

    def test_nobody_elses(self, way: Way) -> None:
        for partner in PARTNERS:
            way.connect(partner)
        way.world.publish("alpha", 1, n0=50)
        way.world.publish("beta", 1, n1=60)
        for partner in PARTNERS:
            way.send(partner)
        assert set(way.held("alpha")) == {str(FIRST_ID)} and set(way.held("beta")) == {str(FIRST_ID + 1)}

    def test_what_is_published_while_it_is_away_comes_later_and_harms_no_other(
        self, way_that_leaves: LeavingWay
    ) -> None:
        way, world = way_that_leaves, way_that_leaves.world
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

    def test_while_it_makes_us_wait_no_transaction_is_open_and_streams_go_on(self, way_that_hangs: HangingWay) -> None:
        way, world = way_that_hangs, way_that_hangs.world
        way.connect("alpha")

        def sent() -> None:
            world.publish("alpha", 1, n0=50)
            _quietly(way, "alpha")

        with ThreadPoolExecutor(1) as pool:
            with way.silent("alpha") as asked:
                sending = pool.submit(sent)
                asked()
                until(lambda: not transactions(world.services))
                assert not sending.done(), "it makes us wait still"
                before = floor(world.services, "beta")
                land(world.services, "beta", "event", [event(1, world.services.clock(), name=f"Show {before}")])
                until(lambda: floor(world.services, "beta") > before)
                assert not sending.done(), "it makes us wait still"
            sending.result(60)
        world.later(timedelta(minutes=1))
        way.send("alpha")
        assert way.held("alpha") == expected(way) and len(way.held("alpha")) == 1


def transactions(services: Services) -> list[str]:
    """What our sessions hold open in this database: a transaction, its number, or a view of the past."""
    with services.database.service() as connection:
        rows = connection.execute(
            text("""select state || ': ' || query from pg_stat_activity
            where datname = current_database() and usename like 'integrator%' and pid <> pg_backend_pid()
              and (state like 'idle in transaction%' or backend_xid is not null or backend_xmin is not null)""")
        )
        return list(rows.scalars())


def floor(services: Services, partner: str) -> int:
    """The transaction below which a partner's stream may move on."""
    with services.database.partner(partner) as connection:
        return stream_positions.look(connection, partner, 1).floor


def until(so: Callable[[], bool]) -> None:
    """Well below the time that a far end may take."""
    deadline = time.monotonic() + 5
    while not so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert so(), "it does not come"


def _quietly(way: Way, partner: str) -> None:
    try:
        way.send(partner)
    except IntegratorError:  # it is away, and says so
        return
