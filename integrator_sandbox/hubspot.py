"""HubSpot's CRM API over the hotel searches: a search is a contact, its columns custom properties.

A booked search becomes a customer on its arrival day, another is LOST that day (midnight in New York, the partner's
zone, or the search's own time where that is later or no arrival is known). Until then both are leads.
"""

import operator
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox import hubspot_writes
from integrator_sandbox.consent import Consent
from integrator_sandbox.demo import HUBSPOT_CLIENT, SEARCH_COLUMNS
from integrator_sandbox.hubspot_writes import Writes
from integrator_sandbox.state import Sandbox
from integrator_sandbox.timeline import shift

ZONE = ZoneInfo("America/New_York")
FIRST_ID = 100_000
SEARCH_WINDOW = 10_000
OPERATORS = {"GTE": operator.ge, "GT": operator.gt, "LT": operator.lt}
STANDARD = {
    "email": "string",
    "phone": "string",
    "firstname": "string",
    "lastname": "string",
    "country": "string",
    "createdate": "datetime",
    "lastmodifieddate": "datetime",
    "hs_object_id": "number",
    "hs_analytics_source": "enumeration",
    "lifecyclestage": "enumeration",
    "hs_lead_status": "enumeration",
}
Item = dict[str, Any]


class Contacts:
    """The searches on the sandbox's timeline, ids in the order they came."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the frame once."""
        self.sandbox = sandbox
        frame = sandbox.frames["travel"]
        moved = shift(sandbox.anchor, frame["date_time"].dt.date().max())  # type: ignore[arg-type]
        frame = frame.tail(sandbox.subset.contacts) if sandbox.subset.contacts else frame
        self.created: list[datetime] = []
        self.outcome: list[datetime] = []
        self.booked: list[bool] = []
        self.values: list[dict[str, str]] = []
        for row in frame.iter_rows(named=True):
            created = (row["date_time"] + moved).replace(tzinfo=ZONE).astimezone(UTC)
            arrival: date | None = row["srch_ci"]
            outcome = created
            if arrival is not None:
                day = arrival + moved
                outcome = max(created, datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC))
            self.created.append(created)
            self.outcome.append(outcome)
            self.booked.append(bool(row["is_booking"]))
            self.values.append({name: _text(row[name], kind, moved) for name, kind in SEARCH_COLUMNS.items()})

    def visible(self) -> list[int]:
        """Positions of the contacts made by now; made in order, so a prefix."""
        now = self.sandbox.now()
        low, high = 0, len(self.created)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.created[middle] <= now else (low, middle)
        return list(range(low))

    def archived_at(self, position: int) -> datetime | None:
        """When a contact was archived, None while it is not."""
        return self.sandbox.removed("hubspot").get(str(FIRST_ID + position))

    def is_there(self, native_id: str) -> bool:
        """Whether a contact of this id is made and not archived."""
        position = int(native_id) - FIRST_ID if native_id.isdigit() else -1
        return 0 <= position < len(self.visible()) and self.archived_at(position) is None

    def modified(self, position: int, now: datetime) -> datetime:
        """When a contact last changed, as of now."""
        at = self.outcome[position] if self.outcome[position] <= now else self.created[position]
        written = self.sandbox.writes("hubspot").get(str(FIRST_ID + position))
        return at if written is None else max(at, written[""])

    def history(self, position: int, name: str, now: datetime) -> list[Item]:
        """A property's values, newest first, as of now."""
        created, outcome, booked = self.created[position], self.outcome[position], self.booked[position]
        written = self.sandbox.writes("hubspot").get(str(FIRST_ID + position), {})
        if name in written:
            return [{"value": written[name], "timestamp": iso(written[""]), "sourceType": "INTEGRATION"}]
        known = outcome <= now
        if name == "lifecyclestage":
            writes = [(created, "lead"), (outcome, "customer")] if known and booked else [(created, "lead")]
        elif name == "hs_lead_status":
            writes = [(created, "NEW"), (outcome, "LOST")] if known and not booked else [(created, "NEW")]
        else:
            value = self.values[position].get(name, "")
            writes = [(created, value)] if value else []
        if len(writes) == 2 and created == outcome:
            writes = writes[1:]
        return [{"value": v, "timestamp": iso(at), "sourceType": "API"} for at, v in reversed(writes)]

    def contact(self, position: int, properties: list[str], with_history: list[str]) -> Item:
        """A contact as the API shows it now."""
        now = self.sandbox.now()
        created, modified = iso(self.created[position]), iso(self.modified(position, now))
        histories = {name: self.history(position, name, now) for name in with_history}
        shown: dict[str, str | None] = {
            "createdate": created,
            "lastmodifieddate": modified,
            "hs_object_id": str(FIRST_ID + position),
        }
        for name in {*properties, *with_history} - shown.keys():
            entries = histories.get(name) or self.history(position, name, now)
            shown[name] = entries[0]["value"] if entries else None
        item: Item = {
            "id": str(FIRST_ID + position),
            "properties": shown,
            "createdAt": created,
            "updatedAt": modified,
            "archived": False,
        }
        gone = self.archived_at(position)
        item |= {} if gone is None else {"archived": True, "archivedAt": iso(gone)}
        return item | ({"propertiesWithHistory": histories} if with_history else {})


def iso(at: datetime) -> str:
    """Milliseconds and Z, as HubSpot writes."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: Any, kind: str, moved: timedelta) -> str:
    if value is None:
        return ""
    if kind == "date":
        return str((value + moved).isoformat())
    if kind == "bool":
        return "true" if value else "false"
    return str(value)


def router(contacts: Contacts) -> APIRouter:
    """The routes below ``/hubspot``."""
    routes = APIRouter(prefix="/hubspot")
    sandbox = contacts.sandbox
    objects = "/crm/v3/objects/contacts"

    consent = Consent("HubSpot", HUBSPOT_CLIENT["client_id"], HUBSPOT_CLIENT["client_secret"])
    consent.mount(routes, "/oauth/authorize")

    @routes.post("/oauth/v1/token")
    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        wanted = {"grant_type": "refresh_token", **HUBSPOT_CLIENT}
        if form.get("grant_type") == "authorization_code":
            if (why := consent.refused(form)) is not None:
                return _json({"status": "BAD_AUTH_CODE", "message": why}, 400)
        elif any(form.get(key) != value for key, value in wanted.items()):
            return _json({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, 400)
        fresh = uuid.uuid4().hex
        sandbox.hubspot_tokens[fresh] = time.monotonic() + sandbox.token_seconds
        body = {"access_token": fresh, "refresh_token": HUBSPOT_CLIENT["refresh_token"], "token_type": "bearer"}
        return _json(body | {"expires_in": round(sandbox.token_seconds)})

    @routes.get("/crm/v3/properties/contacts")
    def properties() -> Response:
        known = [{"name": name, "type": kind, "hubspotDefined": True} for name, kind in STANDARD.items()]
        own = [{"name": name, "type": kind, "hubspotDefined": False} for name, kind in SEARCH_COLUMNS.items()]
        return _json({"results": known + own + contacts.sandbox.injected("hubspot/properties")})

    @routes.get(objects)
    def page(request: Request) -> Response:
        return _listed(contacts, request.query_params)

    @routes.post(f"{objects}/search")
    async def search(request: Request) -> Response:
        return _searched(contacts, msgspec.json.decode(await request.body()))

    @routes.post(f"{objects}/batch/read")
    async def read(request: Request) -> Response:
        body = msgspec.json.decode(await request.body())
        with_history = body.get("propertiesWithHistory") or []
        if len(body["inputs"]) > (50 if with_history else 100):
            return _bad("too many inputs")
        visible = len(contacts.visible())
        positions = [int(one["id"]) - FIRST_ID for one in body["inputs"]]
        shown = [p for p in positions if 0 <= p < visible and contacts.archived_at(p) is None]
        found = [contacts.contact(p, body.get("properties") or [], with_history) for p in shown]
        return _json({"status": "COMPLETE", "results": found})

    hubspot_writes.mount(routes, Writes(contacts.sandbox, contacts.is_there))
    return routes


def _listed(contacts: Contacts, query: Mapping[str, str]) -> Response:
    with_history = _names(query.get("propertiesWithHistory"))
    limit = int(query.get("limit", 10))
    most = 50 if with_history else 100
    if not 1 <= limit <= most:
        return _bad(f"limit must be between 1 and {most}")
    archived = query.get("archived") == "true"
    start = int(query.get("after", FIRST_ID)) - FIRST_ID
    rest = contacts.visible()[start:]
    if archived or contacts.sandbox.removed("hubspot"):
        rest = [position for position in rest if (contacts.archived_at(position) is not None) == archived]
    names = _names(query.get("properties"))
    found = [contacts.contact(position, names, with_history) for position in rest[:limit]]
    if limit < len(rest):
        return _json({"results": found, "paging": {"next": {"after": str(FIRST_ID + rest[limit])}}})
    return _json({"results": found + ([] if archived else contacts.sandbox.injected("hubspot"))})


def _searched(contacts: Contacts, body: Item) -> Response:
    offset, limit = int(body.get("after") or 0), int(body.get("limit", 10))
    if not 1 <= limit <= 200 or offset + limit > SEARCH_WINDOW:
        return _bad("paging beyond 10000 results or a limit above 200 is not supported")
    try:
        found = _search(contacts, body)
    except (KeyError, IndexError, ValueError):
        return _bad("filterGroups could not be read")
    names = body.get("properties") or []
    results = [contacts.contact(position, names, []) for position in found[offset : offset + limit]]
    after = {"paging": {"next": {"after": str(offset + limit)}}} if offset + limit < len(found) else {}
    return _json({"total": len(found), "results": results, **after})


def _search(contacts: Contacts, body: Item) -> list[int]:
    """Positions that pass one group of filters on ``lastmodifieddate``, ascending by it."""
    now = contacts.sandbox.now()
    alive = (p for p in contacts.visible() if contacts.archived_at(p) is None)
    times = [(round(contacts.modified(p, now).timestamp() * 1000), p) for p in alive]
    for one in body["filterGroups"][0]["filters"]:
        bound, compared = int(one["value"]), one["operator"]
        if one["propertyName"] != "lastmodifieddate" or compared not in OPERATORS:
            raise ValueError(compared)
        times = [entry for entry in times if OPERATORS[compared](entry[0], bound)]
    return [position for _, position in sorted(times)]


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _bad(message: str) -> Response:
    return _json({"status": "error", "message": message, "category": "VALIDATION_ERROR"}, 400)


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
