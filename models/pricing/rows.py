"""One feature row per active product: its cost, recent sales, prices and fields. All a prediction needs beside the model."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.currencies import digits
from integrator.contracts.insight import Subject, rfc3339
from integrator.contracts.price_rules import PriceRules
from models.base import Context, FeatureRow
from models.pricing import design, own
from models.pricing.demand import SAME_PRICE
from models.pricing.forecast import LEVEL_PERIODS
from models.pricing.panel import Panel, panel

Floats = NDArray[np.float64]

ACTIVE_DAYS = 28
CURRENT_DAYS = 7
_WHOLE_SHARE = 0.95


def feature_rows(live: pl.DataFrame, context: Context, subjects: Collection[Subject] | None = None) -> list[FeatureRow]:
    """Rows of products sold in the last 28 days of the data, in order of platform, product and tier.

    With `subjects`, of these alone; what they have in common is still made from all.
    """
    found = panel(live, context.currency)
    if found is None:
        return []
    active = found.quantity[:, -max(1, ACTIVE_DAYS // found.period_days) :].sum(axis=1) > 0
    wanted = [i for i in np.flatnonzero(active).tolist() if subjects is None or subject_of(*found.keys[i]) in subjects]
    shared = _Shared(found, context)
    return [shared.row(i) for i in wanted]


def subject_of(platform: str, product: str, tier: str) -> Subject:
    """What the insight of a product, or of one of its tiers, is about."""
    return Subject("tier", f"{product}/{tier}", platform) if tier else Subject("product", product, platform)


class _Shared:
    """What the rows of a panel have in common, made once."""

    def __init__(self, found: Panel, context: Context) -> None:
        self.found, self.context = found, context
        self.whole = _whole(found)
        self.rivals = design.rivals_of(found)
        self.rival_prices = design.RivalPrices(found, self.rivals)
        self.recent = slice(max(0, found.length - LEVEL_PERIODS), found.length)
        self.active = found.is_active
        self.shares = _event_shares(found, self.recent)
        self.rules = PriceRules(context.price_rules)
        self.expiry = _expiry(found.last_day)

    def row(self, i: int) -> FeatureRow:
        """The row of one product."""
        found = self.found
        platform, product, tier = found.keys[i]
        sold = found.quantity[i] > 0
        price = np.exp(found.log_price[i])
        decimals = digits(found.currencies[i])
        step = 1.0 if self.whole else float(10.0**-decimals)
        costs = found.cost[i][sold & np.isfinite(found.cost[i])][-28 // found.period_days :]
        # Days with one sale count as days with many: the tails are of days, and a clearance bulk sale is one of them.
        low, high = np.quantile(price[sold], [0.02, 0.98], method="nearest")
        return {
            "platform": platform,
            "product": product,
            "tier": tier,
            "group": found.groups[i],
            "currency": found.currencies[i],
            "language": self.context.language,
            own.KEY: own.facts(self.rules, platform, product, tier),
            "current_price": round(_current(found, i, step), decimals),
            "price_step": step,
            "unit_cost": round(float(np.median(costs)), 6) if len(costs) else None,
            "lowest_price": round(float(low), 6),
            "highest_price": round(float(high), 6),
            **_history(found.log_price[i][sold], np.flatnonzero(sold), found.period_days),
            "period_days": found.period_days,
            "last_day": found.last_day.isoformat(),
            "recent": self._recent(i),
            "now": self._now(i),
            "event": self._event(i),
            "lines": int(found.lines[i].sum()),
            "expires_at": rfc3339(self.expiry),
            "has_ended": self.expiry <= self.context.as_of,
        }

    def _recent(self, i: int) -> dict[str, Any]:
        """The last periods it was on sale in, oldest first: `ago` counts periods back from the last."""
        found, recent = self.found, self.recent
        usable = np.flatnonzero(self.active[i, recent]) + recent.start
        rivals = self.rival_prices.by_product(i)
        return {
            "ago": (found.length - 1 - usable).tolist(),
            "quantity": found.quantity[i, usable].tolist(),
            "log_price": _rounded(found.log_price[i, usable]),
            "holiday": _rounded(found.holidays[usable]) if found.holidays[usable].any() else [],
            "fields": {name: _rounded(grid[i, usable]) for name, grid in found.grids.items()},
            "rivals": {name: _rounded(values[usable]) for name, values in rivals.items()},
        }

    def _now(self, i: int) -> dict[str, Any]:
        """Fields and rivals' prices as in the week up to the last sale, which the current price is from."""
        found = self.found
        inside = _current_periods(found, i)
        fields = {name: grid[i, inside][np.isfinite(grid[i, inside])] for name, grid in found.grids.items()}
        rivals = self.rival_prices.by_product(i)
        return {
            "fields": {name: round(float(values.mean()), 6) for name, values in fields.items() if len(values)},
            "rivals": {name: round(float(values[inside][-1]), 6) for name, values in rivals.items()},
        }

    def _event(self, i: int) -> dict[str, Any] | None:
        """Days to go and seats left for this product, where it is a ticket to one coming event whose capacity is known."""
        facts = self.found.events[i]
        if facts is None or facts["event_starts_at"] is None or facts["event_starts_at"] <= self.context.as_of:
            return None
        if facts["event_capacity"] is None or facts["event_tickets_sold"] is None:
            return None
        left = max(0, int(facts["event_capacity"]) - int(facts["event_tickets_sold"]))
        return {
            "starts_at": rfc3339(facts["event_starts_at"]),
            "days_to_go": max(1, (facts["event_starts_at"] - self.context.as_of).days),
            "capacity": int(facts["event_capacity"]),
            "left": left,
            "left_here": round(float(left * self.shares[i]), 6),
        }


def _event_shares(found: Panel, recent: slice) -> Floats:
    """Each product's share of what was sold lately for its event: of the seats left, it is taken to sell so many."""
    sold = found.quantity[:, recent].sum(axis=1)
    total: dict[tuple[str, str], float] = {}
    events = zip(found.keys, found.events, strict=True)
    ids = [(platform, str(facts["event_id"])) if facts else ("", "") for (platform, _, _), facts in events]
    for name, quantity in zip(ids, sold.tolist(), strict=True):
        total[name] = total.get(name, 0.0) + quantity
    return np.array([q / total[name] if total[name] > 0 else 1.0 for name, q in zip(ids, sold.tolist(), strict=True)])


def _whole(found: Panel) -> bool:
    """Whether prices are in whole units: a day's takings then are, though the day's average price need not be."""
    sold = found.quantity > 0
    quantity = found.quantity[sold]
    takings = quantity * np.exp(found.log_price[sold])
    # Average prices come with six digits, so takings are exact to a millionth for each unit sold.
    return bool((np.abs(takings - np.round(takings)) <= 1e-6 * (quantity + 1)).mean() >= _WHOLE_SHARE)


def _current_periods(found: Panel, i: int) -> NDArray[np.intp]:
    """Periods with sales among the week up to the last sale."""
    last = int(np.flatnonzero(found.quantity[i] > 0)[-1])
    first = max(0, last - max(1, CURRENT_DAYS // found.period_days) + 1)
    return np.flatnonzero(found.quantity[i, first : last + 1] > 0) + first


def _current(found: Panel, i: int, step: float) -> float:
    """The price of the median day among the week up to the last sale: a price somebody paid.

    By day, not by unit: units pile up on promotion days, whose price may be gone by now. Days sold at one price, on the
    partner's own steps, come before days whose price is an average; of averages alone the nearest step is taken.
    """
    prices = np.exp(found.log_price[i, _current_periods(found, i)])
    stepped = np.round(prices / step) * step
    paid = stepped[np.abs(prices - stepped) < 1e-5]
    return float(np.quantile(paid if len(paid) else stepped, 0.5, method="higher")) or float(prices[-1])


def _history(log_price: Floats, periods: NDArray[np.intp], period_days: int) -> Mapping[str, Any]:
    """What the price history can tell: `price_count` (each in two periods at least), `price_spread`, `weeks`, `days`."""
    _, counts = np.unique(np.round(log_price / SAME_PRICE), return_counts=True)
    low, high = np.quantile(log_price, [0.05, 0.95])
    return {
        "price_count": int((counts >= 2).sum()),
        "price_spread": round(float(np.expm1(high - low)), 4),
        "weeks": int((periods[-1] - periods[0]) * period_days // 7 + 1),
        "days": len(periods) * period_days,
    }


def _expiry(last_day: date) -> datetime:
    """A week after the end of the last week of data: from the data, so that unchanged data gives the same insight."""
    monday = last_day - timedelta(days=last_day.weekday()) + timedelta(days=14)
    return datetime.combine(monday, time(), UTC)


def _rounded(values: Floats) -> list[float | None]:
    """Six digits; null where it is not known."""
    found = np.round(values, 6).tolist()
    return found if np.isfinite(values).all() else [value if np.isfinite(value) else None for value in found]
