"""A partner's bounds of prices: what one may be, and which of several counts for a product, bound by bound."""

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.price_rules import Limits, PriceRule, PriceRules, decimal_of

EVERY = PriceRule(floor=Decimal(50), ceiling=Decimal(200), max_change=Decimal("0.2"), currency="EUR")
SHOP = PriceRule(platform="shopify", ceiling=Decimal(180), currency="EUR")
TEA = PriceRule(product="tea", floor=Decimal(95), currency="EUR")
SHOP_TEA = PriceRule(platform="shopify", product="tea", floor=Decimal(96), currency="USD")
GOLD = PriceRule(product="tea", tier="gold", max_change=Decimal("0.01"))


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({}, "at least one of floor, ceiling, max_change"),
        ({"currency": "EUR"}, "at least one of"),
        ({"floor": "95"}, "the ISO 4217 code that the floor is in"),
        ({"ceiling": "95", "currency": "EURO"}, "ISO 4217"),
        ({"ceiling": "95", "currency": "eur"}, "ISO 4217"),
        ({"floor": "95", "ceiling": "94.99", "currency": "EUR"}, r"'95'.*at most the ceiling, 94.99"),
        ({"floor": "0", "currency": "EUR"}, "above 0"),
        ({"ceiling": "-1", "currency": "EUR"}, "above 0"),
        ({"floor": "NaN", "currency": "EUR"}, "above 0"),
        ({"ceiling": "Infinity", "currency": "EUR"}, "above 0"),
        ({"ceiling": "1e15", "currency": "EUR"}, r"below 1e\+15"),
        ({"floor": "95.005", "currency": "EUR"}, "2 decimals"),
        ({"floor": "95.5", "currency": "JPY"}, "0 decimals"),
        ({"floor": "1e-400", "currency": "KWD"}, "3 decimals"),
        ({"max_change": "0"}, "a share above 0, up to 1"),
        ({"max_change": "10"}, "a share above 0, up to 1"),
        ({"max_change": "NaN"}, "a share above 0, up to 1"),
        ({"max_change": "0.00001"}, "4 decimals"),
        ({"max_change": "0.1", "tier": "gold"}, "the product that tier 'gold' is of"),
        ({"max_change": "0.1", "product": ""}, "1 to 500 printable"),
        ({"max_change": "0.1", "product": "a\nb"}, "1 to 500 printable"),
        ({"max_change": "0.1", "platform": "x" * 501}, "1 to 500 printable"),
    ],
)
def test_what_is_no_rule_names_what_is_allowed(said: dict[str, Any], allowed: str) -> None:
    numbers = {name: Decimal(said[name]) for name in ("floor", "ceiling", "max_change") if name in said}
    with pytest.raises(InvalidInput, match=allowed):
        PriceRule(**{**said, **numbers})


@pytest.mark.parametrize(
    "said",
    [
        {"floor": "95", "ceiling": "95.00", "currency": "EUR"},
        {"floor": "0.001", "currency": "KWD"},
        {"max_change": "1"},
        {"max_change": "0.0001", "product": "tea", "tier": "gold"},
        {"max_change": "0.5", "currency": "EUR", "platform": "direct"},
    ],
)
def test_the_edges_are_allowed(said: dict[str, Any]) -> None:
    numbers = {name: Decimal(said[name]) for name in ("floor", "ceiling", "max_change") if name in said}
    rule = PriceRule(**{**said, **numbers})
    assert rule == PriceRule(**{**said, **numbers})


def test_the_most_specific_rule_counts_for_each_bound_apart() -> None:
    rules = (EVERY, SHOP, TEA, SHOP_TEA, GOLD)
    for order in permutations(rules):
        assert PriceRules(order).limits("shopify", "tea", "gold") == Limits(
            floor=Decimal(96), floor_currency="USD", ceiling=Decimal(180), ceiling_currency="EUR",
            max_change=Decimal("0.01"),
        )  # fmt: skip
    plain = PriceRules(rules).limits("direct", "tea", "")
    assert plain is not None
    assert (plain.floor, plain.ceiling, plain.max_change) == (Decimal(95), Decimal(200), Decimal("0.2"))
    other = PriceRules(rules).limits("direct", "coffee", "gold")
    assert other is not None and (other.floor, other.max_change) == (Decimal(50), Decimal("0.2"))


def test_a_product_s_rule_comes_before_its_platform_s() -> None:
    shop = PriceRule(platform="shopify", floor=Decimal(10), currency="EUR")
    found = PriceRules((shop, TEA)).limits("shopify", "tea", "")
    assert found is not None and found.floor == Decimal(95)


def test_what_no_rule_is_for_has_no_limits() -> None:
    assert PriceRules((TEA, GOLD)).limits("shopify", "coffee", "") is None
    assert PriceRules(()).limits("shopify", "tea", "") is None
    assert PriceRules((GOLD,)).limits("shopify", "tea", "") is None, "a rule for a tier is none for its product"


def test_limits_are_given_as_text() -> None:
    assert decimal_of("floor", "95.50") == Decimal("95.50")
    with pytest.raises(InvalidInput, match=r"floor.*ninety.*decimal number such as"):
        decimal_of("floor", "ninety")
