"""The partner's own bounds of one product: how its feature row carries them, and how they are read from it again."""

from dataclasses import dataclass
from typing import Any

from integrator.contracts.price_rules import PriceRules
from models.base import FeatureRow

KEY = "own_bounds"


@dataclass(frozen=True, kw_only=True)
class Own:
    """Floor and ceiling in the currency of the sales, largest change as a share; None where the partner set none.

    `foreign` is the first bound that is in another currency, with its name: an amount that must not be compared.
    """

    floor: float | None = None
    ceiling: float | None = None
    max_change: float | None = None
    foreign: tuple[str, float, str] | None = None

    def beyond(self, price: float) -> str | None:
        """Which bound a price is beyond: `floor` or `ceiling`; None where it keeps to both."""
        if self.floor is not None and price < self.floor:
            return "floor"
        return "ceiling" if self.ceiling is not None and price > self.ceiling else None


def facts(rules: PriceRules, platform: str, product: str, tier: str) -> dict[str, Any] | None:
    """What a feature row carries of a partner's rules, as plain numbers; None where no rule is for the product."""
    found = rules.limits(platform, product, tier)
    if found is None:
        return None
    return {
        "floor": None if found.floor is None else float(found.floor),
        "floor_currency": found.floor_currency,
        "ceiling": None if found.ceiling is None else float(found.ceiling),
        "ceiling_currency": found.ceiling_currency,
        "max_change": None if found.max_change is None else float(found.max_change),
    }


def own_of(row: FeatureRow) -> Own:
    """The bounds that a feature row carries; none for a row from before there were any."""
    told = row.get(KEY)
    if told is None:
        return Own()
    foreign = next(
        (
            (name, told[name], told[f"{name}_currency"])
            for name in ("floor", "ceiling")
            if told[name] is not None and told[f"{name}_currency"] != row["currency"]
        ),
        None,
    )
    if foreign is not None:
        return Own(max_change=told["max_change"], foreign=foreign)
    return Own(floor=told["floor"], ceiling=told["ceiling"], max_change=told["max_change"])
