"""Demand as a function of price: own elasticities by count regression, shrunk to the group; forecasts at a price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing.panel import Key, Panel

Floats = NDArray[np.float64]

LEVEL_DAYS = 28
USABLE_ERROR = 3.0
STEEPEST = -8.0
"""No elasticity below this is used. Published ones for groceries lie mostly between -1 and -6 (Bijmolt, van Heerde &
Pieters 2005, a mean of -2.6 over 1,851); promotions look steeper, since display and stock-building add to the price
cut. A bound at -6 forecast worse on promotions than none, at -8 better."""
_ROUNDS = 4
_STEPS = 8
_TREND_SD = 0.5
_OWN_PRIOR = (-1.5, 5.0)


@dataclass(frozen=True)
class Estimates:
    """Per product: own elasticity, its standard error, dispersion; the weekday and holiday log-effects of all."""

    own: Floats
    error: Floats
    dispersion: Floats
    weekday: Floats
    holiday: float


@dataclass(frozen=True)
class Shrunk:
    """Posterior mean and sd per product, and what a product without history of its own would get."""

    mean: Floats
    sd: Floats
    groups: Mapping[str, tuple[float, float]]
    overall: tuple[float, float]


def estimate(panel: Panel) -> Estimates:
    """log μ_it = a_i + b_i·(log p_it − mean) + c_i·t + weekday + holiday, all products at once.

    Counts with variance μ + κ_i·μ² (negative binomial quasi-likelihood, κ_i by moments): promotion days are both large
    and erratic, and Poisson weights would let a handful of them decide. Products by iteratively reweighted least
    squares (McCullagh & Nelder 1989, ch. 2), calendar effects between by their closed form Σq / Σμ (iterative
    proportional fitting). Standard errors carry the dispersion, the larger of the daily and the weekly Pearson
    χ²/df of that variance, since promotions make neighbouring days alike.
    """
    quantity, log_price = panel.quantity, panel.log_price
    weight = np.isfinite(log_price) * panel.open_days
    count = np.maximum(weight.sum(axis=1), 1)
    price = np.where(weight > 0, log_price, 0.0)
    price = np.where(weight > 0, price - (price.sum(axis=1) / count)[:, None], 0.0)
    time = np.linspace(-0.5, 0.5, quantity.shape[1])
    design = np.stack([np.ones_like(price), price, np.broadcast_to(time, price.shape)], axis=2)
    beta = np.zeros((len(quantity), 3))
    beta[:, 0] = np.log(((quantity * weight).sum(axis=1) + 0.5) / count)
    beta[:, 1] = _OWN_PRIOR[0]
    weekday, holiday = np.zeros(7), 0.0
    extra = np.full(len(quantity), 0.5)
    for _ in range(_ROUNDS):
        offset = weekday[panel.weekdays] + holiday * panel.holidays
        beta, hessian, mean = _newton(design, quantity, weight, offset, beta, extra)
        squares = (mean**2 * weight).sum(axis=1)
        extra = np.clip((((quantity - mean) ** 2 - mean) * weight).sum(axis=1) / np.maximum(squares, 1e-9), 0.01, 3.0)
        weekday, holiday = _calendar(panel, quantity * weight, mean * weight, weekday, holiday)
    spread = mean * (1 + extra[:, None] * mean)
    scale = np.maximum(_dispersion(quantity, mean, spread, weight, 1), _dispersion(quantity, mean, spread, weight, 7))
    error = np.sqrt(scale * np.linalg.inv(hessian)[:, 1, 1])
    counts = np.maximum(_dispersion(quantity, mean, mean, weight, 1), _dispersion(quantity, mean, mean, weight, 7))
    return Estimates(beta[:, 1], error, counts, weekday, holiday)


def shrink(own: Floats, error: Floats, groups: Sequence[str]) -> Shrunk:
    """Partial pooling, product → group → all, by empirical Bayes (Efron & Morris 1975; Gelman & Hill 2007, 12.1).

    E[b_i] = (b_i/s_i² + m_g/τ²) / (1/s_i² + 1/τ²), var = 1 / (1/s_i² + 1/τ²) + (s_i²/(s_i² + τ²))²·var(m_g); the
    variances between products and between groups by moments (DerSimonian & Laird 1986).
    """
    usable = np.isfinite(own) & (error < USABLE_ERROR)
    if usable.sum() < 2:
        overall = _OWN_PRIOR
        return Shrunk(own.copy(), error.copy(), {}, overall)
    names = sorted(set(groups))
    member = {name: np.array([group == name for group in groups]) & usable for name in names}
    within = _between(
        [(own[inside], error[inside]) for inside in member.values() if inside.sum() > 1]
        or [(own[usable], error[usable])]
    )
    # Some difference between products is always left: else a product's own evidence would count for nothing.
    within = max(within, 0.1**2)
    means = {name: _pooled(own[inside], error[inside], within) for name, inside in member.items() if inside.any()}
    centres = np.array([mean for mean, _ in means.values()])
    errors = np.sqrt(np.array([variance for _, variance in means.values()]))
    between = _between([(centres, errors)]) if len(centres) > 1 else 0.0
    top, top_variance = _pooled(centres, errors, between)
    found: dict[str, tuple[float, float]] = {}
    for name in names:
        mean, variance = means.get(name, (top, np.inf))
        found[name] = _combined(mean, variance, top, between + top_variance)
    centre = np.array([found[group][0] for group in groups])
    spread = np.array([found[group][1] for group in groups])
    share = np.where(np.isfinite(own), within / (within + error**2), 0.0)
    posterior = share * np.where(np.isfinite(own), own, 0.0) + (1 - share) * centre
    variance = within * (1 - share) + (1 - share) ** 2 * spread
    outside = {name: (mean, float(np.sqrt(variance + within))) for name, (mean, variance) in found.items()}
    return Shrunk(posterior, np.sqrt(variance), outside, (top, float(np.sqrt(top_variance + between + within))))


def expected(panel: Panel, origin: int, days: int, elasticity: Floats, weekday: Floats, holiday: float) -> Floats:
    """Forecast quantities, products × `days` from day `origin`, at the prices then taken; NaN for products not active.

    The recent level, adjusted for the prices it was sold at, times price and calendar effects. Elasticity 0 is
    the naive rule: the recent average whatever the price.
    """
    past = slice(max(0, origin - LEVEL_DAYS), origin)
    future = slice(origin, origin + days)
    effect = weekday[panel.weekdays] + holiday * panel.holidays
    known = np.isfinite(panel.log_price[:, past]) * panel.open_days[past]
    reference = panel.log_price[:, origin - 1][:, None]
    moved = elasticity[:, None] * (panel.log_price - reference) + effect
    with np.errstate(invalid="ignore"):
        exposure = np.where(known > 0, np.exp(moved[:, past]), 0.0).sum(axis=1)
        sold = (panel.quantity[:, past] * known).sum(axis=1)
        level = np.where((sold > 0) & (exposure > 0), sold / np.maximum(exposure, 1e-12), np.nan)
        return level[:, None] * np.exp(moved[:, future]) * panel.open_days[future]


def bounded(elasticity: Floats) -> Floats:
    """Elasticities as they are used: never above zero, never steeper than `STEEPEST`."""
    return np.clip(elasticity, STEEPEST, 0.0)


def deviance(actual: Floats, forecast: Floats) -> float:
    """Mean Poisson deviance 2·(y·log(y/μ) − (y − μ)), the unit of counts (McCullagh & Nelder 1989, 2.3)."""
    mean = np.maximum(forecast, 1e-6)
    term = np.where(actual > 0, actual * np.log(np.maximum(actual, 1e-12) / mean), 0.0)
    return float(np.mean(2 * (term - (actual - mean))))


def as_state(panel: Panel, estimates: Estimates, shrunk: Shrunk) -> dict[str, Any]:
    """Elasticities as builtins: `products` by `product_key`, `groups`, `overall`."""
    products = {
        product_key(key): {
            "mean": float(shrunk.mean[i]),
            "sd": float(shrunk.sd[i]),
            "own": float(estimates.own[i]),
            "own_error": float(estimates.error[i]),
            "dispersion": float(estimates.dispersion[i]),
        }
        for i, key in enumerate(panel.keys)
    }
    return {
        "products": products,
        "groups": {name: list(pair) for name, pair in shrunk.groups.items()},
        "overall": list(shrunk.overall),
    }


def product_key(key: Key) -> str:
    """One text for platform, product and tier."""
    return "\x1f".join(key)


def _newton(
    design: Floats, quantity: Floats, weight: Floats, offset: Floats, beta: Floats, extra: Floats
) -> tuple[Floats, Floats, Floats]:
    """Damped Newton steps for all products at once: (coefficients, information, means)."""
    prior = np.diag([1e-6, 1 / _OWN_PRIOR[1] ** 2, 1 / _TREND_SD**2])
    centre = np.array([0.0, _OWN_PRIOR[0], 0.0])
    for _ in range(_STEPS):
        mean = np.exp(np.clip(np.einsum("itk,ik->it", design, beta) + offset, -15, 15))
        trust = weight / (1 + extra[:, None] * mean)
        weighted = mean * trust
        gradient = np.einsum("itk,it->ik", design, (quantity - mean) * trust) - (beta - centre) @ prior
        hessian = np.einsum("itk,it,itl->ikl", design, weighted, design, optimize=True) + prior
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        beta = beta + np.clip(step, -2.0, 2.0)
    mean = np.exp(np.clip(np.einsum("itk,ik->it", design, beta) + offset, -15, 15))
    return beta, hessian, mean


def _calendar(panel: Panel, sold: Floats, mean: Floats, weekday: Floats, holiday: float) -> tuple[Floats, float]:
    by_day, expected_by_day = sold.sum(axis=0), mean.sum(axis=0)
    updated = weekday.copy()
    for day in range(7):
        inside = panel.weekdays == day
        # Half a sale on each side: a weekday that never sells stays finite.
        updated[day] += np.log((by_day[inside].sum() + 0.5) / (expected_by_day[inside].sum() + 0.5))
    updated -= updated.mean()
    inside = panel.holidays > 0
    if inside.sum() >= 2:
        holiday += float(np.log((by_day[inside].sum() + 0.5) / (expected_by_day[inside].sum() + 0.5)))
    return updated, float(np.clip(holiday, -1.5, 1.5))


def _dispersion(quantity: Floats, mean: Floats, variance: Floats, weight: Floats, days: int) -> Floats:
    """Pearson χ²/df over blocks of `days`, at least 1; `variance` is that of a day."""
    width = quantity.shape[1] // days * days
    shape = (len(quantity), width // days, days)
    known = weight[:, -width:].reshape(shape).sum(axis=2) == days if days > 1 else weight > 0
    sold = (quantity * weight)[:, -width:].reshape(shape).sum(axis=2)
    said = (mean * weight)[:, -width:].reshape(shape).sum(axis=2)
    spread = np.maximum((variance * weight)[:, -width:].reshape(shape).sum(axis=2), 1e-9)
    chi2 = np.where(known, (sold - said) ** 2 / spread, 0.0).sum(axis=1)
    found: Floats = np.maximum(1.0, chi2 / np.maximum(known.sum(axis=1) - 3, 1))
    return found


def _between(parts: Sequence[tuple[Floats, Floats]]) -> float:
    """DerSimonian–Laird variance between members, pooled over groups of (estimates, standard errors)."""
    excess = size = 0.0
    for values, errors in parts:
        w = 1 / errors**2
        centre = (w * values).sum() / w.sum()
        excess += float((w * (values - centre) ** 2).sum()) - (len(values) - 1)
        size += float(w.sum() - (w**2).sum() / w.sum())
    return max(0.0, excess / size) if size > 0 else 0.0


def _pooled(values: Floats, errors: Floats, variance: float) -> tuple[float, float]:
    w = 1 / (errors**2 + variance)
    return float((w * values).sum() / w.sum()), float(1 / w.sum())


def _combined(mean: float, variance: float, top: float, top_variance: float) -> tuple[float, float]:
    if not np.isfinite(variance) or top_variance <= 0:
        return top, max(top_variance, 0.0)
    share = top_variance / (top_variance + variance)
    return share * mean + (1 - share) * top, share * variance
