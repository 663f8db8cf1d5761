"""What was sent through webhooks: the log of attempts, sending again, and forgetting what is old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound

SWEPT_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at one message; `status_code` None when there was no answer."""

    attempt_id: int
    message_id: str
    event_type: str
    insight_id: str | None
    insight_version: int | None
    attempt: int
    at: datetime
    status_code: int | None
    error: str | None
    duration_ms: float
    response: str | None
    message_status: str
    next_attempt_at: datetime | None


def attempts_at(
    connection: Connection, partner: str, endpoint_id: str,
    *, limit: int, before: int | None = None, message_id: str | None = None,
) -> list[Attempt]:  # fmt: skip
    """Attempts at one endpoint, newest first, from below `before` (an `attempt_id`); of one message if that is said."""
    rows = connection.execute(
        text("""select a.attempt_id, a.message_id, o.event_type, nullif(o.insight_id, '') as insight_id,
            nullif(o.insight_version, 0) as insight_version, a.attempt, a.at, a.status_code, a.error, a.duration_ms,
            a.response, o.status as message_status,
            case o.status when 'pending' then o.next_attempt_at end as next_attempt_at
          from ops.delivery_attempt a
          join ops.outbox o on o.partner = :partner and o.message_id = a.message_id
          where a.partner = :partner and a.endpoint_id = :endpoint_id
            and (cast(:before as bigint) is null or a.attempt_id < :before)
            and (cast(:message_id as text) is null or a.message_id = :message_id)
          order by a.attempt_id desc limit :limit"""),
        {
            "partner": partner, "endpoint_id": endpoint_id, "limit": limit, "before": before, "message_id": message_id,
        },
    )  # fmt: skip
    return [Attempt(**row._mapping) for row in rows]


def again_one(connection: Connection, partner: str, endpoint_id: str, message_id: str, now: datetime) -> None:
    """Send one message again, as if it had never been tried; `NotFound` when the endpoint has none such any more."""
    found = connection.execute(
        text("""update ops.outbox set status = 'pending', attempts_before = attempts, next_attempt_at = :now,
          settled_at = null
        where partner = :partner and endpoint_id = :endpoint_id and message_id = :message_id"""),
        {"partner": partner, "endpoint_id": endpoint_id, "message_id": message_id, "now": now},
    ).rowcount
    if not found:
        raise NotFound(f"endpoint {endpoint_id!r} has no message {message_id!r} that could be sent again")


def again(
    connection: Connection, partner: str, endpoint_id: str, now: datetime,
    *, since: datetime, until: datetime, event_types: Sequence[str] = (), only_failed: bool = False,
) -> int:  # fmt: skip
    """Send again what was made from `since` to before `until`, in its order; how many.

    What waits anyway is left alone, and so are tests unless they are asked for.
    """
    return connection.execute(
        text("""update ops.outbox set status = 'pending', attempts_before = attempts, next_attempt_at = :now,
          settled_at = null
        where partner = :partner and endpoint_id = :endpoint_id and status <> 'pending'
          and created_at >= :since and created_at < :until
          and (event_type = any(:event_types)
            or cardinality(cast(:event_types as text[])) = 0 and event_type <> 'webhook.test')
          and (not :only_failed or status = 'failed')"""),
        {
            "partner": partner, "endpoint_id": endpoint_id, "now": now, "since": since, "until": until,
            "event_types": list(event_types), "only_failed": only_failed,
        },
    ).rowcount  # fmt: skip


def forget(connection: Connection, partner: str, before: datetime) -> int:
    """Delete some messages that were settled before that moment, and attempts as old; how many rows."""
    values = {"partner": partner, "before": before, "most": SWEPT_AT_ONCE}
    settled = connection.execute(
        text("""delete from ops.outbox where partner = :partner and outbox_id in (
          select outbox_id from ops.outbox where partner = :partner and status <> 'pending' and settled_at < :before
          limit :most for update skip locked)"""),
        values,
    ).rowcount
    tried = connection.execute(
        text("""delete from ops.delivery_attempt where partner = :partner and attempt_id in (
          select attempt_id from ops.delivery_attempt where partner = :partner and at < :before limit :most)"""),
        values,
    ).rowcount
    return settled + tried
