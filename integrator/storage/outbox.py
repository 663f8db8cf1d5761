"""`ops.outbox`: webhook messages written with the insight, what is due of them, and what became of each attempt.

Whoever sends has the endpoint's turn (`turns.py`), so that no row stays locked while a receiver makes us wait. A
sender that dies leaves its messages pending: they go out again under the same message id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one endpoint; `body` is sent as it is. `tried` counts since it was (last) asked for."""

    outbox_id: int
    message_id: str
    insight_id: str
    event_type: str
    body: str
    attempts: int
    insight_version: int = 0
    tried: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; `next_attempt_at` is None when there will be no other."""

    message: Message
    at: datetime
    delivered: bool
    status_code: int | None
    error: str | None
    duration_ms: float
    next_attempt_at: datetime | None
    response: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """An endpoint with something to send; `is_patient` when it is failing, slow or limited."""

    endpoint_id: str
    is_patient: bool


_MESSAGE = """outbox_id, message_id, insight_id, event_type, body, attempts, insight_version,
  attempts - attempts_before as tried"""


def large_staged(connection: Connection, most: int) -> list[tuple[str, str]]:
    """Insight id and document of staged versions whose document is larger than `most` bytes."""
    rows = connection.execute(
        text("select insight_id, document from publishing where octet_length(document) > :most"), {"most": most}
    )
    return [(row.insight_id, row.document) for row in rows]


def write_staged(
    connection: Connection, partner: str, use_case: str,
    *, at: datetime, timestamp: str, references: Mapping[str, str] | None = None,
) -> int:  # fmt: skip
    """One message for every staged version and active endpoint that wants it, around the document's own bytes.

    A small change is one against the last message that arrived or still may: what failed for good was never heard.
    `references` stand in place of documents that are too large, by insight id.
    """
    given = references or {}
    return connection.execute(
        text("""insert into ops.outbox (message_id, partner, endpoint_id, event_type, insight_id, insight_version,
            insight_status, value, body, created_at, next_attempt_at)
          select 'msg_' || left(encode(sha256(convert_to(concat_ws(chr(31), :partner, e.endpoint_id, p.insight_id,
              p.insight_version::text), 'UTF8')), 'hex'), 32),
            :partner, e.endpoint_id, t.event_type, p.insight_id, p.insight_version, p.status, p.value,
            '{"type":"' || t.event_type || '","timestamp":"' || :timestamp || '","data":'
              || coalesce(r.data, p.document) || '}',
            :at, :at
          from publishing p
          cross join lateral (
            select case p.status when 'withdrawn' then 'insight.withdrawn' else 'insight.updated' end as event_type) t
          join integrator.webhook_endpoint e on e.partner = :partner and e.status = 'active'
            and t.event_type = any(e.event_types) and (e.use_cases = '{}' or :use_case = any(e.use_cases))
            and (e.statuses = '{}' or p.status = 'withdrawn' or p.status = any(e.statuses))
            and (e.subject_kinds = '{}' or p.subject_kind = any(e.subject_kinds))
            and (e.subject_prefix is null or starts_with(p.subject_id, e.subject_prefix))
          left join lateral (
            select o.insight_status, o.value from ops.outbox o
            where e.minimum_change is not null and o.partner = :partner and o.endpoint_id = e.endpoint_id
              and o.insight_id = p.insight_id and o.status <> 'failed'
            order by o.insight_version desc limit 1) last on true
          left join unnest(cast(:ids as text[]), cast(:data as text[])) r(insight_id, data) using (insight_id)
          where e.minimum_change is null or last.insight_status is distinct from p.status
            or p.value is null or last.value is null
            or abs(p.value - last.value) >= e.minimum_change * abs(last.value)
          order by p.ordinal"""),
        {
            "partner": partner, "use_case": use_case, "at": at, "timestamp": timestamp,
            "ids": list(given), "data": list(given.values()),
        },
    ).rowcount  # fmt: skip


def put(
    connection: Connection, partner: str, endpoint_id: str, message_id: str, event_type: str, body: str, now: datetime,
    *, due: datetime | None = None,
) -> None:  # fmt: skip
    """One message that is about no insight: a test, or an endpoint that was disabled. Due at once unless said."""
    connection.execute(
        text("""insert into ops.outbox (message_id, partner, endpoint_id, event_type, insight_id, insight_version, body,
            created_at, next_attempt_at)
          values (:message_id, :partner, :endpoint_id, :event_type, '', 0, :body, :now, :due)"""),
        {
            "message_id": message_id, "partner": partner, "endpoint_id": endpoint_id, "event_type": event_type,
            "body": body, "now": now, "due": due or now,
        },
    )  # fmt: skip


def due_endpoints(connection: Connection, partner: str, now: datetime) -> list[Due]:
    """Active endpoints of a partner with something to send now, and not held."""
    rows = connection.execute(
        text("""select e.endpoint_id, e.is_slow or e.failures > 0 or e.max_per_second is not null as is_patient
        from integrator.webhook_endpoint e
        where e.partner = :partner and e.status = 'active' and (e.held_until is null or e.held_until <= :now)
          and exists (select from ops.outbox o where o.partner = :partner and o.endpoint_id = e.endpoint_id
            and o.status = 'pending' and o.next_attempt_at <= :now)
        order by e.endpoint_id"""),
        {"partner": partner, "now": now},
    )
    return [Due(row.endpoint_id, row.is_patient) for row in rows]


def next_due(connection: Connection, partner: str, endpoint_id: str) -> datetime | None:
    """When the next message of an active endpoint is due, its hold considered; None when nothing waits."""
    found: datetime | None = connection.execute(
        text("""select greatest(min(o.next_attempt_at), e.held_until)
        from integrator.webhook_endpoint e
        join ops.outbox o on o.partner = :partner and o.endpoint_id = e.endpoint_id and o.status = 'pending'
        where e.partner = :partner and e.endpoint_id = :endpoint_id and e.status = 'active' group by e.held_until"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    ).scalar_one_or_none()
    return found


def claim(connection: Connection, partner: str, endpoint_id: str, now: datetime, limit: int) -> list[Message]:
    """Up to `limit` due messages of one endpoint, oldest first; the caller has the endpoint's turn."""
    rows = connection.execute(
        text(f"""select {_MESSAGE} from ops.outbox
        where partner = :partner and endpoint_id = :endpoint_id and status = 'pending'
          and next_attempt_at <= :now
        order by outbox_id limit :limit"""),
        {"partner": partner, "endpoint_id": endpoint_id, "now": now, "limit": limit},
    )
    return [Message(**row._mapping) for row in rows]


def message(connection: Connection, partner: str, message_id: str) -> Message:
    """One message that is there."""
    row = connection.execute(
        text(f"select {_MESSAGE} from ops.outbox where partner = :partner and message_id = :message_id"),
        {"partner": partner, "message_id": message_id},
    ).one()
    return Message(**row._mapping)


def record(connection: Connection, partner: str, endpoint_id: str, outcomes: Sequence[Outcome]) -> None:
    """Write attempts and what follows from them; older versions of what was delivered are not sent any more."""
    if not outcomes:
        return
    rows: dict[str, Any] = {
        "partner": partner,
        "endpoint_id": endpoint_id,
        "ids": [o.message.outbox_id for o in outcomes],
        "messages": [o.message.message_id for o in outcomes],
        "attempts": [o.message.attempts + 1 for o in outcomes],
        "ats": [o.at for o in outcomes],
        "statuses": [_status(o) for o in outcomes],
        "nexts": [o.next_attempt_at for o in outcomes],
        "codes": [o.status_code for o in outcomes],
        "errors": [o.error for o in outcomes],
        "durations": [o.duration_ms for o in outcomes],
        "responses": [o.response for o in outcomes],
    }
    connection.execute(
        text("""insert into ops.delivery_attempt
          (partner, endpoint_id, message_id, attempt, at, status_code, error, duration_ms, response)
        select :partner, :endpoint_id, * from unnest(cast(:messages as text[]), cast(:attempts as integer[]),
          cast(:ats as timestamptz[]), cast(:codes as integer[]), cast(:errors as text[]),
          cast(:durations as double precision[]), cast(:responses as text[]))
        on conflict do nothing"""),
        rows,
    )
    connection.execute(
        text("""update ops.outbox o set attempts = n.attempts, status = n.status,
          next_attempt_at = coalesce(n.next_at, o.next_attempt_at),
          settled_at = case n.status when 'pending' then null else n.at end
        from unnest(cast(:ids as bigint[]), cast(:attempts as integer[]), cast(:statuses as text[]),
          cast(:nexts as timestamptz[]), cast(:ats as timestamptz[])) n(outbox_id, attempts, status, next_at, at)
        where o.partner = :partner and o.outbox_id = n.outbox_id and o.status = 'pending'"""),
        rows,
    )
    _supersede(connection, partner, endpoint_id, outcomes)


def _supersede(connection: Connection, partner: str, endpoint_id: str, outcomes: Sequence[Outcome]) -> None:
    newest: dict[str, int] = {}
    for outcome in outcomes:
        message = outcome.message
        if outcome.delivered and message.insight_id:
            newest[message.insight_id] = max(message.insight_version, newest.get(message.insight_id, 0))
    if not newest:
        return
    connection.execute(
        text("""update ops.outbox o set status = 'superseded', settled_at = :at
        from unnest(cast(:insights as text[]), cast(:versions as integer[])) n(insight_id, version)
        where o.partner = :partner and o.endpoint_id = :endpoint_id and o.insight_id = n.insight_id
          and o.insight_version < n.version and o.status = 'pending'"""),
        {
            "partner": partner, "endpoint_id": endpoint_id, "at": outcomes[-1].at,
            "insights": list(newest), "versions": list(newest.values()),
        },
    )  # fmt: skip


def _status(outcome: Outcome) -> str:
    if outcome.delivered:
        return "delivered"
    return "failed" if outcome.next_attempt_at is None else "pending"


def counts(connection: Connection, partner: str, endpoint_id: str | None = None) -> dict[str, int]:
    """How many messages are pending, delivered, failed and superseded; of one endpoint if that is said."""
    rows = connection.execute(
        text("""select status, count(*) as n from ops.outbox where partner = :partner
          and (cast(:endpoint_id as text) is null or endpoint_id = :endpoint_id) group by status"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    )
    return {"pending": 0, "delivered": 0, "failed": 0, "superseded": 0, **{row.status: row.n for row in rows}}


def waiting(connection: Connection, partner: str) -> int:
    """How many messages of a partner wait for their first or next attempt."""
    found: int = connection.execute(
        text("select count(*) from ops.outbox where partner = :partner and status = 'pending'"), {"partner": partner}
    ).scalar_one()
    return found


def give_up(connection: Connection, partner: str, endpoint_id: str, now: datetime) -> int:
    """What still waits for a disabled endpoint has failed; how many."""
    return connection.execute(
        text("""update ops.outbox set status = 'failed', settled_at = :now
        where partner = :partner and endpoint_id = :endpoint_id and status = 'pending'"""),
        {"partner": partner, "endpoint_id": endpoint_id, "now": now},
    ).rowcount
