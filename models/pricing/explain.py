"""Why a price is recommended: a waterfall from the current price over the unconstrained optimum to each bound."""

from collections.abc import Mapping

from integrator.contracts.insight import Contribution
from models.pricing.optimum import LEAST_GAIN, MAX_CHANGE, RANGE_MARGIN, SAME_PRICE, Bounds, Choice

DISCLOSURE = (
    "A recommendation, not a decision: it rests on past sales, in which prices were mostly changed for promotions. "
    "Such price effects mix with those of advertising and display, so elasticities are biased and usually too large. "
    "Test a change on a few products before following it widely."
)
HOLDS = ("floor", "cost_floor", "ceiling", "max_change")
_MANIFOLD = 1.0
"""A gain above this share of what is earned now is told in money: a percentage of next to nothing says nothing."""


def waterfall(current: float, way: Choice, elasticity: float, allowed: Bounds, *, profit: bool) -> list[Contribution]:
    """Unrounded parts that sum to recommended minus current price; steps that change nothing are left out."""
    aim = "profit" if profit else "revenue"
    steps = [
        Contribution(
            "demand_response",
            f"Price of the highest {aim} at an elasticity of {elasticity:.1f}",
            way.best - current,
            False,
        ),
        Contribution(*_edge(allowed, way.best), way.inside - way.best, True),
        Contribution("max_change", f"Maximum change of {MAX_CHANGE:.0%} at once", way.final - way.inside, True),
        Contribution("price_step", "Rounded to a price in your usual steps", way.stepped - way.final, False),
        Contribution("small_change", "Kept: " + _KEPT.get(way.why_kept, ""), way.value - way.stepped, False),
    ]
    return [step for step in steps if step.effect != 0]


def summary(
    way: Choice,
    currency: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    steps: list[Contribution],
    *,
    is_certain: bool,
    profit: bool,
) -> str:
    """One sentence: what to do, what it is expected to bring, and what held it back.

    `before` and `after` are a week at the current and at the recommended price: price, quantity, revenue, profit.
    """
    aim = "profit" if profit else "revenue"
    current = before["price"]
    held = max((s for s in steps if s.factor in HOLDS), key=lambda s: abs(s.effect), default=None)
    bound = "" if held is None else _inline(held.label)
    if way.why_kept:
        return f"Keep {shown(current)} {currency}: {_kept(way, aim, bound)}."
    verb = "Raise" if way.value > current else "Lower"
    change = _percent(way.value / current - 1)
    text = f"{verb} the price from {shown(current)} to {shown(way.value)} {currency} ({change}): "
    text += _gain(aim, before[aim], after[aim], currency)
    if not is_certain:
        text += ", though the direction is not certain"
    return f"{text}; limited by the {bound}." if bound else f"{text}."


_KEPT = {
    "step": "no price in your usual steps is allowed",
    "same": f"the best price is within {SAME_PRICE:.0%}",
    "bound": "no allowed change is worth making",
    "gain": f"a change would bring less than {LEAST_GAIN:.0%}",
}


def _kept(way: Choice, aim: str, bound: str) -> str:
    if way.why_kept == "step":
        return f"no price in your usual steps lies within {MAX_CHANGE:.0%} of it and inside floor and ceiling"
    if way.why_kept == "same":
        return (
            f"it already is the price with the highest expected {aim}, to within {SAME_PRICE:.0%} or half a price step"
        )
    if way.why_kept == "bound":
        return f"{aim} might be higher at {shown(round(way.best, 2))}, but the {bound} leaves no change worth making"
    return f"no other allowed price is expected to raise {aim} by {LEAST_GAIN:.0%} a week or more"


def _gain(aim: str, before: float, after: float, currency: str) -> str:
    if before <= 0 or after - before > _MANIFOLD * before:
        was = f"a loss of {-before:,.0f}" if before < 0 else f"{before:,.0f}"
        return f"expected {aim} {after:,.0f} {currency} a week instead of {was}"
    return f"expected {aim} {_percent((after - before) / before)}, about {_money(after - before)} {currency} a week"


def _inline(label: str) -> str:
    """`Ceiling: highest price` → `ceiling (highest price)`."""
    name, _, what = label.partition(": ")
    return f"{name[:1].lower()}{name[1:]}" + (f" ({what})" if what else "")


def _money(amount: float) -> str:
    return f"{amount:+,.0f}" if abs(amount) >= 1 else f"{amount:+.2f}"


def _percent(share: float) -> str:
    """`+5.0%`; never `-0.0%`."""
    text = f"{share:+.1%}"
    return text.removeprefix("-").removeprefix("+") if float(text[1:-1]) == 0 else text


def shown(price: float) -> str:
    """A price with the digits it has: 135, 134.5 and 12,500."""
    return f"{price:,.2f}".rstrip("0").rstrip(".") if round(price, 2) == price else f"{price:,g}"


def _edge(allowed: Bounds, best: float) -> tuple[str, str]:
    if best > allowed.ceiling:
        return "ceiling", f"Ceiling: highest price paid plus {RANGE_MARGIN:.0%}"
    if allowed.floor_is_cost:
        return "cost_floor", "Floor: never below cost"
    return "floor", f"Floor: lowest price paid less {RANGE_MARGIN:.0%}"
