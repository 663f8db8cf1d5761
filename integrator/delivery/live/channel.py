"""Live updates, the publishing side: the word that there is news. Processes that hold streams read the news itself.

The word may be lost: they look by themselves now and then, and every second while Redis is away.
"""

from sqlalchemy import Connection

from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage.cache import Cache
from integrator.storage.database import Database


class Live:
    """One message on Redis for each publication, whatever its size."""

    spec = ChannelSpec("live", "Live updates")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Nothing: what is not committed must not be seen."""
        return 0

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Say that there is news; to how many processes. `Unavailable` when Redis is away, which streams survive."""
        return cache.announce(publication.partner)


CHANNEL = Live()
