"""The price that earns most on a demand curve, then inside its bounds.

Two curves through the same point and slope at the current price p0. Constant elasticity e has an interior optimum at
a known cost c when e < −1: p* = c·e / (e + 1) (Lerner 1934). Where e is too near −1, or the cost is unknown,
q = q0·exp(e·(p/p0 − 1)) is used: its elasticity e·p/p0 grows with the price, so that an optimum always exists,
p* = c + p0/|e| for profit and p0/|e| for revenue. Where seats are fewer than would sell at that price, the best is the
price that just sells them: the optimum at the shadow price of a seat (Gallego & van Ryzin 1994).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.currencies import digits
from integrator.contracts.errors import Defect
from models.base import FeatureRow
from models.pricing.own import Own, own_of

Floats = NDArray[np.float64]

MAX_CHANGE = 0.10
"""Unless the partner set a largest change of its own."""
RANGE_MARGIN = 0.05
SAME_PRICE = 0.01
"""A change of a smaller share of the price is not worth making."""
LEAST_GAIN = 0.01
"""Nor is one that is expected to bring less than this share of what is earned now."""
ELASTIC = -1.2
"""Constant elasticity is used below this: at −1.2 the mark-up is already sixfold."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A code of the catalogue's `refused` table, with its words."""

    code: str
    words: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Prices in the currency, each on a price that can be paid: rounded inwards.

    `floor_from` is `observed`, `cost` or `partner`, `ceiling_from` the first or the last of these, `change_from` is
    `default` or `partner`.
    """

    current: float
    floor: float
    ceiling: float
    least_now: float
    most_now: float
    floor_from: str = "observed"
    ceiling_from: str = "observed"
    change_from: str = "default"
    max_change: float = MAX_CHANGE

    @property
    def is_far(self) -> bool:
        """Whether one change is not enough to get inside floor and ceiling."""
        return max(self.floor, self.least_now) > min(self.ceiling, self.most_now)

    def step(self, price: float) -> float:
        """Into floor and ceiling."""
        return min(max(price, self.floor), self.ceiling)

    def change(self, price: float) -> float:
        """Into the maximum change from the current price."""
        return min(max(price, self.least_now), self.most_now)

    def payable(self, price: float, step: float) -> tuple[float, ...]:
        """The prices on whole steps next to `price` that every bound allows, at most two; none where a step is too wide.

        Where one change is not enough, those on the way there.
        """
        low, high = max(self.floor, self.least_now), min(self.ceiling, self.most_now)
        if self.is_far:
            up = self.current < self.floor
            low, high = (self.current, self.most_now) if up else (self.least_now, self.current)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if first > last:
            return ()
        near = (math.floor(price / step + 1e-9), math.ceil(price / step - 1e-9))
        found = {round(min(max(n, first), last) * step, 9) for n in near}
        return tuple(sorted(found - {self.current} if self.is_far else found))

    def allows(self, price: float) -> bool:
        """Whether a price lies between floor and ceiling."""
        return self.floor <= price <= self.ceiling


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The way from the best price to the recommended one. `why_kept` is empty where the price is to change."""

    best: float
    seated: float
    inside: float
    final: float
    stepped: float
    value: float
    why_kept: str = ""


def choose(row: FeatureRow, allowed: Bounds, best: float, seated: float, earned: Callable[[float], float]) -> Choice:
    """From the unconstrained optimum to a price people can be charged; `earned` is what a price brings until it expires.

    `seated` is the best price with the seats there are. Of the two prices on the partner's own steps around the bounded
    optimum the one that earns more is taken. The current price is kept where that is no other, less than `SAME_PRICE`
    away, or expected to bring less than `LEAST_GAIN`.
    """
    price, step = row["current_price"], row["price_step"]
    inside = allowed.step(seated)
    final = allowed.change(inside)
    near = allowed.payable(final, step)
    # Of equally good prices the one nearer to the current.
    stepped = max(near, key=lambda p: (earned(p), -abs(p - price))) if near else final
    way = Choice(best=best, seated=seated, inside=inside, final=final, stepped=stepped, value=stepped)
    if not allowed.allows(price):
        return way
    now = earned(price)
    why = ""
    if not near:
        why = "step"
    elif abs(final / price - 1) < SAME_PRICE or abs(final - price) < step / 2:
        why = "same" if final == seated else "bound"
    elif earned(stepped) - now < LEAST_GAIN * abs(now) or stepped == price:
        why = "gain"
    return replace(way, value=price, why_kept=why) if why else way


def bounds(row: FeatureRow) -> Bounds | Refusal:
    """Observed range plus a margin, never below cost, at most ±10 % at once, inside what the partner allows of its own.

    A refusal when these leave no price. A current price outside the partner's own bounds is led there, by its largest
    change at once.
    """
    own, price, cost, decimals = own_of(row), row["current_price"], row["unit_cost"], digits(row["currency"])
    refused = contradiction(own)
    if refused is not None:
        return refused
    observed = _inward(row["lowest_price"] * (1 - RANGE_MARGIN), decimals, ROUND_CEILING)
    least = observed if cost is None else max(observed, _inward(cost, decimals, ROUND_CEILING))
    found = replace(
        own_only(row),
        floor=least,
        ceiling=_inward(row["highest_price"] * (1 + RANGE_MARGIN), decimals, ROUND_FLOOR),
        floor_from="cost" if least > observed else "observed",
        ceiling_from="observed",
    )
    if found.is_far:
        if cost is not None and price < cost:
            return Refusal(code="below_cost", words={"price": price, "cost": cost})
        return Refusal(code="outside", words={"price": price})
    return _inside(found, own)


def own_only(row: FeatureRow) -> Bounds:
    """The partner's own floor and ceiling, and the largest change, where nothing else is known to bound a price."""
    own, price, decimals = own_of(row), row["current_price"], digits(row["currency"])
    most = MAX_CHANGE if own.max_change is None else own.max_change
    return Bounds(
        current=price,
        floor=0.0 if own.floor is None else own.floor,
        ceiling=math.inf if own.ceiling is None else own.ceiling,
        least_now=_inward(price * (1 - most), decimals, ROUND_CEILING),
        most_now=_inward(price * (1 + most), decimals, ROUND_FLOOR),
        floor_from="partner",
        ceiling_from="partner",
        change_from="default" if own.max_change is None else "partner",
        max_change=most,
    )


def contradiction(own: Own) -> Refusal | None:
    """Why a partner's own bounds cannot be kept by any price; None where they can."""
    if own.foreign is not None:
        name, amount, currency = own.foreign
        return Refusal(code=f"own_{name}_currency", words={name: amount, "other": currency})
    if own.floor is not None and own.ceiling is not None and own.floor > own.ceiling:
        return Refusal(code="own_order", words={"floor": own.floor, "ceiling": own.ceiling})
    return None


def stuck(allowed: Bounds) -> Refusal | None:
    """A refusal where the price lies outside the bounds, and the largest change is less than the currency's last digit."""
    way = allowed.change(allowed.step(allowed.current))
    if allowed.is_far and way == allowed.current:
        return Refusal(code="own_stuck", words={"price": allowed.current, "most": allowed.max_change})
    return None


def _inside(found: Bounds, own: Own) -> Bounds | Refusal:
    """The bounds inside the partner's own."""
    if own.floor is not None and own.floor > found.ceiling:
        return Refusal(code="own_floor", words={"floor": own.floor, "ceiling": found.ceiling})
    if own.ceiling is not None and own.ceiling < found.floor:
        code = "own_ceiling_cost" if found.floor_from == "cost" else "own_ceiling"
        return Refusal(code=code, words={"ceiling": own.ceiling, "floor": found.floor})
    if own.floor is not None and own.floor >= found.floor:
        found = replace(found, floor=own.floor, floor_from="partner")
    if own.ceiling is not None and own.ceiling <= found.ceiling:
        found = replace(found, ceiling=own.ceiling, ceiling_from="partner")
    return stuck(found) or found


def unconstrained(elasticity: Floats, price: float, cost: float | None) -> Floats:
    """The best price for each elasticity (all below zero), before any bound."""
    if (elasticity >= 0).any():
        raise Defect(f"an elasticity of {float(elasticity.max())} has no optimum; they have to be below zero")
    interior = (cost or 0.0) + price / -elasticity
    if cost is None:
        return interior
    steep = np.minimum(elasticity, ELASTIC)
    return np.where(elasticity <= ELASTIC, cost * steep / (steep + 1), interior)


def quantity(price: float, current: float, elasticity: float, cost: float | None) -> float:
    """Demand at `price` relative to that at the current price, on the curve `unconstrained` uses."""
    if cost is not None and elasticity <= ELASTIC:
        return float((price / current) ** elasticity)
    return math.exp(elasticity * (price / current - 1))


def selling_out(share: float, current: float, elasticity: float, cost: float | None) -> float:
    """The price at which demand is `share` (above zero) times that at the current price: the inverse of `quantity`."""
    if cost is not None and elasticity <= ELASTIC:
        return float(current * share ** (1 / elasticity))
    return current * (1 + math.log(share) / elasticity)


def _inward(price: float, decimals: int, rounding: str) -> float:
    # Nine digits first: 110.00000000000001 is 110.
    return float(Decimal(repr(round(price, 9))).quantize(Decimal(1).scaleb(-decimals), rounding=rounding))
