"""Records and requests for the tests of the ingestion API."""

import gzip
import json
from typing import Any

import httpx

from integrator.security import clients
from integrator.steps.services import Services

WRITE = "events:write contacts:write sales:write quarantine:write"
NDJSON = {"Content-Type": "application/x-ndjson"}
ARRAY = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "events": {
        "native_id": "gala", "starts_at": "2026-04-01T19:00:00+02:00", "timezone": "Europe/Berlin",
        "status": "scheduled", "capacity": 300,
    },
    "contacts": {"native_id": "c-1", "created_at": "2026-01-05T10:00:00Z", "email": "ada@example.org", "stage": "lead"},
    "sales": {
        "native_id": "s-1", "event_id": "gala", "product": "ticket", "sold_at": "2026-03-01T10:00:00Z", "quantity": 2,
        "unit_price": "25.00", "currency": "EUR", "status": "paid",
    },
}  # fmt: skip


def sale(native_id: str, **changes: Any) -> dict[str, Any]:
    """A good sale, with changes."""
    return {**EXAMPLES["sales"], "native_id": native_id, **changes}


def lines(*records: Any) -> bytes:
    """NDJSON; text and bytes are taken as they are."""
    return b"\n".join(_line(record) for record in records) + b"\n"


def _line(record: Any) -> bytes:
    if isinstance(record, bytes):
        return record
    return record.encode() if isinstance(record, str) else json.dumps(record).encode()


def packed(body: bytes) -> bytes:
    """Gzip."""
    return gzip.compress(body, 1, mtime=0)


def caller(http: httpx.Client, services: Services, partner: str, scopes: str = WRITE) -> dict[str, str]:
    """The header of a fresh client of that partner."""
    made = clients.create(services.database, partner, scopes, services.clock())
    form = {"grant_type": "client_credentials"}
    answer = http.post("/oauth/token", data=form, auth=(made.client_id, made.client_secret))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def landed(services: Services, partner: str, kind: str = "sale") -> list[str]:
    """The native ids of a partner's current versions, in order."""
    from sqlalchemy import text

    with services.database.partner(partner) as connection:
        rows = connection.execute(
            text(f"select native_id from landing.{kind} where partner = :partner and valid_to is null order by 1"),
            {"partner": partner},
        )
        return [str(row.native_id) for row in rows]


def is_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document, checked."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:integrator:problem:{slug}", document
    assert document["status"] == status and document["title"] != "Error" and document["detail"]
    assert document["instance"] == f"urn:integrator:request:{answer.headers['x-request-id']}"
    return document
