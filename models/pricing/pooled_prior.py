"""What several partners' products say of the price effect of a product nobody of them sells, and how own evidence moves it.

Means and variances in and out; nothing here knows whose they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing import demand, forecast
from models.pricing.demand import Fit
from models.pricing.panel import Panel

Floats = NDArray[np.float64]

LEAST_OWN = 0.2
"""The share that a product's own evidence must have in what is said of it: a price is never made from others' alone."""
_LEAST_SD = 0.3


@dataclass(frozen=True)
class Estimate:
    """One partner's mean price effect with its variance, and how far its products lie apart (a variance)."""

    mean: float
    variance: float
    between: float


@dataclass(frozen=True)
class Prior:
    """The price effect expected of a product of a partner not seen before."""

    mean: float
    sd: float


def estimate_of(fit: Fit) -> Estimate:
    """A partner's own, from its fit."""
    pooled = fit.pooled
    among = float(pooled.among[0]) if fit.tree.groups > 1 else 0.0
    return Estimate(float(pooled.overall[0]), float(pooled.overall_variance[0]), float(pooled.between[0]) + among)


def prior(estimates: Sequence[Estimate]) -> Prior:
    """Random-effects mean over partners, and the spread of a new partner's product around it.

    The spread between partners is the moment estimate of DerSimonian & Laird 1986; a product's own departure inside its
    partner comes on top.
    """
    values = np.array([entry.mean for entry in estimates])
    variances = np.array([entry.variance for entry in estimates])
    weight = 1 / variances
    centre = float((weight * values).sum() / weight.sum())
    excess = float((weight * (values - centre) ** 2).sum()) - (len(values) - 1)
    between = max(0.0, excess / float(weight.sum() - (weight**2).sum() / weight.sum()))
    weight = 1 / (variances + between)
    mean = float((weight * values).sum() / weight.sum())
    within = float(np.mean([entry.between for entry in estimates]))
    sd = float(np.sqrt(1 / weight.sum() + between + within))
    return Prior(float(demand.bounded(np.array([mean]))[0]), max(sd, _LEAST_SD))


def posterior(known: Prior, own: float, error: float) -> tuple[float, float, float]:
    """(mean, sd, share of the own evidence) of a product with evidence of its own: a normal prior and a normal likelihood."""
    share = known.sd**2 / (known.sd**2 + error**2)
    return known.mean + share * (own - known.mean), float(np.sqrt(1 - share)) * known.sd, share


def coefficients(panel: Panel, fit: Fit, known: Prior) -> Floats:
    """A partner's coefficients, products × columns, its price effects drawn to the prior in place of one another's."""
    beta = forecast.coefficients(panel, fit)
    beta[:, 0] = known.mean
    for n, i in enumerate(fit.units):
        beta[i, 0] = posterior(known, float(fit.own[n]), own_error(fit, n))[0]
    beta[:, 0] = demand.bounded(beta[:, 0])
    return beta


def own_error(fit: Fit, n: int) -> float:
    """The standard error of a unit's own evidence, with what the sharing of weeks leaves of it."""
    return float(fit.own_error[n] * fit.doubt[fit.tree.product_of[n]])


def as_state(known: Prior) -> dict[str, Any]:
    """For a model's state."""
    return {"mean": known.mean, "sd": known.sd}
