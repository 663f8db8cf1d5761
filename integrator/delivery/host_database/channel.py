"""Host database, the publishing side: nothing. `steps/host_databases.py` finds what is new by `published_seq`."""

from sqlalchemy import Connection

from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage.cache import Cache
from integrator.storage.database import Database


class HostDatabases:
    """A database that is not ours is never written within the insight's transaction, nor waited for after it."""

    spec = ChannelSpec("host_database", "Host databases")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Nothing: each table's cursor finds what is committed."""
        return 0

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Nothing: who keeps them in step looks for news by itself."""
        return 0


CHANNEL = HostDatabases()
