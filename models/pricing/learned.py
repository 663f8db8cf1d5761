"""A fit as the plain state of a model: coefficients and doubts by product, group and overall, for one candidate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing.demand import Fit, product_key
from models.pricing.forecast import POOLED, Curve, usual_kappa
from models.pricing.panel import Panel

Floats = NDArray[np.float64]


def as_state(panel: Panel, fit: Fit, curve: Curve, candidate: str, week_kappa: Floats) -> dict[str, Any]:
    """`units`, `products`, `groups` by name, `overall`, what is `usual`, and the `spec` of the columns.

    `units` are products in a tier by `product_key`, with the elasticity's posterior (`beta[0]`, `sd`), their `own` evidence and
    how demand scatters; `products` are over all tiers. `week_kappa` is by row of the panel.
    """
    pooled, tree = fit.pooled, fit.tree
    sd_overall = float(np.sqrt(pooled.overall_variance[0] + pooled.among[0] * (tree.groups > 1) + pooled.between[0]))
    overall = {"beta": pooled.overall.tolist(), "sd": sd_overall}
    units: dict[str, Any] = {}
    for n, i in enumerate(fit.units):
        doubt = float(fit.doubt[tree.product_of[n]])
        sd = sd_overall if candidate == POOLED else float(np.sqrt(pooled.unit_variance[n, 0])) * doubt
        units[product_key(panel.keys[i])] = {
            "beta": curve.beta[i].tolist(),
            "sd": sd,
            "own": float(fit.own[n]),
            "own_error": float(fit.own_error[n]) * doubt,
            "kappa": float(fit.kappa[n]),
            "week_kappa": float(week_kappa[i]),
            "promotion_share": float(fit.promotion_share[n]),
        }
    return {
        "spec": dict(fit.spec),
        "units": units,
        "products": {} if candidate == POOLED else _products(fit),
        "groups": {} if candidate == POOLED else _groups(fit),
        "overall": overall,
        "usual": {"kappa": usual_kappa(fit), "week_kappa": float(np.median(week_kappa))},
    }


def _products(fit: Fit) -> dict[str, Any]:
    pooled, tree = fit.pooled, fit.tree
    tiers = np.bincount(tree.product_of, minlength=tree.products)
    return {
        product_key(product): {
            "beta": pooled.product[n].tolist(),
            "sd": float(np.sqrt(pooled.product_variance[n, 0] + pooled.within[0] * (tiers[n] > 1)))
            * float(fit.doubt[n]),
            "own": float(fit.product_own[n]),
            "own_error": float(fit.product_error[n]),
            "tiers": int(tiers[n]),
        }
        for n, product in enumerate(fit.products)
    }


def _groups(fit: Fit) -> dict[str, Any]:
    pooled = fit.pooled
    return {
        name: {
            "beta": pooled.group[n].tolist(),
            "sd": float(np.sqrt(pooled.group_variance[n, 0] + pooled.between[0])),
        }
        for n, name in enumerate(fit.group_names)
    }
