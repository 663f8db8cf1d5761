"""Stripe's objects as canonical records: charges as sales, customers as contacts.

Stripe has no time of change. A charge's refunds carry theirs, and an event carries the object as it was then: both
make versions, so that a refund of May is not known in March.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from integrator.platforms.base import Raw, stamp

# Stripe's own list, not ISO's: ISK and UGX have no decimals any more and are still written with two.
ZERO_DECIMAL = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())
STATUS = {"pending": "pending", "failed": "cancelled"}
PRECISION = Decimal("1e-6")


def listed_charge(charge: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Raw]:
    """A charge of the list as its versions: as made, and after each refund; its own sum is what counts in the end."""
    sums, refunded = {charge["created"]: 0}, 0
    for refund in sorted((charge.get("refunds") or {}).get("data", ()), key=lambda one: one["created"]):
        if refund.get("status") not in ("failed", "canceled"):
            refunded += refund["amount"]
            sums[refund["created"]] = refunded
    sums[max(sums)] = charge["amount_refunded"]
    return [_sale(charge, settings, at, amount) for at, amount in sums.items()]


def changed_charge(event: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Raw]:
    """A charge as an event found it."""
    charge = event["data"]["object"]
    return [_sale(charge, settings, event["created"], charge["amount_refunded"])]


def listed_customer(customer: Mapping[str, Any], _: Mapping[str, Any]) -> list[Raw]:
    """A customer as the list shows it now, since when it cannot say."""
    return [_contact(customer, None)]


def changed_customer(event: Mapping[str, Any], _: Mapping[str, Any]) -> list[Raw]:
    """A customer as an event found it; with ``customer.deleted`` it is gone."""
    at = _time(event["created"])
    gone = {"deleted_at": at} if event["type"] == "customer.deleted" else {}
    return [_contact(event["data"]["object"], at) | gone]


def _sale(charge: Mapping[str, Any], settings: Mapping[str, Any], at: int, refunded: int) -> Raw:
    metadata = dict(charge["metadata"])
    currency = charge["currency"].upper()
    quantity = int(metadata.pop(settings.get("quantity_key") or "quantity", 1))
    if quantity < 1:
        raise ValueError(f"quantity {quantity}")
    product = metadata.pop(settings.get("product_key") or "product", None)
    whole = refunded >= charge["amount"] > 0
    return {
        "native_id": charge["id"],
        "updated_at": _time(at),
        "contact_id": _id(charge["customer"]),
        "product": product or settings.get("product") or _described(charge.get("description")),
        "sold_at": _time(charge["created"]),
        "quantity": quantity,
        "unit_price": _text((amount_of(charge["amount"], currency) / quantity).quantize(PRECISION)),
        "currency": currency,
        "status": _status(charge, whole),
        "refunded_quantity": quantity if whole else 0,
        "refunded_amount": _text(amount_of(refunded, currency)),
        "attributes": metadata,
    }


def amount_of(minor: int, currency: str) -> Decimal:
    """An amount in the currency's own unit from Stripe's minor units."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return Decimal(minor).scaleb(-digits)


def _status(charge: Mapping[str, Any], refunded: bool) -> str:
    """What became of a charge; one that was only authorized is pending, and given up rather than refunded."""
    if charge["status"] != "succeeded":
        return str(STATUS.get(charge["status"], charge["status"]))
    if not charge["captured"]:
        return "cancelled" if refunded else "pending"
    return "refunded" if refunded else "paid"


def _described(description: str | None) -> str | None:
    """A description stands for the product, unless it names a person by an address."""
    return None if not description or "@" in description else description[:200]


def _contact(customer: Mapping[str, Any], at: str | None) -> Raw:
    return {
        "native_id": customer["id"],
        "updated_at": at,
        "email": customer.get("email"),
        "phone": customer.get("phone"),
        "name": customer.get("name"),
        "created_at": _time(customer["created"]),
        "country": (customer.get("address") or {}).get("country"),
        "attributes": dict(customer["metadata"]),
    }


def _id(reference: Any) -> str | None:
    """An object's id, also where the object itself stands in its place."""
    found: str | None = reference["id"] if isinstance(reference, Mapping) else reference
    return found


def _time(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
