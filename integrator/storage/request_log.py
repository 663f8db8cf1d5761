"""`ops.request_log`: authenticated requests by client and route template. Never an address, never a body."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One answered request."""

    request_id: str
    partner: str
    client_id: str
    at: datetime
    method: str
    route: str
    status: int
    latency_ms: float


def append(connection: Connection, partner: str, entries: Sequence[RequestEntry]) -> None:
    """Write many at once; one that is there already is left alone."""
    if not entries:
        return
    connection.execute(
        text("""insert into ops.request_log (request_id, partner, client_id, at, method, route, status, latency_ms)
          select r.request_id, :partner, r.client_id, r.at, r.method, r.route, r.status, r.latency_ms
          from json_to_recordset(cast(:entries as json)) as r(request_id text, client_id text, at timestamptz, method text,
            route text, status integer, latency_ms double precision)
          on conflict do nothing"""),
        {"partner": partner, "entries": msgspec.json.encode(entries).decode()},
    )
