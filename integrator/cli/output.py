"""How commands answer: tables for people, one JSON document a line for programs, one readable reason for failures."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

# What a terminal would obey and not show; a partner's data may hold it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Json = Annotated[bool, typer.Option("--json", help="One JSON document a line instead of a table.")]
PartnerOption = Annotated[str, typer.Option("--partner", help="The partner's name.")]


def show(rows: Iterable[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str] | None = None) -> None:
    """Print rows on stdout; an empty table says so on stderr."""
    found = [dict(row) for row in rows]
    if as_json:
        for row in found:
            print(json.dumps(row, default=plain, ensure_ascii=False))
        return
    if not found:
        note("nothing there")
        return
    table(found, columns or list(found[0]))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str | None = None) -> None:
    """A table on stdout, as wide as the terminal; without one, as wide as its text."""
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else 200
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Folded and never cut off: what is read here (an id, an address) is typed elsewhere.
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(row.get(column)) for column in columns))
    Console(width=width, soft_wrap=False, highlight=False, markup=False, emoji=False).print(grid)


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def plain(value: object) -> object:
    """What JSON has no form for: decimals as numbers, moments as RFC 3339."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=plain, ensure_ascii=False)
    text = str(plain(value)) if isinstance(value, Decimal) else str(value)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
