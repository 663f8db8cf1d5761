"""pretix's ways in: the organizer's meta properties, and the meta data of events and dates, replaced as a whole."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.demo import ORGANIZER
from integrator_sandbox.state import Sandbox

PROPERTIES = "pretix/properties"
Item = dict[str, Any]
Answer = tuple[int, Any]
Find = Callable[[str, int], Item | None]


def shown(sandbox: Sandbox, native_id: str, item: Item) -> Item:
    """An event or date with the meta data that was written to it."""
    written = sandbox.writes("pretix").get(native_id)
    return item if written is None else {**item, **written}


class Meta:
    """Properties of the organizer, and what events hold of them."""

    def __init__(self, sandbox: Sandbox, find: Find) -> None:
        """``find`` gives an event, or one of its dates where the number is not 0."""
        self.sandbox, self.find = sandbox, find

    def properties(self) -> Answer:
        """All of them on one page."""
        found = self.sandbox.injected(PROPERTIES)
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}

    def add(self, wanted: Item) -> Answer:
        """One more."""
        if not str(wanted.get("name", "")).replace("_", "").isalnum():
            return 400, {"name": ["The property name may only contain letters, numbers and underscores."]}
        if "choices" not in wanted:
            return 400, {"choices": ["This field is required."]}
        found = self.sandbox.injected(PROPERTIES)
        found.append({"id": len(found) + 1, **wanted})
        return 201, found[-1]

    def read(self, event: str, number: int) -> Answer:
        """An event or a date."""
        item = self.find(event, number)
        return _missing(number) if item is None else (200, item)

    def change(self, event: str, number: int, wanted: Item) -> Answer:
        """Take the place of all meta data; a property that is not there refuses all of it."""
        item = self.find(event, number)
        if item is None:
            return _missing(number)
        known = {one["name"] for one in self.sandbox.injected(PROPERTIES)}
        for name, value in wanted["meta_data"].items():
            if name not in known or not isinstance(value, str):
                return 400, {"meta_data": [f"Meta data property '{name}' does not exist, or its value is no text."]}
        native_id = f"{event}:{number}" if number else event
        self.sandbox.writes("pretix")[native_id] = {"meta_data": wanted["meta_data"]}
        return 200, {**item, "meta_data": wanted["meta_data"]}


def _missing(number: int) -> Answer:
    """Of an event that is not there pretix says what it says of one the token may not see."""
    if number:
        return 404, {"detail": "Not found."}
    return 403, {"detail": "You do not have permission to perform this action."}


def mount(routes: APIRouter, meta: Meta, denied: Response) -> None:
    """The routes."""

    def told(organizer: str, answer: Callable[[], Answer]) -> Response:
        if organizer != ORGANIZER:
            return denied
        status, body = answer()
        return Response(msgspec.json.encode(body), status, media_type="application/json")

    @routes.get("/event_meta_properties/")
    def properties(organizer: str) -> Response:
        return told(organizer, meta.properties)

    @routes.post("/event_meta_properties/")
    async def add(request: Request, organizer: str) -> Response:
        wanted = msgspec.json.decode(await request.body())
        return told(organizer, lambda: meta.add(wanted))

    def read(organizer: str, event: str, number: int = 0) -> Response:
        return told(organizer, lambda: meta.read(event, number))

    async def change(request: Request, organizer: str, event: str, number: int = 0) -> Response:
        wanted = msgspec.json.decode(await request.body())
        return told(organizer, lambda: meta.change(event, number, wanted))

    for path in ("/events/{event}/", "/events/{event}/subevents/{number}/"):
        routes.add_api_route(path, read, methods=["GET"])
        routes.add_api_route(path, change, methods=["PATCH"])
