"""What a landed record touches: its persons' crosswalk renewed, and the feature rows and subjects that depend on it.

Which these are is said by dbt's `features.<use case>_touched`; nothing here knows a use case. Every query is a partner's own.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import sql
from sqlalchemy import Connection, text


class Touched(NamedTuple):
    """A record that is new, changed or gone."""

    kind: str
    platform: str
    native_id: str


class Hit(NamedTuple):
    """A feature row (by the use case's key) and a subject that a record touches."""

    key: str
    subject_platform: str
    subject_kind: str
    subject_id: str


def is_built(connection: Connection) -> bool:
    """Whether a night has made the crosswalk and the views; before the first there is nothing to follow."""
    found: bool = connection.execute(
        text("select to_regprocedure('harmonized.renew_identities(text, text[], text[])') is not null")
    ).scalar_one()
    return found


def renew_identities(connection: Connection, partner: str, contacts: Sequence[Touched]) -> list[Touched]:
    """Bring contacts into the crosswalk; all contacts whose person may differ now. Holds the crosswalk until commit."""
    if not contacts:
        return []
    rows = connection.execute(
        text("select platform, native_id from harmonized.renew_identities(:partner, :platforms, :ids)"),
        {
            "partner": partner,
            "platforms": [contact.platform for contact in contacts],
            "ids": [contact.native_id for contact in contacts],
        },
    )
    return [Touched("contact", row.platform, row.native_id) for row in rows]


def keep(connection: Connection, partner: str, contacts: Collection[Touched], now: datetime) -> int:
    """Log contacts as touched by this transaction, so that they wait as landed ones do; the transaction's id."""
    found: int = connection.execute(text("select pg_current_xact_id()::text::bigint")).scalar_one()
    connection.execute(
        text("""insert into ops.touched_log (partner, platform, kind, native_id, reason, at)
        select :partner, key.platform, 'contact', key.native_id, 'identity', :now
        from unnest(cast(:platforms as text[]), cast(:ids as text[])) as key (platform, native_id)"""),
        {
            "partner": partner,
            "platforms": [contact.platform for contact in contacts],
            "ids": [contact.native_id for contact in contacts],
            "now": now,
        },
    )
    return found


def release(connection: Connection, partner: str, transaction: int) -> None:
    """What `keep` logged in that transaction waits no more."""
    connection.execute(
        text("""delete from ops.touched_log
        where partner = :partner and reason = 'identity' and txid = cast(cast(:transaction as text) as xid8)"""),
        {"partner": partner, "transaction": str(transaction)},
    )


def hits(connection: Connection, partner: str, relation: str, touched: Iterable[Touched]) -> set[Hit]:
    """What records touch of the use case whose features are `relation`."""
    by_source: dict[tuple[str, str], list[str]] = {}
    for record in touched:
        by_source.setdefault((record.kind, record.platform), []).append(record.native_id)
    view = sql.Identifier("features", f"{relation}_touched").as_string()
    found: set[Hit] = set()
    for (kind, platform), ids in by_source.items():
        rows = connection.execute(
            text(f"""select distinct {", ".join(Hit._fields)} from {view}
            where partner = :partner and kind = :kind and platform = :platform and native_id = any(:ids)"""),
            {"partner": partner, "kind": kind, "platform": platform, "ids": ids},
        )
        found.update(Hit(**row._mapping) for row in rows)
    return found


def since(connection: Connection, partner: str, position: int) -> list[Touched]:
    """The partner's records that changed in transactions from `position` on."""
    rows = connection.execute(
        text("""select distinct kind, platform, native_id from ops.touched
        where partner = :partner and txid >= cast(cast(:position as text) as xid8) and kind <> 'partner'"""),
        {"partner": partner, "position": str(position)},
    )
    return [Touched(**row._mapping) for row in rows]


def oldest_running(connection: Connection) -> int:
    """All transactions below have ended, and what they did is seen here."""
    found: int = connection.execute(text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).scalar_one()
    return found


def newest(connection: Connection, partner: str, touched: Iterable[Touched]) -> int:
    """The transaction after the last that brought any of these records: who reads now has read up to here."""
    found = 0
    by_source: dict[tuple[str, str], list[str]] = {}
    for record in touched:
        by_source.setdefault((record.kind, record.platform), []).append(record.native_id)
    for (kind, platform), ids in by_source.items():
        query = sql.SQL(
            "select coalesce(max(txid::text::bigint), 0) from landing.{} where partner = %(partner)s"
            " and platform = %(platform)s and native_id = any(%(ids)s) and valid_to is null"
        ).format(sql.Identifier(kind))
        values: dict[str, Any] = {"partner": partner, "platform": platform, "ids": ids}
        found = max(found, int(connection.exec_driver_sql(query.as_string(), values).scalar_one()) + 1)
    return max(found, oldest_running(connection))


def read_as_of(connection: Connection, moment: Any) -> None:
    """Let the views of this transaction read at `moment` (aware)."""
    connection.execute(text("select set_config('integrator.as_of', :moment, true)"), {"moment": moment.isoformat()})
