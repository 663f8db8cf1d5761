"""Synthetic frames in the shape of `features.pricing`: shops whose demand curve is known, seeded and small.

Made up on purpose, for tests of mechanics only: no figure about quality may rest on them.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.base import Context

CONTEXT = Context(
    partner="shop", timezone="Asia/Taipei", currency="TWD", region="TW", as_of=datetime(2026, 3, 1, tzinfo=UTC)
)
START = date(2025, 11, 3)


def shop(
    products: int = 8, days: int = 84, *, elasticity: float = -3.0, cost: float | None = 60.0, seed: int = 7
) -> pl.DataFrame:
    """Products at about 100, a promotion or a price change every week, Poisson demand with busier weekends."""
    rng = np.random.default_rng(seed)
    records: list[dict[str, Any]] = []
    for product in range(products):
        own = elasticity + 0.3 * rng.standard_normal()
        for day in range(days):
            on = START + timedelta(days=day)
            price = [100.0, 90.0, 110.0, 80.0, 100.0, 95.0][(day // 7 + product) % 6]
            mean = 12 * (price / 100) ** own * (1.4 if on.weekday() >= 5 else 1.0)
            quantity = int(rng.poisson(mean))
            if quantity:
                records.append(line(f"p{product:02d}", on, quantity, price, cost, group=f"g{product % 3}"))
    return pl.DataFrame(records, schema=SCHEMA)


SCHEMA: dict[str, Any] = {
    "partner": pl.String, "platform": pl.String, "product": pl.String, "tier": pl.String, "sold_on": pl.Date,
    "quantity": pl.Int64, "line_count": pl.Int64, "unit_price": pl.Decimal(18, 6), "unit_cost": pl.Decimal(18, 6),
    "currency": pl.String, "product_group": pl.String, "is_holiday": pl.Boolean,
}  # fmt: skip


def line(
    product: str, on: date, quantity: int, price: float, cost: float | None, *, group: str | None = None, tier: str = ""
) -> dict[str, Any]:
    return {
        "partner": "shop", "platform": "shopify", "product": product, "tier": tier, "sold_on": on, "quantity": quantity,
        "line_count": quantity, "unit_price": price, "unit_cost": cost, "currency": "TWD", "product_group": group,
        "is_holiday": False,
    }  # fmt: skip
