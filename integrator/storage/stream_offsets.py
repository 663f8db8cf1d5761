"""How far records from Kafka have landed: one position for each partner and partition, moved with what lands.

A partition is named by cluster, topic id and number: a topic that was deleted and made anew has another id, and none of
its records counts as landed. Where the consumer group stands is Kafka's own and comes after.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

NOTHING = -1


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """One partition of one topic, whatever the topic's name."""

    cluster_id: str
    topic_id: str
    partition: int


def hold(connection: Connection, partner: str, places: Iterable[Place], now: datetime) -> dict[Place, int]:
    """The last offset landed at each place (`NOTHING` before the first), nobody else moving it until the transaction ends.

    Places are taken in one order by all, so that no two workers wait for each other.
    """
    held: dict[Place, int] = {}
    for place in sorted(set(places)):
        facts = {"partner": partner, "now": now, "nothing": NOTHING, **_facts(place)}
        connection.execute(text(_FIRST), facts)
        held[place] = connection.execute(text(_HOLD), facts).scalar_one()
    return held


def move(connection: Connection, partner: str, offsets: Mapping[Place, int], now: datetime) -> None:
    """What stands at or below these offsets has landed, once this transaction commits."""
    rows = [{"partner": partner, "last": last, "now": now, **_facts(place)} for place, last in sorted(offsets.items())]
    if rows:
        connection.execute(
            text(f"update integrator.stream_offset set last_offset = :last, moved_at = :now where {_HERE}"), rows
        )


def begun(connection: Connection, group: str, place: Place) -> bool:
    """Whether this group has begun that partition, of this very topic."""
    found = connection.execute(
        text("""select 1 from integrator.stream_partition where cluster_id = :cluster_id and topic_id = :topic_id
          and partition = :partition and consumer_group = :group"""),
        {"group": group, **_facts(place)},
    )
    return found.first() is not None


def begin(connection: Connection, group: str, topic: str, place: Place, now: datetime) -> None:
    """From now on where the group stands in that partition counts."""
    connection.execute(
        text("""insert into integrator.stream_partition (cluster_id, topic_id, partition, consumer_group, topic, begun_at)
          values (:cluster_id, :topic_id, :partition, :group, :topic, :now) on conflict do nothing"""),
        {"group": group, "topic": topic, "now": now, **_facts(place)},
    )


def _facts(place: Place) -> dict[str, str | int]:
    return {"cluster_id": place.cluster_id, "topic_id": place.topic_id, "partition": place.partition}


_PLACE = "cluster_id, topic_id, partition"
_HERE = "partner = :partner and cluster_id = :cluster_id and topic_id = :topic_id and partition = :partition"
_FIRST = f"""
insert into integrator.stream_offset (partner, {_PLACE}, last_offset, moved_at)
values (:partner, :cluster_id, :topic_id, :partition, :nothing, :now) on conflict do nothing
"""
_HOLD = f"select last_offset from integrator.stream_offset where {_HERE} for update"
