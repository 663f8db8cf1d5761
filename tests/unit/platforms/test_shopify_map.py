"""Order lines, statuses and removed units of Shopify as canonical sales."""

from typing import Any

import msgspec
import pytest

from integrator.contracts.records import Sale
from integrator.platforms.shopify.map import FINANCIAL_STATUS, number, sale_records


def money(amount: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": "TWD"}}


def line(**more: Any) -> dict[str, Any]:
    return {
        "id": "gid://shopify/LineItem/31", "sku": "471", "quantity": 3, "currentQuantity": 3,
        "variantTitle": "Default Title", "product": {"id": "gid://shopify/Product/9", "productType": "110411"},
        "originalUnitPriceSet": money("20.0"), "discountedUnitPriceSet": money("18.5"),
        "customAttributes": [{"key": "unit_cost", "value": "12.25"}, {"key": "_hidden", "value": "x"}], **more,
    }  # fmt: skip


def order(**more: Any) -> dict[str, Any]:
    return {
        "id": "gid://shopify/Order/5", "createdAt": "2026-03-01T04:00:00Z", "processedAt": None,
        "updatedAt": "2026-03-02T04:00:00Z", "cancelledAt": None, "test": False, "sourceName": "pos",
        "displayFinancialStatus": "PAID", "customer": {"id": "gid://shopify/Customer/77"}, **more,
    }  # fmt: skip


def sale(head: dict[str, Any], *lines: dict[str, Any]) -> Sale:
    return msgspec.convert(sale_records(head, list(lines), "unit_cost")[0], Sale, strict=False)


def test_a_line_is_a_sale() -> None:
    found = sale(order(), line())
    assert (found.native_id, found.product, found.contact_id, found.tier) == ("31", "471", "77", None)
    assert (str(found.unit_price), str(found.list_price), str(found.unit_cost)) == ("18.5", "20.0", "12.25")
    assert (found.quantity, found.currency, found.status, found.channel) == (3, "TWD", "paid", "pos")
    assert found.attributes == {"product_type": "110411"}
    assert found.refunded_quantity == 0


@pytest.mark.parametrize(("theirs", "ours"), FINANCIAL_STATUS.items())
def test_documented_statuses(theirs: str, ours: str) -> None:
    assert sale(order(displayFinancialStatus=theirs), line()).status == ours


def test_cancelled_orders_and_unknown_statuses() -> None:
    assert sale(order(cancelledAt="2026-03-02T00:00:00Z"), line()).status == "cancelled"
    assert sale_records(order(displayFinancialStatus="NEW_ONE"), [line()], "unit_cost")[0]["status"] == "NEW_ONE"


def test_removed_units_are_refunded_at_the_price_paid() -> None:
    found = sale(order(displayFinancialStatus="PARTIALLY_REFUNDED"), line(currentQuantity=1))
    assert (found.refunded_quantity, str(found.refunded_amount)) == (2, "37.0")


def test_without_sku_the_product_number_stands_in() -> None:
    assert sale(order(), line(sku="")).product == "9"
    assert sale_records(order(), [line(sku=None, product=None)], "unit_cost")[0]["product"] is None


def test_variants_are_tiers_and_guests_have_no_id() -> None:
    found = sale(order(customer=None), line(variantTitle="Large"))
    assert (found.tier, found.contact_id) == ("Large", None)


def test_test_orders_are_no_sales() -> None:
    assert sale_records(order(test=True), [line()], "unit_cost") == []


def test_a_line_that_lacks_something_raises_for_the_caller() -> None:
    with pytest.raises(KeyError):
        sale_records(order(), [{"id": "gid://shopify/LineItem/1"}], "unit_cost")


def test_number_of_a_global_id() -> None:
    assert number("gid://shopify/Order/7") == "7"
