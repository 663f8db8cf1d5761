"""Contributions that sum exactly: rounding once, the remainder into `other`. Shared by every use case's explain.py.

Sums are of whole units of the last digit: exact as decimals are, and ten times faster for a night of leads.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from integrator.contracts.errors import invalid
from integrator.contracts.insight import Contribution

OTHER = "other"
OTHER_LABEL = "Other"
_PLAIN = 1e9
"""Below it a product of a float and a power of ten is off by far less than what separates it from a tie:"""
_NO_TIE = 0.499_999


def rounded(value: float, decimals: int) -> float:
    """`value` at `decimals` digits, half to even, never minus zero; InvalidInput unless finite."""
    one: int = 10**decimals
    return _units(value, decimals) / one


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
    sum is exact: `round(baseline + sum(effects), decimals) == value`.
    """
    named = [part for part in parts if part.factor != OTHER]
    ranked = sorted(named, key=lambda part: (-abs(part.effect), part.factor))
    kept: list[Contribution] = []
    one: int = 10**decimals
    rest = _units(value, decimals) - _units(baseline, decimals)
    for part in ranked[:keep]:
        effect = _units(part.effect, decimals)
        if effect == 0:
            continue
        rest -= effect
        kept.append(Contribution(part.factor, part.label, effect / one, part.actionable))
    if rest != 0:
        kept.append(Contribution(OTHER, other_label, rest / one, False))
    return tuple(kept)


def sums(value: float, baseline: float, contributions: Iterable[Contribution], *, decimals: int) -> bool:
    """Whether baseline + effects = value exactly at `decimals` digits: what every explanation promises."""
    total = _units(baseline, decimals) + sum(_units(part.effect, decimals) for part in contributions)
    return total == _units(value, decimals)


def _units(value: float, decimals: int) -> int:
    """How many of the last digit `value` has, half to even by its shortest decimal form; InvalidInput unless finite."""
    scaled = value * 10**decimals
    if abs(scaled) < _PLAIN:
        nearest: int = round(scaled)
        if abs(scaled - nearest) < _NO_TIE:
            return nearest
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise invalid("value", value, "a finite number")
    return int(number.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN).scaleb(decimals))
