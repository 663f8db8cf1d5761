"""Eventbrite's API v3 over shop days: an organization's lists with continuations, the hour's budget, its OAuth pages.

The person who would press Allow is not there: the authorize page sends back a code at once.
"""

import base64
import hashlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from integrator_sandbox.demo import EVENTBRITE_CLIENT, EVENTBRITE_TOKEN, FAIRS
from integrator_sandbox.eventbrite_fairs import Fairs, Item, iso
from integrator_sandbox.gate import Answer
from integrator_sandbox.limits import SlidingWindow
from integrator_sandbox.state import Sandbox

PREFIX = "/eventbrite"
PAGE_SIZE = 50
HOURLY = 2000
EXPANSIONS = ("venue", "category")


class Eventbrite:
    """One organization: whose token is good, what the hour has left, the lists."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the data once."""
        self.hourly = SlidingWindow(HOURLY, 3600.0)
        self.tokens = {EVENTBRITE_TOKEN}
        self.codes: dict[str, dict[str, str]] = {}
        self.fairs = Fairs(sandbox)
        sandbox.parts["eventbrite"] = self

    def reset(self) -> None:
        """As at the beginning, with a budget for many tests."""
        self.hourly = SlidingWindow(1_000_000, 3600.0)
        self.tokens = {EVENTBRITE_TOKEN}

    def expire(self) -> None:
        """Every token is worth nothing from now on."""
        self.tokens = set()

    def rule(self, path: str, authorization: str) -> Answer | None:
        """What the gate asks before a request passes."""
        if path.startswith(f"{PREFIX}/oauth/"):
            return None
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return 401, {}, failure(401, "INVALID_AUTH", "The OAuth token you provided was invalid.")
        wait = self.hourly.take()
        if wait is None:
            return None
        said = failure(429, "HIT_RATE_LIMIT", "Hourly rate limit has been reached for this token.")
        return 429, self.budget(wait), said

    def budget(self, reset: float = 3600.0) -> dict[str, str]:
        """The header every answer of the API has."""
        used = self.hourly.limit - self.hourly.remaining
        return {"x-rate-limit": f"token:SANDBOX {used}/{self.hourly.limit} reset={reset:.0f}s"}

    def mount(self, routes: APIRouter) -> None:
        """The authorize page and the token endpoint."""

        @routes.get("/oauth/authorize")
        def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            back = asked.get("redirect_uri", "")
            if (asked.get("response_type"), asked.get("client_id")) != ("code", EVENTBRITE_CLIENT["client_id"]):
                return self.shown(failure(400, "ARGUMENTS_ERROR", "response_type or client_id"), 400)
            code = uuid.uuid4().hex
            self.codes[code] = asked
            answer = {"code": code} | ({"state": asked["state"]} if "state" in asked else {})
            return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode(answer)}", 302)

        @routes.post("/oauth/token")
        async def token(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            asked = self.codes.pop(form.get("code", ""), None)
            known = all(form.get(name) == value for name, value in EVENTBRITE_CLIENT.items())
            if not known or asked is None or form.get("grant_type") != "authorization_code" or not _proved(asked, form):
                return self.shown({"error": "invalid_grant", "error_description": "code is invalid or expired"}, 400)
            fresh = uuid.uuid4().hex.upper()[:20]
            self.tokens.add(fresh)
            return self.shown({"access_token": fresh, "token_type": "bearer"})

    def shown(self, body: Any, status: int = 200) -> Response:
        """An answer with the budget's header."""
        return Response(msgspec.json.encode(body), status, self.budget(), "application/json")

    def listed(self, request: Request, name: str, items: list[Item]) -> Response:
        """The page of a list a request asks for; 400 for arguments that cannot be read."""
        query = request.query_params
        try:
            kept = _kept(items, name, dict(query))
        except ValueError:
            return self.shown(failure(400, "ARGUMENTS_ERROR", "There are errors with your arguments"), 400)
        try:
            start = int(base64.b64decode(query.get("continuation", ""), b"-_", validate=True) or 0)
        except ValueError:
            return self.shown(failure(400, "BAD_CONTINUATION_TOKEN", "The continuation token is not valid"), 400)
        more = start + PAGE_SIZE < len(kept)
        told: Item = {
            "object_count": len(kept), "page_number": start // PAGE_SIZE + 1, "page_size": PAGE_SIZE,
            "page_count": -(-len(kept) // PAGE_SIZE), "has_more_items": more,
        }  # fmt: skip
        if more:
            told["continuation"] = base64.urlsafe_b64encode(str(start + PAGE_SIZE).encode()).decode()
        hidden = {one for one in EXPANSIONS if one not in query.get("expand", "").split(",")}
        page = [{key: value for key, value in item.items() if key not in hidden} for item in kept[start:][:PAGE_SIZE]]
        return self.shown({"pagination": told, name: page})


def _proved(asked: dict[str, str], form: dict[str, str]) -> bool:
    """Whether the code came back with its address, and with the verifier where it was asked for with a challenge."""
    digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
    proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return asked.get("redirect_uri") == form.get("redirect_uri") and asked.get("code_challenge", proof) == proof


def _kept(items: list[Item], name: str, query: dict[str, str]) -> list[Item]:
    """What passes the filters; what a broken injected record lacks lets it pass, as a real list would show it."""
    wanted = query.get("status", "all")
    if name == "events":
        return [one for one in items if wanted == "all" or one.get("status", wanted) in wanted.split(",")]
    if name == "attendees" and wanted == "attending":
        items = [one for one in items if one.get("status") in ("Attending", "Checked In")]
    if "changed_since" in query:
        since = datetime.strptime(query["changed_since"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        items = [one for one in items if datetime.fromisoformat(one.get("changed") or iso(since)) >= since]
    return items


def router(stand: Eventbrite) -> APIRouter:
    """The routes below ``/eventbrite``."""
    routes = APIRouter(prefix=PREFIX)
    stand.mount(routes)
    lists: dict[str, Callable[[], list[Item]]] = {
        "events": stand.fairs.events, "attendees": stand.fairs.attendees, "orders": stand.fairs.orders,
    }  # fmt: skip

    @routes.get("/organizations/{organization}/{name}/")
    def listed(request: Request, organization: str, name: str) -> Response:
        if name not in lists:
            return stand.shown(failure(404, "NOT_FOUND", "The path you requested does not exist."), 404)
        if organization != FAIRS:
            return stand.shown(failure(403, "NOT_AUTHORIZED", "You do not have access to the resource."), 403)
        return stand.listed(request, name, lists[name]())

    @routes.get("/events/{event}/attendees/")
    def of_event(request: Request, event: str) -> Response:
        return stand.listed(request, "attendees", stand.fairs.attendees(event))

    return routes


def failure(status: int, error: str, description: str) -> Item:
    """Eventbrite's documented body of a refusal."""
    return {"status_code": status, "error": error, "error_description": description}
