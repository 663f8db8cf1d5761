"""Why a price is recommended: a waterfall from the current price over the unconstrained optimum to each bound."""

from integrator.contracts.insight import Contribution
from models.base import FeatureRow
from models.messages import Catalogue
from models.pricing.curve import Point
from models.pricing.optimum import LEAST_GAIN, RANGE_MARGIN, SAME_PRICE, Bounds, Choice
from models.pricing.own import own_of

HOLDS = ("capacity", "floor", "cost_floor", "set_floor", "ceiling", "set_ceiling", "max_change")
_FLOORS = {"observed": "floor", "cost": "cost_floor", "partner": "set_floor"}
_CEILINGS = {"observed": "ceiling", "partner": "set_ceiling"}
_MANIFOLD = 1.0
"""A gain above this share of what is earned now is told in money: a percentage of next to nothing says nothing."""


def waterfall(
    current: float, way: Choice, elasticity: float, allowed: Bounds, aim: str, say: Catalogue
) -> list[Contribution]:
    """Unrounded parts that sum to recommended minus current price; steps that change nothing are left out."""
    steps = [
        ("demand_response", way.best - current, False),
        ("capacity", way.seated - way.best, False),
        (_edge(allowed, way.seated), way.inside - way.seated, True),
        ("max_change", way.final - way.inside, True),
        ("price_step", way.stepped - way.final, False),
        ("small_change", way.value - way.stepped, False),
    ]
    words = {"aim": say(f"aim.{aim}"), "elasticity": say.number(elasticity, 1)}
    return [
        Contribution(factor, _named("factor", factor, allowed, say, **words), effect, actionable)
        for factor, effect, actionable in steps
        if effect != 0
    ]


def binding(steps: list[Contribution]) -> str | None:
    """The bound that holds the price where it is, the last on the way; None where none does."""
    return next((step.factor for step in reversed(steps) if step.factor in HOLDS), None)


def summary(
    way: Choice,
    currency: str,
    before: Point,
    after: Point,
    bound: str | None,
    allowed: Bounds,
    aim: str,
    say: Catalogue,
    *,
    is_certain: bool,
) -> str:
    """One sentence: what to do, what it is expected to bring, and what held it back.

    `before` and `after` are a week at the current and at the recommended price.
    """
    current = shown(before.price, say)
    said = "" if bound is None else _named("bound", bound, allowed, say)
    if way.why_kept:
        return say(
            f"summary.keep_{way.why_kept}", current=current, currency=currency, aim=say(f"aim.{aim}"), bound=said,
            best=shown(round(way.seated, 2), say), most=share(allowed.max_change, say), near=say.percent(SAME_PRICE),
            least=say.percent(LEAST_GAIN),
        )  # fmt: skip
    return say(
        "summary.change", verb=say("summary.raise" if way.value > before.price else "summary.lower"), current=current,
        value=shown(way.value, say), currency=currency,
        change=say.percent(way.value / before.price - 1, 1, signed=True),
        gain=_gain(getattr(before, aim), getattr(after, aim), currency, aim, say),
        doubt="" if is_certain else say("summary.doubt"), held=say("summary.held", bound=said) if said else "",
    )  # fmt: skip


def shown(price: float, say: Catalogue) -> str:
    """A price with the digits it has: 135, 134.5 and 12,500."""
    digits = next((n for n in range(9) if round(price, n) == price), 9)
    return say.number(price, digits)


def share(value: float, say: Catalogue) -> str:
    """A share with the digits it has, to a hundredth of a per cent: 10 %, 2.5 %."""
    return say.percent(value, next(n for n in range(3) if n == 2 or round(value, n + 2) == value))


def rule_moves(way: Choice, row: FeatureRow, bound: str | None, allowed: Bounds, say: Catalogue) -> str:
    """The sentence of a price that no model knows, and that the partner's own bounds do not leave where it is."""
    current = row["current_price"]
    held = _named("bound", bound, allowed, say) if bound == "max_change" else ""
    return say(
        "summary.rule_moves", verb=say("summary.raise" if way.value > current else "summary.lower"),
        current=shown(current, say), value=shown(way.value, say), currency=row["currency"],
        change=say.percent(way.value / current - 1, 1, signed=True), beyond=_beyond(row, current, say),
        held=say("summary.held", bound=held) if held else "",
    )  # fmt: skip


def reminder(row: FeatureRow, price: float, say: Catalogue) -> str:
    """A sentence where a price is beyond the partner's own bounds, to be said whatever else is; else nothing."""
    beyond = _beyond(row, price, say)
    return say("summary.beyond", price=shown(price, say), beyond=beyond) if beyond else ""


def _beyond(row: FeatureRow, price: float, say: Catalogue) -> str:
    own = own_of(row)
    which = own.beyond(price)
    return "" if which is None else say(f"beyond.{which}", bound=shown(getattr(own, which), say))


def _gain(before: float, after: float, currency: str, aim: str, say: Catalogue) -> str:
    words = {"aim": say(f"aim.{aim}"), "currency": currency}
    if before <= 0 or after - before > _MANIFOLD * before:
        was = say("summary.loss", amount=say.number(-before)) if before < 0 else say.number(before)
        return say("summary.gain_manifold", after=say.number(after), before=was, **words)
    more = after - before
    amount = say.number(more, 0 if abs(more) >= 1 else 2, signed=True)
    return say("summary.gain", percent=say.percent(more / before, 1, signed=True), amount=amount, **words)


def _named(table: str, factor: str, allowed: Bounds, say: Catalogue, **words: str) -> str:
    """The words of a step or of a bound; those of a largest change say whose it is."""
    own = "_own" if factor == "max_change" and allowed.change_from == "partner" else ""
    return say(
        f"{table}.{factor}{own}", margin=say.percent(RANGE_MARGIN), most=share(allowed.max_change, say),
        floor=shown(allowed.floor, say), ceiling=shown(allowed.ceiling, say), **words,
    )  # fmt: skip


def _edge(allowed: Bounds, best: float) -> str:
    return _CEILINGS[allowed.ceiling_from] if best > allowed.ceiling else _FLOORS[allowed.floor_from]
