"""Cutting any number of records into bodies: NDJSON, gzip, within the service's limits. Lazy, so a generator stays one."""

import gzip
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from integrator_client.errors import UnsendableRecord

Record = Mapping[str, Any]
MOST_RECORDS = 10_000
MOST_BYTES = 8 * 1024 * 1024  # half of what the service takes, before compression
GZIP_LEVEL = 1  # NDJSON shrinks tenfold already; more costs more time than it saves


@dataclass(frozen=True)
class Batch:
    """Lines of one request; `first` is the index of its first record."""

    first: int
    lines: tuple[bytes, ...]

    def body(self) -> bytes:
        """Compressed NDJSON; the same bytes each time, for the same idempotency key must carry the same body."""
        return gzip.compress(b"\n".join(self.lines), GZIP_LEVEL, mtime=0)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Two batches in its place."""
        middle = len(self.lines) // 2
        return Batch(self.first, self.lines[:middle]), Batch(self.first + middle, self.lines[middle:])


def batches(records: Iterable[Record], size: int, largest: int = MOST_BYTES) -> Iterator[Batch]:
    """Batches of at most `size` records and `largest` bytes, in order; `UnsendableRecord` names the first it cannot write."""
    if not 1 <= size <= MOST_RECORDS:
        raise ValueError(f"batch_size {size} is not allowed; allowed: 1 to {MOST_RECORDS}")
    lines: list[bytes] = []
    first, weight = 0, 0
    for index, record in enumerate(records):
        line = encoded(record, index)
        if lines and (len(lines) == size or weight + len(line) + 1 > largest):
            yield Batch(first, tuple(lines))
            lines, first, weight = [], index, 0
        lines.append(line)
        weight += len(line) + 1
    if lines:
        yield Batch(first, tuple(lines))


def encoded(record: Record, index: int) -> bytes:
    """One record as a line of JSON: decimals as text, so that no digit is lost; datetimes must be aware."""
    if not isinstance(record, Mapping):
        raise UnsendableRecord(index, f"{type(record).__name__} is not allowed; allowed: a mapping of fields")
    try:
        return json.dumps(
            dict(record), default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsendableRecord(index, str(error)) from error


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not an amount")
        return format(value, "f")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no offset; allowed: an aware datetime")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)  # numpy's scalars
    if callable(item):
        plain = item()
        if isinstance(plain, float) and not math.isfinite(plain):
            raise ValueError(f"{plain} is not a number")
        return plain
    raise TypeError(f"{type(value).__name__} has no meaning in JSON")
