"""Webhooks, the publishing side: one outbox row per new version and endpoint. Sending is `dispatcher.py`'s."""

from sqlalchemy import Connection

from integrator.contracts.insight import rfc3339
from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage import outbox
from integrator.storage.cache import Cache
from integrator.storage.database import Database


class Webhook:
    """The outbox, written in the transaction of the insight."""

    spec = ChannelSpec("webhook", "Webhooks")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Messages for the endpoints that want them."""
        p = publication
        return outbox.write_staged(connection, p.partner, p.use_case, at=p.now, timestamp=rfc3339(p.now))

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Nothing: dispatchers find what is due by themselves."""
        return 0


CHANNEL = Webhook()
