"""Contributions that sum exactly: rounding once, the remainder into `other`. Shared by every use case's explain.py."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from integrator.contracts.errors import invalid
from integrator.contracts.insight import Contribution

OTHER = "other"
OTHER_LABEL = "Other"


def rounded(value: float, decimals: int) -> float:
    """`value` at `decimals` digits, half to even, never minus zero; InvalidInput unless finite."""
    return float(_quantized(value, decimals))


def additive(
    value: float,
    baseline: float,
    parts: Iterable[Contribution],
    *,
    decimals: int,
    keep: int = 5,
    other_label: str = OTHER_LABEL,
) -> tuple[Contribution, ...]:
    """The largest `keep` parts, rounded, then `other`, so that they sum to rounded value - rounded baseline.

    `parts` are in the insight's unit and unrounded; their sum need not be exact, what is missing is `other`.
    Parts that round to zero, and parts already named `other`, go into `other`, which is left out when it is
    zero. Largest first by size; equal sizes by factor name, so the order never depends on the input's. The
    sum is exact in decimal arithmetic: `round(baseline + sum(effects), decimals) == value`.
    """
    named = [part for part in parts if part.factor != OTHER]
    ranked = sorted(named, key=lambda part: (-abs(part.effect), part.factor))
    kept: list[Contribution] = []
    rest = _quantized(value, decimals) - _quantized(baseline, decimals)
    for part in ranked[:keep]:
        effect = _quantized(part.effect, decimals)
        if effect == 0:
            continue
        rest -= effect
        kept.append(Contribution(part.factor, part.label, float(effect), part.actionable))
    if rest != 0:
        kept.append(Contribution(OTHER, other_label, float(rest), False))
    return tuple(kept)


def sums(value: float, baseline: float, contributions: Iterable[Contribution], *, decimals: int) -> bool:
    """Whether baseline + effects = value exactly at `decimals` digits: what every explanation promises."""
    total = _quantized(baseline, decimals) + sum(
        (_quantized(part.effect, decimals) for part in contributions), Decimal(0)
    )
    return total == _quantized(value, decimals)


def _quantized(value: float, decimals: int) -> Decimal:
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise invalid("value", value, "a finite number")
    return number.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN) + 0
