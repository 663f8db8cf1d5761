"""Great Expectations over real frames: what breaches a contract is found, counted and named by id, never by value."""

import pandas as pd

from integrator.steps.quality import rules, validate

COLUMNS = ["partner", "platform", "sale_id", "product", "quantity", "unit_price", "currency", "status"]


def sales(**changes: list[object]) -> pd.DataFrame:
    """Three good lines, with some columns replaced."""
    good: dict[str, list[object]] = {
        "partner": ["alpha"] * 3, "platform": ["pretix"] * 3, "sale_id": ["s1", "s2", "s3"], "product": ["day"] * 3,
        "quantity": [1, 2, 3], "unit_price": [10.0, 12.5, 0.0], "currency": ["EUR"] * 3,
        "status": ["sold", "partly_refunded", "cancelled"],
    }  # fmt: skip
    return pd.DataFrame({**good, **changes})


def test_good_records_keep_the_contract() -> None:
    assert validate(sales(), rules("sale", COLUMNS), "sale_id") == ()


def test_each_kind_of_breach_is_found_with_the_ids_and_without_the_values() -> None:
    frame = sales(
        quantity=[1, -2, 3],
        currency=["EUR", "eur", None],
        status=["sold", "sold", "secret status"],
        unit_price=[1.0, 1.0, -5.0],
    )
    breaches = {breach.expectation.split(" ")[0] + " " + breach.expectation.split(" ")[1]: breach for breach in
                validate(frame, rules("sale", COLUMNS), "sale_id")}  # fmt: skip
    assert {name: breach.ids for name, breach in breaches.items()} == {
        "quantity between": ("s2",), "unit_price between": ("s3",), "currency present": ("s3",),
        "currency matches": ("s2",), "status one": ("s3",),
    }  # fmt: skip
    assert all(breach.count == 1 for breach in breaches.values())
    assert "secret status" not in repr(breaches)


def test_only_the_first_ids_are_named_and_all_are_counted() -> None:
    frame = pd.concat([sales(quantity=[-1, -1, -1])] * 4, ignore_index=True)
    (breach,) = validate(frame, rules("sale", COLUMNS), "sale_id")
    assert breach.count == 12 and len(breach.ids) == 5
