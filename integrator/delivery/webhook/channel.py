"""Webhooks, the publishing side: one outbox row per new version and endpoint, and a call to send them."""

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from integrator.contracts.errors import Unavailable
from integrator.contracts.insight import rfc3339
from integrator.delivery.base import ChannelSpec, Publication
from integrator.delivery.webhook.queue import Queue
from integrator.delivery.webhook.reference import MOST_BYTES, reference
from integrator.storage import outbox
from integrator.storage.cache import Cache
from integrator.storage.database import Database
from integrator.storage.failures import said


class Webhook:
    """The outbox, written in the transaction of the insight."""

    spec = ChannelSpec("webhook", "Webhooks")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Messages for the endpoints that want them; a document that is too large is referred to."""
        p = publication
        large = {name: reference(document) for name, document in outbox.large_staged(connection, MOST_BYTES)}
        return outbox.write_staged(
            connection, p.partner, p.use_case, at=p.now, timestamp=rfc3339(p.now), references=large
        )

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Have what is due sent now; how many endpoints were called for. The workers' sweep finds what is missed here."""
        try:
            with database.partner(publication.partner) as connection:
                due = outbox.due_endpoints(connection, publication.partner, publication.now)
        except DBAPIError as error:
            raise Unavailable(f"the outbox was not reached: {said(error)}") from error
        return Queue(database).call(publication.partner, due) if due else 0


CHANNEL = Webhook()
