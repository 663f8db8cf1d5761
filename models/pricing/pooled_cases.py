"""A partner's last weeks as if it had begun with them: some weeks to learn a level from, and those that followed.

Arrays only; what is forecast, and from which prior, is the caller's.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.pricing import demand, folds, forecast
from models.pricing.demand import Fit
from models.pricing.folds import Tested
from models.pricing.forecast import RULE, Curve
from models.pricing.panel import Panel, panel
from models.pricing.pooled_prior import Prior, coefficients

Floats = NDArray[np.float64]

LEARN_WEEKS, TEST_WEEKS = 10, 4
LEAST_CASES = 12
"""Product weeks from which on a partner's own can be judged."""


@dataclass(frozen=True)
class Case:
    """`whole` is the panel up to the end of the test, `past` the weeks before it, `fit` what these say alone."""

    whole: Panel
    past: Panel
    fit: Fit
    rule: Tested


def case_of(training: pl.DataFrame, currency: str) -> Case | None:
    """The last weeks of a partner; None where too few products were sold before and after."""
    if not training.height:
        return None
    first = training["sold_on"].max() - timedelta(weeks=LEARN_WEEKS + TEST_WEEKS)  # type: ignore[operator]
    whole = panel(training.filter(pl.col("sold_on") > first), currency)
    if whole is None or whole.weeks < LEARN_WEEKS + TEST_WEEKS - 1:
        return None
    origin = whole.length - TEST_WEEKS * whole.week
    before = whole.until(origin)
    known = np.flatnonzero((before.quantity > 0).any(axis=1))
    before, whole = before.some(known), whole.some(known)
    if not len(known) or not len(demand.rich(before)):
        return None
    fit = demand.estimate(before, controls=False)
    found = Case(whole, before, fit, _tested(whole, before, forecast.curve(before, fit, RULE)))
    return found if found.rule.counts.sum() >= LEAST_CASES else None


def served(case: Case, known: Prior) -> Tested:
    """The test weeks as the pooled model would have forecast them at the prices then taken."""
    plain = forecast.curve(case.past, case.fit, RULE)
    curve = Curve(plain.spec, coefficients(case.past, case.fit, known), plain.kappa)
    return _tested(case.whole, case.past, curve)


def relative(case: Case, tested: Tested) -> float:
    """The deviance of what was said relative to the rule's, on the weeks that count for both."""
    counts = case.rule.counts & tested.counts
    actual = case.rule.actual[counts]
    by_rule = demand.deviance(actual, case.rule.said[counts])
    return demand.deviance(actual, tested.said[counts]) / by_rule if by_rule > 0 else float("nan")


def standardized(tested: Tested) -> Floats:
    """How far off each week was, in its expected standard deviations."""
    actual, said, deviation = tested.flat
    return (actual - said) / deviation


def _tested(whole: Panel, past: Panel, curve: Curve) -> Tested:
    origin = past.length
    effect = demand.effects(whole, curve.spec, curve.beta)
    said = forecast.weeks_ahead(whole, effect, curve.kappa, origin, TEST_WEEKS)
    kappa = folds.kappa_of_weeks(past, demand.effects(past, curve.spec, curve.beta), curve)
    ahead = slice(origin, origin + TEST_WEEKS * whole.week)
    actual = _weekly(whole.quantity[:, ahead], whole.week)
    on_sale = _weekly(whole.is_active[:, ahead].astype(np.float64), whole.week) > 0
    return Tested(actual, said, forecast.spread(said, kappa[:, None]), on_sale & np.isfinite(said))


def _weekly(values: Floats, week: int) -> Floats:
    found: Floats = values.reshape(len(values), -1, week).sum(axis=2)
    return found
