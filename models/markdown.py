"""Tables in Markdown, for model cards and for the pages of Dagster. Rows in, text out."""

from collections.abc import Iterable, Mapping
from typing import Any

WIDEST_CELL = 40


def table(rows: Iterable[Mapping[str, Any]], *, most: int | None = None, widest: int = WIDEST_CELL) -> str:
    """Rows as a table with the columns in the order they come; cells are cut, for a page and not for a computation.

    At most `most` rows; how many were left out is said below the table.
    """
    found = list(rows)
    shown = found if most is None else found[:most]
    columns = list(dict.fromkeys(name for row in shown for name in row))
    if not columns:
        return "no rows"
    lines = [f"| {' | '.join(_cell(name, widest) for name in columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(_cell(row.get(name), widest) for name in columns)} |" for row in shown]
    if len(shown) < len(found):
        lines += ["", f"{len(shown)} of {len(found)} rows."]
    return "\n".join(lines)


def bullets(lines: Iterable[object], nothing: str = "none") -> str:
    """One line after the other as a list; `nothing` when there is none."""
    return "\n".join(f"- {' '.join(str(line).split())}" for line in lines) or nothing


def _cell(value: Any, widest: int) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= widest else f"{text[: widest - 1]}…"
