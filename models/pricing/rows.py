"""One feature row per active product: its cost, recent sales and prices. All a prediction needs beside the model."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.insight import rfc3339
from models.base import Context, FeatureRow
from models.pricing.currency import digits
from models.pricing.demand import LEVEL_DAYS
from models.pricing.panel import Panel, panel

Floats = NDArray[np.float64]

ACTIVE_DAYS = 28
CURRENT_DAYS = 7
_WHOLE_SHARE = 0.95
_SAME_PRICE = 0.01
"""Paid prices within a per cent are one price: a day's price is an average over lines."""


def feature_rows(live: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """Rows of products sold in the last 28 days of the data, in order of platform, product and tier."""
    found = panel(live, context.currency)
    if found is None:
        return []
    active = found.quantity[:, -ACTIVE_DAYS:].sum(axis=1) > 0
    whole = _whole(found)
    return [_row(found, int(i), whole=whole) for i in np.flatnonzero(active)]


def _whole(found: Panel) -> bool:
    """Whether prices are in whole units: a day's takings then are, though the day's average price need not be."""
    sold = found.quantity > 0
    quantity = found.quantity[sold]
    takings = quantity * np.exp(found.log_price[sold])
    # Average prices come with six digits, so takings are exact to a millionth for each unit sold.
    return bool((np.abs(takings - np.round(takings)) <= 1e-6 * (quantity + 1)).mean() >= _WHOLE_SHARE)


def _row(found: Panel, i: int, *, whole: bool) -> FeatureRow:
    platform, product, tier = found.keys[i]
    sold = found.quantity[i] > 0
    price = np.exp(found.log_price[i])
    decimals = digits(found.currencies[i])
    step = 1.0 if whole else float(10.0**-decimals)
    recent = slice(max(0, len(sold) - LEVEL_DAYS), len(sold))
    usable = found.open_days[recent] & np.isfinite(found.log_price[i, recent])
    costs = found.cost[i][sold & np.isfinite(found.cost[i])][-LEVEL_DAYS:]
    # Days with one sale count as days with many: the tails are of days, and a clearance bulk sale is one of them.
    low, high = np.quantile(price[sold], [0.02, 0.98], method="nearest")
    return {
        "platform": platform,
        "product": product,
        "tier": tier,
        "group": found.groups[i],
        "currency": found.currencies[i],
        "current_price": round(_current(found, i, step), decimals),
        "price_step": step,
        "unit_cost": round(float(np.median(costs)), 6) if len(costs) else None,
        "lowest_price": round(float(low), 6),
        "highest_price": round(float(high), 6),
        **_history(found.log_price[i][sold], np.flatnonzero(sold)),
        "recent_quantity": found.quantity[i, recent][usable].tolist(),
        "recent_log_price": [round(value, 6) for value in found.log_price[i, recent][usable].tolist()],
        "lines": int(found.lines[i].sum()),
        "expires_at": _expiry(found),
    }


def _current(found: Panel, i: int, step: float) -> float:
    """The price of the median day among the week up to the last sale: a price somebody paid.

    By day, not by unit: units pile up on promotion days, whose price may be gone by now. Days sold at one price, on the
    partner's own steps, come before days whose price is an average; of averages alone the nearest step is taken.
    """
    last = int(np.flatnonzero(found.quantity[i] > 0)[-1])
    window = slice(max(0, last - CURRENT_DAYS + 1), last + 1)
    prices = np.exp(found.log_price[i, window])[found.quantity[i, window] > 0]
    stepped = np.round(prices / step) * step
    paid = stepped[np.abs(prices - stepped) < 1e-5]
    return float(np.quantile(paid if len(paid) else stepped, 0.5, method="higher")) or float(prices[-1])


def _history(log_price: Floats, days: NDArray[np.intp]) -> dict[str, Any]:
    """What the price history can tell: `price_count` (each on two days at least), `price_spread`, `weeks`, `days`."""
    _, counts = np.unique(np.round(log_price / _SAME_PRICE), return_counts=True)
    low, high = np.quantile(log_price, [0.05, 0.95])
    return {
        "price_count": int((counts >= 2).sum()),
        "price_spread": round(float(np.expm1(high - low)), 4),
        "weeks": int((days[-1] - days[0]) // 7 + 1),
        "days": len(days),
    }


def _expiry(found: Panel) -> str:
    """A week after the end of the last week of data: from the data, so that unchanged data gives the same insight."""
    monday = found.last_day - timedelta(days=found.last_day.weekday()) + timedelta(days=14)
    return rfc3339(datetime.combine(monday, time(), UTC))
