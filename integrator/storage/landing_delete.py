"""What a platform no longer shows: compared with the last whole listing, and landed as deleted.

A deletion is a version like any other, with the fields of the one before and `deleted_at`; one that is shown again gets
its last living version back. Nothing else is changed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.storage.landing_merge import lock
from integrator.storage.landing_rows import landed

_OWN = ("record_hash", "deleted_at")


@dataclass(frozen=True)
class Compared:
    """What a listing came to: how many were landed as deleted, how many came back, and whether it was not believed."""

    deleted: int = 0
    restored: int = 0
    doubted: bool = False
    shown: int = 0
    before: int = 0


@dataclass(frozen=True)
class ListedScope:
    """What a listing lists: `scope` of one kind of an account."""

    partner: str
    platform: str
    connection_id: str
    kind: str
    scope: str

    @property
    def key(self) -> dict[str, str]:
        """As SQL binds it."""
        return {name: str(value) for name, value in vars(self).items() if name != "platform"}


def compare(connection: Connection, where: ListedScope, ids: Collection[str], now: datetime) -> Compared:
    """Land what is gone since the last listing of this scope, and keep this one in its place.

    A listing of less than half of the last is not believed at once: a lost permission or a platform's bad hour looks
    just so. It is noted, and the next listing that has shrunk as much is believed.
    """
    restored = restore(connection, where.partner, where.platform, where.kind, ids, now)
    before: int = connection.execute(text(_COUNT), where.key).scalar_one()
    if len(ids) * 2 < before and not _was_doubted(connection, where):
        connection.execute(text(_DOUBT), {**where.key, "shown": len(ids), "before": before, "now": now})
        return Compared(restored=restored, doubted=True, shown=len(ids), before=before)
    connection.execute(text(_BELIEVE), where.key)
    wanted = {**where.key, "ids": list(ids)}
    gone: list[str] = list(connection.execute(text(_GONE), wanted).scalars())
    connection.execute(text(_LIST), wanted)
    deleted = delete(connection, where.partner, where.platform, where.kind, gone, now)
    return Compared(deleted, restored, shown=len(ids), before=before)


def show(connection: Connection, where: ListedScope, ids: Collection[str]) -> None:
    """Count these among what the account shows, as if its last listing had had them."""
    if ids:
        connection.execute(text(_LIST), {**where.key, "ids": list(ids)})


def delete(
    connection: Connection, partner: str, platform: str, kind: str, native_ids: Collection[str], now: datetime
) -> int:
    """Land a deleted version of each that is there and alive; how many."""
    if not native_ids:
        return 0
    lock(connection, partner, platform, kind)
    facts = {"partner": partner, "platform": platform, "ids": list(native_ids), "now": now}
    return connection.execute(text(_delete(kind)), facts).rowcount


def restore(
    connection: Connection, partner: str, platform: str, kind: str, native_ids: Collection[str], now: datetime
) -> int:
    """Land the last living version again of each that stands as deleted; how many."""
    if not native_ids:
        return 0
    lock(connection, partner, platform, kind)
    facts = {"partner": partner, "platform": platform, "ids": list(native_ids), "now": now}
    return connection.execute(text(_restore(kind)), facts).rowcount


def _was_doubted(connection: Connection, where: ListedScope) -> bool:
    return connection.execute(text(_DOUBTED), where.key).scalar_one_or_none() is not None


_SCOPE = "partner = :partner and connection_id = :connection_id and kind = :kind and scope = :scope"
_COUNT = f"select count(*) from integrator.listed where {_SCOPE}"
_DOUBTED = f"select shown from integrator.listing_doubt where {_SCOPE}"
_BELIEVE = f"delete from integrator.listing_doubt where {_SCOPE}"
_DOUBT = """
insert into integrator.listing_doubt (partner, connection_id, kind, scope, shown, before, noted_at)
values (:partner, :connection_id, :kind, :scope, :shown, :before, :now)
"""
_GONE = f"""
delete from integrator.listed as listed
where {_SCOPE} and not exists (select from unnest(cast(:ids as text[])) as shown (id) where shown.id = listed.native_id)
returning native_id
"""
_LIST = """
insert into integrator.listed (partner, connection_id, kind, scope, native_id)
select :partner, :connection_id, :kind, :scope, shown.id from unnest(cast(:ids as text[])) as shown (id)
on conflict do nothing
"""


def _columns(kind: str) -> str:
    return ", ".join(name for name in landed(kind) if name not in _OWN)


def _delete(kind: str) -> str:
    """The hash differs from any record's, so that the record itself, should it land again, is a version of its own."""
    columns = _columns(kind)
    return f"""
with closed as (
  update landing.{kind} set valid_to = greatest(:now, valid_from)
  where partner = :partner and platform = :platform and native_id = any(cast(:ids as text[]))
    and valid_to is null and deleted_at is null
  returning *
)
insert into landing.{kind} (partner, platform, arrived_at, valid_to, valid_from, deleted_at, record_hash, {columns})
select partner, platform, :now, null, valid_to, valid_to, substring(sha256(record_hash || 'deleted') for 16), {columns}
from closed
"""


def _restore(kind: str) -> str:
    columns = _columns(kind)
    return f"""
with closed as (
  update landing.{kind} as gone set valid_to = greatest(:now, valid_from)
  where partner = :partner and platform = :platform and native_id = any(cast(:ids as text[]))
    and valid_to is null and deleted_at is not null
    and exists (
      select from landing.{kind} as version
      where version.partner = :partner and version.platform = :platform and version.native_id = gone.native_id
        and version.valid_to is not null and version.deleted_at is null)
  returning native_id, valid_to
),
living as (
  select distinct on (version.native_id) version.*, closed.valid_to as back_at
  from landing.{kind} as version join closed on closed.native_id = version.native_id
  where version.partner = :partner and version.platform = :platform and version.valid_to is not null
    and version.deleted_at is null
  order by version.native_id, version.valid_from desc, version.version_id desc
)
insert into landing.{kind} (partner, platform, arrived_at, valid_to, valid_from, deleted_at, record_hash, {columns})
select partner, platform, :now, null, back_at, null, record_hash, {columns} from living
"""
