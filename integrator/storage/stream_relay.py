"""How far each partner's insights have been produced to a topic, and what comes next.

`published_seq` grows in commit order within a partner, so one number is a position that misses nothing. Cluster and
topic id belong to it: a topic that was made anew is filled anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Topic:
    """Where to; ids as the brokers give them."""

    cluster_id: str
    topic_id: str


@dataclass(frozen=True, slots=True)
class Outgo:
    """One version of an insight, to be produced."""

    insight_id: str
    insight_version: int
    use_case: str
    subject_id: str
    status: str
    published_seq: int
    document: str


def position(connection: Connection, partner: str, topic: Topic, now: datetime) -> int:
    """The `published_seq` up to which everything was produced; where nothing was yet, it begins here."""
    facts = {"partner": partner, "now": now, **topic.__dict__}
    connection.execute(text(_FIRST), facts)
    found: int = connection.execute(text(f"select published_seq {_HERE}"), facts).scalar_one()
    return found


def following(connection: Connection, partner: str, topic: Topic, limit: int) -> list[Outgo]:
    """What comes next, oldest first: every version; of what is older than the topic only the current ones."""
    rows = connection.execute(
        text(f"""select {", ".join(f"version.{name}" for name in Outgo.__slots__)}
          from (select published_seq, filled_to {_HERE}) as relayed
          join insights.version on version.partner = :partner and version.published_seq > relayed.published_seq
          where version.published_seq > relayed.filled_to or exists (
            select from insights.current where current.partner = :partner and current.insight_id = version.insight_id
              and current.insight_version = version.insight_version)
          order by version.published_seq limit :limit"""),
        {"partner": partner, "limit": limit, **topic.__dict__},
    )
    return [Outgo(**row._mapping) for row in rows]


def advance(
    connection: Connection, partner: str, topic: Topic, produced: Sequence[Outgo], now: datetime, *, was: int
) -> bool:
    """These have been taken by the brokers; False, and nothing is changed, where the position is not what it `was`."""
    done = connection.execute(
        text(f"""update ops.stream_relay set published_seq = :last, relayed_at = :now
        where {_WHERE} and published_seq = :was"""),
        {"partner": partner, "now": now, "was": was, "last": produced[-1].published_seq, **topic.__dict__},
    )
    return bool(done.rowcount)


_WHERE = "partner = :partner and cluster_id = :cluster_id and topic_id = :topic_id"
_HERE = f"from ops.stream_relay where {_WHERE}"
_FIRST = """
insert into ops.stream_relay (partner, cluster_id, topic_id, filled_to, published_seq, relayed_at)
select :partner, :cluster_id, :topic_id, coalesce(max(published_seq), 0), 0, :now
from insights.version where partner = :partner
on conflict do nothing
"""
