"""One product's demand curve, from its feature row and its coefficients: what a price is expected to sell and to earn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.currencies import digits
from models.base import FeatureRow
from models.pricing import design, forecast, optimum
from models.rounding import rounded

Floats = NDArray[np.float64]

FLATTEST = -0.05


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model knows of one product: coefficients with a bounded elasticity, its doubt, and how demand scatters.

    `own` and `own_error` are the price effect by the product's own evidence; None where there is none. `product` is the
    (own, error) of the product over its tiers, None where it has but one. `level` says whose coefficients they are,
    `is_held` that the product's group is forecast better without prices.
    """

    beta: Floats
    sd: float
    kappa: float
    week_kappa: float
    own: float | None = None
    own_error: float | None = None
    product: tuple[float, float] | None = None
    promotion_share: float = 0.0
    level: str = "product"
    is_held: bool = False

    @property
    def elasticity(self) -> float:
        """Per cent of quantity for a per cent of price."""
        return float(self.beta[0])


@dataclass(frozen=True, kw_only=True)
class Point:
    """A price and a week at it: quantity with its interval, and revenue and profit; profit is NaN without a cost."""

    price: float
    quantity: float
    low: float
    high: float
    cost: float | None

    @property
    def revenue(self) -> float:
        """Money taken."""
        return self.quantity * self.price

    @property
    def profit(self) -> float:
        """Money kept."""
        return math.nan if self.cost is None else self.quantity * (self.price - self.cost)

    def shown(self, currency: str) -> dict[str, float | None]:
        """As in an insight: quantity to a tenth, money at the currency's digits."""

        def money(amount: float) -> float:
            return rounded(amount, digits(currency))

        margin = None if self.cost is None else self.price - self.cost
        ends = (None, None) if margin is None else sorted((self.low * margin, self.high * margin))
        return {
            "price": money(self.price),
            "quantity": rounded(self.quantity, 1),
            "quantity_low": rounded(self.low, 1),
            "quantity_high": rounded(self.high, 1),
            "revenue": money(self.revenue),
            "revenue_low": money(self.low * self.price),
            "revenue_high": money(self.high * self.price),
            "profit": None if margin is None else money(self.profit),
            "profit_low": None if ends[0] is None else money(ends[0]),
            "profit_high": None if ends[1] is None else money(ends[1]),
        }


class Curve:
    """Expected sales of the coming week as a function of price; of tickets, until the event and within its seats."""

    def __init__(self, row: FeatureRow, facts: Facts, spec: Mapping[str, Any], margins: tuple[float, float]) -> None:
        """`margins` are the conformal ones of a week's demand, in standard deviations."""
        self.row, self.facts, self.margins = row, facts, margins
        self.price, self.cost = float(row["current_price"]), row["unit_cost"]
        event = row["event"]
        week = 7 // row["period_days"]
        left = math.ceil(event["days_to_go"] / row["period_days"]) if event else week
        ahead = np.exp(np.clip(design.effects_ahead(row, spec, facts.beta, max(left, week)), -30, 30))
        now = _level(row, facts, spec) * math.exp(facts.elasticity * math.log(self.price))
        self.week = float(now * ahead[: min(week, left)].sum())
        """Units in the coming week, or until the event if that is sooner, at the current price."""
        self.until_event = float(now * ahead[:left].sum()) if event else None
        self.seats: float | None = event["left_here"] if event else None

    def at(self, price: float) -> Point:
        """A week at a price. What a change of price does is as uncertain as the elasticity is."""
        sold = self.week * optimum.quantity(price, self.price, self.facts.elasticity, self.cost)
        moved = sold * self.facts.sd * math.log(price / self.price)
        deviation = math.hypot(float(forecast.spread(np.array(sold), np.array(self.facts.week_kappa))), moved)
        low, high = (max(0.0, sold + margin * deviation) for margin in self.margins)
        most = math.inf if self.seats is None else self.seats
        return Point(
            price=price,
            quantity=min(sold, most),
            low=min(low, sold, most),
            high=min(max(high, sold), most),
            cost=self.cost,
        )

    def earned(self, price: float) -> float:
        """What the price is to be chosen by: profit, or revenue without a cost; of tickets until the event, else a week's."""
        sold = self.until_event if self.until_event is not None else self.week
        sold *= optimum.quantity(price, self.price, self.facts.elasticity, self.cost)
        return min(sold, math.inf if self.seats is None else self.seats) * (price - (self.cost or 0.0))

    def best(self, elasticity: float) -> tuple[float, float]:
        """The price that earns most if the elasticity were this one, before any bound: with seats enough, and with those left."""
        best = optimum.unconstrained(np.array([elasticity]), self.price, self.cost)
        return float(best[0]), float(self._seated(best, np.array([elasticity]))[0])

    def draws(self, quantiles: Floats, steepest: float) -> Floats:
        """Best prices with the seats left, for plausible elasticities: standard normal `quantiles` in place of draws."""
        drawn = np.clip(self.facts.elasticity + self.facts.sd * quantiles, steepest, FLATTEST)
        return self._seated(optimum.unconstrained(drawn, self.price, self.cost), drawn)

    def _seated(self, best: Floats, elasticity: Floats) -> Floats:
        """The prices that just sell the seats left, where more would be asked for at `best`."""
        if self.until_event is None or self.seats is None or self.until_event <= 0 or self.seats <= 0:
            return best
        share = self.seats / self.until_event
        return np.maximum(best, [optimum.selling_out(share, self.price, float(e), self.cost) for e in elasticity])


def _level(row: FeatureRow, facts: Facts, spec: Mapping[str, Any]) -> float:
    """Mean recent level: units a period at effects of zero; 0 where nothing was sold lately."""
    recent = row["recent"]
    ago = np.array(recent["ago"], dtype=np.intp)
    if not len(ago):
        return 0.0
    width = int(ago.max()) + 1
    quantity, effect = np.zeros((1, width)), np.zeros((1, width))
    active = np.zeros((1, width), dtype=bool)
    place = width - 1 - ago
    quantity[0, place], active[0, place] = recent["quantity"], True
    effect[0, place] = design.row_effects(row, spec, facts.beta)
    _, mean = forecast.level(quantity, effect, active, np.array([facts.kappa]))
    found = float(mean[0])
    return found if math.isfinite(found) else 0.0
