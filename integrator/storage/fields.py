"""A partner's own fields as its platforms show them, and what became of them: new, vanished, of another type."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

# A field that one record in five carries is missed by chance in fifty with a probability of 0.8^50, one in 70,000.
USUAL_SHARE = 0.2
ENOUGH_RECORDS = 50


@dataclass(frozen=True)
class Seen:
    """A field as one pull showed it: its type, its label if there is one, and in how many records it was."""

    type: str
    label: str | None
    records: int


@dataclass(frozen=True)
class Drift:
    """One change of a partner's fields; `was` and `now` are types."""

    attribute: str
    change: str
    was: str | None = None
    now: str | None = None


@dataclass(frozen=True)
class Known:
    """A field as it was last known."""

    attribute: str
    type: str
    label: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    vanished_at: datetime | None
    seen: int
    of: int


def known(connection: Connection, partner: str, platform: str, kind: str) -> dict[str, Known]:
    """Every field ever seen, by attribute."""
    rows = connection.execute(
        text("""select attribute, type, label, first_seen_at, last_seen_at, vanished_at, seen, of
          from integrator.field_seen where partner = :partner and platform = :platform and kind = :kind
          order by attribute"""),
        {"partner": partner, "platform": platform, "kind": kind},
    )
    return {row.attribute: Known(**row._mapping) for row in rows}


def remember(
    connection: Connection, partner: str, platform: str, kind: str, shown: Mapping[str, Seen], records: int,
    *, described: bool, now: datetime,
) -> list[Drift]:  # fmt: skip
    """Store what a pull of `records` showed, and say what differs from before; the first pull differs from nothing.

    `described`: the platform listed its fields itself, so what is not in `shown` is gone. Else a field has vanished
    when it used to be in many records and is in none of enough.
    """
    before = known(connection, partner, platform, kind)
    drift: list[Drift] = []
    for attribute, seen in sorted(shown.items()):
        last = before.get(attribute)
        if last is None or last.vanished_at is not None:
            drift += [Drift(attribute, "new", now=seen.type)] if before else []
        elif last.type != seen.type:
            drift.append(Drift(attribute, "type", last.type, seen.type))
    gone = [
        name for name, last in before.items()
        if name not in shown and last.vanished_at is None and (described or _is_missed(last, records))
    ]  # fmt: skip
    drift += [Drift(name, "vanished", was=before[name].type) for name in gone]
    scope = {"partner": partner, "platform": platform, "kind": kind, "now": now, "records": records}
    connection.execute(text(_COUNT), scope | {"shown": list(shown)})
    if gone:
        connection.execute(text(_VANISH), scope | {"gone": gone})
    if shown:
        rows = [scope | {"attribute": name, **vars(seen), "carried": seen.records} for name, seen in shown.items()]
        connection.execute(text(_SEE), [{**row, "records": records} for row in rows])
    return drift


def _is_missed(last: Known, records: int) -> bool:
    return records >= ENOUGH_RECORDS and last.of > 0 and last.seen / last.of >= USUAL_SHARE


_COUNT = """
update integrator.field_seen set of = of + :records
where partner = :partner and platform = :platform and kind = :kind and vanished_at is null
  and not (attribute = any(cast(:shown as text[])))
"""
_VANISH = """
update integrator.field_seen set vanished_at = :now
where partner = :partner and platform = :platform and kind = :kind and attribute = any(cast(:gone as text[]))
"""
_SEE = """
insert into integrator.field_seen (partner, platform, kind, attribute, type, label, first_seen_at, last_seen_at, seen, of)
values (:partner, :platform, :kind, :attribute, :type, :label, :now, :now, :carried, :records)
on conflict (partner, platform, kind, attribute) do update set type = excluded.type,
  label = coalesce(excluded.label, field_seen.label), last_seen_at = excluded.last_seen_at, vanished_at = null,
  seen = field_seen.seen + excluded.seen, of = field_seen.of + excluded.of
"""
