"""A record as a row: the columns of landing, where each comes from, and a batch of them as CSV for COPY.

The CSV is made by the JSON encoder, which is several times faster than Python: a JSON array of scalars is a line of
CSV once its brackets are off, with backslash as the escape and `null` unquoted.
"""

import hashlib
import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from integrator.contracts.records import Record
from integrator.contracts.validation import canonical
from integrator.storage.personal import Split

Column = tuple[str, str, str]
"""Name, SQL type, and where it is on the record."""

Part = tuple[int, Record, bytes, Split]
"""Line, record, its keyed hash, and what was split off."""

COMMON: tuple[Column, ...] = (
    ("native_id", "text", "native_id"), ("updated_at", "timestamptz", "updated_at"),
    ("deleted_at", "timestamptz", "deleted_at"),
)  # fmt: skip

COLUMNS: dict[str, tuple[Column, ...]] = {
    "event": (
        ("name", "text", "name"), ("starts_at", "timestamptz", "starts_at"), ("ends_at", "timestamptz", "ends_at"),
        ("timezone", "text", "timezone"), ("status", "text", "status"), ("venue_name", "text", "venue.name"),
        ("venue_city", "text", "venue.city"), ("venue_region", "text", "venue.region"),
        ("venue_country", "text", "venue.country"), ("venue_capacity", "integer", "venue.capacity"),
        ("category", "text", "category"), ("series_id", "text", "series_id"),
        ("on_sale_at", "timestamptz", "on_sale_at"), ("capacity", "integer", "capacity"),
        ("attendance", "integer", "attendance"),
    ),
    "contact": (
        ("created_at", "timestamptz", "created_at"), ("stage", "text", "stage"),
        ("converted_at", "timestamptz", "converted_at"), ("lost_at", "timestamptz", "lost_at"),
        ("source", "text", "source"), ("consent_processing", "text", "consent.processing"),
        ("consent_pooling", "text", "consent.pooling"), ("country", "text", "country"),
    ),
    "sale": (
        ("event_id", "text", "event_id"), ("contact_id", "text", "contact_id"), ("product", "text", "product"),
        ("tier", "text", "tier"), ("sold_at", "timestamptz", "sold_at"), ("quantity", "integer", "quantity"),
        ("unit_price", "numeric", "unit_price"), ("list_price", "numeric", "list_price"),
        ("unit_cost", "numeric", "unit_cost"), ("currency", "text", "currency"), ("status", "text", "status"),
        ("refunded_quantity", "integer", "refunded_quantity"), ("refunded_amount", "numeric", "refunded_amount"),
        ("channel", "text", "channel"),
    ),
}  # fmt: skip

_HASHES: dict[str, tuple[str, ...]] = {"contact": ("email_hash", "phone_hash")}
_VALUES_OF = {kind: attrgetter(*(path for _, _, path in (*COMMON, *columns))) for kind, columns in COLUMNS.items()}
_ENCODER = msgspec.json.Encoder()
_ESCAPE = re.compile(rb'\\(?:["\\]|[bfnrt]|u00[0-9a-f]{2})')
_CONTROLS = {b"\\b": b"\b", b"\\f": b"\f", b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}


def staged(kind: str) -> list[tuple[str, str]]:
    """Name and SQL type of what `csv` writes; hashes are base64."""
    columns = [(name, kind_) for name, kind_, _ in (*COMMON, *COLUMNS[kind])]
    hashes = [(name, "text") for name in _HASHES.get(kind, ())]
    return [("ordinal", "integer"), ("record_hash", "text"), ("attributes", "jsonb"), *columns, *hashes]


def landed(kind: str) -> dict[str, str]:
    """Column of the landing table → what it is selected as from the staged rows."""
    plain = {name: f"incoming.{name}" for name, _ in staged(kind)[3:] if name not in _HASHES.get(kind, ())}
    hashes = {name: f"decode(incoming.{name}, 'base64')" for name in ("record_hash", *_HASHES.get(kind, ()))}
    return plain | hashes | {"attributes": "coalesce(incoming.attributes, '{}')"}


def hashes(key: bytes, records: Sequence[Record]) -> list[bytes]:
    """The keyed hash of each record (BLAKE2b, 16 bytes): equal for equal records."""
    keyed = hashlib.blake2b(key=key, digest_size=16)
    found = []
    for line in canonical(records).splitlines():
        one = keyed.copy()
        one.update(line)
        found.append(one.digest())
    return found


def csv(kind: str, parts: Sequence[Part]) -> bytes:
    """The lines of `staged(kind)` for COPY (format csv, null 'null', escape backslash); empty for no parts."""
    values_of = _VALUES_OF[kind]
    rows: list[tuple[Any, ...]]
    if kind in _HASHES:
        rows = [
            (line, digest, _attributes(part), *values_of(record), part.email_hash, part.phone_hash)
            for line, record, digest, part in parts
        ]
    else:
        rows = [(line, digest, _attributes(part), *values_of(record)) for line, record, digest, part in parts]
    data = _ENCODER.encode_lines(rows)[1:-2].replace(b"]\n[", b"\n")
    # JSON writes a line break as \n, CSV as it is. Rare, and seen by what is left when \\ and \" are gone.
    rest = data.replace(b"\\\\", b"") if b"\\" in data else b""
    return data if rest.count(b"\\") == rest.count(b'\\"') else _ESCAPE.sub(_control, data)


def json_rows(kind: str, parts: Sequence[Part]) -> str:
    """The same rows as a JSON array of objects, for `json_to_recordset`; `ordinal` is the part's line."""
    names, values_of = [name for name, _ in staged(kind)], _VALUES_OF[kind]
    rows = []
    for line, record, digest, part in parts:
        persons = (part.email_hash, part.phone_hash) if kind in _HASHES else ()
        rows.append(dict(zip(names, (line, digest, part.attributes, *values_of(record), *persons), strict=True)))
    return _ENCODER.encode(rows).decode()


def _attributes(part: Split) -> str | None:
    return _ENCODER.encode(part.attributes).decode() if part.attributes else None


def _control(match: re.Match[bytes]) -> bytes:
    found = match[0]
    if found.startswith(b"\\u"):
        return bytes((int(found[2:], 16),))
    return _CONTROLS.get(found, found)
