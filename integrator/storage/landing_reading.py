"""Raw records in, typed records and refusals out: the half of landing that needs no database.

A batch is read in one go, which is several times faster; only when something in it is refused is it read again, one by
one, to learn what and where. One bad record never keeps its neighbours from being read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import Contact, Record, RecordError
from integrator.contracts.validation import read_array, read_ndjson, read_record, read_records
from integrator.storage.quarantine import storable

Payload = Mapping[str, Any] | bytes
Form = Literal["array", "ndjson"]


@dataclass(frozen=True)
class Reading:
    """What a batch holds: `lines[i]` is where `records[i]` stood; each refusal keeps its payload."""

    kind: str
    lines: Sequence[int]
    records: Sequence[Record]
    rejected: Sequence[tuple[Payload, RecordError]] = ()
    strict: bool = True


def read_payloads(kind: str, payloads: Iterable[Payload], *, strict: bool = True, first_line: int = 1) -> Reading:
    """Records as JSON-able dicts or JSON bytes; `strict=False` reads numbers from text."""
    raws = list(payloads)
    try:
        records = read_records(kind, raws, strict=strict)
    except InvalidInput:
        return _one_by_one(kind, enumerate(raws, start=first_line), strict=strict)
    return Reading(kind, range(first_line, first_line + len(records)), records)


def read_body(kind: str, body: bytes, form: Form) -> Reading:
    """A JSON array (lines are its elements), or NDJSON (lines are lines; empty ones count and are skipped).

    Raises `InvalidInput` for an array that is none; of NDJSON a broken line is refused alone.
    """
    try:
        records = read_array(kind, body) if form == "array" else read_ndjson(kind, body)
    except InvalidInput:
        return _one_by_one(kind, _elements(body) if form == "array" else _lines(body))
    if form == "ndjson" and not _one_a_line(body, len(records)):
        return _one_by_one(kind, _lines(body))
    return Reading(kind, range(1, len(records) + 1), records)


def _one_a_line(body: bytes, count: int) -> bool:
    """Whether line i holds record i. What was read may also be two records on a line, or one on two."""
    lines = body.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    return len(lines) == count and all(map(_looks_whole, lines))


def _looks_whole(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith((b"}", b"}\r"))


def _lines(body: bytes) -> Iterable[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip())


def _elements(body: bytes) -> Iterable[tuple[int, bytes]]:
    try:
        elements = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"the body is no JSON array: {error}") from error
    return ((number, bytes(element)) for number, element in enumerate(elements, start=1))


def _one_by_one(kind: str, numbered: Iterable[tuple[int, Payload]], *, strict: bool = True) -> Reading:
    lines: list[int] = []
    records: list[Record] = []
    rejected: list[tuple[Payload, RecordError]] = []
    for line, raw in numbered:
        try:
            record = read_record(kind, raw, strict=strict)
        except InvalidInput as error:
            rejected.append((raw, _error(line, raw, error)))
        else:
            lines.append(line)
            records.append(record)
    return Reading(kind, lines, records, rejected, strict)


def _error(line: int, raw: Payload, error: InvalidInput) -> RecordError:
    shown = storable(_shown(raw, error.field))
    return RecordError(line, storable(error.field), shown, storable(str(error)) or "not allowed")


def _shown(raw: Payload, field: str | None) -> str | None:
    """The value at fault, for the sender's eyes; never a personal one."""
    if field is None or field in Contact.PERSONAL or field.startswith(("attributes", "native_id")):
        return None
    value: Any = raw
    if isinstance(raw, bytes):
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None else str(value)[:100]
