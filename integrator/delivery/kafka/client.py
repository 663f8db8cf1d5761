"""What every client of Kafka here is made from: addresses, security, and which cluster and topic these are.

The only place that knows Settings' names for it. Passwords go into the clients' configuration and nowhere else.
"""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import NotFound, Unavailable, invalid
from integrator.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

CLIENT_ID = "integrator"
ASK_SECONDS = 5.0
LOOK_SECONDS = 0.1
log = logging.getLogger("integrator.kafka")


def configuration(settings: Settings) -> dict[str, Any]:
    """librdkafka's properties that all clients share; `InvalidInput` names what does not fit together."""
    if not settings.kafka_bootstrap:
        raise invalid("INTEGRATOR_KAFKA_BOOTSTRAP", None, "host:port of a broker, several with commas between")
    found: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": CLIENT_ID,
        "security.protocol": settings.kafka_security,
    }
    if settings.kafka_security.startswith("sasl"):
        if settings.kafka_user is None or settings.kafka_password is None:
            raise invalid("INTEGRATOR_KAFKA_SECURITY", settings.kafka_security, "with a user and a password")
        found |= {
            "sasl.mechanism": settings.kafka_mechanism,
            "sasl.username": settings.kafka_user,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    if settings.kafka_security.endswith("ssl"):
        files = {"ca": settings.kafka_ca, "certificate": settings.kafka_cert, "key": settings.kafka_key}
        found |= {f"ssl.{name}.location": str(path) for name, path in files.items() if path is not None}
    return found


class Cluster:
    """Which cluster and topics are spoken to; answers are kept for a few seconds, as publishing asks every time."""

    def __init__(self, settings: Settings, *, trusted_seconds: float = 2.0) -> None:
        self._settings, self._trusted_seconds = settings, trusted_seconds
        self._admin: AdminClient | None = None
        self._known: dict[str, tuple[float, tuple[str, str]]] = {}

    @property
    def admin(self) -> "AdminClient":
        """The client for questions and for making topics."""
        if self._admin is None:
            from confluent_kafka.admin import AdminClient

            self._admin = AdminClient(
                {**configuration(self._settings), "socket.timeout.ms": int(ASK_SECONDS * 1000)}, logger=log
            )
        return self._admin

    def topic(self, name: str, *, fresh: bool = False) -> tuple[str, str]:
        """Cluster id and topic id; `NotFound` when there is no such topic, `Unavailable` when no broker answers."""
        kept = self._known.get(name)
        if kept is not None and not fresh and time.monotonic() - kept[0] < self._trusted_seconds:
            return kept[1]
        from confluent_kafka import KafkaError, KafkaException, TopicCollection

        try:
            cluster = self.admin.describe_cluster(request_timeout=ASK_SECONDS).result(ASK_SECONDS + 1)
            topic = self.admin.describe_topics(TopicCollection([name]), request_timeout=ASK_SECONDS)[name].result(
                ASK_SECONDS + 1
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotFound(f"Kafka has no topic {name!r}") from error
            raise self._away(error) from error
        except TimeoutError as error:
            raise self._away(error) from error
        found = str(cluster.cluster_id), str(topic.topic_id)
        self._known[name] = time.monotonic(), found
        return found

    def made(self, name: str) -> tuple[str, str]:
        """The same of a topic that is made here. What one broker has made the others learn of a moment later."""
        self.create_topics([name])
        until = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return self.topic(name, fresh=True)
            except NotFound as error:
                if time.monotonic() >= until:
                    raise self._away(error) from error
                time.sleep(LOOK_SECONDS)

    def create_topics(self, names: Sequence[str]) -> None:
        """Make those that are not there, as the brokers' defaults have it."""
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.cimpl import NewTopic

        made = self.admin.create_topics(
            [NewTopic(name, num_partitions=-1, replication_factor=-1) for name in names], request_timeout=ASK_SECONDS
        )
        for name, future in made.items():
            try:
                future.result(ASK_SECONDS + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._away(error, f"topic {name!r} was not made") from error
            except TimeoutError as error:
                raise self._away(error) from error

    def _away(self, error: Exception, what: str = "no answer") -> Unavailable:
        self.admin.poll(0)  # why no connection was made, a wrong password say, is logged only when it is asked for
        return Unavailable(f"Kafka at {self._settings.kafka_bootstrap}: {what}: {error}")
