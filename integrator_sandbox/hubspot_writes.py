"""HubSpot's ways in: groups and properties of one's own, and the batch update of contacts with its partial answer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.demo import SEARCH_COLUMNS
from integrator_sandbox.state import Sandbox

BATCH = 100
TYPES = {"string", "number", "date", "datetime", "enumeration", "bool"}
SCHEMAS, OBJECTS = "crm.schemas.contacts.write", "crm.objects.contacts.write"
Item = dict[str, Any]
Answer = tuple[int, Item]


class Refused(Exception):
    """HubSpot's answer to what it does not accept."""

    def __init__(self, status: int, category: str, message: str) -> None:
        super().__init__(message)
        self.status, self.category = status, category


class Writes:
    """What may be written; ``writable`` says whether a contact is there."""

    def __init__(self, sandbox: Sandbox, writable: Callable[[str], bool]) -> None:
        self.sandbox, self.writable = sandbox, writable

    def _allowed(self, scope: str) -> None:
        if any(one["scope"] == scope for one in self.sandbox.injected("hubspot/hidden")):
            raise Refused(403, "MISSING_SCOPES", f"This app lacks the scope {scope}")

    def groups(self, _: Item) -> Answer:
        """The property groups there are."""
        return 200, {"results": [{"name": "contactinformation"}, *self.sandbox.injected("hubspot/groups")]}

    def add_group(self, wanted: Item) -> Answer:
        """One more group."""
        self._allowed(SCHEMAS)
        self._new("hubspot/groups", wanted["name"], ())
        self.sandbox.injected("hubspot/groups").append({"name": wanted["name"], "label": wanted["label"]})
        return 201, wanted

    def add_property(self, wanted: Item) -> Answer:
        """One more property, in a group that is there."""
        self._allowed(SCHEMAS)
        self._new("hubspot/properties", wanted["name"], tuple(SEARCH_COLUMNS))
        groups = {one["name"] for one in self.sandbox.injected("hubspot/groups")}
        if wanted["groupName"] not in groups or wanted["type"] not in TYPES or wanted["name"] != wanted["name"].lower():
            raise Refused(400, "VALIDATION_ERROR", "Property group, type or name is not valid")
        self.sandbox.injected("hubspot/properties").append({**wanted, "hubspotDefined": False})
        return 201, wanted

    def _new(self, where: str, name: str, more: tuple[str, ...]) -> None:
        if name in {one["name"] for one in self.sandbox.injected(where)} | {*more}:
            raise Refused(409, "CONFLICT", f"{name} already exists")

    def update(self, body: Item) -> Answer:
        """Up to a hundred contacts; one wrong value refuses all, one contact that is gone only itself."""
        inputs: list[Item] = body["inputs"]
        self._allowed(OBJECTS)
        if len(inputs) > BATCH:
            raise Refused(400, "VALIDATION_ERROR", f"the number of inputs is {len(inputs)}; the maximum is {BATCH}")
        kinds = {one["name"]: one["type"] for one in self.sandbox.injected("hubspot/properties")}
        for one in inputs:
            _require(one["properties"], kinds)
        there = [one for one in inputs if self.writable(str(one["id"]))]
        for one in there:
            held = self.sandbox.writes("hubspot").setdefault(str(one["id"]), {})
            held.update({**one["properties"], "": self.sandbox.now()})
        results = [{"id": str(one["id"]), "properties": one["properties"]} for one in there]
        gone = [str(one["id"]) for one in inputs if one not in there]
        if not gone:
            return 200, {"status": "COMPLETE", "results": results}
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some CONTACT objects",
                 "context": {"ids": gone}}  # fmt: skip
        return 207, {"status": "COMPLETE", "results": results, "numErrors": 1, "errors": [error]}


def mount(routes: APIRouter, writes: Writes) -> None:
    """The routes."""

    def route(method: str, path: str, act: Callable[[Item], Answer]) -> None:
        async def answer(request: Request) -> Response:
            given = await request.body()
            try:
                status, body = act(msgspec.json.decode(given) if given else {})
            except Refused as error:
                status = error.status
                body = {"status": "error", "message": str(error), "category": error.category}
            return Response(msgspec.json.encode(body), status, media_type="application/json")

        routes.add_api_route(path, answer, methods=[method])

    route("GET", "/crm/v3/properties/contacts/groups", writes.groups)
    route("POST", "/crm/v3/properties/contacts/groups", writes.add_group)
    route("POST", "/crm/v3/properties/contacts", writes.add_property)
    route("POST", "/crm/v3/objects/contacts/batch/update", writes.update)


def _require(properties: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    for name, value in properties.items():
        if name not in kinds:
            raise Refused(400, "VALIDATION_ERROR", f"Property values were not valid: {name} does not exist")
        if not _fits(value, kinds[name]):
            raise Refused(400, "VALIDATION_ERROR", f"Property values were not valid: {name}")


def _fits(value: str, kind: str) -> bool:
    """An empty text empties a property of any type."""
    if not value or kind not in ("number", "datetime"):
        return True
    try:
        float(value) if kind == "number" else datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
