"""Salesforce's REST API over hotel searches: OAuth, describe, SOQL with its cursors, the daily pool of requests."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox import salesforce_writes
from integrator_sandbox.gate import Answer
from integrator_sandbox.limits import SlidingWindow
from integrator_sandbox.salesforce_leads import Item, Table, tables
from integrator_sandbox.salesforce_login import Login
from integrator_sandbox.salesforce_soql import OPERATORS, Query, SoqlError, parse
from integrator_sandbox.salesforce_writes import Collections
from integrator_sandbox.state import Sandbox

PREFIX = "/salesforce"
VERSIONS = [f"v{number}.0" for number in range(31, 68)]
MOST_ROWS, FEWEST_ROWS = 2000, 200
OPEN_CURSORS = 10
DAILY_REQUESTS = 100_000


class Salesforce:
    """One org: who may come in, what was asked today, the cursors that are open, the objects."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the data once."""
        self.sandbox = sandbox
        self.login = Login(sandbox)
        self.daily = SlidingWindow(DAILY_REQUESTS, 86_400.0)
        self.tables = tables(sandbox)
        self.cursors: dict[str, tuple[Query, list[Any], int]] = {}
        sandbox.parts["salesforce"] = self

    def expire(self) -> None:
        """Every access token is worth nothing from now on."""
        self.login.expire()

    def reset(self) -> None:
        """As at the beginning; access tokens stay."""
        self.login.reset()
        self.daily = SlidingWindow(DAILY_REQUESTS, 86_400.0)
        self.cursors.clear()

    def rule(self, path: str, authorization: str) -> Answer | None:
        """What the gate asks before a request passes."""
        if not path.startswith(f"{PREFIX}/services/data/"):
            return None
        if not self.login.admits(authorization.removeprefix("Bearer ")):
            return 401, {}, failure("INVALID_SESSION_ID", "Session expired or invalid")
        if self._hidden("*"):
            return 403, self.usage, failure("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization")
        if self.daily.take() is not None:
            return 403, self.usage, failure("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        return None

    @property
    def usage(self) -> dict[str, str]:
        """The header every answer of the API has."""
        used = self.daily.limit - self.daily.remaining
        return {"sforce-limit-info": f"api-usage={used}/{self.daily.limit}"}

    def table(self, name: str) -> Table:
        """An object; one that is hidden is none, as in Salesforce."""
        if name not in self.tables or self._hidden(name):
            raise SoqlError("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return self.tables[name]

    def _hidden(self, name: str) -> bool:
        return any(one.get("object") == name for one in self.sandbox.injected("salesforce/hidden"))

    def ask(self, text: str, deleted: bool, batch: int, version: str) -> Item:
        """The first batch of a query; raises `SoqlError`."""
        _known(version in VERSIONS)
        query = parse(text)
        table = self.table(query.table)
        _allowed(query, table)
        found = [key for key in table.present() if _passes(query, table, key, deleted)]
        for name, descending in reversed(query.order):
            found.sort(key=partial(_rank, table, name), reverse=descending)
        found = found[: query.limit]
        if query.count:
            return {"totalSize": len(found), "done": True, "records": []}
        name = f"01g{uuid.uuid4().hex[:15]}"
        self.cursors[name] = (query, found, batch)
        while len(self.cursors) > OPEN_CURSORS:
            self.cursors.pop(next(iter(self.cursors)))
        return self.more(name, 0, version)

    def more(self, name: str, start: int, version: str) -> Item:
        """The batch of an open cursor that begins at ``start``."""
        if name not in self.cursors:
            raise SoqlError("INVALID_QUERY_LOCATOR", "invalid query locator")
        query, found, batch = self.cursors[name]
        table = self.table(query.table)
        records = [_row(query, table, key, version) for key in found[start : start + batch]]
        if start + batch < len(found):
            address = f"/services/data/{version}/query/{name}-{start + batch}"
            return {"totalSize": len(found), "done": False, "nextRecordsUrl": address, "records": records}
        if query.table == "Lead":
            records += [row for row in self.sandbox.injected("salesforce") if "SystemModstamp" not in row]
        return {"totalSize": len(found), "done": True, "records": records}

    def described(self, name: str, version: str) -> Item:
        """An object's fields and child relationships, the part of a description that is of use."""
        _known(version in VERSIONS and name in self.tables and not self._hidden(name))
        table = self.tables[name]
        fields = [
            {
                "name": field,
                "type": kind,
                "custom": field.endswith("__c"),
                "label": field.removesuffix("__c"),
                "updateable": field.endswith("__c") and not self._hidden(f"edit {field}"),
            }
            for field, kind in table.fields.items()
        ]
        children = [{"childSObject": f"{name}History", "relationshipName": child} for child in table.children]
        return {"name": name, "custom": False, "queryable": True, "fields": fields, "childRelationships": children}


def router(org: Salesforce) -> APIRouter:
    """The routes below ``/salesforce``."""
    routes = APIRouter(prefix=PREFIX)
    data = "/services/data/{version}"
    org.login.mount(routes)

    def answer(body: Any, status: int = 200) -> Response:
        return Response(msgspec.json.encode(body), status, org.usage, "application/json")

    def tried(ask: Callable[[], Item]) -> Response:
        try:
            return answer(ask())
        except SoqlError as error:
            return answer(failure(error.code, str(error)), 404 if error.code == "NOT_FOUND" else 400)

    @routes.get(f"{data}/query")
    def query(request: Request, version: str) -> Response:
        return tried(lambda: org.ask(request.query_params.get("q", ""), False, _batch(request.headers), version))

    @routes.get(f"{data}/queryAll")
    def query_all(request: Request, version: str) -> Response:
        return tried(lambda: org.ask(request.query_params.get("q", ""), True, _batch(request.headers), version))

    @routes.get(f"{data}/query/{{locator}}")
    def more(version: str, locator: str) -> Response:
        name, _, start = locator.partition("-")
        return tried(lambda: org.more(name, int(start or 0), version))

    @routes.get(f"{data}/sobjects/{{name}}/describe")
    def describe(version: str, name: str) -> Response:
        return tried(lambda: org.described(name, version))

    salesforce_writes.mount(routes, Collections(org.sandbox, org.tables["Lead"]), lambda: org.usage)
    return routes


def failure(code: str, message: str) -> list[dict[str, str]]:
    """Errors are a list, even one."""
    return [{"message": message, "errorCode": code}]


def _known(there: bool) -> None:
    if not there:
        raise SoqlError("NOT_FOUND", "The requested resource does not exist")


def _batch(headers: Mapping[str, str]) -> int:
    """``Sforce-Query-Options: batchSize=500``; what lies outside 200 to 2,000 is brought inside, as Salesforce does."""
    wanted = headers.get("sforce-query-options", "").removeprefix("batchSize=")
    return min(MOST_ROWS, max(FEWEST_ROWS, int(wanted))) if wanted.isdigit() else MOST_ROWS


def _allowed(query: Query, table: Table) -> None:
    """Raise what Salesforce says to fields, relationships and literals that do not fit."""
    names = [*query.fields, *(one.field for one in query.where), *(name for name, _ in query.order)]
    for name in names:
        if name not in table.fields:
            raise SoqlError("INVALID_FIELD", f"No such column '{name}' on entity '{query.table}'.")
    for relationship, fields in query.children.items():
        known = table.children.get(relationship)
        if known is None or not set(fields) <= set(known):
            raise SoqlError("INVALID_FIELD", f"Didn't understand relationship '{relationship}' in FROM part of query")
    for one in query.where:
        if (table.fields[one.field] == "datetime") != isinstance(one.literal, datetime):
            said = f"value of filter criterion for field '{one.field}' must be of type {table.fields[one.field]}"
            raise SoqlError("INVALID_FIELD", said)


def _passes(query: Query, table: Table, key: Any, deleted: bool) -> bool:
    if not deleted and "IsDeleted" in table.fields and table.value(key, "IsDeleted"):
        return False
    for one in query.where:
        value = table.value(key, one.field)
        if value is None or not OPERATORS[one.sign](value, one.literal):
            return False
    return True


def _row(query: Query, table: Table, key: Any, version: str) -> Item:
    row: Item = {"attributes": {"type": query.table}}
    row |= {name: _shown(table.value(key, name)) for name in query.fields}
    if "Id" in row:
        row["attributes"]["url"] = f"/services/data/{version}/sobjects/{query.table}/{row['Id']}"
    for relationship, fields in query.children.items():
        below = [{name: _shown(one.get(name)) for name in fields} for one in table.below(key, relationship)]
        row[relationship] = {"totalSize": len(below), "done": True, "records": below} if below else None
    return row


def _rank(table: Table, name: str, key: Any) -> str:
    return str(_shown(table.value(key, name)))


def _shown(value: Any) -> Any:
    """Moments as Salesforce writes them: whole seconds, and an offset without a colon."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000") if isinstance(value, datetime) else value
