"""Ta-Feng's baskets as Shopify orders: which are shown now, and how each field reads as JSON.

One table of fields serves pages and bulk files alike. Rendering goes through polars: 300,000 objects in a second.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from graphql import FieldNode, SelectionSetNode

from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("Asia/Taipei")
SOLD_AT = time(12, 0)
LINES_WANTED = 200_000
CURRENCY = "TWD"
FIRST_ORDER, FIRST_LINE = 5_000_000_000_000, 12_000_000_000_000
Fields = Mapping[str, Any]


def _quoted(text: str, *columns: str) -> pl.Expr:
    return pl.format(f'"{text}"', *columns)


_MONEY = {"shopMoney": {"amount": _quoted("{}", "unit_price"), "currencyCode": pl.lit(f'"{CURRENCY}"')}}
LINE_FIELDS: Fields = {
    "id": _quoted("gid://shopify/LineItem/{}", "line_id"),
    "title": _quoted("{}", "product"),
    "sku": _quoted("{}", "product"),
    "quantity": pl.col("quantity").cast(pl.String),
    "currentQuantity": pl.col("quantity").cast(pl.String),
    "variantTitle": pl.lit("null"),
    "product": {"id": _quoted("gid://shopify/Product/{}", "rank"), "productType": _quoted("{}", "subclass")},
    "originalUnitPriceSet": _MONEY,
    "discountedUnitPriceSet": _MONEY,
    "customAttributes": [{"key": pl.lit('"unit_cost"'), "value": _quoted("{}", "unit_cost")}],
}
ORDER_FIELDS: Fields = {
    "id": _quoted("gid://shopify/Order/{}", "order_id"),
    "name": _quoted("#{}", "order"),
    "createdAt": _quoted("{}", "at"),
    "processedAt": _quoted("{}", "at"),
    "updatedAt": _quoted("{}", "at"),
    "cancelledAt": pl.lit("null"),
    "test": pl.lit("false"),
    "currencyCode": pl.lit(f'"{CURRENCY}"'),
    "displayFinancialStatus": pl.lit('"PAID"'),
    "sourceName": pl.lit('"pos"'),
    "customer": {"id": _quoted("gid://shopify/Customer/{}", "customer")},
}


class Orders:
    """Lines and orders on the sandbox's timeline, sorted by time."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once; takes products, the busiest first, until enough lines lie before the anchor."""
        self.sandbox = sandbox
        frame = sandbox.frames["grocer"]
        moved = shift(sandbox.anchor, frame["day"].max())  # type: ignore[arg-type]
        last = (sandbox.anchor.astimezone(ZONE) - timedelta(hours=SOLD_AT.hour)).date() - moved
        products = sandbox.subset.products
        if products is None:
            past = frame.filter(pl.col("day") <= last).group_by("rank").len().sort("rank")
            enough = past.filter(pl.col("len").cum_sum() >= LINES_WANTED)
            products = int(enough["rank"][0]) if enough.height else int(frame["rank"].max())  # type: ignore[arg-type]
        sold = (pl.col("day") + moved).dt.combine(SOLD_AT).dt.replace_time_zone(ZONE.key).dt.convert_time_zone("UTC")
        self.products = products
        self.lines = frame.filter(pl.col("rank") <= products).select(
            order_id=pl.col("order") + FIRST_ORDER,
            line_id=pl.col("line") + FIRST_LINE,
            order="order",
            customer="customer",
            sold=sold,
            at=sold.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            product="product",
            subclass="subclass",
            rank="rank",
            quantity="quantity",
            unit_price=(pl.col("price_total") / pl.col("quantity")).round(4).cast(pl.String),
            unit_cost=(pl.col("cost_total") / pl.col("quantity")).round(4).cast(pl.String),
        )
        self.orders = self.lines.unique("order_id", keep="first", maintain_order=True)
        self.sold: list[datetime] = self.orders["sold"].to_list()

    def shown(self, low: datetime | None = None, strictly: bool = False) -> tuple[int, int]:
        """The positions ``[start, end)`` of orders updated since ``low`` and not after now."""
        from bisect import bisect_left, bisect_right

        end = bisect_right(self.sold, self.sandbox.now())
        if low is None:
            return 0, end
        return min(end, (bisect_right if strictly else bisect_left)(self.sold, low.astimezone(UTC))), end

    def lines_of(self, start: int, end: int) -> pl.DataFrame:
        """The lines of the orders at positions ``[start, end)``."""
        if start >= end:
            return self.lines.head(0)
        first, last = self.orders["order_id"][start], self.orders["order_id"][end - 1]
        column = self.lines["order_id"]
        return self.lines[int(column.search_sorted(first, "left")) : int(column.search_sorted(last, "right"))]


def rendered(fields: Fields, selection: SelectionSetNode | None, extra: pl.Expr | None = None) -> pl.Expr:
    """JSON text of the selected fields, one object a row; connections are left out. ``extra`` is put in front."""
    chosen: dict[str, tuple[Any, SelectionSetNode | None]] = {}
    if selection is None:
        chosen = {name: (value, None) for name, value in fields.items()}
    else:
        for node in selection.selections:
            if isinstance(node, FieldNode) and node.name.value in fields:
                key = node.alias.value if node.alias else node.name.value
                chosen[key] = (fields[node.name.value], node.selection_set)
    parts: list[pl.Expr] = [] if extra is None else [extra]
    for key, (value, inner) in chosen.items():
        parts.append(pl.concat_str(pl.lit(f'"{key}":'), _value(value, inner)))
    return pl.concat_str(pl.lit("{"), *_between(parts), pl.lit("}"))


def _value(value: Any, selection: SelectionSetNode | None) -> pl.Expr:
    if isinstance(value, list):
        return pl.concat_str(pl.lit("["), rendered(value[0], selection), pl.lit("]"))
    if isinstance(value, Mapping):
        return rendered(value, selection)
    assert isinstance(value, pl.Expr)
    return value


def _between(parts: list[pl.Expr]) -> list[pl.Expr]:
    return [piece for part in parts for piece in (pl.lit(","), part)][1:]
