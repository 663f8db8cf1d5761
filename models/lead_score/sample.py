"""Example rows of a training, for whoever reads its page: what the model reads of a lead, and nothing that tells whose."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from models.base import FeatureRow
from models.lead_score.attributes import RARE, Table
from models.lead_score.columns import BUILT_IN

ROWS = 5
_SHARED = ("platform", "horizon_days", "language")


def sample(table: Table, columns: Sequence[Mapping[str, Any]]) -> list[FeatureRow]:
    """The last rows, each with a number for its id and the fields of `columns` alone; the model that reads them scores it.

    A category's value that fewer leads share than a category of its own needs is left out: it might name one of them.
    """
    read = {name for column in columns for name in _names(column)}
    common = {
        str(column["name"]): _common(table.text(column["name"])) for column in columns if column["kind"] == "category"
    }
    found = []
    first = max(0, len(table.rows) - ROWS)
    for number, row in enumerate(table.rows[first:], first):
        told: FeatureRow = {"contact_id": f"example {number - first + 1}", **{name: row[name] for name in _SHARED}}
        if any(column["kind"] in ("date", "span") for column in columns):
            told["as_of"] = row["as_of"]
        known = {name for name in read if name not in common or table.text(name)[number] in common[name]}
        told |= {name: row[name] if name in known else None for name in BUILT_IN if name in read}
        told["attributes"] = {name: value for name, value in row["attributes"].items() if name in known - set(BUILT_IN)}
        found.append(told)
    return found


def _common(text: pl.Series) -> set[str]:
    return {value for value, count in Counter(text.drop_nulls().to_list()).items() if count >= RARE}


def _names(column: Mapping[str, Any]) -> list[str]:
    return str(column["name"]).split("|") if column["kind"] == "span" else [str(column["name"])]
