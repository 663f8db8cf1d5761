"""Why a price is recommended: a waterfall from the current price over the unconstrained optimum to each bound."""

from integrator.contracts.insight import Contribution
from models.pricing.optimum import MAX_CHANGE, RANGE_MARGIN, Bounds

DISCLOSURE = (
    "A recommendation, not a decision: it rests on past sales, in which prices were mostly changed for promotions. "
    "Such price effects mix with those of advertising and display, so elasticities are biased and usually too large. "
    "Test a change on a few products before following it widely."
)


def waterfall(current: float, best: float, elasticity: float, allowed: Bounds, *, profit: bool) -> list[Contribution]:
    """Unrounded parts that sum to recommended minus current price; steps that change nothing are left out."""
    inside = allowed.step(best)
    final = allowed.change(inside)
    # A bound may bite twice: the maximum change can end outside what is left; `bounds` has ruled that out.
    aim = "profit" if profit else "revenue"
    steps = [
        Contribution(
            "demand_response", f"Price of the highest {aim} at an elasticity of {elasticity:.1f}", best - current, False
        ),
        Contribution(*_edge(allowed, best), inside - best, True),
        Contribution("max_change", f"Maximum change of {MAX_CHANGE:.0%} at once", final - inside, True),
    ]
    return [step for step in steps if step.effect != 0]


def summary(
    current: float,
    value: float,
    currency: str,
    gain: float,
    spread: tuple[float, float],
    steps: list[Contribution],
    *,
    profit: bool,
) -> str:
    """One sentence: what to do, what it is expected to bring, and what held it back."""
    aim = "profit" if profit else "revenue"
    if value == current:
        return f"Keep {current:g} {currency}: no allowed change is expected to raise {aim}."
    verb = "Raise" if value > current else "Lower"
    change = f"{value / current - 1:+.1%}"
    text = f"{verb} the price from {current:g} to {value:g} {currency} ({change}): expected {aim} {gain:+.1%} a week"
    if spread[0] < current < spread[1]:
        text += ", though the direction is not certain"
    held = steps[-1] if len(steps) > 1 else None
    return f"{text}, held by: {held.label[:1].lower() + held.label[1:]}." if held else f"{text}."


def _edge(allowed: Bounds, best: float) -> tuple[str, str]:
    if best > allowed.ceiling:
        return "ceiling", f"Ceiling: highest price paid plus {RANGE_MARGIN:.0%}"
    if allowed.floor_is_cost:
        return "cost_floor", "Floor: never below cost"
    return "floor", f"Floor: lowest price paid less {RANGE_MARGIN:.0%}"
