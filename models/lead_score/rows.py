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

NUMBERS = ("age_days", "created_weekday", "created_hour", "purchases", "spent")
TEXTS = ("stage", "source", "country")
BUILT_IN = NUMBERS + TEXTS
COLUMNS = ("platform", "contact_id", "as_of", "created_at", "horizon_days", *BUILT_IN, "attributes")


def feature_rows(frame: pl.DataFrame, rates: Mapping[str, Any] | None = None) -> list[FeatureRow]:
    """One row per frame row, in the frame's order; `rates` is the recent conversion rate (see rates.py), kept in each.

    Attributes may be a JSON object as text, a struct or null. Raises InvalidInput when a column is missing.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise invalid("lead_score columns, missing", missing, COLUMNS)
    rows = []
    for record in frame.select(COLUMNS).iter_rows(named=True):
        row: FeatureRow = {name: _plain(record[name]) for name in COLUMNS if name != "attributes"}
        row["attributes"] = attributes_of(record["attributes"])
        if rates is not None:
            row["rates"] = dict(rates)
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


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        value = float(value)
    # JSON has no infinity and no NaN: both mean that the number is not known.
    return None if isinstance(value, float) and not math.isfinite(value) else value
