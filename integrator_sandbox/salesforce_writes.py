"""Salesforce's collections of leads: read by ids, and updated with an answer for each record."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.salesforce_leads import Table, lead_id
from integrator_sandbox.salesforce_soql import SoqlError
from integrator_sandbox.state import Sandbox

UPDATED_AT_ONCE, READ_AT_ONCE = 200, 2000
COLLECTION = "/services/data/{version}/composite/sobjects"
Item = dict[str, Any]


class Collections:
    """Leads by their ids."""

    def __init__(self, sandbox: Sandbox, leads: Table) -> None:
        """`leads` is the object that queries see too."""
        self.sandbox, self.leads = sandbox, leads

    def _there(self) -> dict[str, Any]:
        keys = [key for key in self.leads.present() if not self.leads.value(key, "IsDeleted")]
        return {lead_id(key) if isinstance(key, int) else str(key.get("Id")): key for key in keys}

    def _require(self, names: set[str], count: int, most: int) -> None:
        if count > most:
            raise SoqlError("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {most} records")
        for name in names:
            if name not in self.leads.fields:
                raise SoqlError("INVALID_FIELD", f"No such column '{name}' on sobject of type Lead")

    def read(self, wanted: Item) -> list[Item | None]:
        """The fields of leads, null for one that is gone."""
        self._require(set(wanted["fields"]), len(wanted["ids"]), READ_AT_ONCE)
        known = self._there()
        return [
            {name: self.leads.value(known[one], name) for name in wanted["fields"]} if one in known else None
            for one in wanted["ids"]
        ]

    def update(self, wanted: Item) -> list[Item]:
        """Each record's own answer, in order."""
        records: list[Item] = wanted["records"]
        names = {name for one in records for name in one} - {"attributes", "id"}
        self._require(names, len(records), UPDATED_AT_ONCE)
        known = self._there()
        return [self._one(known, one) for one in records]

    def _one(self, known: Mapping[str, Any], record: Item) -> Item:
        native_id = str(record["id"])
        fields = {name: value for name, value in record.items() if name not in ("attributes", "id")}
        code = self._refusal(known, native_id, fields)
        if code is not None:
            error = {"statusCode": code, "message": code.lower().replace("_", " "), "fields": []}
            return {"id": native_id, "success": False, "errors": [error]}
        self.sandbox.writes("salesforce").setdefault(native_id, {}).update({**fields, "": self.sandbox.now()})
        return {"id": native_id, "success": True, "errors": []}

    def _refusal(self, known: Mapping[str, Any], native_id: str, fields: Item) -> str | None:
        if native_id not in known:
            return "ENTITY_IS_DELETED" if native_id.startswith("00Q") else "MALFORMED_ID"
        if self.leads.value(known[native_id], "IsConverted"):
            return "CANNOT_UPDATE_CONVERTED_LEAD"
        locked = self.sandbox.injected("salesforce/locked")
        if {"id": native_id} in locked:  # once
            locked.remove({"id": native_id})
            return "UNABLE_TO_LOCK_ROW"
        fits = all(_fits(value, self.leads.fields[name]) for name, value in fields.items())
        return None if fits else "INVALID_TYPE_ON_FIELD_IN_RECORD"


def mount(routes: APIRouter, collections: Collections, usage: Callable[[], Mapping[str, str]]) -> None:
    """The two routes; `usage` is the header every answer has."""

    def route(method: str, path: str, act: Callable[[Item], Any]) -> None:
        async def answer(request: Request) -> Response:
            status, body = 200, None
            try:
                body = act(msgspec.json.decode(await request.body()))
            except SoqlError as error:
                status, body = 400, [{"message": str(error), "errorCode": error.code}]
            return Response(msgspec.json.encode(body), status, dict(usage()), "application/json")

        routes.add_api_route(path, answer, methods=[method])

    route("POST", f"{COLLECTION}/Lead", collections.read)
    route("PATCH", COLLECTION, collections.update)


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return True
    if kind in ("double", "int"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind != "datetime":
        return isinstance(value, str)
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False
