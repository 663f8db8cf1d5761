"""Write-back: what a connection's platform is to be told, and what it was told, record by record and version by version."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

WITHDRAWN = ("clear", "mark")
_STATE = (
    "connection_id", "status", "status_reason", "withdrawn", "planned_at", "plan", "checked_seq", "attempts",
    "next_attempt_at", "failing_since", "last_error", "last_written_at",
)  # fmt: skip
_COLUMNS = ", ".join(_STATE)


@dataclass(frozen=True, kw_only=True)
class WriteBack:
    """A connection's write-back; `status` is off, on or failed."""

    connection_id: str
    status: str
    status_reason: str | None
    withdrawn: str
    planned_at: datetime | None
    plan: Mapping[str, Any] | None
    checked_seq: int
    attempts: int
    next_attempt_at: datetime
    failing_since: datetime | None
    last_error: str | None
    last_written_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one record; `reason` is why the platform will not take it."""

    native_id: str
    reason: str | None = None


def get(connection: Connection, partner: str, connection_id: str, *, lock: bool = False) -> WriteBack | None:
    """A connection's write-back, None where it was never planned; with `lock` it stays as it is to the transaction's end."""
    named = {"partner": partner, "connection_id": connection_id}
    if lock:  # the connection first, as who removes it does
        connection.execute(
            text("""select from integrator.connection
            where partner = :partner and connection_id = :connection_id for key share"""),
            named,
        )
    row = connection.execute(
        text(f"""select {_COLUMNS} from integrator.write_back
        where partner = :partner and connection_id = :connection_id {"for update" if lock else ""}"""),
        named,
    ).one_or_none()
    return None if row is None else WriteBack(**row._mapping)


def save_plan(
    connection: Connection, partner: str, connection_id: str, withdrawn: str, plan: Mapping[str, Any], now: datetime
) -> None:
    """Remember a dry run; it switches nothing on, and off what was planned otherwise."""
    connection.execute(
        text("""insert into integrator.write_back as there (partner, connection_id, status, withdrawn, planned_at, plan,
            next_attempt_at)
          values (:partner, :connection_id, 'off', :withdrawn, :now, cast(:plan as jsonb), :now)
          on conflict (partner, connection_id) do update set planned_at = excluded.planned_at, plan = excluded.plan,
            status = case when there.withdrawn = excluded.withdrawn then there.status else 'off' end,
            withdrawn = excluded.withdrawn"""),
        {
            "partner": partner, "connection_id": connection_id, "withdrawn": withdrawn, "now": now,
            "plan": json.dumps(dict(plan)),
        },
    )  # fmt: skip


def set_status(
    connection: Connection, partner: str, connection_id: str, status: str, reason: str | None, now: datetime
) -> None:
    """On, off or failed, with the reason a person reads. Switched on, what failed or was refused before is tried anew."""
    connection.execute(
        text("""update integrator.write_back set status = :status, status_reason = :reason, attempts = 0,
          next_attempt_at = :now, failing_since = null, last_error = null, checked_seq = 0
        where partner = :partner and connection_id = :connection_id"""),
        {"partner": partner, "connection_id": connection_id, "status": status, "reason": reason, "now": now},
    )
    if status == "on":  # what a platform refused may be mended by now; after the row, which who records holds
        connection.execute(
            text("""delete from integrator.written_back
            where partner = :partner and connection_id = :connection_id and status = 'failed'"""),
            {"partner": partner, "connection_id": connection_id},
        )


def due(connection: Connection, partner: str, now: datetime) -> list[str]:
    """Connections whose write-back is on, that something was published for since, and whose time has come."""
    rows = connection.execute(
        text("""select w.connection_id from integrator.write_back w
        join integrator.connection c on c.partner = w.partner and c.connection_id = w.connection_id
        where w.partner = :partner and w.status = 'on' and c.status = 'active' and w.next_attempt_at <= :now and exists (
          select from insights.version v where v.partner = :partner and v.published_seq > w.checked_seq)
        order by w.connection_id"""),
        {"partner": partner, "now": now},
    )
    return list(rows.scalars())


def advance(connection: Connection, partner: str, connection_id: str, *, checked_seq: int, now: datetime) -> None:
    """Everything up to `checked_seq` was tried; failures are forgotten."""
    connection.execute(
        text("""update integrator.write_back set checked_seq = greatest(checked_seq, :seq), attempts = 0,
          next_attempt_at = :now, failing_since = null, last_error = null
        where partner = :partner and connection_id = :connection_id"""),
        {"partner": partner, "connection_id": connection_id, "seq": checked_seq, "now": now},
    )


def fail(
    connection: Connection, partner: str, connection_id: str, reason: str, *, now: datetime, again: datetime | None
) -> None:
    """Note a failure of the whole; it is tried again at `again`, or not before a person has acted where that is None."""
    connection.execute(
        text("""update integrator.write_back set attempts = attempts + 1, last_error = :reason,
          failing_since = coalesce(failing_since, :now), next_attempt_at = coalesce(:again, next_attempt_at),
          status = case when cast(:again as timestamptz) is null then 'failed' else status end,
          status_reason = case when cast(:again as timestamptz) is null then :reason else status_reason end
        where partner = :partner and connection_id = :connection_id"""),
        {"partner": partner, "connection_id": connection_id, "reason": reason, "now": now, "again": again},
    )


def record(
    connection: Connection, partner: str, connection_id: str, rows: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Outcome], now: datetime,
) -> None:  # fmt: skip
    """Write down what became of records, for every insight that was told there.

    Also where a newer version stands already, which another process has told meanwhile: nobody knows which of the two
    came last, and the newer one is told again.
    """
    became = {outcome.native_id: outcome for outcome in outcomes}
    told = [row for row in rows if row["native_id"] in became]
    if not told:
        return
    if any(one.reason is None for one in outcomes):
        connection.execute(
            text("""update integrator.write_back set last_written_at = :now
            where partner = :partner and connection_id = :connection_id"""),
            {"partner": partner, "connection_id": connection_id, "now": now},
        )
    connection.execute(
        text("""insert into integrator.written_back (partner, connection_id, insight_id, native_id, insight_version,
            status, reason, at)
          select :partner, :connection_id, told.insight_id, told.native_id, told.version,
            case when told.reason is null then 'written' else 'failed' end, told.reason, :now
          from unnest(cast(:ids as text[]), cast(:natives as text[]), cast(:versions as integer[]),
            cast(:reasons as text[])) as told (insight_id, native_id, version, reason)
          on conflict (partner, connection_id, insight_id, native_id) do update
            set insight_version = excluded.insight_version, status = excluded.status, reason = excluded.reason,
              at = excluded.at"""),
        {
            "partner": partner, "connection_id": connection_id, "now": now,
            "ids": [row["insight_id"] for row in told], "natives": [row["native_id"] for row in told],
            "versions": [row["insight_version"] for row in told],
            "reasons": [became[row["native_id"]].reason for row in told],
        },
    )  # fmt: skip


def counts(connection: Connection, partner: str, connection_id: str) -> dict[str, int]:
    """Records that were written, and that the platform did not take."""
    rows = connection.execute(
        text("""select status, count(distinct native_id) as n from integrator.written_back
        where partner = :partner and connection_id = :connection_id group by status"""),
        {"partner": partner, "connection_id": connection_id},
    )
    found = {row.status: int(row.n) for row in rows}
    return {"written": found.get("written", 0), "refused": found.get("failed", 0)}


def refused(connection: Connection, partner: str, connection_id: str, limit: int = 20) -> list[dict[str, Any]]:
    """Records the platform did not take, newest first, with the reason."""
    rows = connection.execute(
        text("""select native_id, insight_id, insight_version, reason, at from integrator.written_back
        where partner = :partner and connection_id = :connection_id and status = 'failed'
        order by at desc, native_id limit :limit"""),
        {"partner": partner, "connection_id": connection_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


_TOLD = (
    "c.insight_id, c.insight_version, c.use_case, c.subject_kind, c.subject_id, c.platform, c.status, c.value, c.unit, "
    "c.low, c.high, c.summary, c.generated_at, c.details, c.document"
)
_OWN_ID = f"""select {_TOLD}, c.subject_id as native_id from insights.current c
  where c.partner = :partner and c.use_case = 'lead_score' and c.platform = :platform and c.status <> 'withdrawn'"""
# All the platform's records of the person a score is about; one whose person is not known yet stands for itself.
_PERSONS = f"""select {_TOLD}, other.native_id from insights.current c
  join harmonized.identity me on me.partner = :partner and me.platform = c.platform and me.native_id = c.subject_id
  join harmonized.identity other
    on other.partner = :partner and other.person_id = me.person_id and other.platform = :platform
  where c.partner = :partner and c.use_case = 'lead_score' and c.status <> 'withdrawn'
  union all
  {_OWN_ID} and not exists (select from harmonized.identity me
    where me.partner = :partner and me.platform = c.platform and me.native_id = c.subject_id)"""
_EVENTS = f"""select {_TOLD}, c.subject_id as native_id from insights.current c
  where c.partner = :partner and c.use_case = 'attendance' and c.subject_kind = 'event' and c.platform = :platform
    and c.status <> 'withdrawn'"""
# What is sold has no page of its own: the price is told at the event, or the series, that it is sold for.
_SOLD_FOR = f"""select {_TOLD}, sold.event_id as native_id from insights.current c
  join (
    select distinct coalesce(e.series_id, s.event_id) as event_id,
      s.product || coalesce('/' || nullif(s.tier, ''), '') as subject_id, s.product
    from harmonized.sale s
    left join harmonized.event e on e.partner = :partner and e.platform = s.platform and e.event_id = s.event_id
    where s.partner = :partner and s.platform = :platform and s.event_id is not null
  ) sold on c.subject_id in (sold.subject_id, sold.product)
  where c.partner = :partner and c.use_case = 'pricing' and c.platform = :platform and c.status <> 'withdrawn'"""
# What was told is taken back where it was told, whether or not the subject is still known.
_TAKEN_BACK = f"""select {_TOLD}, w.native_id from insights.current c
  join integrator.written_back w on w.partner = :partner and w.connection_id = :connection_id
    and w.insight_id = c.insight_id and (w.status = 'written' or w.insight_version = c.insight_version)
  where c.partner = :partner and c.status = 'withdrawn' and c.use_case = any(:use_cases)"""


def pending(
    connection: Connection, partner: str, connection_id: str, platform: str, use_cases: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """Everything to be told to up to `limit` of the platform's records that have not heard the newest of it.

    A record's rows come together, in the order of native ids; `written_version` is what it was told before.
    """
    rows = connection.execute(
        text(f"""with targets as ({_targets(connection, use_cases)}), told as (
          select distinct on (t.native_id, t.insight_id) t.*, w.insight_version as written_version from targets t
          left join integrator.written_back w on w.partner = :partner and w.connection_id = :connection_id
            and w.insight_id = t.insight_id and w.native_id = t.native_id
        ), due as (
          select distinct native_id from told where written_version is null or written_version < insight_version
          order by native_id limit :limit
        )
        select told.* from told join due using (native_id) order by native_id, use_case, subject_id"""),
        {
            "partner": partner, "connection_id": connection_id, "platform": platform, "use_cases": list(use_cases),
            "limit": limit,
        },
    )  # fmt: skip
    return [dict(row._mapping) for row in rows]


def due_count(connection: Connection, partner: str, connection_id: str, platform: str, use_cases: Sequence[str]) -> int:
    """How many of the platform's records have not heard the newest."""
    found: int = connection.execute(
        text(f"""with targets as ({_targets(connection, use_cases)})
        select count(distinct t.native_id) from targets t
        left join integrator.written_back w on w.partner = :partner and w.connection_id = :connection_id
          and w.insight_id = t.insight_id and w.native_id = t.native_id
        where w.insight_version is null or w.insight_version < t.insight_version"""),
        {"partner": partner, "connection_id": connection_id, "platform": platform, "use_cases": list(use_cases)},
    ).scalar_one()
    return found


def _targets(connection: Connection, use_cases: Sequence[str]) -> str:
    """The part of each use case; before the first night there is nothing harmonized to follow."""
    there: dict[str, Any] = {
        name: connection.execute(text("select to_regclass(:name)"), {"name": f"harmonized.{name}"}).scalar_one()
        for name in ("identity", "sale", "event")
    }
    parts = [_TAKEN_BACK]
    if "lead_score" in use_cases:
        parts.append(_PERSONS if there["identity"] else _OWN_ID)
    if "attendance" in use_cases:
        parts.append(_EVENTS)
    if "pricing" in use_cases and there["sale"] and there["event"]:
        parts.append(_SOLD_FOR)
    return "\nunion all\n".join(parts)
