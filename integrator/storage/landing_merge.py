"""The SQL of landing: COPY into a staging table, then one insert where all is new, more only where it is not.

COPY straight into a table with row-level security is refused by PostgreSQL, hence the staging table. It stays with the
session and empties at the end of each transaction, so that a batch pays for no new table and its plans are kept.

Each incoming row looks up its key by itself (a subquery with `limit`, which the planner does not turn into a join):
plans are made while a table is empty and used when it has a million rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text

from integrator.storage.landing_rows import landed, staged

_READY = "integrator.staging"


@dataclass(frozen=True)
class Merged:
    """How many of the incoming records became versions."""

    inserted: int
    incoming: int


def lock(connection: Connection, partner: str, platform: str, kind: str) -> None:
    """One writer of these records at a time, until the transaction ends."""
    connection.execute(text(LOCK), {"scope": f"{partner}/{platform}/{kind}"})


def stage(connection: Connection, kind: str, lines: bytes) -> None:
    """COPY a batch beside landing, inside `staging`; needs no lock."""
    columns = staged(kind)
    if kind not in connection.info.setdefault(_READY, set()):
        session_table(connection, f"incoming_{kind}", columns)
        connection.info[_READY].add(kind)
    names = ", ".join(name for name, _ in columns)
    driver: Any = connection.connection.driver_connection
    how = "from stdin (format csv, null 'null', escape '\\')"
    with driver.cursor() as cursor, cursor.copy(f"copy incoming_{kind} ({names}) {how}") as pipe:
        pipe.write(lines)


@contextmanager
def staging(connection: Connection) -> Iterator[None]:
    """Around whatever stages: a transaction taken back takes back the session's staging table too."""
    known = connection.info
    try:
        yield
    except BaseException:
        known.pop(_READY, None)
        raise


def empty(connection: Connection, kind: str) -> None:
    """Take out all staged rows: they have been merged, and the transaction goes on with others."""
    connection.execute(text(f"delete from incoming_{kind}"))


def unstage(connection: Connection, kind: str, lines: Sequence[int]) -> None:
    """Take staged rows back out."""
    connection.execute(text(f"delete from incoming_{kind} where ordinal = any(:lines)"), {"lines": list(lines)})


def merge(
    connection: Connection, partner: str, platform: str, kind: str, arrived_at: datetime, *, count: int, distinct: bool
) -> Merged:
    """Land the `count` staged rows as versions, under `lock`; `distinct` says that no key is among them twice.

    Within a key, versions stand in the order of `valid_from`, then arrival; an incoming one that equals its
    predecessor is unchanged and dropped; each version ends where the next begins. So A → B → A is three versions,
    a resend is none, and a late arrival becomes history.
    """
    scope = {"partner": partner, "platform": platform, "arrived_at": arrived_at}
    inserted = connection.execute(_sql(INSERT_NEW, kind), scope).rowcount if distinct else 0
    if inserted < count and distinct and connection.execute(_sql(CLOSE_OLDER, kind), scope).rowcount:
        inserted += connection.execute(_sql(INSERT_NEW, kind), scope).rowcount
    if inserted < count and (not distinct or connection.execute(_sql(ANY_LATE, kind), scope).scalar_one()):
        inserted += _chain(connection, kind, scope)
    return Merged(inserted, count)


def _chain(connection: Connection, kind: str, scope: dict[str, Any]) -> int:
    """The whole rule, for late arrivals and for keys that come twice; what has landed already counts as unchanged."""
    connection.execute(_sql(_CHAIN, kind), scope)
    connection.execute(_sql(_CLOSE, kind), scope)
    connection.execute(
        text("select set_config('enable_hashjoin', 'on', true)")
    )  # staged with merged, both without index
    inserted = connection.execute(_sql(_INSERT_CHAINED, kind), scope).rowcount
    connection.exec_driver_sql("drop table merged")
    return inserted


def session_table(connection: Connection, name: str, columns: Sequence[tuple[str, str]]) -> None:
    """An empty temporary table (names and SQL types) that stays with the session; it empties as the transaction ends.

    One made anew for each transaction costs more than the few rows that mostly go through it, and swells the catalog.
    Asked for twice in one transaction, what it held the first time is gone.
    """
    definition = ", ".join(f"{column} {kind}" for column, kind in columns)
    connection.exec_driver_sql(f"create temporary table if not exists {name} ({definition}) on commit delete rows")
    connection.exec_driver_sql(f"delete from {name}")


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


def filled(template: str, kind: str) -> str:
    """A statement of this module for one kind; its rows are those of `incoming_<kind>`."""
    columns = landed(kind)
    names, values = ", ".join(columns), ", ".join(columns.values())
    return template.format(kind=kind, names=names, values=values, begins=_BEGINS, current=_CURRENT.format(kind=kind))


@cache
def _sql(template: str, kind: str) -> TextClause:
    return text(filled(template, kind))


# Whatever reads all of a landing table suits no batch.
LOCK = """
select pg_advisory_xact_lock(hashtextextended(:scope, 0)), set_config('enable_seqscan', 'off', true),
  set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""

_BEGINS = "coalesce(incoming.updated_at, :arrived_at)"

_CURRENT = """
  select version.ctid, version.record_hash, version.valid_from from landing.{kind} as version
  where version.partner = :partner and version.platform = :platform and version.native_id = incoming.native_id
    and version.valid_to is null limit 1
"""

INSERT_NEW = """
insert into landing.{kind} (partner, platform, arrived_at, valid_from, {names})
select :partner, :platform, :arrived_at, {begins}, {values}
from incoming_{kind} as incoming
where (select true from ({current}) as current) is null
"""

CLOSE_OLDER = """
update landing.{kind} as version set valid_to = older.ends_at
from (
  select current.ctid as place, {begins} as ends_at
  from incoming_{kind} as incoming cross join lateral ({current}) as current
  where current.valid_from <= {begins} and current.record_hash <> decode(incoming.record_hash, 'base64')
) as older
where version.ctid = older.place and version.partner = :partner
"""

ANY_LATE = """
select exists (
  select from incoming_{kind} as incoming cross join lateral ({current}) as current
  where current.valid_from > {begins}
)
"""

# Current and past versions are read apart because each has an index of its own.
_CHAIN = """
create temporary table merged on commit drop as
with keys as (select distinct native_id from incoming_{kind}),
landed as (
  select keys.native_id, version.* from keys cross join lateral (
    select ctid as place, record_hash, valid_from, version_id from landing.{kind} as version
    where version.partner = :partner and version.platform = :platform and version.native_id = keys.native_id
      and version.valid_to is null offset 0) as version
  union all
  select keys.native_id, version.* from keys cross join lateral (
    select ctid as place, record_hash, valid_from, version_id from landing.{kind} as version
    where version.partner = :partner and version.platform = :platform and version.native_id = keys.native_id
      and version.valid_to is not null offset 0) as version
),
chain as (
  select native_id, record_hash, valid_from, version_id, null::integer as ordinal, place from landed
  union all
  select native_id, decode(record_hash, 'base64'), {begins}, null, ordinal, null from incoming_{kind} as incoming
),
linked as (
  select *, lag(record_hash) over (
    partition by native_id order by valid_from, ordinal nulls first, version_id) as previous_hash
  from chain
)
select place, ordinal, lead(valid_from) over (
    partition by native_id order by valid_from, ordinal nulls first, version_id) as valid_to
from linked
where ordinal is null or previous_hash is distinct from record_hash
"""

_CLOSE = """
update landing.{kind} as version set valid_to = merged.valid_to
from merged
where version.ctid = merged.place and version.partner = :partner and version.valid_to is distinct from merged.valid_to
"""

_INSERT_CHAINED = """
insert into landing.{kind} (partner, platform, arrived_at, valid_from, valid_to, {names})
select :partner, :platform, :arrived_at, {begins}, merged.valid_to, {values}
from (select ordinal, valid_to from merged where ordinal is not null) as merged
join incoming_{kind} as incoming on incoming.ordinal = merged.ordinal
order by incoming.ordinal
"""
