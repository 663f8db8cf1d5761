"""The SQL of landing: COPY into a staging table and one merge, so that 5,000 records are three statements.

COPY straight into a table with row-level security is refused by PostgreSQL, hence the staging table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.records import Contact, Event, Record, Sale

COMMON = (
    ("ordinal", "integer"), ("native_id", "text"), ("record_hash", "bytea"), ("updated_at", "timestamptz"),
    ("deleted_at", "timestamptz"), ("valid_from", "timestamptz"), ("attributes", "jsonb"),
)  # fmt: skip

COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "event": (
        ("name", "text"), ("starts_at", "timestamptz"), ("ends_at", "timestamptz"), ("timezone", "text"),
        ("status", "text"), ("venue_name", "text"), ("venue_city", "text"), ("venue_region", "text"),
        ("venue_country", "text"), ("venue_capacity", "integer"), ("category", "text"), ("series_id", "text"),
        ("on_sale_at", "timestamptz"), ("capacity", "integer"), ("attendance", "integer"),
    ),
    "contact": (
        ("created_at", "timestamptz"), ("stage", "text"), ("converted_at", "timestamptz"), ("lost_at", "timestamptz"),
        ("source", "text"), ("consent_processing", "text"), ("consent_pooling", "text"), ("country", "text"),
        ("email_hash", "bytea"), ("phone_hash", "bytea"),
    ),
    "sale": (
        ("event_id", "text"), ("contact_id", "text"), ("product", "text"), ("tier", "text"),
        ("sold_at", "timestamptz"), ("quantity", "integer"), ("unit_price", "numeric"), ("list_price", "numeric"),
        ("unit_cost", "numeric"), ("currency", "text"), ("status", "text"), ("refunded_quantity", "integer"),
        ("refunded_amount", "numeric"), ("channel", "text"),
    ),
}  # fmt: skip


def kind_values(record: Record, email_hash: bytes | None, phone_hash: bytes | None) -> tuple[Any, ...]:
    """A record's own columns, in the order of `COLUMNS`."""
    if isinstance(record, Sale):
        r = record
        return (r.event_id, r.contact_id, r.product, r.tier, r.sold_at, r.quantity, r.unit_price, r.list_price,
                r.unit_cost, r.currency, r.status, r.refunded_quantity, r.refunded_amount, r.channel)  # fmt: skip
    if isinstance(record, Contact):
        c = record
        return (c.created_at, c.stage, c.converted_at, c.lost_at, c.source, c.consent.processing, c.consent.pooling,
                c.country, email_hash, phone_hash)  # fmt: skip
    assert isinstance(record, Event)
    e, v = record, record.venue
    return (e.name, e.starts_at, e.ends_at, e.timezone, e.status, v.name, v.city, v.region, v.country, v.capacity,
            e.category, e.series_id, e.on_sale_at, e.capacity, e.attendance)  # fmt: skip


@dataclass(frozen=True)
class Merged:
    """How many of the incoming records became versions."""

    inserted: int
    incoming: int


def lock(connection: Connection, partner: str, platform: str, kind: str) -> None:
    """One writer of these records at a time, until the transaction ends."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:scope, 0))"), {"scope": f"{partner}/{platform}/{kind}"}
    )


def merge(
    connection: Connection, partner: str, platform: str, kind: str, rows: Iterable[Sequence[Any]], arrived_at: datetime
) -> Merged:
    """Land rows as versions.

    Within a key, versions stand in the order of `valid_from`, then arrival; an incoming one that equals its
    predecessor is unchanged and dropped; each version ends where the next begins. So A → B → A is three versions,
    a resend is none, and a late arrival becomes history.
    """
    columns = (*COMMON, *COLUMNS[kind])
    names = [name for name, _ in columns]
    lock(connection, partner, platform, kind)
    definition = ", ".join(f"{name} {kind_}" for name, kind_ in columns)
    connection.exec_driver_sql(f"create temporary table incoming ({definition}) on commit drop")
    count = copy(connection, "incoming", columns, rows)
    connection.exec_driver_sql("analyze incoming")
    scope = {"partner": partner, "platform": platform, "arrived_at": arrived_at}
    connection.execute(text(_CHAIN.format(kind=kind)), scope)
    connection.execute(text(_CLOSE.format(kind=kind)), scope)
    kept = ", ".join(name for name in names if name != "ordinal")
    inserted = connection.execute(
        text(
            f"""insert into landing.{kind} (partner, platform, arrived_at, valid_to, {kept})
            select :partner, :platform, :arrived_at, merged.valid_to, {", ".join(f"incoming.{n}" for n in kept.split(", "))}
            from incoming join merged using (ordinal) order by ordinal"""
        ),
        scope,
    ).rowcount
    connection.exec_driver_sql("drop table incoming, merged")
    return Merged(inserted, count)


def copy(connection: Connection, table: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> int:
    """COPY rows into a temporary table; `columns` are names and SQL types."""
    count = 0
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"copy {table} ({', '.join(n for n, _ in columns)}) from stdin") as pipe,
    ):
        for row in rows:
            pipe.write_row(row)
            count += 1
    return count


_CHAIN = """
create temporary table merged on commit drop as
with chain as (
  select native_id, record_hash, valid_from, version_id, null::integer as ordinal
  from landing.{kind}
  where partner = :partner and platform = :platform and native_id in (select native_id from incoming)
  union all
  select native_id, record_hash, valid_from, null, ordinal from incoming
),
linked as (
  select *, lag(record_hash) over (
    partition by native_id order by valid_from, ordinal nulls first, version_id) as previous_hash
  from chain
)
select native_id, version_id, ordinal, lead(valid_from) over (
    partition by native_id order by valid_from, ordinal nulls first, version_id) as valid_to
from linked
where ordinal is null or previous_hash is distinct from record_hash
"""

_CLOSE = """
update landing.{kind} as version set valid_to = merged.valid_to
from merged
where version.partner = :partner and version.platform = :platform and version.native_id = merged.native_id
  and version.version_id = merged.version_id and version.valid_to is distinct from merged.valid_to
"""
