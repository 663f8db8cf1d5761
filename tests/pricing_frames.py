"""Synthetic frames in the shape of `features.pricing`: shops whose demand curve is known, seeded and small.

Made up on purpose, for tests of mechanics only: no figure about quality may rest on them.
"""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from models.base import Context, FeatureRow
from models.pricing.demand import product_key
from models.pricing.predict import PriceModel

CONTEXT = Context(
    partner="shop", timezone="Asia/Taipei", currency="TWD", region="TW", as_of=datetime(2026, 1, 26, tzinfo=UTC)
)
START = date(2025, 11, 3)


def shop(
    products: int = 8,
    days: int = 84,
    *,
    elasticity: float = -3.0,
    cost: float | None = 60.0,
    seed: int = 7,
    every: int = 1,
) -> pl.DataFrame:
    """Products at about 100, a promotion or a price change every week, Poisson demand with busier weekends.

    With `every` 7 a row is a week's sales, said on its first day.
    """
    rng = np.random.default_rng(seed)
    records: list[dict[str, Any]] = []
    for product in range(products):
        own = elasticity + 0.3 * rng.standard_normal()
        for day in range(0, days, every):
            on = START + timedelta(days=day)
            price = [100.0, 90.0, 110.0, 80.0, 100.0, 95.0][(day // 7 + product) % 6]
            mean = 12 * every * (price / 100) ** own * (1.4 if on.weekday() >= 5 and every == 1 else 1.0)
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
    """One day's sales of a product."""
    return {
        "partner": "shop", "platform": "shopify", "product": product, "tier": tier, "sold_on": on, "quantity": quantity,
        "line_count": quantity, "unit_price": price, "unit_cost": cost, "currency": "TWD", "product_group": group,
        "is_holiday": False,
    }  # fmt: skip


ROW: FeatureRow = {
    "platform": "shopify", "product": "tea", "tier": "", "group": "drinks", "currency": "TWD", "language": "en",
    "current_price": 100.0, "price_step": 0.01, "unit_cost": 60.0, "lowest_price": 80.0, "highest_price": 120.0,
    "price_count": 6, "price_spread": 0.3, "weeks": 12, "days": 80, "period_days": 1, "last_day": "2026-01-25",
    "recent": {
        "ago": list(range(26, -1, -1)), "quantity": [4.0, 6.0, 5.0] * 9, "log_price": [math.log(100.0)] * 27,
        "holiday": [], "fields": {}, "rivals": {},
    },
    "now": {"fields": {}, "rivals": {}}, "event": None, "lines": 300, "expires_at": "2026-02-02T00:00:00Z",
}  # fmt: skip
"""A product sold five times a day at 100, which cost 60 and was sold at 80 to 120."""


def at(price: float, **other: Any) -> FeatureRow:
    """The same product at another price, everything else in proportion."""
    recent = ROW["recent"] | {"log_price": [math.log(price)] * 27}
    return ROW | {
        "current_price": price, "lowest_price": price * 0.8, "highest_price": price * 1.2, "unit_cost": price * 0.6,
        "recent": recent, **other,
    }  # fmt: skip


def sure(
    mean: float, sd: float = 0.2, *, row: FeatureRow = ROW, coverage: float | None = 0.8, columns: dict[str, float] | None = None,
    groups: dict[str, Any] | None = None, fields: list[dict[str, Any]] | None = None, **unit: Any,
) -> PriceModel:  # fmt: skip
    """A model that knows one product's elasticity, and the effects of further `columns` by name."""
    more = columns or {}
    beta = [mean, *more.values()]
    own = {
        "beta": beta,
        "sd": sd,
        "own": mean,
        "own_error": sd,
        "kappa": 0.1,
        "week_kappa": 0.05,
        "promotion_share": 0.0,
        **unit,
    }
    overall = {"beta": beta, "sd": sd}
    learned = {
        "spec": {"columns": ["price", *more], "fields": fields or [], "rivals": {}, "period_days": row["period_days"]},
        "units": {product_key((row["platform"], row["product"], row["tier"])): own},
        "products": {}, "groups": groups or {}, "overall": overall, "usual": {"kappa": 0.1, "week_kappa": 0.05},
    }  # fmt: skip
    scores = {
        "metric": "poisson_deviance", "rule": "seasonal_mean", "by_product": {},
        "all": {"seasonal_mean": 2.0, "shrunk_loglog": 1.5},
    }  # fmt: skip
    return PriceModel(
        learned=learned, margins=(-1.0, 1.2), coverage=coverage, candidate="shrunk_loglog", scores=scores, weeks=4
    )
