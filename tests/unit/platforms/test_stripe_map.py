"""Charges, refunds and customers of Stripe as canonical records."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from integrator.contracts.errors import Forbidden, Unavailable
from integrator.contracts.records import Contact, Sale
from integrator.contracts.validation import read_record
from integrator.platforms.base import mapped
from integrator.platforms.stripe.client import lacking, last_id
from integrator.platforms.stripe.map import (
    amount_of,
    changed_charge,
    changed_customer,
    listed_charge,
    listed_customer,
)

MADE, MAY = 1_772_337_600, 1_777_608_000
SETTINGS: dict[str, Any] = {"base_url": "https://api.stripe.com"}


def charge(**more: Any) -> dict[str, Any]:
    return {
        "id": "ch_7", "object": "charge", "amount": 6000, "amount_refunded": 0, "captured": True, "created": MADE,
        "currency": "eur", "customer": "cus_1", "description": None, "status": "succeeded",
        "billing_details": {"email": "ann@example.org", "name": "Ann"},
        "metadata": {"product": "mug", "quantity": "3", "colour": "blue"}, **more,
    }  # fmt: skip


def refund(amount: int, created: int, **more: Any) -> dict[str, Any]:
    return {"id": "re_1", "amount": amount, "created": created, "status": "succeeded", **more}


def customer(**more: Any) -> dict[str, Any]:
    return {
        "id": "cus_1", "email": "ann@example.org", "name": "Ann Lee", "phone": None, "created": MADE,
        "address": {"country": "TW", "line1": "Street 5"}, "metadata": {"segment": "retail"}, **more,
    }  # fmt: skip


def sales(one: dict[str, Any], **settings: Any) -> list[Sale]:
    found = [read_record("sale", record) for record in listed_charge(one, SETTINGS | settings)]
    assert all(isinstance(sale, Sale) for sale in found)
    return found  # type: ignore[return-value]


def test_a_charge_is_a_sale() -> None:
    (sale,) = sales(charge())
    assert (sale.native_id, sale.product, sale.quantity, sale.contact_id) == ("ch_7", "mug", 3, "cus_1")
    assert (sale.unit_price, sale.currency, sale.status) == (Decimal(20), "EUR", "paid")
    assert sale.updated_at == sale.sold_at == datetime.fromtimestamp(MADE, UTC)
    assert sale.attributes == {"colour": "blue"}


@pytest.mark.parametrize(
    ("currency", "minor", "amount"),
    [("EUR", 1234, "12.34"), ("JPY", 1234, "1234"), ("KWD", 1234, "1.234"), ("TWD", 1200, "12"), ("UGX", 500, "5"),
     ("ISK", 500, "5"), ("MGA", 500, "500"), ("HUF", 500, "5")],
)  # fmt: skip
def test_amounts_follow_stripes_own_list(currency: str, minor: int, amount: str) -> None:
    assert amount_of(minor, currency) == Decimal(amount)
    (sale,) = sales(charge(currency=currency.lower(), amount=minor, metadata={"product": "mug"}))
    assert sale.unit_price == Decimal(amount)


def test_a_price_that_does_not_divide_is_rounded_to_six_places() -> None:
    (found,) = listed_charge(charge(amount=1000), SETTINGS)
    assert found["unit_price"] == "3.333333"


def test_refunds_are_known_from_their_own_time() -> None:
    one = charge(amount_refunded=6000, refunds={"data": [refund(4000, MAY + 60), refund(2000, MAY)]})
    first, part, whole = sales(one)
    assert [sale.status for sale in (first, part, whole)] == ["paid", "paid", "refunded"]
    assert [sale.refunded_amount for sale in (first, part, whole)] == [Decimal(0), Decimal(20), Decimal(60)]
    assert [sale.refunded_quantity for sale in (first, part, whole)] == [0, 0, 3]
    assert whole.updated_at == datetime.fromtimestamp(MAY + 60, UTC)


def test_failed_refunds_do_not_count_and_the_charges_sum_does() -> None:
    one = charge(amount_refunded=2000, refunds={"data": [refund(2000, MAY, status="failed"), refund(500, MAY + 1)]})
    first, last = sales(one)
    assert (first.refunded_amount, last.refunded_amount) == (Decimal(0), Decimal(20))


def test_a_refund_without_its_time_is_still_told() -> None:
    (found,) = sales(charge(amount_refunded=1000))
    assert (found.status, found.refunded_amount) == ("paid", Decimal(10))


def test_an_event_carries_the_charge_as_it_was() -> None:
    event = {"id": "evt_1", "created": MAY, "type": "charge.refunded", "data": {"object": charge(amount_refunded=6000)}}
    (found,) = changed_charge(event, SETTINGS)
    assert (found["updated_at"], found["status"]) == ("2026-05-01T04:00:00Z", "refunded")
    listed = listed_charge(charge(amount_refunded=6000, refunds={"data": [refund(6000, MAY)]}), SETTINGS)
    assert found == listed[-1]


@pytest.mark.parametrize(
    ("more", "status"),
    [({"status": "pending"}, "pending"), ({"status": "failed"}, "cancelled"), ({"captured": False}, "pending"),
     ({"captured": False, "amount_refunded": 6000}, "cancelled"), ({"amount": 0}, "paid")],
)  # fmt: skip
def test_statuses(more: dict[str, Any], status: str) -> None:
    assert sales(charge(**more))[-1].status == status


def test_a_status_nobody_documented_passes_for_landing_to_judge() -> None:
    assert listed_charge(charge(status="odd"), SETTINGS)[0]["status"] == "odd"


def test_the_product_is_said_by_metadata_else_a_setting_else_the_description() -> None:
    bare: dict[str, Any] = {"metadata": {}, "description": "Subscription " + "x" * 300}
    assert sales(charge(**bare))[0].product == ("Subscription " + "x" * 300)[:200]
    assert sales(charge(**bare), product="coffee")[0].product == "coffee"
    own = {"metadata": {"sku": "A-1", "pieces": "2", "product": "kept"}}
    (sale,) = sales(charge(**own), product_key="sku", quantity_key="pieces")
    assert (sale.product, sale.quantity, sale.attributes) == ("A-1", 2, {"product": "kept"})


def test_a_description_that_names_a_person_is_no_product() -> None:
    (found,) = listed_charge(charge(metadata={}, description="Invoice for ann@example.org"), SETTINGS)
    assert found["product"] is None


def test_what_a_payer_entered_is_not_taken() -> None:
    assert "ann" not in str(listed_charge(charge(), SETTINGS)).lower()


@pytest.mark.parametrize("quantity", ["0", "-1", "many", ""])
def test_a_quantity_that_is_none_is_handed_on(quantity: str) -> None:
    broken = charge(metadata={"product": "mug", "quantity": quantity})
    assert mapped(broken, lambda one: listed_charge(one, SETTINGS)) == [{**broken, "native_id": "ch_7"}]


def test_guests_and_expanded_customers() -> None:
    assert sales(charge(customer=None))[0].contact_id is None
    assert sales(charge(customer=customer()))[0].contact_id == "cus_1"


def test_a_customer_is_a_contact() -> None:
    (found,) = listed_customer(customer(), SETTINGS)
    contact = read_record("contact", found)
    assert isinstance(contact, Contact)
    assert (contact.native_id, contact.email, contact.name, contact.country) == (
        "cus_1", "ann@example.org", "Ann Lee", "TW",
    )  # fmt: skip
    assert contact.updated_at is None
    assert contact.attributes == {"segment": "retail"}
    assert "Street" not in str(found)


def test_a_customer_that_changed_or_went() -> None:
    event = {"created": MAY, "type": "customer.updated", "data": {"object": customer(address=None)}}
    (found,) = changed_customer(event, SETTINGS)
    assert (found["updated_at"], found["country"], found.get("deleted_at")) == ("2026-05-01T04:00:00Z", None, None)
    (gone,) = changed_customer(event | {"type": "customer.deleted"}, SETTINGS)
    assert gone["deleted_at"] == "2026-05-01T04:00:00Z"


class Answer:
    """As much of an answer as a refusal needs."""

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code, self.content = status_code, content


def test_a_refusal_names_the_permission_and_repeats_nothing_else() -> None:
    said = (
        b"""{"error": {"message": "The provided key 'rk_live_***abc' of ann@example.org lacks 'rak_charge_read'."}}"""
    )
    told: Any = Answer(403, said)
    error = lacking(told)
    assert isinstance(error, Forbidden)
    assert str(error) == "stripe: the restricted key lacks rak_charge_read"
    for other in (Answer(403, b"{}"), Answer(401, said)):
        answer: Any = other
        assert lacking(answer) is None


def test_a_page_goes_on_after_its_last_id() -> None:
    assert last_id([{"id": "ch_1"}, {"id": "ch_2"}, {"broken": True}, 7]) == "ch_2"
    with pytest.raises(Unavailable, match="no id"):
        last_id([{"broken": True}])
