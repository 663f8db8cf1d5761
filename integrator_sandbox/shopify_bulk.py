"""Bulk operations: a query over connections becomes a file of JSON lines, children after their parent."""

import shutil
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import polars as pl
from graphql import FieldNode, OperationDefinitionNode, SelectionSetNode, StringValueNode, parse

from integrator_sandbox.hubspot import iso
from integrator_sandbox.shopify_filters import updated_since
from integrator_sandbox.shopify_orders import LINE_FIELDS, ORDER_FIELDS, Orders, rendered

ORDERS_A_CHUNK = 10_000  # written piece by piece: the whole file of 110 MB in memory took 640 MB


@dataclass
class Bulk:
    """One operation; ``file`` is the name its address ends in."""

    id: str
    query: str
    created: datetime
    status: str = "CREATED"
    completed: datetime | None = None
    objects: int = 0
    roots: int = 0
    size: int = 0
    file: str = ""
    error: str | None = None

    def shown(self, base_url: str) -> dict[str, Any]:
        """As the API shows it; no address where nothing was found."""
        return {
            "__typename": "BulkOperation",
            "id": self.id,
            "status": self.status,
            "errorCode": self.error,
            "createdAt": iso(self.created),
            "completedAt": iso(self.completed) if self.completed else None,
            "objectCount": str(self.objects),
            "rootObjectCount": str(self.roots),
            "fileSize": str(self.size) if self.completed else None,
            "query": self.query,
            "url": f"{base_url}/shopify/bulk/{self.file}" if self.completed and self.objects else None,
        }


class BulkOperations:
    """The operations of the shop; one runs at a time."""

    def __init__(self, orders: Orders) -> None:
        """None have run yet: files an earlier sandbox left are removed."""
        self.orders = orders
        self.folder = orders.sandbox.home / "sandbox" / "bulk"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.known: dict[str, Bulk] = {}
        self.current: Bulk | None = None

    def start(self, query: str) -> tuple[Bulk | None, list[dict[str, Any]]]:
        """A new operation, or why there is none."""
        if self.current is not None and self.current.status in ("CREATED", "RUNNING"):
            said = "A bulk query operation for this app and shop is already in progress: " + self.current.id
            return None, [{"field": None, "message": said, "code": "OPERATION_IN_PROGRESS"}]
        try:
            root, nodes, line_nodes = _selections(query)
        except ValueError as error:
            return None, [{"field": ["query"], "message": str(error), "code": "INVALID"}]
        number = 1_000_000 + len(self.known)
        bulk = Bulk(f"gid://shopify/BulkOperation/{number}", query, self.orders.sandbox.now())
        self.known[bulk.id] = bulk
        self.current = bulk
        threading.Thread(target=self._run, args=(bulk, root, nodes, line_nodes), daemon=True).start()
        return bulk, []

    def _run(self, bulk: Bulk, root: FieldNode, nodes: SelectionSetNode, line_nodes: SelectionSetNode | None) -> None:
        bulk.status = "RUNNING"
        try:
            start, end = self.orders.shown(*updated_since(_argument(root, "query")))
            self.folder.mkdir(parents=True, exist_ok=True)
            bulk.file = f"{uuid.uuid4().hex}.jsonl"
            with (self.folder / bulk.file).open("wb") as file:
                for first in range(start, end, ORDERS_A_CHUNK):
                    text = self._text(first, min(end, first + ORDERS_A_CHUNK), nodes, line_nodes)
                    bulk.size += file.write("".join(line + "\n" for line in text).encode())
                    bulk.objects += len(text)
                for order in self.orders.sandbox.injected("shopify"):
                    raw = _raw_lines(order)
                    bulk.size += file.write(b"".join(line + b"\n" for line in raw))
                    bulk.objects += len(raw)
            bulk.roots = end - start + len(self.orders.sandbox.injected("shopify"))
            bulk.completed = self.orders.sandbox.now()
            bulk.status = "COMPLETED"
        except BaseException:
            bulk.error, bulk.status = "INTERNAL_SERVER_ERROR", "FAILED"
            raise

    def _text(self, start: int, end: int, nodes: SelectionSetNode, line_nodes: SelectionSetNode | None) -> list[str]:
        """The lines of the orders at these positions, each order before its own."""
        orders = self.orders.orders[start:end]
        parts = [orders.select("order_id", n=pl.lit(0, pl.Int64), json=rendered(ORDER_FIELDS, nodes))]
        if line_nodes is not None:
            parent = pl.format('"__parentId":"gid://shopify/Order/{}"', "order_id")
            lines = self.orders.lines_of(start, end)
            parts.append(lines.select("order_id", n="line_id", json=rendered(LINE_FIELDS, line_nodes, parent)))
        return pl.concat(parts).sort("order_id", "n")["json"].to_list()


def _raw_lines(order: dict[str, Any]) -> list[bytes]:
    """An injected order in the file's shape."""
    head = {key: value for key, value in order.items() if key != "lineItems"}
    children = [{**line, "__parentId": order.get("id")} for line in order.get("lineItems", ())]
    return [msgspec.json.encode(one) for one in (head, *children)]


def _selections(query: str) -> tuple[FieldNode, SelectionSetNode, SelectionSetNode | None]:
    """The orders field, the selection on an order, and that on its line items."""
    operation = parse(query).definitions[0]
    if not isinstance(operation, OperationDefinitionNode):
        raise ValueError("Bulk queries must be one query")
    root = _field(operation.selection_set, "orders")
    nodes = _nodes(root)
    if root is None or nodes is None:
        raise ValueError("Bulk queries must contain the orders connection with edges and nodes")
    return root, nodes, _nodes(_field(nodes, "lineItems"))


def _nodes(connection: FieldNode | None) -> SelectionSetNode | None:
    if connection is None or connection.selection_set is None:
        return None
    edges = _field(connection.selection_set, "edges")
    holder = edges.selection_set if edges is not None else connection.selection_set
    node = _field(holder, "node" if edges is not None else "nodes") if holder is not None else None
    return node.selection_set if node is not None else None


def _field(selection: SelectionSetNode, name: str) -> FieldNode | None:
    return next((n for n in selection.selections if isinstance(n, FieldNode) and n.name.value == name), None)


def _argument(field: FieldNode, name: str) -> str | None:
    for argument in field.arguments:
        if argument.name.value == name and isinstance(argument.value, StringValueNode):
            return argument.value.value
    return None
