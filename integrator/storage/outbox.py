"""`ops.outbox`: webhook messages written with the insight, claimed by dispatchers, and the log of attempts.

A claim holds its rows locked until the outcome is committed: a dispatcher that dies gives them back at once, and
they go out again under the same message id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one endpoint; `body` is sent as it is."""

    outbox_id: int
    message_id: str
    insight_id: str
    event_type: str
    body: str
    attempts: int


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


def write_staged(connection: Connection, partner: str, use_case: str, *, at: datetime, timestamp: str) -> int:
    """One message for every staged version and active endpoint that wants it, around the document's own bytes."""
    return connection.execute(
        text("""insert into ops.outbox (message_id, partner, endpoint_id, event_type, insight_id, insight_version, body,
            created_at, next_attempt_at)
          select 'msg_' || left(encode(sha256(convert_to(concat_ws(chr(31), :partner, e.endpoint_id, p.insight_id,
              p.insight_version::text), 'UTF8')), 'hex'), 32),
            :partner, e.endpoint_id, t.event_type, p.insight_id, p.insight_version,
            '{"type":"' || t.event_type || '","timestamp":"' || :timestamp || '","data":' || p.document || '}',
            :at, :at
          from publishing p
          cross join lateral (
            select case p.status when 'withdrawn' then 'insight.withdrawn' else 'insight.updated' end as event_type) t
          join integrator.webhook_endpoint e on e.partner = :partner and e.status = 'active'
            and t.event_type = any(e.event_types) and (e.use_cases = '{}' or :use_case = any(e.use_cases))
          order by p.ordinal"""),
        {"partner": partner, "use_case": use_case, "at": at, "timestamp": timestamp},
    ).rowcount


def put(
    connection: Connection, partner: str, endpoint_id: str, message_id: str, event_type: str, body: str, now: datetime
) -> None:
    """One message that is about no insight: a test, or an endpoint that was disabled."""
    connection.execute(
        text("""insert into ops.outbox (message_id, partner, endpoint_id, event_type, insight_id, insight_version, body,
            created_at, next_attempt_at)
          values (:message_id, :partner, :endpoint_id, :event_type, '', 0, :body, :now, :now)"""),
        {
            "message_id": message_id, "partner": partner, "endpoint_id": endpoint_id, "event_type": event_type,
            "body": body, "now": now,
        },
    )  # fmt: skip


def due_endpoints(connection: Connection, partner: str, now: datetime) -> list[str]:
    """Active endpoints of a partner with something to send now."""
    rows = connection.execute(
        text("""select e.endpoint_id from integrator.webhook_endpoint e
        where e.partner = :partner and e.status = 'active' and exists (
          select from ops.outbox o where o.partner = :partner and o.endpoint_id = e.endpoint_id
            and o.status = 'pending' and o.next_attempt_at <= :now)
        order by e.endpoint_id"""),
        {"partner": partner, "now": now},
    )
    return list(rows.scalars())


def claim(connection: Connection, partner: str, endpoint_id: str, now: datetime, limit: int) -> list[Message]:
    """Lock up to `limit` due messages of one endpoint, oldest first; those another dispatcher holds are passed over."""
    rows = connection.execute(
        text("""select outbox_id, message_id, insight_id, event_type, body, attempts from ops.outbox
        where partner = :partner and endpoint_id = :endpoint_id and status = 'pending'
          and next_attempt_at <= :now
        order by outbox_id limit :limit for update skip locked"""),
        {"partner": partner, "endpoint_id": endpoint_id, "now": now, "limit": limit},
    )
    return [Message(**row._mapping) for row in rows]


def record(connection: Connection, partner: str, outcomes: Sequence[Outcome]) -> None:
    """Write attempts and what follows from them, all outcomes in two statements."""
    if not outcomes:
        return
    rows: dict[str, Any] = {
        "partner": partner,
        "ids": [o.message.outbox_id for o in outcomes],
        "messages": [o.message.message_id for o in outcomes],
        "attempts": [o.message.attempts + 1 for o in outcomes],
        "ats": [o.at for o in outcomes],
        "statuses": [_status(o) for o in outcomes],
        "nexts": [o.next_attempt_at for o in outcomes],
        "codes": [o.status_code for o in outcomes],
        "errors": [o.error for o in outcomes],
        "durations": [o.duration_ms for o in outcomes],
    }
    connection.execute(
        text("""insert into ops.delivery_attempt (partner, message_id, attempt, at, status_code, error, duration_ms)
        select :partner, * from unnest(cast(:messages as text[]), cast(:attempts as integer[]),
          cast(:ats as timestamptz[]), cast(:codes as integer[]), cast(:errors as text[]),
          cast(:durations as double precision[]))
        on conflict do nothing"""),
        rows,
    )
    connection.execute(
        text("""update ops.outbox o set attempts = n.attempts, status = n.status,
          next_attempt_at = coalesce(n.next_at, o.next_attempt_at)
        from unnest(cast(:ids as bigint[]), cast(:attempts as integer[]), cast(:statuses as text[]),
          cast(:nexts as timestamptz[])) n(outbox_id, attempts, status, next_at)
        where o.partner = :partner and o.outbox_id = n.outbox_id"""),
        rows,
    )


def _status(outcome: Outcome) -> str:
    if outcome.delivered:
        return "delivered"
    return "failed" if outcome.next_attempt_at is None else "pending"


def counts(connection: Connection, partner: str) -> dict[str, int]:
    """How many messages are pending, delivered and failed."""
    rows = connection.execute(
        text("select status, count(*) as n from ops.outbox where partner = :partner group by status"),
        {"partner": partner},
    )
    return {"pending": 0, "delivered": 0, "failed": 0, **{row.status: row.n for row in rows}}


def attempts(connection: Connection, partner: str, message_id: str) -> list[dict[str, Any]]:
    """The log of attempts of one message, oldest first."""
    rows = connection.execute(
        text("""select attempt, at, status_code, error, duration_ms from ops.delivery_attempt
        where partner = :partner and message_id = :message_id order by attempt"""),
        {"partner": partner, "message_id": message_id},
    )
    return [dict(row._mapping) for row in rows]


def give_up(connection: Connection, partner: str, endpoint_id: str) -> int:
    """What still waits for a disabled endpoint has failed; how many."""
    return connection.execute(
        text("""update ops.outbox set status = 'failed'
        where partner = :partner and endpoint_id = :endpoint_id and status = 'pending'"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    ).rowcount
