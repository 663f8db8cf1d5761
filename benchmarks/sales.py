"""The sale records all ways in are measured with, and the NDJSON bodies made of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

BATCH = 5_000
NOW = datetime(2026, 3, 16, tzinfo=UTC)


def sale(number: int) -> dict[str, Any]:
    """A ticket sold to one of 100,000 contacts, for one of 50 events."""
    return {
        "native_id": f"s{number}", "product": f"p{number % 300}", "event_id": f"e{number % 50}",
        "contact_id": f"c{number * 7919 % 100_003}", "sold_at": "2026-03-01T12:00:00+00:00", "quantity": 1 + number % 3,
        "unit_price": f"{10 + number % 7}.50", "currency": "EUR", "status": "paid",
    }  # fmt: skip


def body(first: int, rows: int = BATCH) -> bytes:
    """One record a line."""
    return b"\n".join(json.dumps(sale(number)).encode() for number in range(first, first + rows))


def batches(first: int, rows: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of `BATCH` records."""
    for start in range(first, first + rows, BATCH):
        yield [sale(number) for number in range(start, min(start + BATCH, first + rows))]
