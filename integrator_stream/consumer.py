"""Reading the records' topic through FastStream, and standing where PostgreSQL says the work is done.

FastStream polls, and hands over batches; they are only filed here, so that it goes on polling and the group keeps its
member however long landing takes. A full backlog pauses the partitions. The group's position is committed by hand,
partition by partition, never past a message that is not done.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import NotFound, TransientError, Unavailable
from integrator.delivery.kafka.client import Cluster, configuration
from integrator.settings import Settings
from integrator.steps.records_in import PLATFORM_HEADER, DeadLetter, Message, Rules, read
from integrator.storage import stream_offsets
from integrator.storage.database import Database
from integrator.storage.stream_offsets import Place
from integrator_stream.backlog import Backlog, Item
from integrator_stream.ledger import Ledger

if TYPE_CHECKING:
    import confluent_kafka as kafka
    from faststream.confluent import KafkaBroker

POLL_SECONDS = 0.05
READ_AT_ONCE = 1000
QUEUED_KIBIBYTES = 16 << 10
SESSION_MS = 10_000
POLL_MS = 300_000
# Well before the group gives up on a member that does not poll: the callback of an assignment waits at most so long.
OPEN_SECONDS = 240.0
WATERMARK_SECONDS = 10.0
log = logging.getLogger(__name__)
# Its warnings are about what is meant to be so; a message it could not hand over is an error.
_faststream = logging.getLogger("integrator_stream.faststream")
_faststream.addFilter(lambda record: record.levelno >= logging.ERROR)


class Consumer:
    """The group's member. `failed` is why it cannot go on, if it cannot."""

    def __init__(
        self, settings: Settings, database: Database, cluster: Cluster, backlog: Backlog, *,
        rules: Callable[[], Rules], refresh: Callable[[], None], wake: Callable[[set[str]], None], clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        self._settings, self._database, self._cluster, self._backlog = settings, database, cluster, backlog
        self._rules, self._refresh, self._wake, self._clock = rules, refresh, wake, clock
        self._topic = settings.kafka_records_topic
        self._ledgers: dict[int, Ledger] = {}
        self._is_paused = False
        self._is_stopping = False
        self.failed: BaseException | None = None
        self._broker, self._subscriber = self._connected()

    async def start(self) -> None:
        """Join the group."""
        await self._broker.start()

    async def stop(self) -> None:
        """Leave the group, its position committed."""
        self._is_stopping = True
        await self._broker.stop()

    @property
    def ledgers(self) -> list[Ledger]:
        """The partitions read now."""
        return list(self._ledgers.values())

    @property
    def is_paused(self) -> bool:
        """Whether reading waits for landing."""
        return self._is_paused

    async def commit(self) -> None:
        """Let the group stand where the work is done; what does not reach the broker is said again with the next."""
        consumer = self._subscriber.consumer
        if consumer is not None and self._backlog.standings(self.ledgers):
            await asyncio.get_running_loop().run_in_executor(consumer._thread_pool, self._commit, consumer.consumer)

    def balance(self) -> None:
        """Pause when the backlog is full, go on when half of it has landed."""
        raw = self._raw
        if raw is None:
            return
        partitions = [self._position(ledger.place.partition) for ledger in self.ledgers]
        if not self._is_paused and self._backlog.is_full:
            raw.pause(partitions)
            self._is_paused = True
            log.info("reading waits: %d bytes are still to land", self._backlog.held_bytes)
        elif self._is_paused and self._backlog.has_room:
            raw.resume(partitions)
            self._is_paused = False
            log.info("reading goes on")

    async def read_again(self, partner: str) -> None:
        """What was set aside for this partner."""
        for ledger, offset in self._backlog.take_back(partner, self.ledgers):
            try:
                await self._in_turn("seek", self._position(ledger.place.partition, offset))
            except _kafka_error():  # the partition is just being moved, or has just come
                self._backlog.set_aside(partner)
                return
            log.info("partition %d is read again for %s", ledger.place.partition, partner)

    async def rejoin_if_made_anew(self) -> None:
        """A topic that was deleted and made anew starts afresh, also where the client has not noticed."""
        if not self._ledgers:
            return
        cluster_id, topic_id = await asyncio.to_thread(self._cluster.topic, self._topic, fresh=True)
        if all((one.place.cluster_id, one.place.topic_id) == (cluster_id, topic_id) for one in self.ledgers):
            return
        log.warning("topic %s was made anew; it is read from its start", self._topic)
        await self._in_turn("unsubscribe")
        await self._in_turn(
            "subscribe", [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def lags(self) -> dict[int, int]:
        """Messages between each partition's end, as last heard of, and where the group stands."""
        raw = self._raw
        if raw is None:
            return {}
        found = {}
        for ledger in self.ledgers:
            low, high = raw.get_watermark_offsets(self._position(ledger.place.partition), cached=True)
            if high >= 0:
                found[ledger.place.partition] = max(0, high - (low if ledger.committed is None else ledger.committed))
        return found

    # FastStream and the client under it.

    def _connected(self) -> tuple["KafkaBroker", Any]:
        from faststream.confluent import KafkaBroker
        from faststream.confluent.message import FAKE_CONSUMER, KafkaMessage
        from faststream.middlewares import AckPolicy

        shared: Any = {**configuration(self._settings), "queued.max.messages.kbytes": QUEUED_KIBIBYTES}
        broker = KafkaBroker(
            shared.pop("bootstrap.servers"), client_id=shared.pop("client.id"), config=shared, logger=_faststream,
            log_level=logging.DEBUG, allow_auto_create_topics=False, graceful_timeout=None, apply_types=False,
        )  # fmt: skip

        # FastStream's own parser decodes headers and bodies, and a message it cannot decode would never get here.
        async def as_it_is(messages: Any) -> KafkaMessage:
            return KafkaMessage(
                body=b"", raw_message=messages, consumer=FAKE_CONSUMER, is_manual=True, headers={}, message_id=""
            )

        async def undecoded(message: KafkaMessage) -> Any:
            return message.raw_message

        subscriber = broker.subscriber(
            self._topic, group_id=self._settings.kafka_group, batch=True, max_records=READ_AT_ONCE,
            polling_interval=POLL_SECONDS, auto_offset_reset="earliest", ack_policy=AckPolicy.MANUAL,
            session_timeout_ms=SESSION_MS, max_poll_interval_ms=POLL_MS, parser=as_it_is, decoder=undecoded,
            on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost,
        )  # fmt: skip

        @subscriber
        async def take(messages: Any) -> None:
            await self._take(messages)

        return broker, subscriber

    @property
    def _raw(self) -> "kafka.Consumer | None":
        consumer = self._subscriber.consumer
        return None if consumer is None else consumer.consumer

    async def _in_turn(self, what: str, *arguments: Any, **named: Any) -> None:
        """A call of the client's on the thread that polls, between two polls."""
        consumer = self._subscriber.consumer
        if consumer is not None:
            call = partial(getattr(consumer.consumer, what), *arguments, **named)
            await asyncio.get_running_loop().run_in_executor(consumer._thread_pool, call)

    async def _take(self, messages: Sequence["kafka.Message"]) -> None:
        """File a batch. A defect here must not lose it: then this process ends, and the group reads it again."""
        if self._is_stopping or self.failed is not None:
            return
        try:
            found = [
                (ledger, _message(message, ledger.place))
                for message in messages
                if (ledger := self._ledgers.get(message.partition() or 0)) is not None
            ]
            items = [Item(ledger, read(message, self._rules())) for ledger, message in found]
            if any(_is_stranger(item) for item in items):
                await self._ask_again()
                items = [Item(ledger, read(message, self._rules())) for ledger, message in found]
            self._wake(self._backlog.add(items))
            self.balance()
        except Exception as error:
            self.failed = error

    async def _ask_again(self) -> None:
        """Someone nobody knows may have been registered just now: nothing of theirs may be filed before that is known."""
        while not self._is_stopping:
            try:
                await asyncio.to_thread(self._refresh)
            except (TransientError, SQLAlchemyError) as error:
                log.warning("the partners there are cannot be asked for: %s", type(error).__name__)
                await asyncio.sleep(1.0)
            else:
                return

    def _assigned(self, raw: "kafka.Consumer", partitions: Sequence["kafka.TopicPartition"]) -> None:
        """On the polling thread: find where each partition begins, before anything of it is read."""
        try:
            ledgers = self._opened(raw, partitions)
        except BaseException as error:
            self.failed = error
            return
        self._ledgers = ledgers
        self._is_paused = False
        raw.assign(list(partitions))
        log.info("reading partitions %s of %s", sorted(ledgers), self._topic)

    def _opened(self, raw: "kafka.Consumer", partitions: Sequence["kafka.TopicPartition"]) -> dict[int, Ledger]:
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            try:
                topic = self._cluster.topic(self._topic, fresh=True) if partitions else ("", "")
                return {partition.partition: self._open(raw, partition, *topic) for partition in partitions}
            except (TransientError, NotFound, SQLAlchemyError, _kafka_error()) as error:
                if self._is_stopping or time.monotonic() > deadline:
                    raise Unavailable(f"partitions were not opened: {type(error).__name__}") from error
                log.warning("partitions wait to be opened: %s", type(error).__name__)
                time.sleep(1.0)

    def _open(self, raw: "kafka.Consumer", partition: "kafka.TopicPartition", cluster_id: str, topic_id: str) -> Ledger:
        """A partition never begun starts at its first message, whatever the group thinks: it may mean an older topic."""
        place = Place(cluster_id, topic_id, partition.partition)
        group, now = self._settings.kafka_group, self._clock()
        with self._database.service() as connection:
            if not stream_offsets.begun(connection, group, place):
                first, _ = raw.get_watermark_offsets(partition, timeout=WATERMARK_SECONDS)
                partition.offset = first
                raw.commit(offsets=[self._position(partition.partition, first)], asynchronous=False)
                stream_offsets.begin(connection, group, self._topic, place, now)
        return Ledger(place)

    def _revoked(self, raw: "kafka.Consumer", _: Sequence["kafka.TopicPartition"]) -> None:
        """On the polling thread: say where the work is done, then let go of all (the group assigns all anew)."""
        self._commit(raw)
        self._lost(raw, ())

    def _commit(self, raw: "kafka.Consumer") -> None:
        """On the polling thread, where partitions come and go: what the brokers take counts as committed, and no more.

        A position that was not taken costs nothing but time: whoever reads on from it skips what has landed.
        """
        standings = self._backlog.standings(self.ledgers)
        if not standings:
            return
        try:
            answers = raw.commit(offsets=self._positions(standings), asynchronous=False) or ()
        except _kafka_error() as error:
            log.warning("the group's position was not committed: %s", error.args[0].str())
            return
        refused = {one.partition: one.error for one in answers if one.error is not None}
        for ledger, offset in standings:
            if ledger.place.partition in refused:
                log.warning("the group's position was not committed: %s", refused[ledger.place.partition].str())
            else:
                ledger.committed = offset

    def _lost(self, _: "kafka.Consumer", __: Sequence["kafka.TopicPartition"]) -> None:
        self._backlog.release(self.ledgers)
        self._ledgers = {}

    def _position(self, partition: int, offset: int | None = None) -> "kafka.TopicPartition":
        from confluent_kafka import TopicPartition

        return TopicPartition(self._topic, partition, -1001 if offset is None else offset)

    def _positions(self, standings: Sequence[tuple[Ledger, int]]) -> list["kafka.TopicPartition"]:
        return [self._position(ledger.place.partition, offset) for ledger, offset in standings]


def _is_stranger(item: Item) -> bool:
    return isinstance(item.read, DeadLetter) and item.read.reason == "partner-unknown"


def _message(message: "kafka.Message", place: Place) -> Message:
    headers: Any = message.headers() or ()
    platform = next((value for name, value in headers if name == PLATFORM_HEADER), None)
    value: Any = message.value()
    key: Any = message.key()
    return Message(
        place, message.offset() or 0, key, value, _said_at(message), platform if platform is None else bytes(platform)
    )


def _said_at(message: "kafka.Message") -> datetime:
    """The message's own time; producers write it, and a broker takes any number."""
    kind, milliseconds = message.timestamp()
    try:
        return datetime.fromtimestamp(milliseconds / 1000 if kind else time.time(), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


def _kafka_error() -> type[Exception]:
    from confluent_kafka import KafkaException

    return KafkaException
