"""A partner's own bounds of prices: what one may be, and which counts for a product. No storage, no models."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from integrator.contracts.currencies import CURRENCIES, digits
from integrator.contracts.errors import invalid
from integrator.contracts.validation import LARGEST_AMOUNT

Address = tuple[str | None, str | None, str | None]
ADDRESS = ("platform", "product", "tier")
LIMITS = ("floor", "ceiling", "max_change")
LONGEST = 500
DECIMALS = 4
"""Of a share: a hundredth of a per cent."""


@dataclass(frozen=True, kw_only=True)
class PriceRule:
    """Least and most a price may be, in `currency`, and its largest change at once as a share of the current price.

    None as `platform`, `product` or `tier` means every one; None as a limit leaves it to less specific rules.
    """

    platform: str | None = None
    product: str | None = None
    tier: str | None = None
    floor: Decimal | None = None
    ceiling: Decimal | None = None
    max_change: Decimal | None = None
    currency: str | None = None

    def __post_init__(self) -> None:
        """`InvalidInput` names the first value that is not allowed, and those that are."""
        check_address(self.address)
        if all(getattr(self, name) is None for name in LIMITS):
            raise invalid("price rule", None, f"at least one of {', '.join(LIMITS)}")
        if self.currency is not None and self.currency not in CURRENCIES:
            raise invalid("currency", self.currency, "an ISO 4217 code in use, such as EUR")
        for name, amount in (("floor", self.floor), ("ceiling", self.ceiling)):
            if amount is not None:
                self._check_amount(name, amount)
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise invalid("floor", str(self.floor), f"at most the ceiling, {self.ceiling}")
        share = self.max_change
        if share is not None and not (share.is_finite() and 0 < share <= 1 and share == round(share, DECIMALS)):
            allowed = f"a share above 0, up to 1 (0.1: 10 %), with {DECIMALS} decimals at most"
            raise invalid("max_change", str(share), allowed)

    @property
    def address(self) -> Address:
        """Platform, product and tier: what it is for, and what tells it from the partner's other rules."""
        return self.platform, self.product, self.tier

    def _check_amount(self, name: str, amount: Decimal) -> None:
        if self.currency is None:
            raise invalid("currency", None, f"the ISO 4217 code that the {name} is in")
        decimals = digits(self.currency)
        if not (amount.is_finite() and 0 < amount < LARGEST_AMOUNT and amount == round(amount, decimals)):
            allowed = f"above 0, below {LARGEST_AMOUNT:.0e}, with {decimals} decimals at most ({self.currency})"
            raise invalid(name, str(amount), allowed)


def check_address(address: Address) -> None:
    """`InvalidInput` for a part that could be no name: an empty one above all, which must not pass for every one."""
    for name, value in zip(ADDRESS, address, strict=True):
        if value is not None and not (0 < len(value) <= LONGEST and value.isprintable()):
            raise invalid(name, value, f"1 to {LONGEST} printable characters, or none for every one")
    _, product, tier = address
    if tier is not None and product is None:
        raise invalid("product", None, f"the product that tier {tier!r} is of")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What counts for one product: each limit from the most specific rule that has it, with the currency it is in."""

    floor: Decimal | None = None
    floor_currency: str | None = None
    ceiling: Decimal | None = None
    ceiling_currency: str | None = None
    max_change: Decimal | None = None


class PriceRules:
    """A partner's rules by what they are for: there may be as many as products, and each product asks once."""

    def __init__(self, rules: Iterable[PriceRule]) -> None:
        self._by_address = {rule.address: rule for rule in rules}

    def limits(self, platform: str, product: str, tier: str) -> Limits | None:
        """The limits of a product, or of one of its tiers; None where no rule is for it.

        A rule for a tier comes before one for a product, that before one for a platform, that before one for everything.
        """
        things = ((product, tier), (product, None), (None, None))
        addresses = ((where, *thing) for thing in things for where in (platform, None))
        mine = [self._by_address[address] for address in addresses if address in self._by_address]
        if not mine:
            return None
        floor = next((rule for rule in mine if rule.floor is not None), None)
        ceiling = next((rule for rule in mine if rule.ceiling is not None), None)
        return Limits(
            floor=None if floor is None else floor.floor,
            floor_currency=None if floor is None else floor.currency,
            ceiling=None if ceiling is None else ceiling.ceiling,
            ceiling_currency=None if ceiling is None else ceiling.currency,
            max_change=next((rule.max_change for rule in mine if rule.max_change is not None), None),
        )


def decimal_of(name: str, text: str) -> Decimal:
    """A limit given as text; `InvalidInput` for what is no decimal number."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise invalid(name, text, "a decimal number such as 95 or 0.05") from error
