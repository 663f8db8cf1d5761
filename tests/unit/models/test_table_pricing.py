"""A file's sales or table of prices as the training relation's frame."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import Sale
from models.base import Context
from models.files import Prepared, Reading
from models.pricing.columns import COLUMNS
from models.pricing.table import from_records, from_table

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
CONTEXT = Context(partner="backtest", timezone="Asia/Taipei", currency="TWD", region="TW", as_of=NOW)
READING = Reading(holidays=lambda region, years: {date(2026, 1, 1): "New Year"})


def _table(*rows: dict[str, Any]) -> Prepared:
    return from_table(enumerate(rows, start=1), CONTEXT, READING)


def test_a_row_a_day_keeps_its_price_and_attributes() -> None:
    found = _table(
        {
            "date": "2026-01-01",
            "brand": 5,
            "units": 10,
            "price": 2.5,
            "cost": 1,
            "store": "a",
            "deal": 1,
            "shelf": "top",
        },
        {"date": "2026-01-08", "brand": 5, "units": 4, "price": 3.0, "cost": None, "store": "a", "deal": 0},
    )
    frame = found.training
    assert set(COLUMNS) <= set(frame.columns)
    assert frame.select("product", "tier", "quantity", "unit_price", "unit_cost").rows() == [
        ("5", "a", 10.0, 2.5, 1.0),
        ("5", "a", 4.0, 3.0, None),
    ]
    assert [json.loads(one) for one in frame["attributes"]] == [{"deal": 1, "shelf": "top"}, {"deal": 0}]
    assert frame["is_holiday"].to_list() == [True, False]
    assert frame["currency"].to_list() == ["TWD", "TWD"]
    assert found.as_of == datetime(2026, 1, 7, 16, 0, 1, tzinfo=UTC)


def test_lines_of_a_day_are_added_up_at_the_price_paid_per_unit() -> None:
    day = {"date": "2026-01-05", "product": "tea"}
    frame = _table(
        {**day, "quantity": 1, "price": 4.0, "deal": 1, "shelf": "top"},
        {**day, "quantity": 3, "price": 2.0, "deal": 0, "shelf": "low", "unit_cost": 1.0},
    ).training
    assert frame.select("quantity", "unit_price", "unit_cost", "line_count", "tier").rows() == [(4.0, 2.5, 1.0, 2, "")]
    assert json.loads(frame["attributes"][0]) == {"deal": 0.5}


def test_rows_that_say_too_little_are_left_out_and_said() -> None:
    good = {"date": "2026-01-05", "product": "tea", "quantity": 1, "price": 4.0}
    found = _table(good, {**good, "price": None}, {**good, "quantity": -2}, {**good, "price": float("inf")})
    assert found.training.height == 1
    assert found.problems == [
        "1 of 4 rows are left out: they lack date, product, quantity or price",
        "2 of 4 rows are left out: their quantity or price is infinite or below zero",
    ]
    with pytest.raises(InvalidInput, match="lacks unit_price"):
        _table({"date": "2026-01-05", "product": "tea", "quantity": 1})
    with pytest.raises(InvalidInput, match="they lack date"):
        _table({**good, "date": None})


def _sale(number: int, **more: Any) -> Sale:
    facts: dict[str, Any] = {
        "native_id": f"s{number}", "product": "tea", "sold_at": datetime(2026, 1, 4, 20, tzinfo=UTC), "quantity": 2,
        "unit_price": Decimal("10"), "currency": "TWD", "status": "paid", "attributes": {"product_type": "drinks"},
    }  # fmt: skip
    return Sale(**(facts | more))


def test_canonical_sales_count_as_harmonize_counts_them() -> None:
    sales = [
        _sale(1, refunded_quantity=1, unit_cost=Decimal("4")),
        _sale(2, status="refunded", unit_price=Decimal("30")),
        _sale(3, status="cancelled"),
        _sale(4, currency="USD"),
        _sale(5, sold_at=NOW + timedelta(days=1)),
        _sale(6, deleted_at=NOW),
        _sale(7, tier="vip", sold_at=datetime(2026, 1, 5, 1, tzinfo=UTC)),
    ]
    found = from_records(sales, CONTEXT, READING)
    assert found.training.select("tier", "sold_on", "quantity", "unit_price", "product_group").rows() == [
        ("", date(2026, 1, 5), 1.0, 10.0, "drinks"),
        ("vip", date(2026, 1, 5), 2.0, 10.0, "drinks"),
    ]
    assert found.problems == [
        "2 of 6 rows are left out: not paid or refunded, or later than now",
        "1 of 6 rows are left out: their currency is not TWD",
    ]
