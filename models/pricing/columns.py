"""The columns of `features.pricing` that pricing reads, by name, with their types. Only that belongs here."""

import polars as pl

COLUMNS: dict[str, pl.DataType] = {
    "platform": pl.String(),
    "product": pl.String(),
    "tier": pl.String(),
    "sold_on": pl.Date(),
    "quantity": pl.Float64(),
    "line_count": pl.Int64(),
    "unit_price": pl.Float64(),
    "list_price": pl.Float64(),
    "unit_cost": pl.Float64(),
    "currency": pl.String(),
    "product_group": pl.String(),
    "is_holiday": pl.Boolean(),
    "attributes": pl.String(),
    "days_to_event": pl.Float64(),
    "event_id": pl.String(),
    "event_starts_at": pl.Datetime("us", "UTC"),
    "event_capacity": pl.Int64(),
    "event_tickets_sold": pl.Int64(),
}
"""One row a product, tier and local day with sales; `attributes` is a JSON map of the sale lines' own fields."""

REQUIRED = ("platform", "product", "tier", "sold_on", "quantity", "unit_price")
"""What a frame cannot do without; any other column may be missing, or null where it is not known."""
