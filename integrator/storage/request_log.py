"""`ops.request_log`: authenticated requests by client and route template. Never an address, never a body."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
          from unnest(cast(:ids as text[]), cast(:clients as text[]), cast(:ats as timestamptz[]),
            cast(:methods as text[]), cast(:routes as text[]), cast(:statuses as integer[]),
            cast(:latencies as double precision[]))
            r(request_id, client_id, at, method, route, status, latency_ms)
          on conflict do nothing"""),
        {
            "partner": partner, "ids": [e.request_id for e in entries], "clients": [e.client_id for e in entries],
            "ats": [e.at for e in entries], "methods": [e.method for e in entries],
            "routes": [e.route for e in entries], "statuses": [e.status for e in entries],
            "latencies": [e.latency_ms for e in entries],
        },
    )  # fmt: skip
