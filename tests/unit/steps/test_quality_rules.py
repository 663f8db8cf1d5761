"""The suite of a kind: the contract read off its record, and beside it what no contract can say."""

import pytest

from integrator.contracts.records import KINDS
from integrator.steps.quality_contract import conditions, id_column
from integrator.steps.quality_mend import mend
from integrator.steps.quality_suite import DIMENSIONS, MISLEADING_SHARES, NEEDED_FIELDS, suite, usually_filled
from integrator.storage.measures import FIELDS, PLAUSIBLE, REFERENCES, Condition
from integrator_dagster.checks import quality as checks

SALE = ["partner", "platform", "sale_id", "product", "sold_at", "quantity", "unit_price", "list_price", "currency", "status",
        "extra"]  # fmt: skip
PERSONAL = ("email", "phone", "attributes", "payload")


def sale(name: str) -> Condition:
    """One condition of a sale's contract."""
    return next(one for one in conditions("sale", SALE) if one.name == name)


def test_required_fields_are_present_and_optional_ones_need_not_be() -> None:
    found = {one.name for one in conditions("sale", SALE)}
    assert {"partner_present", "sale_id_present", "product_present", "sold_at_present", "unit_price_present"} <= found
    assert "list_price_present" not in found and "extra_present" not in found


def test_counts_amounts_and_codes_have_their_bounds_as_bound_values() -> None:
    assert sale("quantity_in_range").values == {"quantity_low": 0, "quantity_high": 2_000_000_000}
    assert sale("list_price_in_range").values["list_price_low"] == 0
    assert sale("currency_well_formed").values == {"currency_pattern": "^[A-Z]{3}$"}
    assert "^[A-Z]" not in sale("currency_well_formed").sql


def test_a_sale_s_status_is_one_of_the_harmonized_ones_and_an_event_s_the_contract_s() -> None:
    allowed = sale("status_known").values["status_allowed"]
    assert set(allowed) == {"sold", "partly_refunded", "pending", "refunded", "cancelled"}
    (event,) = [one for one in conditions("event", ["status"]) if one.name == "status_known"]
    assert set(event.values["status_allowed"]) == {"scheduled", "postponed", "cancelled", "completed"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_expectation_has_a_name_of_its_own_a_known_dimension_and_words_to_mend_it(kind: str) -> None:
    columns = ["partner", "platform", id_column(kind), *KINDS[kind].__struct_fields__]
    expected = suite(kind, columns)
    names = [one.name for one in expected]
    assert len(set(names)) == len(names) > 15
    assert {one.dimension for one in expected} <= set(DIMENSIONS) == set(checks.DIMENSIONS)
    for name in names:
        words = mend(kind, name)
        assert len(words) > 30 and words.endswith(".") and "{" not in words, name
    assert [one.name for one in expected if one.blocks] == [one.name for one in conditions(kind, columns)]


def test_a_suite_speaks_only_of_columns_that_are_there() -> None:
    for kind in KINDS:
        found = conditions(kind, ["partner", "platform", id_column(kind)])
        assert {one.name.rpartition("_")[0] for one in found if one.name.endswith("_present")} == {
            "partner", "platform", id_column(kind)
        }  # fmt: skip


def test_no_condition_reads_a_personal_field_in_the_clear() -> None:
    rules = [*(one for ones in (*PLAUSIBLE.values(), *REFERENCES.values()) for one in ones)]
    for one in rules:
        assert not any(name in one.sql + one.among for name in PERSONAL), one.name
    assert {column for fields in FIELDS.values() for column in fields.values()} & set(PERSONAL) == set()


def test_what_leaves_a_partner_out_is_a_rule_that_there_is() -> None:
    known = {one.name for ones in (*PLAUSIBLE.values(), *REFERENCES.values()) for one in ones}
    assert set(MISLEADING_SHARES) <= known and all(0 < share < 1 for share in MISLEADING_SHARES.values())
    assert all(field in FIELDS[kind] for kind, field in NEEDED_FIELDS)
    assert usually_filled("capacity") == "capacity_filled_as_usual"


def test_an_unknown_expectation_has_no_words() -> None:
    with pytest.raises(KeyError):
        mend("sale", "nonsense")
