"""Reading canonical records from CSV, Parquet and NDJSON, in batches, without holding the file in memory."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, AnyStr, TypeVar

import msgspec

from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.records import KINDS, Consent, Venue
from integrator.storage.personal import NUMBER

R = TypeVar("R")
Batch = tuple[int, bool, list[Mapping[str, Any] | bytes]]
"""First line (from 1, the header not counted), whether types are exact, and the records."""

Rows = tuple[list[int], list[Mapping[str, Any] | bytes]]
"""The lines of a batch (from 1, the header not counted) and what stands there, under the file's own names."""

LONGEST_LINE = 2**22  # characters; what is longer is no line, and would fill the memory
FULLEST_BATCH = 2**25
LONGEST_NUMBER = 100  # longer rows of digits are no quantity, and Python refuses to read some thousand of them
BEYOND = "(cells beyond the header)"
"""The name under which a row says how many cells too many it has."""
FORMATS = (".csv", ".parquet", ".ndjson", ".jsonl")


def batches(path: Path, kind: str, size: int) -> Iterator[Batch]:
    """The file's records by its ending; `InvalidInput` for one that is not among FORMATS or cannot be read at all."""
    ending = path.suffix.lower()
    if ending == ".csv":
        return _csv(path, kind, size)
    if ending == ".parquet":
        return _parquet(path, kind, size)
    if ending in (".ndjson", ".jsonl"):
        return _ndjson(path, size)
    raise invalid("file", path.name, FORMATS)


def rows(path: Path, size: int) -> Iterator[Rows]:
    """The file's rows as they stand there, for a mapping to read: cells are text in CSV, empty ones are absent."""
    ending = path.suffix.lower()
    if ending == ".csv":
        for line, header, found in _cells(path, size):
            yield list(range(line, line + len(found))), [_flat(header, row) for row in found]
    elif ending == ".parquet":
        for line, table in _tables(path, size):
            yield list(range(line, line + len(table))), list(table)
    elif ending in (".ndjson", ".jsonl"):
        for numbered in _numbered(path, size):
            yield [number for number, _ in numbered], [_decoded(row) for _, row in numbered]
    else:
        raise invalid("file", path.name, FORMATS)


def _csv(path: Path, kind: str, size: int) -> Iterator[Batch]:
    for line, header, found in _cells(path, size):
        yield line, False, [_nested(kind, header, row) for row in found]


def _cells(path: Path, size: int) -> Iterator[tuple[int, list[str], list[list[str]]]]:
    """First line, header and rows of each batch."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(_lines(file, path.name))
        try:
            header = [name.strip() for name in next(reader, [])]
            if any("\x00" in name or any("\ud800" <= sign <= "\udfff" for sign in name) for name in header):
                raise InvalidInput(f"{path.name}: not a CSV file; allowed: text in UTF-8")
            if len(set(header)) != len(header) or not any(header):
                raise InvalidInput(f"{path.name}: the header must name each column once; it is {header}")
            line = 1
            for found in _filled(reader, size, lambda row: sum(map(len, row))):
                yield line, header, found
                line += len(found)
        except csv.Error as error:
            raise InvalidInput(f"{path.name}: not a CSV file: {error}") from error


def _lines(file: IO[AnyStr], name: str) -> Iterator[AnyStr]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise InvalidInput(f"{name}: a line is longer than {LONGEST_LINE} characters")
        yield line


def _filled(found: Iterable[R], size: int, weigh: Callable[[R], int]) -> Iterator[list[R]]:
    """Batches of `size`, fewer where they are heavy: memory is bounded by what rows weigh and not by their number."""
    batch: list[R] = []
    weight = 0
    for one in found:
        batch.append(one)
        weight += weigh(one)
        if len(batch) == size or weight > FULLEST_BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _flat(header: list[str], row: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: cell for name, cell in zip(header, row, strict=False) if cell != ""}
    if len(row) > len(header):
        found[BEYOND] = len(row) - len(header)
    return found


def _nested(kind: str, header: list[str], row: list[str]) -> dict[str, Any]:
    """One line as a record: dots nest, empty cells are absent, unknown columns are attributes."""
    record: dict[str, Any] = {}
    if len(row) > len(header):
        record[BEYOND] = len(row) - len(header)  # an unknown field: quarantined with its reason
    for name, cell in zip(header, row, strict=False):
        if cell != "":
            _put(record, kind, name, cell)
    return record


def _put(record: dict[str, Any], kind: str, name: str, cell: Any) -> None:
    outer, _, inner = name.partition(".")
    if outer == "attributes":
        record.setdefault("attributes", {})[inner] = typed(cell)
    elif inner and outer in _nesting(kind):
        record.setdefault(outer, {})[inner] = cell
    elif name in KINDS[kind].__struct_fields__:
        record[name] = cell
    else:
        record.setdefault("attributes", {})[name] = typed(cell)


def _nesting(kind: str) -> Mapping[str, type[msgspec.Struct]]:
    if kind == "event":
        return {"venue": Venue}
    return {"consent": Consent} if kind == "contact" else {}


def typed(cell: Any) -> Any:
    """An attribute's own type: numbers and booleans are recognized, codes with leading zeros stay text."""
    if not isinstance(cell, str):
        return cell
    if cell in ("true", "True", "false", "False"):
        return cell.lower() == "true"
    digits = cell.lstrip("+-")
    if (
        len(cell) <= LONGEST_NUMBER
        and NUMBER.match(cell)
        and "," not in cell
        and not (digits.startswith("0") and digits[1:2].isdigit())
    ):
        return float(cell) if any(mark in cell for mark in ".eE") else int(cell)
    return cell


def _parquet(path: Path, kind: str, size: int) -> Iterator[Batch]:
    for line, table in _tables(path, size):
        yield line, False, [_known(kind, row) for row in table]


def _tables(path: Path, size: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        line = 1
        for batch in file.iter_batches(batch_size=size):
            found = batch.to_pylist()
            yield line, found
            line += len(found)
    except (pyarrow.ArrowException, OSError) as error:  # pyarrow says either of a broken file
        raise InvalidInput(f"{path.name}: not a Parquet file: {error}") from error


def _known(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, cell in row.items():
        if isinstance(cell, Mapping):
            for inner, value in cell.items():
                if value is not None:
                    _put(record, kind, f"{name}.{inner}", value)
        elif cell is not None:
            _put(record, kind, name, cell)
    return record


def _ndjson(path: Path, size: int) -> Iterator[Batch]:
    for numbered in _numbered(path, size):
        for first, run in _runs(numbered):
            yield first, True, [_decoded(row) for row in run]


def _numbered(path: Path, size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Lines with their numbers, empty ones left out."""
    with path.open("rb") as file:
        found = ((number, row) for number, row in enumerate(_lines(file, path.name), start=1) if row.strip())
        yield from _filled(found, size, lambda one: len(one[1]))


def _runs(numbered: list[tuple[int, bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    """Lines without a gap between them, so that an error's line is the file's own."""
    start = 0
    for end in range(1, len(numbered) + 1):
        if end == len(numbered) or numbered[end][0] != numbered[end - 1][0] + 1:
            yield numbered[start][0], [row for _, row in numbered[start:end]]
            start = end


def _decoded(line: bytes) -> Mapping[str, Any] | bytes:
    """A dict where it is one, so that a rejected value can be shown; else the bytes, for landing to reject."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return line
    return value if isinstance(value, dict) else line
