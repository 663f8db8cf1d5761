"""Shopify's Admin GraphQL API over Ta-Feng's baskets: orders page by page, bulk operations, cost points."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from graphql import GraphQLError, GraphQLResolveInfo, build_schema, graphql_sync, parse, validate
from graphql.language import DocumentNode

from integrator_sandbox.consent import Consent
from integrator_sandbox.demo import SHOPIFY_CLIENT, SHOPIFY_TOKEN
from integrator_sandbox.shopify_bulk import BulkOperations
from integrator_sandbox.shopify_cost import MOST, actual, requested
from integrator_sandbox.shopify_filters import updated_before, updated_since
from integrator_sandbox.shopify_orders import LINE_FIELDS, ORDER_FIELDS, Orders, rendered

MOST_FIRST = 250
SCHEMA = build_schema(Path(__file__).with_name("shopify.graphql").read_text())
Item = dict[str, Any]


class Root:
    """Resolvers of the schema's roots; what lies below are plain dicts."""

    def __init__(self, orders: Orders, bulks: BulkOperations, base_url: str) -> None:
        """``base_url`` is what the client called, for addresses of files."""
        self._orders = orders
        self._bulks = bulks
        self._base_url = base_url

    def orders(self, info: GraphQLResolveInfo, **wanted: Any) -> Item:
        """A page of orders by (updated_at, id)."""
        low, strictly = updated_since(wanted.get("query"))
        start, end = self._orders.shown(low, strictly)
        before = updated_before(wanted.get("query"))
        end = end if before is None else min(end, self._orders.shown(before)[0])
        extra = list(self._orders.sandbox.injected("shopify"))
        begin = max(start, _position(wanted.get("after")))
        first = _first(wanted)
        stop = min(end, begin + first)
        nodes = self._nodes(begin, stop)
        more = stop < end
        if not more:
            nodes += [{**order, "lineItems": _Lines(order.get("lineItems", []))} for order in extra]
        return _connection(nodes, begin, more)

    def node(self, info: GraphQLResolveInfo, id: str) -> Item | None:
        """An order or a bulk operation by its global id."""
        if id in self._bulks.known:
            return self._bulks.known[id].shown(self._base_url)
        number = id.rsplit("/", 1)[-1]
        column = self._orders.orders["order_id"]
        position = int(column.search_sorted(int(number), "left")) if number.isdigit() and "/Order/" in id else -1
        if 0 <= position < self._orders.shown()[1] and column[position] == int(number):
            return self._nodes(position, position + 1)[0]
        return None

    def currentBulkOperation(self, info: GraphQLResolveInfo) -> Item | None:
        """The newest bulk operation."""
        return self._bulks.current.shown(self._base_url) if self._bulks.current else None

    def bulkOperationRunQuery(self, info: GraphQLResolveInfo, query: str, groupObjects: bool = True) -> Item:
        """Start a bulk operation; its query must be valid."""
        problems = validate(SCHEMA, parse(query))
        if problems:
            errors = [{"field": ["query"], "message": p.message, "code": "INVALID"} for p in problems]
            return {"bulkOperation": None, "userErrors": errors}
        bulk, user_errors = self._bulks.start(query)
        return {"bulkOperation": bulk.shown(self._base_url) if bulk else None, "userErrors": user_errors}

    def _nodes(self, start: int, stop: int) -> list[Item]:
        if start >= stop:
            return []
        orders = self._orders.orders[start:stop].select("order_id", json=rendered(ORDER_FIELDS, None))
        lines = self._orders.lines_of(start, stop).select("order_id", json=rendered(LINE_FIELDS, None))
        decode = msgspec.json.Decoder().decode
        by_order: dict[int, list[Item]] = {}
        for order_id, text in lines.iter_rows():
            by_order.setdefault(order_id, []).append({"__typename": "LineItem", **decode(text)})
        return [
            {"__typename": "Order", **decode(text), "lineItems": _Lines(by_order[order_id])}
            for order_id, text in orders.iter_rows()
        ]


class _Lines:
    """An order's lines, paged when asked for."""

    def __init__(self, lines: list[Item]) -> None:
        self.lines = lines

    def __call__(self, info: GraphQLResolveInfo, **wanted: Any) -> Item:
        begin = _position(wanted.get("after"))
        stop = min(len(self.lines), begin + _first(wanted))
        return _connection(self.lines[begin:stop], begin, stop < len(self.lines))


def _first(wanted: Item) -> int:
    first = wanted.get("first")
    if first is None or not 0 < first <= MOST_FIRST:
        raise GraphQLError(f"you must provide first between 1 and {MOST_FIRST}")
    return int(first)


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _position(cursor: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor)) if cursor else 0
    except ValueError as error:
        raise GraphQLError("Invalid cursor for current pagination sort.") from error


def _connection(nodes: list[Item], begin: int, more: bool) -> Item:
    edges = [{"cursor": _cursor(begin + i + 1), "node": node} for i, node in enumerate(nodes)]
    info: Item = {"hasNextPage": more, "hasPreviousPage": begin > 0, "startCursor": None, "endCursor": None}
    if edges:
        info |= {"startCursor": edges[0]["cursor"], "endCursor": edges[-1]["cursor"]}
    return {"nodes": nodes, "edges": edges, "pageInfo": info}


def router(orders: Orders) -> APIRouter:
    """The routes below ``/shopify``."""
    routes = APIRouter(prefix="/shopify")
    bulks = BulkOperations(orders)
    sandbox = orders.sandbox

    def cost(wanted: int, real: int | None) -> Item:
        bucket = sandbox.shopify_bucket
        status = {"maximumAvailable": bucket.size, "currentlyAvailable": int(bucket.available)}
        status["restoreRate"] = bucket.restore
        return {"cost": {"requestedQueryCost": wanted, "actualQueryCost": real, "throttleStatus": status}}

    @routes.post("/admin/api/2026-10/graphql.json")
    async def graphql(request: Request) -> Response:
        body = msgspec.json.decode(await request.body())
        text, variables = str(body.get("query") or ""), body.get("variables") or {}
        try:
            document: DocumentNode = parse(text)
        except GraphQLError as error:
            return _json({"errors": [{"message": error.message}]})
        wanted = requested(SCHEMA, document, variables)
        if wanted > MOST:
            said = f"Query cost is {wanted}, which exceeds the single query max cost limit ({MOST})."
            return _refused(said, {"code": "MAX_COST_EXCEEDED", "cost": wanted, "maxCost": MOST}, cost(wanted, None))
        if not sandbox.shopify_bucket.take(wanted):
            return _refused("Throttled", {"code": "THROTTLED"}, cost(wanted, None))
        result = graphql_sync(SCHEMA, text, Root(orders, bulks, str(request.base_url).rstrip("/")), None, variables)
        real = min(wanted, actual(result.data))
        sandbox.shopify_bucket.give_back(wanted - real)
        errors = {"errors": [error.formatted for error in result.errors]} if result.errors else {}
        return _json({"data": result.data, **errors, "extensions": cost(wanted, real)})

    consent = Consent("Shopify", SHOPIFY_CLIENT["client_id"], SHOPIFY_CLIENT["client_secret"])
    consent.mount(routes, "/admin/oauth/authorize")

    @routes.post("/admin/oauth/access_token")
    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        if (why := consent.refused(form)) is not None:
            return Response(msgspec.json.encode({"error": why}), 400, media_type="application/json")
        return _json({"access_token": SHOPIFY_TOKEN, "scope": "read_orders,read_products"})

    @routes.get("/bulk/{name}")
    def file(name: str) -> Response:
        if not any(bulk.file == name for bulk in bulks.known.values()):
            return Response(status_code=404)
        return FileResponse(bulks.folder / name, media_type="application/jsonl")

    return routes


def _refused(message: str, extensions: Item, cost: Item) -> Response:
    return _json({"errors": [{"message": message, "extensions": extensions}], "extensions": cost})


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
