"""Write-back, the publishing side: nothing. `steps/write_back_run.py` finds what is newer than what a record was told."""

from sqlalchemy import Connection

from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage.cache import Cache
from integrator.storage.database import Database


class WriteBack:
    """A platform is never called within the insight's transaction, nor waited for after it."""

    spec = ChannelSpec("write_back", "Platform write-back")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Nothing: what each record was told is compared with what is committed."""
        return 0

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Nothing: who keeps the platforms told looks for news by itself."""
        return 0


CHANNEL = WriteBack()
