"""What training and scoring read of a frame, by name and type; whatever is missing counts as unknown. Nothing else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl

COLUMNS: Mapping[str, Any] = MappingProxyType(
    {
        "platform": pl.String,
        "event_id": pl.String,
        "series_id": pl.String,
        "venue_name": pl.String,
        "category": pl.String,
        "region": pl.String,
        "starts_at": pl.Datetime(time_zone="UTC"),
        "starts_on": pl.Date,
        "timezone": pl.String,
        "capacity": pl.Int64,
        "status": pl.String,
        "is_holiday": pl.Boolean,
        "holiday_name": pl.String,
        "is_past": pl.Boolean,
        "attendance": pl.Float64,
        "on_sale_at": pl.Datetime(time_zone="UTC"),
        "bookings": pl.String,
        "average_price": pl.Float64,
        "attributes": pl.String,
    }
)
"""`starts_at` or `starts_on` has to be known of every row; the first tells hours apart. Units: people; local dates."""


def whole(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column there is to read, null where it had none."""
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in frame.columns]
    return frame.with_columns(missing) if missing else frame
