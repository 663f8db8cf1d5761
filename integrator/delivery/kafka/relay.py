"""From the insight tables to the topic: whatever is committed is produced, at least once, in order, as soon as it can be.

The tables are the outbox: a version stays there, and a partner's position says what has been produced. It moves once the
brokers have acknowledged, from where it was read, and no transaction is open while they make us wait; killed in between,
the same versions go out again, and a reader tells them by `id` and `insight_version`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from integrator.contracts.errors import NotFound, TransientError, Unavailable
from integrator.delivery.kafka.client import Cluster
from integrator.delivery.kafka.producer import Outgoing, Sender, TooLarge
from integrator.settings import Settings
from integrator.storage import logs, stream_relay
from integrator.storage.database import Database
from integrator.storage.stream_relay import Outgo, Topic

BATCH = 500
# While brokers are away nobody waits for them again and again: a night has hundreds of publications.
REST_SECONDS = 15.0
log = logging.getLogger("integrator.kafka")


class Relay:
    """One for each process; any number of processes may relay at once, a partner is one's at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster, self._sender = Cluster(settings), Sender(settings)
        self._rests_until = 0.0
        self._reason = ""
        self._lock = threading.Lock()

    def relay(self, database: Database, partner: str, clock: Callable[[], datetime]) -> int:
        """Produce what the partner's topic does not have yet; how many versions. `Unavailable` while brokers are away."""
        self._require_rested()
        with self._asking():
            topic = Topic(*self._topic())
        if not self._next(database, partner, topic, clock(), 1)[1]:
            return 0
        with database.turns.taken(partner, f"kafka/{topic.cluster_id}/{topic.topic_id}") as ours:
            total = 0
            while ours and (produced := self._batch(database, partner, topic, clock())):
                total += produced
            return total

    def close(self) -> None:
        """Give back the producer's connections."""
        self._sender.close()

    def _require_rested(self) -> None:
        with self._lock:
            if time.monotonic() < self._rests_until:
                raise Unavailable(f"Kafka was away a moment ago: {self._reason}")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Around what brokers are asked, and nothing else: when these are away all partners' relaying rests."""
        try:
            yield
        except TransientError as error:
            with self._lock:
                self._rests_until, self._reason = time.monotonic() + REST_SECONDS, str(error)
            raise

    def _topic(self) -> tuple[str, str]:
        name = self._settings.kafka_insights_topic
        try:
            return self._cluster.topic(name)
        except NotFound as error:
            if not self._settings.kafka_create_topics:
                raise Unavailable(str(error)) from error
        return self._cluster.made(name)

    def _batch(self, database: Database, partner: str, topic: Topic, now: datetime) -> int:
        """One batch; how many versions. Nothing more where another has produced them meanwhile."""
        was, batch = self._next(database, partner, topic, now, BATCH)
        if not batch:
            return 0
        refused = self._produce(partner, batch)
        with database.partner(partner) as connection:
            if not stream_relay.advance(connection, partner, topic, batch, now, was=was):
                return 0
            for too_large in refused:
                facts = {"channel": "kafka", "insight_id": too_large.insight_id, "reason": "too large for the topic"}
                logs.event(connection, partner, "channel.refused", now, facts)
        return len(batch)

    @staticmethod
    def _next(database: Database, partner: str, topic: Topic, now: datetime, most: int) -> tuple[int, list[Outgo]]:
        """The position, and at most so many versions that follow it."""
        with database.partner(partner) as connection:
            was = stream_relay.position(connection, partner, topic, now)
            return was, _each_once(stream_relay.following(connection, partner, topic, most))

    def _produce(self, partner: str, batch: Sequence[Outgo]) -> list[Outgo]:
        """Those no topic takes; they must not keep the others waiting for ever."""
        messages = [self._message(partner, one) for one in batch]
        try:
            self._send(messages)
        except TooLarge:
            return [one for one, message in zip(batch, messages, strict=True) if not self._fits(message)]
        return []

    def _send(self, messages: Sequence[Outgoing]) -> None:
        with self._asking():
            self._sender.send(messages)

    def _fits(self, message: Outgoing) -> bool:
        try:
            self._send([message])
        except TooLarge:
            log.error("an insight of %d bytes is too large for %s", len(message.value or b""), message.topic)
            return False
        return True

    def _message(self, partner: str, one: Outgo) -> Outgoing:
        kind = "insight.withdrawn" if one.status == "withdrawn" else "insight.updated"
        headers = (
            ("type", kind.encode()), ("id", one.insight_id.encode()), ("insight_version", str(one.insight_version).encode()),
        )  # fmt: skip
        key = f"{partner}/{one.use_case}/{one.subject_id}"
        return Outgoing(self._settings.kafka_insights_topic, key.encode(), one.document.encode(), headers)


def _each_once(versions: Sequence[Outgo]) -> list[Outgo]:
    """Up to where an insight comes a second time: its next version goes out once this one was taken."""
    seen: set[str] = set()
    found = []
    for one in versions:
        if one.insight_id in seen:
            break
        seen.add(one.insight_id)
        found.append(one)
    return found
