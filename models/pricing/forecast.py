"""From a fitted demand to quantities: the recent level, a week at the prices then taken, and how far off it may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing import demand, design
from models.pricing.demand import Fit
from models.pricing.panel import Bools, Panel

Floats = NDArray[np.float64]

LEVEL_PERIODS = 56
HALF_LIFE = 14
"""Periods, days or weeks, after which a sale counts half for the level."""
_LEVEL_ROUNDS = 12
_HUBER = 1.0
_PRIOR_WEEKS = 10
_KAPPA = (0.02, 4.0)
RULE, POOLED, SHRUNK, CONTROLLED = "seasonal_mean", "pooled_loglog", "shrunk_loglog", "controlled_loglog"


@dataclass(frozen=True)
class Curve:
    """What a candidate makes of a fit: its columns, and coefficients of every product of a panel."""

    spec: Mapping[str, Any]
    beta: Floats
    kappa: Floats


def curve(panel: Panel, fit: Fit, candidate: str) -> Curve:
    """Coefficients products × columns: own ones, else the product's, the group's or the overall ones.

    The rule knows the calendar and nothing of prices; the pooled candidate has one elasticity for all.
    """
    beta = coefficients(panel, fit)
    price = fit.spec["columns"].index(design.PRICE)
    if candidate in (RULE, POOLED):
        beta = np.tile(fit.pooled.overall, (len(panel.keys), 1))
    beta[:, price] = 0.0 if candidate == RULE else demand.bounded(beta[:, price])
    kappa = np.full(len(panel.keys), usual_kappa(fit))
    kappa[fit.units] = fit.kappa
    return Curve(fit.spec, beta, kappa)


def usual_kappa(fit: Fit) -> float:
    """Overdispersion of a period where a product has none of its own."""
    return float(np.median(fit.kappa)) if len(fit.kappa) else 0.5


def coefficients(panel: Panel, fit: Fit) -> Floats:
    """Posterior means of every product of the panel that `fit` was made from, products × columns."""
    products = {product: n for n, product in enumerate(fit.products)}
    groups = {group: n for n, group in enumerate(fit.group_names)}
    beta = np.tile(fit.pooled.overall, (len(panel.keys), 1))
    for i, (key, group) in enumerate(zip(panel.keys, panel.groups, strict=True)):
        if key[:2] in products:
            beta[i] = fit.pooled.product[products[key[:2]]]
        elif group in groups:
            beta[i] = fit.pooled.group[groups[group]]
    beta[fit.units] = fit.pooled.unit
    return beta


def level(quantity: Floats, effect: Floats, active: Bools, kappa: Floats) -> tuple[Floats, Floats]:
    """(typical, mean) recent level L of each product, q_t ≈ L·exp(effect_t); rows × periods, the last period newest.

    Solves the negative binomial quasi-score Σ w_t·(q_t − μ_t) / (1 + κ·μ_t) = 0 by fixed point, sales counting half
    after `HALF_LIFE` periods, runs without stock not at all. The typical level bounds residuals as the coefficients' fit
    does; the mean is it times Σq / Σμ of the same periods (Duan 1983). NaN where nothing was sold.
    """
    age = np.arange(quantity.shape[1])[::-1]
    decay = 0.5 ** (age / HALF_LIFE)
    trust = decay * active
    base = np.exp(np.clip(np.where(active, effect, 0.0), -30, 30)) * active
    found = _ratio(trust * quantity, trust * base)
    empty = demand.without_stock(quantity, np.nan_to_num(found)[:, None] * base, kappa, active)
    trust = trust * ~empty
    for _ in range(_LEVEL_ROUNDS):
        mean = np.nan_to_num(found)[:, None] * base
        deviation = np.sqrt(mean + kappa[:, None] * mean**2)
        inner = trust / (1 + kappa[:, None] * mean)
        held = mean + np.clip(quantity - mean, -_HUBER * deviation, _HUBER * deviation)
        found = _ratio(inner * held, inner * base)
    smear = _ratio(trust * quantity, trust * np.nan_to_num(found)[:, None] * base)
    return found, found * smear


def weeks_ahead(
    panel: Panel, effect: Floats, kappa: Floats, origin: int, weeks: int, *, typical: bool = False
) -> Floats:
    """Mean (or typical) quantities of the `weeks` weeks from period `origin`, products × weeks; NaN without a level.

    `effect` is known for all periods: prices, promotions and calendar of the weeks ahead are those that came.
    """
    past = slice(max(0, origin - LEVEL_PERIODS), origin)
    both = level(panel.quantity[:, past], effect[:, past], panel.until(origin).is_active[:, past], kappa)
    base = both[0] if typical else both[1]
    ahead = slice(origin, origin + weeks * panel.week)
    said = base[:, None] * np.exp(np.clip(effect[:, ahead], -30, 30)) * panel.is_open[ahead]
    found: Floats = said.reshape(len(said), -1, panel.week).sum(axis=2)
    return found


def week_kappa(quantity: Floats, said: Floats, known: Bools, usual: float | None = None) -> Floats:
    """Overdispersion of a week's quantity by product, drawn to that of all: var = μ + κ·μ²; products × weeks in."""
    excess = np.where(known, (quantity - said) ** 2 - said, 0.0)
    size = np.where(known, said**2, 0.0)
    centre = usual
    if centre is None:
        shares = excess.sum(axis=1) / np.maximum(size.sum(axis=1), 1e-9)
        counted = known.any(axis=1)
        centre = float(np.clip(np.median(shares[counted]), *_KAPPA)) if counted.any() else 0.25
    weeks = known.sum(axis=1)
    own = np.clip(excess.sum(axis=1) / np.maximum(size.sum(axis=1), 1e-9), *_KAPPA)
    found: Floats = (weeks * own + _PRIOR_WEEKS * centre) / (weeks + _PRIOR_WEEKS)
    return found


def spread(quantity: Floats, kappa: Floats) -> Floats:
    """Standard deviation of a week's quantity: √(μ + κ·μ²)."""
    found: Floats = np.sqrt(quantity + kappa * quantity**2)
    return found


def _ratio(above: Floats, below: Floats) -> Floats:
    top, bottom = above.sum(axis=1), below.sum(axis=1)
    usable = (top > 0) & (bottom > 0)
    return np.where(usable, top / np.where(usable, bottom, 1.0), np.nan)
