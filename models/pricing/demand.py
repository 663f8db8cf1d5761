"""Demand as a function of price: a count regression for every product at once, pooled; what it says of each product.

log μ_it = a_i + b_i·log p_it + controls. Counts with variance μ + κ_i·μ² (negative binomial quasi-likelihood, κ_i by
moments): promotion days are both large and erratic, and Poisson weights would let a handful of them decide. Fitted by
iteratively reweighted least squares (McCullagh & Nelder 1989, ch. 2), the coefficients pooled in between
(`models.pricing.pooling`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing import design
from models.pricing.panel import Bools, Key, Panel
from models.pricing.pooling import LEAST, ROUNDS, Pooled, Tree, pool

Floats = NDArray[np.float64]

STEEPEST = -8.0
"""No elasticity below this is used. Published ones for groceries lie mostly between -1 and -6 (Bijmolt, van Heerde &
Pieters 2005, a mean of -2.6 over 1,851); promotions look steeper, since display and stock-building add to the price
cut. A bound at -6 forecast worse on promotions than none, at -8 better."""
STOCK_OUT = 1e-4
"""A run of periods without a sale that the fitted demand makes less likely than this is one without stock."""
RICH_PERIODS = 6
"""Periods with sales, at two prices at least, from which a product has coefficients of its own."""
SAME_PRICE = 0.01
"""Prices within a per cent are one price: a day's price is an average over lines."""
OWN_PRIOR = (-1.5, 5.0)
HUBER = 1.5
"""Pearson residuals count no further than this for coefficients (Cantoni & Ronchetti 2001): one clearance sale of forty
times the usual quantity would else be a product's elasticity. Levels are not bounded so: they stay means."""
_ROUNDS, _FEW = 6, 3
_CHUNK = 500
_KAPPA = (0.01, 3.0)
_PRICE_FLOOR = 0.1**2
"""Some difference between products is always left: else a product's own evidence would count for nothing."""


@dataclass(frozen=True)
class Fit:
    """Estimates of one training: `units` are rows of the panel, those with coefficients of their own.

    `own` and `own_error` are a unit's and a product's price effect from its own evidence alone, with the standard error
    that the sharing of weeks leaves; `doubt` by product multiplies standard deviations of the price effect for the same
    reason. `kappa` is that of a period, `stock_outs` marks the panel's censored periods.
    """

    spec: Mapping[str, Any]
    units: NDArray[np.intp]
    tree: Tree
    products: list[tuple[str, str]]
    group_names: list[str]
    pooled: Pooled
    own: Floats
    own_error: Floats
    product_own: Floats
    product_error: Floats
    doubt: Floats
    kappa: Floats
    promotion_share: Floats
    stock_outs: Bools
    dropped: Mapping[str, str]


def estimate(panel: Panel, *, controls: bool) -> Fit:
    """Fit all products with something to tell; without any, what is known beforehand stands for all."""
    spec, dropped = design.learn(panel, controls=controls)
    units = rich(panel)
    prices = design.RivalPrices(panel, spec["rivals"])
    tree, products, names = _tree(panel, units)
    quantity = panel.quantity[units]
    weight = panel.is_active[units].astype(np.float64)
    beta = np.zeros((len(units), len(spec["columns"])))
    beta[:, 0] = OWN_PRIOR[0]
    level = np.log(((quantity * weight).sum(axis=1) + 0.5) / np.maximum(weight.sum(axis=1), 1))
    kappa = np.full(len(units), 0.5)
    level -= _mean_effect(panel, spec, units, prices, beta, weight)
    pooled: Pooled | None = None
    for number in range(_ROUNDS):
        step = _step(panel, spec, units, prices, tree, quantity, weight, beta, level, kappa)
        kappa = step.kappa
        pooled = _pool(spec, step, tree, pooled, rounds=ROUNDS if number == _ROUNDS - 1 else _FEW)
        beta = beta + np.clip(pooled.unit - beta, -2.0, 2.0)
        level = step.level(beta)
        if number == 1:
            weight *= ~without_stock(quantity, step.mean, kappa, weight > 0)
    assert pooled is not None
    own, error = _alone(step.information, step.score, pooled.unit, pooled.within + pooled.between)
    of_product, product_error = _alone(pooled.product_information, pooled.product_score, pooled.product, pooled.between)
    doubt = np.sqrt(np.maximum(step.price_effect / step.effect, 1.0))
    stock_outs = np.zeros(panel.quantity.shape, dtype=bool)
    stock_outs[units] = panel.is_active[units] & (weight == 0)
    return Fit(
        spec=spec, units=units, tree=tree, products=products, group_names=names, pooled=pooled, own=own, own_error=error,
        product_own=of_product, product_error=product_error * doubt, doubt=doubt, kappa=kappa,
        promotion_share=step.promotion_share, stock_outs=stock_outs, dropped=dropped,
    )  # fmt: skip


def rich(panel: Panel) -> NDArray[np.intp]:
    """Rows of the panel that have coefficients of their own: sold often enough, at more than one price."""
    sold = panel.quantity > 0
    log_price = np.where(sold, panel.log_price, np.nan)
    with np.errstate(all="ignore"):
        spread = np.nanmax(np.where(sold, log_price, -np.inf), axis=1) - np.nanmin(
            np.where(sold, log_price, np.inf), axis=1
        )
    return np.flatnonzero((sold.sum(axis=1) >= RICH_PERIODS) & (spread > SAME_PRICE))


def effects(panel: Panel, spec: Mapping[str, Any], beta: Floats) -> Floats:
    """Products × periods: log effect of price, controls and calendar, without trend; `beta` is products × columns.

    The elasticity in `beta` is used as it is: bound it before.
    """
    used = beta.copy()
    if design.TREND in spec["columns"]:
        used[:, spec["columns"].index(design.TREND)] = 0.0
    prices = design.RivalPrices(panel, spec["rivals"])
    found = np.zeros(panel.quantity.shape)
    everything = np.arange(len(panel.keys), dtype=np.intp)
    for chunk in _chunks(everything):
        x = design.matrix(panel, spec, chunk, prices)
        found[chunk] = np.einsum("itk,ik->it", x, used[chunk])
    return found


def bounded(elasticity: Floats) -> Floats:
    """Elasticities as they are used: never above zero, never steeper than `STEEPEST`."""
    return np.clip(elasticity, STEEPEST, 0.0)


def product_key(key: Key | tuple[str, str]) -> str:
    """One text for platform and product, with or without tier."""
    return "\x1f".join(key)


def deviance(actual: Floats, forecast: Floats) -> float:
    """Mean Poisson deviance 2·(y·log(y/μ) − (y − μ)), the unit of counts (McCullagh & Nelder 1989, 2.3)."""
    mean = np.maximum(forecast, 1e-6)
    term = np.where(actual > 0, actual * np.log(np.maximum(actual, 1e-12) / mean), 0.0)
    return float(np.mean(2 * (term - (actual - mean))))


def without_stock(quantity: Floats, mean: Floats, kappa: Floats, active: Bools) -> Bools:
    """Periods in runs without a sale that demand as fitted makes less likely than `STOCK_OUT`: no stock, not no demand.

    P(0) of a negative binomial is (1 + κμ)^(−1/κ). Runs are of active periods, products × periods; one at the end,
    which no sale has closed yet, counts too.
    """
    empty = active & (quantity == 0)
    log_zero = np.where(empty, -np.log1p(kappa[:, None] * mean) / kappa[:, None], 0.0)
    found: Bools = np.zeros_like(empty)
    for row in np.flatnonzero(log_zero.sum(axis=1) < np.log(STOCK_OUT)):
        breaks = np.flatnonzero(active[row] & (quantity[row] > 0))
        run = np.searchsorted(breaks, np.arange(quantity.shape[1]))
        total = np.bincount(run, log_zero[row], minlength=len(breaks) + 1)
        found[row] = empty[row] & (total[run] < np.log(STOCK_OUT))
    return found


@dataclass
class _Step:
    """One pass over the data at the present coefficients: what the pooling needs, by unit."""

    information: Floats
    score: Floats
    effect: Floats
    price_effect: Floats
    kappa: Floats
    mean: Floats
    promotion_share: Floats
    centre_x: Floats
    centre_z: Floats

    def level(self, beta: Floats) -> Floats:
        """The constant of each unit that goes with coefficients."""
        found: Floats = self.centre_z - np.einsum("ik,ik->i", self.centre_x, beta)
        return found


def _step(
    panel: Panel, spec: Mapping[str, Any], units: NDArray[np.intp], prices: design.RivalPrices, tree: Tree,
    quantity: Floats, weight: Floats, beta: Floats, level: Floats, kappa: Floats,
) -> _Step:  # fmt: skip
    """Centred normal equations of the weighted regression of each unit, divided by its dispersion."""
    count, columns = beta.shape
    information, score = np.zeros((count, columns, columns)), np.zeros((count, columns))
    centre_x, centre_z = np.zeros((count, columns)), np.zeros(count)
    mean, share, spread_by = np.zeros_like(quantity), np.zeros(count), np.zeros(count)
    found_kappa = kappa.copy()
    scores = np.zeros((tree.products, quantity.shape[1], columns))
    several = ~tree.is_single
    for chunk in _chunks(np.arange(count, dtype=np.intp)):
        x = design.matrix(panel, spec, units[chunk], prices)
        y, w = quantity[chunk], weight[chunk]
        eta = np.clip(np.einsum("itk,ik->it", x, beta[chunk]) + level[chunk, None], -15, 15)
        mu = np.exp(eta)
        found_kappa[chunk] = _kappa(y, mu, w)
        trust = w * mu / (1 + found_kappa[chunk, None] * mu)
        total = np.maximum(trust.sum(axis=1), 1e-9)
        deviation = np.sqrt(mu + found_kappa[chunk, None] * mu**2)
        z = eta + np.clip((y - mu) / deviation, -HUBER, HUBER) * deviation / mu
        centre_x[chunk] = np.einsum("it,itk->ik", trust, x) / total[:, None]
        centre_z[chunk] = (trust * z).sum(axis=1) / total
        x -= centre_x[chunk][:, None, :]
        weighted = x * trust[:, :, None]
        scale = _dispersion(y, mu, mu * (1 + found_kappa[chunk, None] * mu), w, panel.week)
        information[chunk] = np.matmul(x.transpose(0, 2, 1), weighted) / scale[:, None, None]
        score[chunk] = np.einsum("itk,it->ik", weighted, z - centre_z[chunk, None]) / scale[:, None]
        shared = several[chunk]
        if shared.any():
            residual = weighted[shared] * (z - eta)[shared][:, :, None] / scale[shared][:, None, None]
            np.add.at(scores, tree.product_of[chunk[shared]], residual)
        mean[chunk], spread_by[chunk] = mu, scale
        share[chunk] = _promotion_share(spec, information[chunk])
    effect, price_effect = _effect(information, scores, tree, spec)
    return _Step(
        information=information, score=score, effect=effect, price_effect=price_effect, kappa=found_kappa,
        mean=mean, promotion_share=share, centre_x=centre_x, centre_z=centre_z,
    )  # fmt: skip


def _pool(spec: Mapping[str, Any], step: _Step, tree: Tree, start: Pooled | None, *, rounds: int) -> Pooled:
    columns: Sequence[str] = spec["columns"]
    prior_mean = np.array([OWN_PRIOR[0] if name == design.PRICE else 0.0 for name in columns])
    prior_sd = np.array([_prior_sd(name) for name in columns])
    return pool(
        step.information, step.score, tree, step.effect, prior_mean=prior_mean, prior_sd=prior_sd,
        centred=[name.startswith("rival:") for name in columns],
        floor=np.array([_PRICE_FLOOR if name == design.PRICE else LEAST for name in columns]), rounds=rounds, start=start,
    )  # fmt: skip


def _prior_sd(column: str) -> float:
    """Of the overall mean: an effect of exp(±2) is large for a promotion, of exp(±0.5) for a season or trend."""
    if column == design.PRICE:
        return OWN_PRIOR[1]
    return 2.0 if column.startswith(("field:", "rival")) else 0.5


def _alone(information: Floats, score: Floats, pooled: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """(price effect, standard error) from own evidence: the price next to free, the controls held to their kind."""
    precision = 1 / np.maximum(spread, LEAST)
    precision[0] = 1 / OWN_PRIOR[1] ** 2
    centre = pooled.copy()
    centre[:, 0] = OWN_PRIOR[0]
    covariance = np.linalg.inv(information + np.diag(precision))
    found = np.einsum("nij,nj->ni", covariance, score + precision * centre)
    return found[:, 0], np.sqrt(covariance[:, 0, 0])


def _effect(information: Floats, scores: Floats, tree: Tree, spec: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """How many times less a product's tiers together tell than if each had weeks of its own: of all, and of the price.

    The ratio of the variances robust to shared periods (Liang & Zeger 1986) to those that ignore them, with the
    correction for few clusters G / (G − k); of all is its mean over the columns of price, fields and rivals, which weighs
    the product against its group. 1 for a single tier.
    """
    mean, of_price = np.ones(tree.products), np.ones(tree.products)
    counted = np.array([name == design.PRICE or name.startswith(("field:", "rival")) for name in spec["columns"]])
    for product in np.unique(tree.product_of[~tree.is_single]):
        total = information[tree.product_of == product].sum(axis=0) + 1e-6 * np.eye(information.shape[1])
        naive = np.linalg.inv(total)
        robust = naive @ (scores[product].T @ scores[product]) @ naive
        clusters = int((np.abs(scores[product]).sum(axis=1) > 0).sum())
        few = clusters / max(clusters - len(counted), clusters / 3)
        ratio = np.diag(robust) / np.diag(naive) * few
        mean[product] = max(1.0, float(ratio[counted].mean()))
        of_price[product] = max(1.0, float(ratio[0]))
    return mean, of_price


def _promotion_share(spec: Mapping[str, Any], information: Floats) -> Floats:
    """Share of the price's variation, within a product, that its fields explain (partial R²; VIF is 1 / (1 − R²))."""
    fields = [number for number, name in enumerate(spec["columns"]) if name.startswith("field:")]
    if not fields:
        return np.zeros(len(information))
    inner = information[:, fields][:, :, fields] + 1e-9 * np.eye(len(fields))
    cross = information[:, fields, 0]
    explained = np.einsum("ni,ni->n", cross, np.linalg.solve(inner, cross[:, :, None])[:, :, 0])
    found: Floats = np.clip(explained / np.maximum(information[:, 0, 0], 1e-12), 0.0, 1.0)
    return found


def _kappa(quantity: Floats, mean: Floats, weight: Floats) -> Floats:
    excess = (((quantity - mean) ** 2 - mean) * weight).sum(axis=1)
    found: Floats = np.clip(excess / np.maximum((mean**2 * weight).sum(axis=1), 1e-9), *_KAPPA)
    return found


def _dispersion(quantity: Floats, mean: Floats, variance: Floats, weight: Floats, week: int) -> Floats:
    """Pearson χ²/df, at least 1: the larger of the periods' and the weeks', since promotions make neighbours alike."""
    found = np.ones(len(quantity))
    for width in {1, week}:
        whole = quantity.shape[1] // width * width
        shape = (len(quantity), whole // width, width)
        known = (weight[:, -whole:].reshape(shape) > 0).all(axis=2)
        gap = ((quantity - mean) * weight)[:, -whole:].reshape(shape).sum(axis=2)
        spread = np.maximum((variance * weight)[:, -whole:].reshape(shape).sum(axis=2), 1e-9)
        chi2 = np.where(known, gap**2 / spread, 0.0).sum(axis=1)
        found = np.maximum(found, chi2 / np.maximum(known.sum(axis=1) - 3, 1))
    return found


def _mean_effect(
    panel: Panel,
    spec: Mapping[str, Any],
    units: NDArray[np.intp],
    prices: design.RivalPrices,
    beta: Floats,
    weight: Floats,
) -> Floats:
    found = np.zeros(len(units))
    for chunk in _chunks(np.arange(len(units), dtype=np.intp)):
        x = design.matrix(panel, spec, units[chunk], prices)
        said = np.einsum("itk,ik->it", x, beta[chunk]) * weight[chunk]
        found[chunk] = said.sum(axis=1) / np.maximum(weight[chunk].sum(axis=1), 1)
    return found


def _tree(panel: Panel, units: NDArray[np.intp]) -> tuple[Tree, list[tuple[str, str]], list[str]]:
    products = sorted({panel.keys[i][:2] for i in units})
    number = {product: n for n, product in enumerate(products)}
    group_of = {panel.keys[i][:2]: panel.groups[i] for i in units}
    names = sorted(set(group_of.values()))
    place = {name: n for n, name in enumerate(names)}
    tree = Tree(
        product_of=np.array([number[panel.keys[i][:2]] for i in units], dtype=np.intp),
        group_of=np.array([place[group_of[product]] for product in products], dtype=np.intp),
        groups=len(names),
    )
    return tree, products, names


def _chunks(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
