"""What changed among a shop's orders since a cursor: a bulk operation at first, pages by ``updated_at`` after.

A cursor is ``{since}`` between pulls, ``{since, bulk, offset}`` within a bulk file (bytes, always at an order's start)
and ``{since, low, after}`` within pages; a backfill's is ``{after}``. A deleted order is no longer listed and leaves no
trace: `count` shows the gap.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Forbidden, NotFound, Unavailable
from integrator.platforms.base import (
    Account,
    Cursor,
    Page,
    Platform,
    Raw,
    Window,
    mapped,
    missing_permissions,
    moment,
    resting,
    stamp,
)
from integrator.platforms.http import Session, server_time
from integrator.platforms.shopify.client import (
    TooExpensive,
    api_path,
    download,
    finished_bulk,
    query,
    session_for,
)
from integrator.platforms.shopify.map import LINE_FIELDS, ORDER_FIELDS, sale_records
from integrator.platforms.shopify.spec import SPEC

if TYPE_CHECKING:
    import requests

OVERLAP = timedelta(minutes=5)
ORDERS_A_PAGE = 12  # with ten lines each, 890 of the 1,000 points one query may cost; what is not used comes back
LINES_A_PAGE = 10
RECORDS_A_PAGE = 20_000
PAGES_A_PAGE = 25

BULK = f"""{{ orders {{ edges {{ node {{ {ORDER_FIELDS}
  lineItems {{ edges {{ node {{ {LINE_FIELDS} }} }} }} }} }} }} }}"""
RUN_BULK = """mutation ($query: String!) { bulkOperationRunQuery(query: $query, groupObjects: true) {
  bulkOperation { id status createdAt } userErrors { field message } } }"""
CURRENT_BULK = "{ currentBulkOperation { id status createdAt query } }"
POLL_BULK = """query ($id: ID!) { node(id: $id) { ... on BulkOperation {
  id status errorCode createdAt objectCount url } } }"""
ORDERS = f"""query ($first: Int!, $after: String, $query: String, $lines: Int!) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ {ORDER_FIELDS} lineItems(first: $lines) {{
      nodes {{ {LINE_FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}
    pageInfo {{ hasNextPage endCursor }} }} }}"""
MORE_LINES = f"""query ($id: ID!, $after: String, $lines: Int!) {{ node(id: $id) {{ ... on Order {{
  lineItems(first: $lines, after: $after) {{
    nodes {{ {LINE_FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }} }} }}"""
COUNT_BULK = """{ orders(query: "test:false") { edges { node { id
  lineItems { edges { node { id } } } } } } }"""
POLL_COUNT = """query ($id: ID!) { node(id: $id) { ... on BulkOperation {
  id status errorCode createdAt objectCount rootObjectCount url } } }"""
NEWEST = """query ($query: String) { orders(first: 1, query: $query, sortKey: UPDATED_AT) { nodes { id } } }"""


class Shopify(Platform):
    """Order lines with price, list price and, where the shop keeps it on the line, unit cost."""

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """A bulk file at first, changed orders after it."""
        if window is not None:
            yield from _backfill(session, account.settings, cursor or {}, window)
        elif cursor is None or "bulk" in cursor:
            yield from _bulk(session, account.settings, cursor)
        else:
            yield from _updates(session, account, cursor)

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether any order changed after the cursor: one query."""
        cursor = cursors.get("sale")
        if not resting([cursor]):
            return True
        wanted = {"query": f"updated_at:>'{(cursor or {})['since']}'"}
        data, _ = query(session, api_path(account.settings), NEWEST, wanted)
        return bool(data["orders"]["nodes"])

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """Lines of orders that are no tests: a bulk operation counts them, its file is not fetched."""
        path = api_path(account.settings)
        operation = finished_bulk(session, path, POLL_COUNT, _run_bulk(session, path, COUNT_BULK))
        return int(operation["objectCount"]) - int(operation["rootObjectCount"])

    def missing(self, session: Session, account: Account) -> list[str]:
        """Missing access scopes: orders, products."""
        path = api_path(account.settings)
        products = "{ orders(first: 1) { nodes { lineItems(first: 1) { nodes { product { id } } } } } }"
        return missing_permissions(
            (
                ("read_orders", lambda: query(session, path, "{ orders(first: 1) { nodes { id } } }")),
                ("read_products", lambda: query(session, path, products)),
            )
        )


PLATFORM = Shopify(SPEC, session_for)


def _bulk(session: Session, settings: Mapping[str, Any], cursor: Cursor | None) -> Iterator[Page]:
    """The whole history from a bulk file; a file that has expired (seven days) is ordered again."""
    path = api_path(settings)
    if cursor is not None:
        data, _ = query(session, path, POLL_BULK, {"id": cursor["bulk"]})
        if data["node"] and data["node"]["status"] in ("CREATED", "RUNNING", "COMPLETED"):
            operation = finished_bulk(session, path, POLL_BULK, cursor["bulk"])
            # A signed address that no longer opens is not a lost permission: the file is ordered again.
            with suppress(NotFound, Forbidden):
                yield from _file(session, settings, operation, cursor["offset"])
                return
    operation_id = _run_bulk(session, path)
    yield from _file(session, settings, finished_bulk(session, path, POLL_BULK, operation_id), 0)


def _run_bulk(session: Session, path: str, document: str = BULK) -> str:
    """Start the bulk query; where our own is still running (a crash before the first page), take that one."""
    data, _ = query(session, path, RUN_BULK, {"query": document})
    started = data["bulkOperationRunQuery"]
    if started["bulkOperation"] is not None:
        return str(started["bulkOperation"]["id"])
    data, _ = query(session, path, CURRENT_BULK)
    current = data["currentBulkOperation"]
    if current and current["query"] == document and current["status"] in ("CREATED", "RUNNING"):
        return str(current["id"])
    said = "; ".join(str(error["message"]) for error in started["userErrors"])
    raise Unavailable(f"shopify: the bulk operation could not start: {said[:200]}")


def _file(session: Session, settings: Mapping[str, Any], operation: Mapping[str, Any], offset: int) -> Iterator[Page]:
    """Records of a result file, cut into pages before an order, so that an order's lines stay together."""
    since = operation["createdAt"]
    cost = str(settings.get("unit_cost_attribute") or "unit_cost")
    records: list[Raw] = []
    if operation.get("url"):
        for order, lines, end in _grouped(session, str(operation["url"]), offset):
            records += mapped(
                {**order, "lineItems": lines} if isinstance(order, dict) else order,
                lambda o: sale_records(o, o["lineItems"], cost),
            )
            if len(records) >= RECORDS_A_PAGE:
                yield Page("sale", records, {"since": since, "bulk": operation["id"], "offset": end})
                records = []
    yield Page("sale", records, {"since": since})


def _grouped(session: Session, url: str, offset: int) -> Iterator[tuple[Any, list[Any], int]]:
    """An order, its lines, and the byte where the next order starts."""
    import msgspec

    decode = msgspec.json.Decoder().decode
    order: Any = None
    lines: list[Any] = []
    at = offset
    for chunk in download(session, url, offset):
        for raw in chunk.splitlines(keepends=True):
            try:
                item = decode(raw)
            except msgspec.DecodeError:
                item = {"unreadable": raw.decode(errors="replace")}
            if isinstance(item, dict) and "__parentId" in item:
                del item["__parentId"]
                lines.append(item)
            else:
                if order is not None:
                    yield order, lines, at
                order, lines = item, []
            at += len(raw)
    if order is not None:
        yield order, lines, at


def _updates(session: Session, account: Account, cursor: Cursor) -> Iterator[Page]:
    """Orders changed since, by ``updated_at``; Shopify's end cursor stays put when orders move behind it."""
    low = cursor.get("low") or stamp(moment(cursor["since"]) - OVERLAP)
    until: str | None = cursor.get("until")
    for records, after, answer in _read(session, account.settings, f"updated_at:>='{low}'", cursor.get("after")):
        until = until or max(cursor["since"], stamp(server_time(answer, account.clock())), key=moment)
        within = {"since": cursor["since"], "low": low, "after": after, "until": until}
        yield Page("sale", records, {"since": until} if after is None else within)


def _backfill(session: Session, settings: Mapping[str, Any], cursor: Cursor, window: Window) -> Iterator[Page]:
    """Orders last changed within the window."""
    wanted = f"updated_at:>='{stamp(window.since)}' updated_at:<'{stamp(window.until)}'"
    for records, after, _ in _read(session, settings, wanted, cursor.get("after")):
        yield Page("sale", records, {"done": True} if after is None else {"after": after})


def _read(
    session: Session, settings: Mapping[str, Any], wanted: str, after: str | None
) -> "Iterator[tuple[list[Raw], str | None, requests.Response]]":
    """Records of the orders ``wanted``, several answers gathered; with where to go on, None at the end."""
    path = api_path(settings)
    cost = str(settings.get("unit_cost_attribute") or "unit_cost")
    records: list[Raw] = []
    for number in range(1, 1_000_000):
        data, answer = _page(session, path, after, wanted)
        for order in data["orders"]["nodes"]:
            lines = _lines(session, path, order)
            whole = {**order, "lineItems": lines} if isinstance(order, dict) else order
            records += mapped(whole, lambda o: sale_records(o, o["lineItems"], cost))
        info = data["orders"]["pageInfo"]
        after = info["endCursor"]
        if not info["hasNextPage"]:
            yield records, None, answer
            return
        if number % PAGES_A_PAGE == 0:
            yield records, after, answer
            records = []


def _page(session: Session, path: str, after: str | None, wanted: str) -> "tuple[dict[str, Any], requests.Response]":
    """A page of orders, smaller where the shop's plan or a new price list finds it too expensive."""
    first = ORDERS_A_PAGE
    while True:
        try:
            return query(
                session, path, ORDERS, {"first": first, "after": after, "query": wanted, "lines": LINES_A_PAGE}
            )
        except TooExpensive:
            if first == 1:
                raise
            first //= 2


def _lines(session: Session, path: str, order: Any) -> list[Any]:
    """All lines of an order: those that came with it, and further pages of a long one."""
    connection = order.get("lineItems") if isinstance(order, dict) else None
    if not isinstance(connection, dict):
        return []
    lines = list(connection["nodes"])
    while connection["pageInfo"]["hasNextPage"]:
        more = {"id": order["id"], "after": connection["pageInfo"]["endCursor"], "lines": LINES_A_PAGE}
        data, _ = query(session, path, MORE_LINES, more)
        connection = data["node"]["lineItems"]
        lines += connection["nodes"]
    return lines
