"""Cache: after every publication, all documents it was about with their freshness, unchanged ones too."""

from collections.abc import Collection
from operator import attrgetter

from sqlalchemy import Connection

from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage import insights
from integrator.storage.cache import Cache, Cached
from integrator.storage.database import Database
from integrator.storage.insights import Served


class CacheChannel:
    """Redis in front of `insights.current`."""

    spec = ChannelSpec("cache", "Cache of the realtime API")

    def write(self, connection: Connection, publication: Publication) -> int:
        """Nothing: what is not committed must not be seen."""
        return 0

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Fill from PostgreSQL; `Unavailable` when Redis is away, which lookups survive."""
        return fill(database, cache, publication.partner, publication.use_case, publication.only)


def fill(database: Database, cache: Cache, partner: str, use_case: str, only: Collection[str] | None = None) -> int:
    """Every current document of a use case, or of the subjects of `only`, newer than what is cached; how many were.

    A subject is filled whole: one field of several would be taken for all there is, and the others would never expire.
    """
    with database.partner(partner) as connection:
        current = insights.current(connection, partner, use_case, only)
    current.sort(key=attrgetter("subject_id"))
    return cache.fill(partner, use_case, ((served.subject_id, cached(served)) for served in current))


def cached(served: Served) -> Cached:
    """A row of the tables as the cache holds it."""
    return Cached(
        served.platform, served.subject_kind, served.insight_id, served.insight_version, served.checked_at,
        served.stale_after, served.document.encode(),
    )  # fmt: skip


CHANNEL = CacheChannel()
