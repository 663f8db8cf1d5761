"""Whether price history can tell what a price does: what was looked at, the reason why not, and what would mend it."""

import math
from typing import Any

import numpy as np

from integrator.contracts.currencies import digits
from models.base import FeatureRow
from models.messages import Catalogue
from models.pricing.curve import Facts
from models.pricing.explain import share, shown
from models.pricing.optimum import Refusal
from models.rounding import rounded

LEAST_PRICES = 4
LEAST_SPREAD = 0.05
LEAST_WEEKS = 8
CERTAIN = 1.645
"""Standard errors to each side: a 90 % interval."""
STRONG = 0.5
"""A product's own evidence is heard by itself, whatever its group says, when its standard error is below this."""
WITH_PROMOTIONS = 0.9
"""A VIF of 10 (Marquardt 1970): price and promotions moved together."""
TURNING = -1.0
"""At this elasticity takings are the same at every price: above it a higher price earns more without end."""
_TEST_STEP = 0.10
_TEST_ERROR = 0.5
_LONGEST_TEST = 26


def refusal(row: FeatureRow, facts: Facts) -> Refusal | None:
    """Why this product is not priced; None when it can be.

    A price earns most only where demand is known to be elastic, below −1: above it every higher price earns more, and a
    seller who finds that has most likely measured it wrong (Lerner 1934). Where seats run out anyway, the price that
    just sells them is the best whatever the side, and below zero is enough.
    """
    if has_ended(row):
        return Refusal(code="ended", words={"last_day": row["last_day"]})
    if row["event"] is not None and row["event"]["left"] <= 0:
        return Refusal(code="sold_out", words={})
    if row["weeks"] < LEAST_WEEKS:
        left = LEAST_WEEKS - row["weeks"]
        code = "weeks_first" if row["weeks"] == 1 else "weeks_last" if left == 1 else "weeks"
        return Refusal(code=code, words={"weeks": row["weeks"], "needed": LEAST_WEEKS, "left": left})
    return _too_little(row) or _no_effect(row, facts)


def has_ended(row: FeatureRow) -> bool:
    """Whether the partner's sales end so long ago that a price from them would have expired before it was said."""
    return bool(row.get("has_ended", False))


def told(refused: Refusal, row: FeatureRow, facts: Facts | None, say: Catalogue) -> str:
    """The sentence of a refusal, with the price test that would mend it; that wants `facts`."""
    words = {name: _word(name, value, row, say) for name, value in refused.words.items()}
    text = say.texts[f"refused.{refused.code}"]
    if "{test}" in text and facts is not None:
        words["test"] = price_test(row, facts, say)
    return say(f"refused.{refused.code}", currency=row["currency"], **words)


def price_test(row: FeatureRow, facts: Facts, say: Catalogue) -> str:
    """The price test that measures the elasticity to ±0.5: var(b) = φ / (n·q·var(log price)), solved for n periods.

    φ = 1 + κ·q is the overdispersion of a period's quantity q.
    """
    price, recent = row["current_price"], row["recent"]["quantity"]
    sold = max(float(np.mean(recent)) if recent else 0.0, 1e-3)
    needed = (1 + facts.kappa * sold) / (sold * _TEST_ERROR**2 * np.log1p(_TEST_STEP) ** 2)
    weeks = math.ceil(needed * row["period_days"] / 7 / 2) * 2
    if weeks > _LONGEST_TEST:
        daily = say.number(sold / row["period_days"], 1)
        return say("test.larger", daily=daily, step=say.percent(_TEST_STEP))
    # Where a step is wider than half the change, the test's prices are shown to the currency's own digits.
    shown = 0 if row["price_step"] == 1 and price * _TEST_STEP >= 2 else digits(row["currency"])
    return say(
        "test.steps", low=say.number(price / (1 + _TEST_STEP), shown), high=say.number(price * (1 + _TEST_STEP), shown),
        currency=row["currency"], weeks=max(4, weeks),
    )  # fmt: skip


def evidence(row: FeatureRow, facts: Facts, refused: Refusal | None) -> dict[str, Any]:
    """What was looked at, for the insight's details; `vif` is null where price and promotions moved as one."""
    share = facts.promotion_share
    return {
        "is_identified": refused is None,
        "reason": None if refused is None else refused.code,
        "price_count": row["price_count"],
        "price_spread": row["price_spread"],
        "weeks": row["weeks"],
        "own_elasticity": None if facts.own is None else rounded(facts.own, 2),
        "own_error": None if facts.own_error is None else rounded(facts.own_error, 2),
        "product_elasticity": None if facts.product is None else rounded(facts.product[0], 2),
        "product_error": None if facts.product is None else rounded(facts.product[1], 2),
        "sign": "unknown" if facts.own is None else "falling" if facts.own < 0 else "rising",
        "promotion_share": rounded(share, 2),
        "vif": rounded(1 / (1 - share), 1) if share < 0.999 else None,
        "evidence_of": facts.level,
    }


def _too_little(row: FeatureRow) -> Refusal | None:
    if row["price_count"] < LEAST_PRICES:
        return Refusal(code="prices", words={"count": row["price_count"], "needed": LEAST_PRICES})
    if row["price_spread"] < LEAST_SPREAD:
        return Refusal(code="spread", words={"spread": row["price_spread"], "needed": LEAST_SPREAD})
    return None


def _no_effect(row: FeatureRow, facts: Facts) -> Refusal | None:
    if facts.is_held:
        return Refusal(code="group", words={})
    if facts.own is not None and facts.own_error is not None and facts.own - facts.own_error > 0:
        return Refusal(code="sign", words={"own": facts.own, "error": facts.own_error})
    if facts.promotion_share > WITH_PROMOTIONS:
        return Refusal(code="promotion", words={"share": facts.promotion_share})
    mean, sd = facts.elasticity, facts.sd
    if mean + CERTAIN * sd >= 0:
        return Refusal(code="none", words={"mean": mean, "sd": sd})
    if row["event"] is not None:
        return None
    if facts.product is not None and _is_open(*facts.product):
        return Refusal(code="turning_product", words={"mean": facts.product[0], "sd": facts.product[1]})
    if facts.own is not None and facts.own_error is not None and _is_open(facts.own, facts.own_error):
        return Refusal(code="turning", words={"mean": facts.own, "sd": facts.own_error})
    if mean + CERTAIN * sd >= TURNING:
        return Refusal(code="turning", words={"mean": mean, "sd": sd})
    return None


def _is_open(own: float, error: float) -> bool:
    """Whether strong evidence of its own leaves open that the elasticity is above −1, or says so."""
    return error < STRONG and own + CERTAIN * error >= TURNING


def _word(name: str, value: Any, row: FeatureRow, say: Catalogue) -> Any:
    if name in ("spread", "share"):
        return say.percent(value, 1)
    if name == "needed" and isinstance(value, float):
        return say.percent(value)
    if name in ("own", "mean"):
        return say.number(value, 1, signed=True)
    if name in ("error", "sd"):
        return say.number(value, 1)
    if name in ("price", "cost"):
        return say.number(value, digits(row["currency"]))
    if name in ("floor", "ceiling"):
        return shown(value, say)
    if name == "most":
        return share(value, say)
    return value
