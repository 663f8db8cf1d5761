"""Shopify's order lines as canonical sales. A financial status that is not documented passes through as it is."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from integrator.platforms.base import Raw

FINANCIAL_STATUS = {
    "PAID": "paid",
    "PARTIALLY_REFUNDED": "paid",
    "REFUNDED": "refunded",
    "PENDING": "pending",
    "AUTHORIZED": "pending",
    "PARTIALLY_PAID": "pending",
    "VOIDED": "cancelled",
    "EXPIRED": "cancelled",
}

ORDER_FIELDS = "id createdAt processedAt updatedAt cancelledAt test displayFinancialStatus sourceName customer { id }"
LINE_FIELDS = """id sku quantity currentQuantity variantTitle product { id productType }
  originalUnitPriceSet { shopMoney { amount currencyCode } }
  discountedUnitPriceSet { shopMoney { amount currencyCode } }
  customAttributes { key value }"""


def number(gid: str) -> str:
    """The native number in a global id: ``gid://shopify/Order/7`` is ``7``."""
    return gid.rsplit("/", 1)[-1]


def sale_records(order: Mapping[str, Any], lines: list[Any], unit_cost_attribute: str) -> list[Raw]:
    """An order's lines as sales; test orders are none. Raises on a line that lacks what a sale needs."""
    if order["test"]:
        return []
    status = order["displayFinancialStatus"]
    status = "cancelled" if order["cancelledAt"] else FINANCIAL_STATUS.get(status, status)
    customer = order["customer"]
    shared: Raw = {
        "updated_at": order["updatedAt"],
        "contact_id": number(customer["id"]) if customer else None,
        "sold_at": order["processedAt"] or order["createdAt"],
        "status": status,
        "channel": order["sourceName"],
    }
    return [_line(shared, line, unit_cost_attribute) for line in lines]


def _line(shared: Raw, line: Mapping[str, Any], unit_cost_attribute: str) -> Raw:
    """One line. A product is known by its SKU, else by Shopify's number for it."""
    price = line["discountedUnitPriceSet"]["shopMoney"]
    quantity = line["quantity"]
    record = {
        **shared,
        "native_id": number(line["id"]),
        "quantity": quantity,
        "unit_price": price["amount"],
        "list_price": line["originalUnitPriceSet"]["shopMoney"]["amount"],
        "currency": price["currencyCode"],
    }
    product = line["product"]
    record["product"] = line["sku"] or (number(product["id"]) if product else None)
    if line["variantTitle"] not in (None, "", "Default Title"):
        record["tier"] = line["variantTitle"]
    attributes: dict[str, str] = {"product_type": product["productType"]} if product and product["productType"] else {}
    for pair in line["customAttributes"]:
        if pair["key"] == unit_cost_attribute:
            record["unit_cost"] = pair["value"]
        elif not pair["key"].startswith("_"):
            attributes[pair["key"]] = pair["value"]
    record["attributes"] = attributes
    # Removed before payment or refunded after: either way these units are no longer sold.
    if (left := line["currentQuantity"]) != quantity:
        record["refunded_quantity"] = quantity - left
        record["refunded_amount"] = str((quantity - left) * Decimal(price["amount"]))
    return record
