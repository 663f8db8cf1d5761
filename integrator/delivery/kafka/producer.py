"""Producing with proof: every message is acknowledged by the brokers before it counts, in order, without doubles by retries."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import PermanentError, Unavailable
from integrator.delivery.kafka.client import configuration
from integrator.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

DELIVER_SECONDS = 10.0
MOST_BYTES = 64 << 20
log = logging.getLogger("integrator.kafka")


class TooLarge(PermanentError):
    """The topic takes no message of this size."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Sender:
    """An idempotent producer, made anew after a failure so that nothing of a failed batch follows later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._one_at_a_time = threading.Lock()

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Return once all are acknowledged. `TooLarge` when one of them is; `Unavailable` when not all were taken."""
        with self._one_at_a_time:
            failures: list[Any] = []
            try:
                self._produce(messages, failures)
            finally:
                if failures:
                    self._drop()
        if failures:
            raise self._failed(failures[0], len(failures))

    def close(self) -> None:
        """Give back its connections."""
        with self._one_at_a_time:
            self._drop()

    def _produce(self, messages: Sequence[Outgoing], failures: list[Any]) -> None:
        from confluent_kafka import KafkaException

        def told(error: Any, _: Any) -> None:
            if error is not None:
                failures.append(error)

        producer = self._open()
        for message in messages:
            try:
                producer.produce(
                    message.topic, value=message.value, key=message.key, headers=list(message.headers), on_delivery=told
                )
            except KafkaException as error:
                failures.append(error.args[0])
                return
            except BufferError as error:
                raise Unavailable("too much waits for Kafka already") from error
        # What is not acknowledged by then has failed: `message.timeout.ms` sees to it.
        if producer.flush(DELIVER_SECONDS * 2):
            from confluent_kafka import KafkaError

            failures.append(KafkaError(KafkaError._TIMED_OUT))

    def _open(self) -> "Producer":
        if self._producer is None:
            from confluent_kafka import Producer

            self._producer = Producer(
                {
                    **configuration(self._settings),
                    "enable.idempotence": True,
                    "message.timeout.ms": int(DELIVER_SECONDS * 1000),
                    "message.max.bytes": MOST_BYTES,
                    "linger.ms": 0,
                },
                logger=log,
            )
        return self._producer

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _failed(self, error: Any, count: int) -> Exception:
        from confluent_kafka import KafkaError

        if error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE):
            return TooLarge(f"a message is too large for its topic: {error.str()}")
        return Unavailable(f"Kafka at {self._settings.kafka_bootstrap} did not take {count} messages: {error.str()}")
