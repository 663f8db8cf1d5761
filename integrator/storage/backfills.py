"""Backfills: bounded stretches of the past, and how far each has come."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.errors import invalid
from integrator.contracts.records import LandingResult


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """One stretch of one kind; `waiting` until its last page has landed."""

    partner: str
    backfill_id: str
    connection_id: str
    kind: str
    since: datetime
    until: datetime
    cursor: Mapping[str, Any] | None
    status: str
    reason: str | None
    pages: int
    accepted: int
    unchanged: int
    quarantined: int


_COLUMNS = """partner, backfill_id, connection_id, kind, since, until, cursor, status, reason, pages, accepted,
  unchanged, quarantined"""


def add(
    connection: Connection, partner: str, connection_id: str, kind: str, since: datetime, until: datetime, now: datetime
) -> str:
    """Remember a stretch to be pulled; its id. `InvalidInput` unless it ends after it begins, and not after now."""
    if not since < until <= now:
        allowed = f"a stretch that begins before it ends, and ends by {now.isoformat()}"
        raise invalid("backfill", f"{since.isoformat()} to {until.isoformat()}", allowed)
    backfill_id = f"bf_{secrets.token_hex(6)}"
    connection.execute(
        text("""insert into integrator.backfill (partner, backfill_id, connection_id, kind, since, until, status,
            created_at, updated_at)
          values (:partner, :backfill_id, :connection_id, :kind, :since, :until, 'waiting', :now, :now)"""),
        {"partner": partner, "backfill_id": backfill_id, "connection_id": connection_id, "kind": kind,
         "since": since, "until": until, "now": now},
    )  # fmt: skip
    return backfill_id


def of_connection(connection: Connection, partner: str, connection_id: str, *, waiting: bool = False) -> list[Backfill]:
    """A connection's backfills, oldest first; only those still under way if `waiting`."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from integrator.backfill
          where partner = :partner and connection_id = :connection_id and (not :waiting or status = 'waiting')
          order by created_at, backfill_id"""),
        {"partner": partner, "connection_id": connection_id, "waiting": waiting},
    )
    return [Backfill(**row._mapping) for row in rows]


def advance(
    connection: Connection, backfill: Backfill, cursor: Mapping[str, Any], landed: LandingResult, now: datetime
) -> None:
    """Store where it goes on; called inside the transaction that lands the page."""
    connection.execute(
        text("""update integrator.backfill set cursor = cast(:cursor as jsonb), pages = pages + 1,
            accepted = accepted + :accepted, unchanged = unchanged + :unchanged,
            quarantined = quarantined + :quarantined, updated_at = :now,
            status = case when :done then 'done' else 'waiting' end, reason = null
          where partner = :partner and backfill_id = :backfill_id"""),
        {"cursor": json.dumps(dict(cursor)), "accepted": landed.accepted, "unchanged": landed.unchanged,
         "quarantined": landed.quarantined, "now": now, "done": cursor.get("done") is True,
         "partner": backfill.partner, "backfill_id": backfill.backfill_id},
    )  # fmt: skip


def end(connection: Connection, backfill: Backfill, status: str, reason: str | None, now: datetime) -> None:
    """Done or failed, with the reason a person reads; `waiting` with a reason is one that is tried again."""
    connection.execute(
        text("""update integrator.backfill set status = :status, reason = :reason, updated_at = :now
        where partner = :partner and backfill_id = :backfill_id"""),
        {"status": status, "reason": reason, "now": now, "partner": backfill.partner,
         "backfill_id": backfill.backfill_id},
    )  # fmt: skip
