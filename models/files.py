"""From the rows of a labelled table to typed columns: which column plays which role, and how its cells are read.

What the roles of a use case are is in `models/<use_case>/table.py`; what no role claims is an attribute. Files are read
elsewhere: here are only rows, as (line, cells by column name), and what is wrong with them.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

import polars as pl

from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.records import Record
from models.base import Context
from models.registry import spec

SHOWN = 5
"""Bad cells that an error names; a file has them by the thousand or not at all."""
MOMENTS = "a date or moment such as 2024-03-09, 2024-03-09 19:30, 2024-03, 2024-Q1 or 2024-W10"
NUMBERS = "a number"
FLAGS = "1, 0, yes, no, true or false"
_PERIOD = re.compile(r"^(?P<year>\d{4})(?:-(?P<month>\d{1,2})| ?-?[Qq](?P<quarter>[1-4])| ?-?[Ww](?P<week>\d{1,2}))?$")
_FLAGS = {"1": True, "yes": True, "y": True, "true": True, "t": True, "0": False, "no": False, "n": False}
_FLAGS |= {"false": False, "f": False}
Rows = Iterable[tuple[int, Mapping[str, Any]]]
Holidays = Callable[[str, Iterable[int]], Mapping[date, str]]
"""Region and years → the holidays' names by day."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """A column of the training relation that a table may have, and under which names."""

    column: str
    names: tuple[str, ...]
    """As they may be written, in the order in which they are looked for; case and blanks do not count."""
    read: Callable[[Any], Any]
    """A cell's value; ValueError when it is none."""
    allowed: str = "text"
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns by role, each as long as `lines`; cells that are empty are None. `named` says which column was read as what."""

    lines: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    attributes: Sequence[Mapping[str, Any]]
    named: Mapping[str, str]
    problems: Sequence[str] = ()

    def frame(self, schema: Mapping[str, Any]) -> pl.DataFrame:
        """The columns as a frame of `schema`, null where the table has none, with `attributes` as JSON text."""
        data = {name: self.columns.get(name, [None] * len(self.lines)) for name in schema if name != "attributes"}
        data["attributes"] = [json.dumps(one, sort_keys=True) for one in self.attributes]
        return pl.DataFrame(data, schema={name: schema.get(name, pl.String) for name in data}, strict=False)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a file came to: `training` as the relation of its use case has it, `live` with what is still to come.

    `problems` are sentences about rows left out; `named` and `attributes` say how columns were read.
    """

    training: pl.DataFrame
    live: pl.DataFrame
    as_of: datetime
    named: Mapping[str, str] = field(default_factory=dict)
    attributes: Sequence[str] = ()
    problems: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is read: `given` says which column plays which role, `typed` finds an attribute's own type.

    `personal` names the attributes that tell who somebody is, with the reason: no model may see them. `horizon_days` is
    what the outcome of a lead refers to; None means the use case's own.
    """

    holidays: Holidays
    typed: Callable[[Any], Any] = lambda cell: cell
    personal: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]] = lambda attributes: {}
    given: Mapping[str, str] = field(default_factory=dict)
    horizon_days: int | None = None


def read(rows: Rows, roles: Sequence[Role], reading: Reading) -> Table:
    """Read rows by their roles.

    InvalidInput for a table without rows, for a required column that is missing (naming those there are), and for cells
    that cannot be read (naming line, column, value and what is allowed).
    """
    found = list(rows)
    if not found:
        raise InvalidInput("the file has no rows; allowed: a header and at least one row")
    header = list(dict.fromkeys(name for _, row in found for name in row))
    named = _named(header, roles, reading.given)
    columns: dict[str, list[Any]] = {}
    bad: list[str] = []
    for role in roles:
        if role.column in named:
            columns[role.column] = _column(found, named[role.column], role, bad)
    if bad:
        more = f" (and {len(bad) - SHOWN} more)" if len(bad) > SHOWN else ""
        raise InvalidInput("; ".join(bad[:SHOWN]) + more)
    taken = set(named.values())
    attributes, problems = without_personal([_attributes(row, taken, reading.typed) for _, row in found], reading)
    lines = [line for line, _ in found]
    return Table(lines=lines, columns=columns, attributes=attributes, named=named, problems=problems)


def without_personal(
    attributes: Sequence[Mapping[str, Any]], reading: Reading
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The attributes without those that tell who somebody is, and a sentence about each of these."""
    found = reading.personal(attributes)
    kept = [{name: cell for name, cell in row.items() if name not in found and cell is not None} for row in attributes]
    return list(kept), [f"{name} is left out as personal data: {reason}" for name, reason in sorted(found.items())]


def _named(header: Sequence[str], roles: Sequence[Role], given: Mapping[str, str]) -> dict[str, str]:
    """Role → column of the file."""
    known = [role.column for role in roles]
    for column, name in given.items():
        if column not in known:
            raise invalid("column", column, known)
        if name not in header:
            raise invalid(f"column for {column}", name, header)
    written = {_plain(name): name for name in reversed(header)}
    named = dict(given)
    for role in roles:
        taken = set(named.values())
        for name in role.names:
            if role.column not in named and name in written and written[name] not in taken:
                named[role.column] = written[name]
    missing = [role for role in roles if role.required and role.column not in named]
    if missing:
        wanted = "; ".join(f"{role.column} (read from {' or '.join(role.names)})" for role in missing)
        raise InvalidInput(f"the file lacks {wanted}; its columns are {', '.join(header) or 'none'}")
    return named


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _column(found: Sequence[tuple[int, Mapping[str, Any]]], name: str, role: Role, bad: list[str]) -> list[Any]:
    cells: list[Any] = []
    for line, row in found:
        cell = row.get(name)
        if is_empty(cell):
            cells.append(None)
            continue
        try:
            cells.append(role.read(cell))
        except ValueError:
            cells.append(None)
            bad.append(f"line {line}, column {name}: {str(cell)[:60]!r} is not allowed; allowed: {role.allowed}")
    return cells


def _attributes(row: Mapping[str, Any], taken: set[str], typed: Callable[[Any], Any]) -> dict[str, Any]:
    """Everything without a role, as JSON has it: a partner's own fields."""
    found: dict[str, Any] = {}
    for name, cell in row.items():
        if name in taken or is_empty(cell):
            continue
        value = typed(cell)
        if isinstance(value, datetime | date | time):
            value = value.isoformat()
        elif isinstance(value, Decimal):
            value = float(value)
        if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
            found[name] = value
    return found


def is_empty(cell: Any) -> bool:
    """Whether a cell says nothing: none, blank, NA, or not a number."""
    if isinstance(cell, str):
        return cell.strip() in ("", "NA", "NaN", "nan", "null", "NULL", "None")
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def text(cell: Any) -> str:
    """Any cell as text; a whole number in floating point is written without its point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number(cell: Any) -> float:
    """A number, or text that is one; infinities are numbers that no label can be, and left to the caller."""
    if isinstance(cell, bool):
        raise ValueError("a truth value is no number")
    return float(cell)


def flag(cell: Any) -> bool:
    """Yes or no, as people and programs write it."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float) and cell in (0, 1):
        return bool(cell)
    known = _FLAGS.get(str(cell).strip().lower())
    if known is None:
        raise ValueError("neither yes nor no")
    return known


def moment(cell: Any) -> datetime:
    """A moment: aware as it was written, else naive local time; a period (month, quarter, week, year) is its start."""
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    if not isinstance(cell, str):
        raise ValueError("a number is no date")
    period = _PERIOD.match(cell.strip())
    if period is None:
        return datetime.fromisoformat(cell.strip())
    year = int(period["year"])
    if period["week"]:
        return datetime.combine(date.fromisocalendar(year, int(period["week"]), 1), time())
    month = 3 * int(period["quarter"]) - 2 if period["quarter"] else int(period["month"] or 1)
    return datetime.combine(date(year, month, 1), time())


def in_utc(moments: Iterable[datetime | None], zone: str) -> list[datetime | None]:
    """Naive moments read in `zone`, all of them in UTC; one that a change of clocks skipped moves forward with them."""
    place = ZoneInfo(zone)
    return [
        None if one is None else (one if one.tzinfo else one.replace(tzinfo=place)).astimezone(UTC) for one in moments
    ]


def just_after(moments: Iterable[datetime | None], otherwise: datetime) -> datetime:
    """A second after the last moment: when all that the file tells was known."""
    known = [one for one in moments if one is not None]
    return max(known) + timedelta(seconds=1) if known else otherwise


class Shapes(Protocol):
    """What `models/<use_case>/table.py` provides."""

    KIND: str
    """The kind of canonical record it is made from."""

    def from_table(self, rows: Rows, context: Context, reading: Reading) -> Prepared:
        """The training relation's frame from a plain labelled table."""
        ...

    def from_records(self, records: Sequence[Record], context: Context, reading: Reading) -> Prepared:
        """The same from canonical records."""
        ...


def shapes(use_case: str) -> Shapes:
    """How a file becomes the training relation of `use_case`; InvalidInput names the use cases there are."""
    return cast(Shapes, import_module(f"models.{spec(use_case).name}.table"))


def left_out(count: int, total: int, why: str) -> list[str]:
    """A sentence about rows that do not count, or none."""
    return [f"{count:,} of {total:,} rows are left out: {why}"] if count else []


def usable(frame: pl.DataFrame, problems: Sequence[str]) -> pl.DataFrame:
    """The frame, or InvalidInput with what is wrong when nothing is left of it."""
    if frame.height:
        return frame
    raise InvalidInput("; ".join(problems) or "no row of the file can be used; allowed: at least one labelled row")
