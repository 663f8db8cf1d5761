"""The contract of a kind, read off its record, as rules on harmonized columns."""

from integrator.contracts.records import KINDS
from integrator.steps.quality import Rule, id_column, rules

SALE = [
    "partner",
    "platform",
    "sale_id",
    "product",
    "sold_at",
    "quantity",
    "unit_price",
    "list_price",
    "currency",
    "status",
    "extra",
]


def words(found: list[Rule]) -> set[str]:
    """The rules in words."""
    return {str(rule) for rule in found}


def test_required_fields_are_present_and_optional_ones_need_not_be() -> None:
    found = words(rules("sale", SALE))
    assert {"partner present", "sale_id present", "product present", "sold_at present", "unit_price present"} <= found
    assert "list_price present" not in found


def test_counts_amounts_and_codes_have_their_bounds() -> None:
    found = words(rules("sale", SALE))
    assert "quantity between low 0, high 2000000000" in found
    assert any(rule.startswith("list_price between low 0") for rule in found)
    assert "currency matches pattern ^[A-Z]{3}$" in found


def test_a_sale_s_status_is_one_of_the_harmonized_ones() -> None:
    rule = next(rule for rule in rules("sale", SALE) if rule.kind == "one_of")
    assert set(rule.bounds["allowed"]) == {"sold", "partly_refunded", "pending", "refunded", "cancelled"}


def test_an_event_s_status_is_the_contract_s() -> None:
    rule = next(rule for rule in rules("event", ["event_id", "status"]) if rule.kind == "one_of")
    assert set(rule.bounds["allowed"]) == {"scheduled", "postponed", "cancelled", "completed"}


def test_every_kind_has_rules_and_none_on_columns_that_are_not_there() -> None:
    for kind in KINDS:
        columns = ["partner", "platform", id_column(kind)]
        assert {rule.column for rule in rules(kind, columns)} == set(columns)


def test_no_personal_field_is_ever_in_a_suite() -> None:
    harmonized = ["contact_id", "created_at", "stage", "country"]
    assert {rule.column for rule in rules("contact", harmonized)} <= set(harmonized)
