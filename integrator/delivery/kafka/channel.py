"""The channel: after each publication, what the topic does not have yet is produced. Without Kafka it does nothing.

What brokers that are away miss stays in the insight tables; the realtime service or `integrator stream` produces it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from integrator.delivery.base import ChannelSpec, Publication

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from integrator.delivery.kafka.relay import Relay
    from integrator.settings import Settings
    from integrator.storage.cache import Cache
    from integrator.storage.database import Database


@lru_cache(maxsize=4)
def relay_of(settings: "Settings") -> "Relay":
    """The relay of this process: a producer is dear to open."""
    from integrator.delivery.kafka.relay import Relay

    return Relay(settings)


class Kafka:
    """The topic of insights."""

    spec = ChannelSpec("kafka", "Kafka")

    def write(self, connection: "Connection", publication: Publication) -> int:
        """Nothing: the versions themselves are the outbox."""
        return 0

    def after(self, database: "Database", cache: "Cache", publication: Publication) -> int:
        """Produce what is new; how many versions."""
        if not publication.settings.kafka_bootstrap:
            return 0
        return relay_of(publication.settings).relay(database, publication.partner, lambda: publication.now)


CHANNEL = Kafka()
