"""Insight tables: versions, the current ones, and the line that says a run completed."""

from sqlalchemy import Connection

from integrator.delivery.base import ChannelSpec, Publication
from integrator.storage import insights
from integrator.storage.cache import Cache
from integrator.storage.database import Database


class Tables:
    """`insights.version` and `insights.current`, behind the views of INTERFACE."""

    spec = ChannelSpec("tables", "Insight tables")

    def write(self, connection: Connection, publication: Publication) -> int:
        """New versions, and the freshness of what did not change."""
        p = publication
        changed = insights.write_staged(
            connection, p.partner, p.use_case, p.run_id,
            at=p.at, stale_after=p.stale_after, input_position=p.input_position,
        )  # fmt: skip
        insights.confirm(
            connection, p.partner, p.confirmed, at=p.at, stale_after=p.stale_after, input_position=p.input_position
        )
        insights.log_publication(
            connection, p.partner, p.use_case, p.run_id, at=p.now, rows=changed + len(p.confirmed), changed=changed
        )
        return changed

    def after(self, database: Database, cache: Cache, publication: Publication) -> int:
        """Nothing: the transaction was the delivery."""
        return 0


CHANNEL = Tables()
