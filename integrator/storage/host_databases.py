"""`integrator.host_database`: the tables a partner wants its insights in, and how far each has come.

The address is sealed with the partner's data key. What is written there is `integrator.delivery.host_database`'s.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound, invalid
from integrator.storage.crypto import MasterKey, decrypt, encrypt
from integrator.storage.partners import data_key

STATUSES = ("active", "paused", "failed")
_STATE = (
    "partner", "name", "shown_address", "tls", "layout", "revision", "status", "status_reason", "cursor",
    "rows_written", "attempts", "next_attempt_at", "failing_since", "last_error", "last_synced_at", "created_at",
)  # fmt: skip
_COLUMNS = ", ".join(_STATE)
_NAMED = "partner = :partner and name = :name"
_SAME = f"{_NAMED} and revision = :revision and created_at = :created_at"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How insights become rows: our field → the host's column, fixed values by column, and which insights.

    `key` are the fields that find a row again; empty filters take all; `withdrawn` is `mark` or `delete`.
    """

    table: str
    schema: str | None = None
    columns: Mapping[str, str]
    constants: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    key: tuple[str, ...]
    use_cases: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    subject_kinds: tuple[str, ...] = ()
    withdrawn: str = "mark"

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Layout":
        """As it is stored."""
        lists = {name: tuple(facts[name]) for name in ("key", "use_cases", "platforms", "subject_kinds")}
        return cls(**{**facts, **lists})


@dataclass(frozen=True, kw_only=True)
class HostDatabase:
    """One table of a partner's; `address` is in the clear here and nowhere at rest."""

    partner: str
    name: str
    address: str = field(repr=False)
    shown_address: str
    tls: str
    layout: Layout
    revision: int = 1
    status: str = "active"
    status_reason: str | None = None
    cursor: int = 0
    rows_written: int = 0
    attempts: int = 0
    next_attempt_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str | None = None
    last_synced_at: datetime | None = None
    created_at: datetime | None = None


def save(connection: Connection, master: MasterKey, target: HostDatabase, now: datetime) -> None:
    """Add it, or replace it: it is active again, and everything current is written anew."""
    key = data_key(connection, master, target.partner)
    connection.execute(
        text("""insert into integrator.host_database as there (partner, name, address, key_id, shown_address, tls, layout,
            status, next_attempt_at, created_at)
          values (:partner, :name, :address, :key_id, :shown, :tls, cast(:layout as jsonb), 'active', :now, :now)
          on conflict (partner, name) do update set address = excluded.address, key_id = excluded.key_id,
            shown_address = excluded.shown_address, tls = excluded.tls, layout = excluded.layout,
            revision = there.revision + 1, status = 'active', status_reason = null, cursor = 0, attempts = 0,
            next_attempt_at = excluded.next_attempt_at, failing_since = null, last_error = null"""),
        {
            "partner": target.partner,
            "name": target.name,
            "address": _seal(key.raw, target.partner, target.name, target.address),
            "key_id": key.key_id,
            "shown": target.shown_address,
            "tls": target.tls,
            "layout": json.dumps(target.layout.__dict__),
            "now": now,
        },
    )


def list_all(connection: Connection, partner: str) -> list[dict[str, Any]]:
    """A partner's host databases by name, as people see them: no address with its password."""
    rows = connection.execute(
        text(f"select {_COLUMNS} from integrator.host_database where partner = :partner order by name"),
        {"partner": partner},
    )
    return [dict(row._mapping) for row in rows]


def get(connection: Connection, master: MasterKey, partner: str, name: str) -> HostDatabase:
    """One of them; `NotFound` names those there are."""
    found = find(connection, master, partner, name)
    if found is None:
        names = [row["name"] for row in list_all(connection, partner)]
        raise NotFound(f"host database {name!r} does not exist; there are: {', '.join(names) or 'none'}")
    return found


def find(connection: Connection, master: MasterKey, partner: str, name: str) -> HostDatabase | None:
    """The same; None where it is gone."""
    row = connection.execute(
        text(f"""select {_COLUMNS}, address, key_id from integrator.host_database
        where partner = :partner and name = :name"""),
        {"partner": partner, "name": name},
    ).one_or_none()
    if row is None:
        return None
    facts = dict(row._mapping)
    raw = data_key(connection, master, partner, facts.pop("key_id")).raw
    facts["address"] = decrypt(raw, bytes(facts["address"]), _purpose(partner, name)).decode()
    facts["layout"] = Layout.of(facts["layout"])
    return HostDatabase(**facts)


def due(connection: Connection, partner: str, now: datetime) -> list[str]:
    """Active ones that something was published for since, and whose time to try has come; by name."""
    rows = connection.execute(
        text("""select name from integrator.host_database h
        where h.partner = :partner and h.status = 'active' and h.next_attempt_at <= :now and exists (
          select from insights.version v where v.partner = :partner and v.published_seq > h.cursor)
        order by name"""),
        {"partner": partner, "now": now},
    )
    return list(rows.scalars())


def advance(connection: Connection, was: HostDatabase, *, cursor: int, written: int, now: datetime) -> bool:
    """All up to `cursor` is in the host's table; `written` rows were. It works: failures are forgotten.

    False, and nothing is changed, where it is not as it `was`: saved anew, begun anew, removed, or written by another.
    """
    done = connection.execute(
        text(f"""update integrator.host_database
        set cursor = greatest(cursor, :cursor), rows_written = rows_written + :written, attempts = 0,
          next_attempt_at = :now, failing_since = null, last_error = null, last_synced_at = :now
        where {_SAME} and cursor = :was"""),
        {**_same(was), "was": was.cursor, "cursor": cursor, "written": written, "now": now},
    )
    return bool(done.rowcount)


def restart(connection: Connection, partner: str, name: str) -> None:
    """Have everything current written again."""
    connection.execute(
        text("update integrator.host_database set cursor = 0 where partner = :partner and name = :name"),
        {"partner": partner, "name": name},
    )


def fail(
    connection: Connection, partner: str, name: str, reason: str, *,
    now: datetime, again: datetime | None, was: HostDatabase | None = None,
) -> bool:  # fmt: skip
    """Note a failure; it is tried again at `again`, or never before a person has acted where that is None.

    False, and nothing is changed, where it is not active any more, or was saved anew or removed since it `was`.
    """
    done = connection.execute(
        text(f"""update integrator.host_database
        set attempts = attempts + 1, last_error = :reason, failing_since = coalesce(failing_since, :now),
          next_attempt_at = coalesce(:again, next_attempt_at),
          status = case when cast(:again as timestamptz) is null then 'failed' else status end,
          status_reason = case when cast(:again as timestamptz) is null then :reason else status_reason end
        where {_SAME if was else _NAMED} and status = 'active'"""),
        {"partner": partner, "name": name, **(_same(was) if was else {}), "reason": reason, "now": now, "again": again},
    )
    return bool(done.rowcount)


def set_status(connection: Connection, partner: str, name: str, status: str, reason: str | None, now: datetime) -> None:
    """Active, paused or failed, with the reason a person reads; whatever it is, what failed before is forgotten."""
    if status not in STATUSES:
        raise invalid("status", status, STATUSES)
    connection.execute(
        text("""update integrator.host_database
        set status = :status, status_reason = :reason, attempts = 0, next_attempt_at = :now, failing_since = null
        where partner = :partner and name = :name"""),
        {"partner": partner, "name": name, "status": status, "reason": reason, "now": now},
    )


def remove(connection: Connection, partner: str, name: str) -> None:
    """Forget it with its address; what was written stays in the host's table."""
    connection.execute(
        text("delete from integrator.host_database where partner = :partner and name = :name"),
        {"partner": partner, "name": name},
    )


def reseal(connection: Connection, master: MasterKey, partner: str) -> list[str]:
    """Seal every address with the current data key; their names."""
    key = data_key(connection, master, partner)
    names = [row["name"] for row in list_all(connection, partner)]
    for name in names:
        held = get(connection, master, partner, name)
        connection.execute(
            text("""update integrator.host_database set address = :address, key_id = :key_id
            where partner = :partner and name = :name"""),
            {
                "partner": partner, "name": name, "key_id": key.key_id,
                "address": _seal(key.raw, partner, name, held.address),
            },
        )  # fmt: skip
    return names


# What a host's table may hold of an insight; freshness is not part of it, for it moves without a new version.
_INSIGHT = (
    "insight_id, insight_version, use_case, subject_kind, subject_id, platform, status, value, unit, low, high, level, "
    "confidence, rung, model_name, model_version, summary, generated_at, published_seq, document, details"
)


def page(
    connection: Connection, partner: str, layout: Layout, *, after: int, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Current insights that the layout takes, published after `after`, in the order of their publication."""
    rows = connection.execute(
        text(f"""select {_INSIGHT} from insights.current
        where partner = :partner and published_seq > :after
          and (cardinality(cast(:use_cases as text[])) = 0 or use_case = any(:use_cases))
          and (cardinality(cast(:platforms as text[])) = 0 or platform = any(:platforms))
          and (cardinality(cast(:kinds as text[])) = 0 or subject_kind = any(:kinds))
        order by published_seq limit :limit"""),
        {
            "partner": partner, "after": after, "limit": limit, "use_cases": list(layout.use_cases),
            "platforms": list(layout.platforms), "kinds": list(layout.subject_kinds),
        },
    )  # fmt: skip
    return [dict(row._mapping) for row in rows]


def _same(was: HostDatabase) -> dict[str, Any]:
    return {
        "partner": was.partner, "name": was.name, "revision": was.revision, "created_at": was.created_at,
    }  # fmt: skip


def _seal(key: bytes, partner: str, name: str, address: str) -> bytes:
    return encrypt(key, address.encode(), _purpose(partner, name))


def _purpose(partner: str, name: str) -> str:
    return f"host_database:{partner}:{name}"
