"""From a frame of `features.lead_score` to feature rows: JSON-able, one per lead, all that a prediction needs.

Nothing here learns anything; types are inferred and encoded in attributes.py.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from integrator.contracts.errors import invalid
from models.base import FeatureRow
from models.lead_score.columns import COLUMNS
from models.messages import ENGLISH


def feature_rows(
    frame: pl.DataFrame,
    language: str = ENGLISH,
    *,
    rates: Mapping[str, Any] | None = None,
    earlier: Mapping[tuple[str, str], float] | None = None,
) -> list[FeatureRow]:
    """One row per frame row, in the frame's order, each with the language its prediction speaks.

    `rates` is the recent conversion rate (see rates.py), kept in each; `earlier` the probability a lead had before, by
    platform and contact. Attributes may be a JSON object as text, a struct or null. Raises InvalidInput when a column
    is missing.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise invalid("lead_score columns, missing", missing, COLUMNS)
    plain = COLUMNS[:-1]
    rows = []
    for record in zip(*(_listed(frame[name]) for name in COLUMNS), strict=True):
        row: FeatureRow = dict(zip(plain, record, strict=False))
        row["attributes"] = attributes_of(record[-1])
        row["language"] = language
        if rates is not None:
            row["rates"] = dict(rates)
        before = earlier.get((str(row["platform"]), str(row["contact_id"]))) if earlier else None
        if before is not None:
            row["earlier_probability"] = before
        rows.append(row)
    return rows


def attributes_of(value: Any) -> dict[str, Any]:
    """The flat map behind a JSON text, a dict or null; what is not a string, finite number or boolean is left out."""
    if isinstance(value, str):
        value = json.loads(value) if value else {}
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid("attributes", type(value).__name__, "a JSON object")
    plain = ((str(name), _plain(entry)) for name, entry in value.items())
    return {name: entry for name, entry in plain if isinstance(entry, str | int | float | bool)}


def _listed(column: pl.Series) -> list[Any]:
    """A column as plain values: numbers finite, moments as text."""
    values = column.to_list()
    if column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean, pl.Null):
        return values
    return values if column.name == "attributes" else [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if type(value) is str or type(value) is int:
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    # JSON has no infinity and no NaN: both mean that the number is not known.
    return None if isinstance(value, float) and not math.isfinite(value) else value
