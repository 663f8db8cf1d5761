"""Costs, filters and rendering of the GraphQL stand-in, without a server."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl
import pytest
from graphql import OperationDefinitionNode, parse, validate

from integrator.platforms.shopify.pull import BULK, LINES_A_PAGE, MORE_LINES, ORDERS, ORDERS_A_PAGE, POLL_BULK, RUN_BULK
from integrator_sandbox.shopify import SCHEMA
from integrator_sandbox.shopify_cost import MOST, actual, requested
from integrator_sandbox.shopify_filters import updated_since
from integrator_sandbox.shopify_orders import LINE_FIELDS, rendered


@pytest.mark.parametrize("document", [BULK, ORDERS, MORE_LINES, POLL_BULK, RUN_BULK])
def test_the_adapters_queries_are_valid(document: str) -> None:
    assert validate(SCHEMA, parse(document)) == []


def test_the_adapters_page_costs_less_than_a_query_may() -> None:
    cost = requested(SCHEMA, parse(ORDERS), {"first": ORDERS_A_PAGE, "lines": LINES_A_PAGE})
    assert MOST / 2 < cost <= MOST


@pytest.mark.parametrize(
    ("document", "cost"),
    [
        ("{ orders(first: 10) { nodes { id } } }", 10),
        ("{ orders(first: 10) { edges { node { id customer { id } } } pageInfo { hasNextPage } } }", 20),
        ("{ orders(first: 2) { nodes { lineItems(first: 3) { nodes { id product { id } } } } } }", 2 * (1 + 3 * 2)),
        ('{ node(id: "x") { ... on BulkOperation { status } } }', 0),
        ('mutation { bulkOperationRunQuery(query: "x") { userErrors { message } } }', 12),
    ],
)
def test_costs(document: str, cost: int) -> None:
    assert requested(SCHEMA, parse(document), {}) == cost


def test_actual_cost_counts_objects_alone() -> None:
    data: dict[str, Any] = {"id": 1, "lines": {"nodes": [{"id": 1}, {"id": 2, "product": {"id": 3}}], "pageInfo": {}}}
    assert actual(data) == 5
    assert actual([]) == 0


@pytest.mark.parametrize(
    ("query", "bound", "strictly"),
    [
        ("updated_at:>='2026-03-01T00:00:00Z'", datetime(2026, 3, 1, tzinfo=UTC), False),
        ("updated_at:>'2026-03-01T00:00:00Z'", datetime(2026, 3, 1, tzinfo=UTC), True),
        ("updated_at:>=2026-03-01T00:00:00Z status:any", datetime(2026, 3, 1, tzinfo=UTC), False),
        ("name:7", None, False),
        ("updated_at:>=never", None, False),
        (None, None, False),
    ],
)
def test_search_syntax(query: str | None, bound: datetime | None, strictly: bool) -> None:
    assert updated_since(query) == (bound, strictly)


def test_rendering_gives_the_selected_fields_and_no_others() -> None:
    frame = pl.DataFrame(
        {"line_id": [5], "product": ["471"], "quantity": [2], "rank": [1], "subclass": ["11"],
         "unit_price": ["9.5"], "unit_cost": ["7.25"]}
    )  # fmt: skip
    operation = parse(
        "{ id number: quantity product { productType } customAttributes { key value } other }"
    ).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    text = frame.select(json=rendered(LINE_FIELDS, operation.selection_set))["json"][0]
    assert msgspec.json.decode(text) == {
        "id": "gid://shopify/LineItem/5",
        "number": 2,
        "product": {"productType": "11"},
        "customAttributes": [{"key": "unit_cost", "value": "7.25"}],
    }
    everything = msgspec.json.decode(frame.select(json=rendered(LINE_FIELDS, None))["json"][0])
    assert set(everything) == set(LINE_FIELDS)
    assert everything["discountedUnitPriceSet"] == {"shopMoney": {"amount": "9.5", "currencyCode": "TWD"}}
