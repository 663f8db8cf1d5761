"""What a scorer made elsewhere is offered of the leads: the table, its columns, and why other fields are kept from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.base import TrainConfig
from models.lead_score import attributes
from models.lead_score.columns import BUILT_IN, NUMBERS
from models.lead_score.fitting import Labelled, learnable
from models.messages import ENGLISH, catalogue

Indices = NDArray[np.intp]
Column = dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """Columns (name, kind, owner) in order; `dropped` and `suspects` as our own candidates' training tells them."""

    columns: Sequence[Column]
    dropped: Mapping[str, str]
    suspects: Mapping[str, float]


def offer(data: Labelled, before: Indices, config: TrainConfig, seed: int, language: str = ENGLISH) -> Offer:
    """Our own fields, then the attributes that our own candidates might learn from too.

    Kinds are read from, and leaks looked for in, the leads `before` those it is judged on: a field that these say
    nothing of is not offered, for nothing tells that it is known beforehand.
    """
    train_part = data.take(before)
    _, _, dropped, suspects = learnable(train_part, config, seed, language)
    later = set(attributes.names(data.rows)) - set(attributes.names(train_part.rows)) - set(dropped)
    dropped |= dict.fromkeys(sorted(later), catalogue("lead_score", language)("dropped.missing"))
    columns: list[Column] = []
    for name in attributes.names(train_part.rows):
        if name in dropped:
            continue
        kind = "number" if name in NUMBERS else "category"
        if name not in BUILT_IN:
            kind, _ = attributes.infer(train_part.table.text(name), name)
        columns.append({"name": name, "owner": name, "kind": kind})
    return Offer(columns, dropped, suspects)


def offered(table: attributes.Table, columns: Sequence[Column]) -> pl.DataFrame:
    """The leads as a table: numbers with NaN where not known, words with null, a date as days from the scoring."""
    today = table.date("as_of")

    def series(column: Column) -> pl.Series:
        name = column["name"]
        if column["kind"] == "category":
            return table.text(name)
        values = table.number(name) if column["kind"] == "number" else (table.date(name) - today).dt.total_days()
        return values.cast(pl.Float64).fill_null(math.nan)

    return pl.DataFrame([series(column).alias(column["name"]) for column in columns])


def schema(columns: Sequence[Column]) -> dict[str, type[pl.DataType]]:
    """The types of that table."""
    return {column["name"]: pl.String if column["kind"] == "category" else pl.Float64 for column in columns}
