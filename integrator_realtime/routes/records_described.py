"""What `/openapi.json` says of the ingestion routes and of a replay, beside what is the same for all routes."""

import json
from typing import Any

Described = dict[str, Any]

EXAMPLES: dict[str, Described] = {
    "event": {
        "native_id": "gala-2026", "name": "Spring gala", "starts_at": "2026-04-01T19:00:00+02:00",
        "timezone": "Europe/Berlin", "status": "scheduled", "capacity": 300,
        "venue": {"city": "Berlin", "country": "DE"}, "attributes": {"members_only": False},
    },
    "contact": {
        "native_id": "c-1", "created_at": "2026-01-05T10:00:00Z", "email": "ada@example.org", "stage": "lead",
        "source": "webinar", "consent": {"processing": "granted"}, "country": "DE",
    },
    "sale": {
        "native_id": "order-1/1", "event_id": "gala-2026", "contact_id": "c-1", "product": "ticket", "tier": "balcony",
        "sold_at": "2026-03-01T10:00:00Z", "quantity": 2, "unit_price": "25.00", "currency": "EUR", "status": "paid",
    },
}  # fmt: skip
KEY_HEADER = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "The same key and content within 12 hours get the first answer again, with `Idempotent-Replayed`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}, "example": "order-4711-1",
}  # fmt: skip
REPLAYED_HEADER: Described = {
    "Idempotent-Replayed": {"description": "`true` when this is the answer of before.", "schema": {"const": "true"}}
}
_COUNT = {"type": "integer", "minimum": 0}
_TEXT = {"type": ["string", "null"]}

PUSHED: dict[int | str, Described] = {
    200: {
        "description": "Committed. What became of each record; also when all of them were quarantined.",
        "headers": REPLAYED_HEADER,
    }
}  # fmt: skip
REPLAYED: dict[int | str, Described] = {
    200: {
        "description": "Committed. What has landed is marked; what is refused stays in quarantine.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["replayed", "refused", "errors", "next"],
                    "properties": {
                        "replayed": _COUNT,
                        "refused": _COUNT,
                        "errors": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["quarantine_id", "field", "value", "reason"],
                                "properties": {
                                    "quarantine_id": _COUNT, "field": _TEXT, "value": _TEXT, "reason": {"type": "string"},
                                },
                            },
                        },
                        "next": {"type": ["integer", "null"]},
                    },
                    "examples": [{"replayed": 10000, "refused": 0, "errors": [], "next": 10417}],
                }
            }
        },
    }
}  # fmt: skip
MENDED: Described = {
    "requestBody": {
        "required": False,
        "description": "The mended record; without a body the record is tried as it came.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": EXAMPLES["sale"]}},
    },
}


def pushing(kind: str) -> Described:
    """The request of one route: both media types, and the key."""
    example = EXAMPLES[kind]
    record = {"$ref": f"#/components/schemas/{kind.capitalize()}"}
    lines = {"type": "string", "description": f"One {kind} a line, each a JSON object; empty lines are skipped."}
    return {
        "parameters": [KEY_HEADER],
        "requestBody": {
            "required": True,
            "description": "Up to 10,000 records and 16 MiB, as sent and once inflated; plain, or with Content-Encoding gzip.",
            "content": {
                "application/json": {"schema": {"type": "array", "items": record}, "example": [example]},
                "application/x-ndjson": {"schema": lines, "example": json.dumps(example) + "\n"},
            },
        },
    }
