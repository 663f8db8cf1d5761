"""Whether price history can tell what a price does: the reason why not, and what would mend it."""

from typing import Any

import numpy as np

from models.base import FeatureRow
from models.pricing.currency import digits

LEAST_PRICES = 4
LEAST_SPREAD = 0.05
LEAST_WEEKS = 8
CERTAIN = 1.645
"""The elasticity's 90 % interval has to lie below zero."""
_TEST_STEP = 0.10
_TEST_ERROR = 0.5
_LONGEST_TEST = 26


def refusal(row: FeatureRow, elasticity: dict[str, Any]) -> str | None:
    """Why this product is not priced, with what would mend it; None when it can be."""
    if row["weeks"] < LEAST_WEEKS:
        left = LEAST_WEEKS - row["weeks"]
        return (
            f"No price recommended: it was sold over {row['weeks']} week{'s' * (row['weeks'] != 1)}, {LEAST_WEEKS} are "
            f"needed. {left} more week{'s' * (left != 1)} of sales would mend it, best at changing prices"
        )
    reason = _too_little(row) or _no_effect(elasticity)
    return None if reason is None else f"No price recommended: {reason}. {price_test(row, elasticity)}"


def price_test(row: FeatureRow, elasticity: dict[str, Any]) -> str:
    """The price test that measures the elasticity to ±0.5: var(b) = φ / (n·q·var(log price)), solved for n days."""
    price, daily = row["current_price"], float(np.mean(row["recent_quantity"] or [0.0]))
    log_step = np.log1p(_TEST_STEP)
    days = elasticity["dispersion"] / (max(daily, 1e-3) * _TEST_ERROR**2 * log_step**2)
    weeks = int(np.ceil(days / 7 / 2)) * 2
    # Where a step is wider than half the change, the test's prices are shown to the currency's own digits.
    shown = 0 if row["price_step"] == 1 and price * _TEST_STEP >= 2 else digits(row["currency"])
    low, high = price / (1 + _TEST_STEP), price * (1 + _TEST_STEP)
    if weeks > _LONGEST_TEST:
        return (
            f"It sells {daily:.1f} a day, too unevenly for steps of {_TEST_STEP:.0%} to tell within half a year: "
            "a price test with larger steps, or together with products of its group, would mend it"
        )
    return (
        f"A price test would mend it: {low:.{shown}f} and {high:.{shown}f} {row['currency']} by turns, "
        f"{max(4, weeks)} weeks in all"
    )


def _too_little(row: FeatureRow) -> str | None:
    if row["price_count"] < LEAST_PRICES:
        return f"it was sold at {row['price_count']} distinct prices, {LEAST_PRICES} are needed"
    if row["price_spread"] < LEAST_SPREAD:
        return f"its prices lie within {row['price_spread']:.1%}, a spread of {LEAST_SPREAD:.0%} is needed"
    return None


def _no_effect(elasticity: dict[str, Any]) -> str | None:
    own, error = elasticity["own"], elasticity["own_error"]
    if own is not None and own - error > 0:
        return (
            f"it sold more at higher prices (own elasticity {own:+.1f} ± {error:.1f}), which a demand curve cannot do"
        )
    mean, sd = elasticity["mean"], elasticity["sd"]
    if mean >= 0 or mean + CERTAIN * sd >= 0:
        return f"the effect of price cannot be told from none (elasticity {mean:+.1f} ± {sd:.1f})"
    return None
