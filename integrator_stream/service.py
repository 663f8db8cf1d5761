"""`integrator stream`: the worker put together, until it is told to stop."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import TransientError, Unavailable
from integrator.delivery.kafka.channel import relay_of
from integrator.delivery.kafka.client import Cluster
from integrator.delivery.kafka.producer import Sender
from integrator.settings import Settings
from integrator.steps.records_in import Rules
from integrator.steps.services import Services
from integrator.steps.stream_reactor import Reactor, Turn
from integrator.storage import partners
from integrator.storage.failures import traced
from integrator_stream.backlog import Backlog
from integrator_stream.consumer import Consumer
from integrator_stream.dead_letters import DeadLetters
from integrator_stream.landing import Landing
from integrator_stream.metrics import Metrics, serve

MEBIBYTE = 1 << 20
REACTING_THREADS = 2
COMMIT_SECONDS, WATCH_SECONDS, RELAY_SECONDS, REPORT_SECONDS = 0.25, 2.0, 1.0, 30.0
log = logging.getLogger(__name__)


def run(services: Services) -> None:
    """Read, land and relay until SIGTERM or SIGINT; whatever it cannot go on after is raised."""
    asyncio.run(Worker(services).run())


class Registered:
    """The partners there are, asked for again after a few seconds: one that was just added is not a stranger for long."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._names: frozenset[str] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Ask PostgreSQL."""
        with self._services.database.service() as connection:
            self._names = frozenset(partner.partner for partner in partners.list_all(connection))

    def rules(self) -> Rules:
        """What messages are read by."""
        settings = self._services.settings
        return Rules(self._names, allowed_partners(settings), settings.kafka_record_kibibytes << 10)

    @property
    def names(self) -> list[str]:
        """All of them."""
        return sorted(self._names)


def allowed_partners(settings: Settings) -> frozenset[str]:
    """Whose records the operator takes; empty for everybody's."""
    return frozenset(name.strip() for name in settings.kafka_partners.split(",") if name.strip())


class Worker:
    """One process."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._services, self._settings = services, settings
        self._metrics = Metrics()
        self._cluster = Cluster(settings)
        self._letters_sender = Sender(settings)
        self._relay = relay_of(settings)
        self._registered = Registered(services)
        self._backlog = Backlog(int(settings.kafka_held_mebibytes * MEBIBYTE))
        letters = DeadLetters(self._letters_sender, settings.kafka_dead_letter_topic, settings.kafka_records_topic)
        self._reactor = Reactor(services, told=self._reacted)
        self._landing = Landing(services, self._backlog, letters, self._metrics, landed=self._reactor.wake)
        self._consumer = Consumer(
            settings, services.database, self._cluster, self._backlog, rules=self._registered.rules,
            refresh=self._registered.refresh, wake=self._landing.wake, clock=services.clock,
        )  # fmt: skip

    async def run(self) -> None:
        """Until told to stop, or until the consumer cannot go on."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self._make_topics(stop)
        port = self._settings.kafka_metrics_port
        pages = None if port is None else serve(self._metrics, port, lambda: bool(self._consumer.ledgers))
        no_more = threading.Event()
        reacting = threading.Thread(
            target=self._reactor.run, args=[no_more, REACTING_THREADS], name="reacting", daemon=True
        )
        reacting.start()
        await self._consumer.start()
        log.info("reading %s of %s", self._settings.kafka_records_topic, self._settings.kafka_bootstrap)
        chores = [asyncio.create_task(self._every(seconds, work)) for seconds, work in self._chores()]
        try:
            while not stop.is_set() and self._consumer.failed is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.5)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._landing.stop()
            await self._consumer.stop()
            no_more.set()
            await asyncio.to_thread(reacting.join)
            self._letters_sender.close()
            self._relay.close()
            if pages is not None:
                pages.shutdown()
                pages.server_close()
        if self._consumer.failed is not None:
            raise self._consumer.failed

    def _reacted(self, turn: Turn) -> None:
        """What a turn of reacting came to; what is left waits for the night, and was said in the partner's event log."""
        for what in ("records", "changed", "failed", "left"):
            if amount := getattr(turn, what):
                self._metrics.add("integrator_stream_reactions_total", amount, partner=turn.partner, what=what)

    async def _make_topics(self, stop: asyncio.Event) -> None:
        """The three topics; brokers that are away are waited for."""
        settings = self._settings
        names = [settings.kafka_records_topic, settings.kafka_dead_letter_topic, settings.kafka_insights_topic]
        while settings.kafka_create_topics and not stop.is_set():
            try:
                await asyncio.to_thread(self._cluster.create_topics, names)
            except Unavailable as error:
                log.warning("%s", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 2.0)
            else:
                return

    def _chores(self) -> list[tuple[float, Callable[[], Coroutine[None, None, None]]]]:
        return [
            (COMMIT_SECONDS, self._commit), (WATCH_SECONDS, self._watch), (RELAY_SECONDS, self._relay_all),
            (REPORT_SECONDS, self._report),
        ]  # fmt: skip

    async def _every(self, seconds: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Again and again; what fails for the moment is tried with the next turn."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (TransientError, SQLAlchemyError) as error:
                log.warning("%s waits: %s", work.__name__.strip("_"), type(error).__name__)
            except Exception as error:
                log.error("%s failed: %s", work.__name__.strip("_"), traced(error))

    async def _commit(self) -> None:
        await self._consumer.commit()
        self._consumer.balance()
        self._metrics.set_all("integrator_stream_held_bytes", {(): self._backlog.held_bytes})
        self._metrics.set_all("integrator_stream_paused", {(): float(self._consumer.is_paused)})
        await self._make_room()
        for partner in self._backlog.aside - self._landing.troubled:
            await self._consumer.read_again(partner)

    async def _make_room(self) -> None:
        """Partners that cannot be served while PostgreSQL can must not take the others' room."""
        troubled = self._landing.troubled - self._backlog.aside
        if troubled and not self._backlog.has_room:
            await asyncio.to_thread(self._registered.refresh)
            for partner in troubled:
                self._backlog.set_aside(partner)
                log.warning("records of %s are set aside until they can land", partner or "no partner")
            self._consumer.balance()

    async def _watch(self) -> None:
        await asyncio.to_thread(self._registered.refresh)
        lags = self._consumer.lags()
        self._metrics.set_all(
            "integrator_stream_lag", {(("partition", str(number)),): lag for number, lag in lags.items()}
        )
        await self._consumer.rejoin_if_made_anew()

    async def _relay_all(self) -> None:
        """Whatever was published by anyone and is not in the topic yet; a partner's failure stops no other's."""
        for partner in self._registered.names:
            try:
                produced = await asyncio.to_thread(
                    self._relay.relay, self._services.database, partner, self._services.clock
                )
            except SQLAlchemyError as error:
                log.warning("insights of %s wait: %s", partner, type(error).__name__)
            else:
                self._metrics.add("integrator_stream_relayed_total", produced)

    async def _report(self) -> None:
        lags = self._consumer.lags()
        log.info("lag %d in %d partitions, %d bytes held", sum(lags.values()), len(lags), self._backlog.held_bytes)
