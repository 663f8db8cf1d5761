"""`ops.stream_position`: which of a partner's landed records nobody has reacted on yet. Every query is a partner's own.

Rows commit out of order. So what is visible is taken at once, however old the transactions still running are, while the
position moves only below the oldest of these; who reads remembers what it took above it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.storage.touched import Touched

# Where the night has been, the stream need not go; where no night has been, there is no start: the first takes everything.
_START = """(select greatest(night.position, (select position from ops.stream_position where partner = :partner))
  from ops.reader_position as night where night.reader = 'dbt')"""

_EACH = f"""select kind, platform, native_id, min(txid)::text::bigint as first, max(txid)::text::bigint as last
  from ops.touched
  where partner = :partner and txid >= {_START} and kind in ('event', 'contact', 'sale')
  group by kind, platform, native_id"""


@dataclass(frozen=True)
class Waiting:
    """One record, and the transactions that touched it first and last since the position."""

    record: Touched
    first: int
    last: int


@dataclass(frozen=True)
class Look:
    """What lies at or above the position, in the order of the last touch; `floor` is the oldest transaction running."""

    waiting: list[Waiting]
    floor: int


def try_lock(connection: Connection, partner: str) -> bool:
    """Whether nobody else reacts for this partner; held until the transaction ends."""
    found: bool = connection.execute(
        text("select pg_try_advisory_xact_lock(hashtextextended('react:' || :partner, 0))"), {"partner": partner}
    ).scalar_one()
    return found


def look(connection: Connection, partner: str, most: int) -> Look:
    """At most `most` records; none before the first night. One statement, so that what ended below the floor is seen."""
    rows = connection.execute(
        text(f"""select found.*, pg_snapshot_xmin(pg_current_snapshot())::text::bigint as floor
          from (values (1)) as always left join ({_EACH} order by last limit :most) as found on true order by last"""),
        {"partner": partner, "most": most},
    ).all()
    waiting = [
        Waiting(Touched(row.kind, row.platform, row.native_id), row.first, row.last)
        for row in rows
        if row.kind is not None
    ]
    return Look(waiting, rows[0].floor)


def count_below(connection: Connection, partner: str, position: int) -> int:
    """How many records a move to `position` passes over, reacted on or not."""
    found: int = connection.execute(
        text(f"select count(*) from ({_EACH}) as found where last < :position"),
        {"partner": partner, "position": position},
    ).scalar_one()
    return found


def move(connection: Connection, partner: str, position: int, now: datetime) -> None:
    """Everything below `position` has been reacted on; never backwards."""
    connection.execute(
        text("""insert into ops.stream_position as known (partner, position, moved_at)
          values (:partner, cast(cast(:position as text) as xid8), :now)
          on conflict (partner) do update set position = excluded.position, moved_at = excluded.moved_at
          where known.position < excluded.position"""),
        {"partner": partner, "position": str(position), "now": now},
    )
