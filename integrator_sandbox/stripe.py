"""Stripe's API over sale lines: charges, customers and events as lists, their search, keys and their permissions."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.demo import STRIPE_KEY
from integrator_sandbox.gate import Answer
from integrator_sandbox.limits import SlidingWindow
from integrator_sandbox.state import Sandbox
from integrator_sandbox.stripe_counter import Counter, Item

PREFIX = "/stripe"
TEST_MODE = 25  # requests a second
MOST, USUAL = 100, 10
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b,
}  # fmt: skip


class Stripe:
    """One account: which key is good, what it lacks, how many requests a second it has, the lists."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Loads the data once."""
        self.sandbox = sandbox
        self.second = SlidingWindow(TEST_MODE, 1.0)
        self.keys = {STRIPE_KEY}
        self.counter = Counter(sandbox)
        sandbox.parts["stripe"] = self

    def reset(self) -> None:
        """As at the beginning, with room for many tests."""
        self.second = SlidingWindow(1_000_000, 1.0)
        self.keys = {STRIPE_KEY}

    def expire(self) -> None:
        """The key was rolled."""
        self.keys = set()

    def rule(self, path: str, authorization: str) -> Answer | None:
        """What the gate asks before a request passes."""
        key = authorization.removeprefix("Bearer ")
        if key not in self.keys:
            return 401, {}, failure(f"Invalid API Key provided: {key[:8]}****")
        for one in self.sandbox.injected("stripe/lacks"):
            if f"/v1/{one['permission'].split('_')[1]}s" in path:
                said = f"The provided key 'rk_test_****' does not have the required permissions for this endpoint. Having the '{one['permission']}' permission would allow this request to continue."  # noqa: E501
                return 403, {}, failure(said)
        if self.second.take() is None:
            return None
        reason = {"stripe-rate-limited-reason": "endpoint-rate"}
        return 429, reason, failure("Request rate limit exceeded.", code="rate_limit")


def router(stand: Stripe) -> APIRouter:
    """The routes below ``/stripe``."""
    routes = APIRouter(prefix=f"{PREFIX}/v1")
    lists = {"charges": stand.counter.charges, "customers": stand.counter.customers, "events": stand.counter.events}

    @routes.get("/{name}")
    def listed(request: Request, name: str) -> Response:
        if name not in lists:
            return _json(failure(f"Unrecognized request URL (GET: /v1/{name})."), 404)
        return _listed(request, name, lists[name]())

    @routes.get("/{name}/search")
    def search(request: Request, name: str) -> Response:
        asked = re.fullmatch(r"created>(\d+)", request.query_params.get("query", ""))
        if name not in ("charges", "customers") or asked is None:
            return _json(failure("We were unable to parse your search query.", param="query"), 400)
        found = [one for one in lists[name]() if one.get("created", 0) > int(asked[1])]
        total = {"total_count": len(found)} if "total_count" in request.query_params.getlist("expand[]") else {}
        limit = int(request.query_params.get("limit", USUAL))
        body = {"object": "search_result", "url": f"/v1/{name}/search", "data": found[:limit]}
        return _json(body | {"has_more": len(found) > limit, "next_page": None} | total)

    return routes


def _listed(request: Request, name: str, items: list[Item]) -> Response:
    """The page of a list a request asks for, newest first."""
    query = request.query_params
    limit = query.get("limit", str(USUAL))
    if not limit.isdigit() or not 1 <= int(limit) <= MOST:
        return _json(failure(f"Invalid integer: {limit}", param="limit"), 400)
    kept = [one for one in items if _passes(one, query.multi_items())]
    after = query.get("starting_after")
    start = 0
    if after is not None:
        start = next((n for n, one in enumerate(kept, 1) if one.get("id") == after), 0)
        if not start:
            said = f"No such {name[:-1]}: '{after}'"
            return _json(failure(said, code="resource_missing", param="starting_after"), 400)
    data = kept[start:][: int(limit)]
    if "data.refunds" not in query.getlist("expand[]"):
        data = [{key: value for key, value in one.items() if key != "refunds"} for one in data]
    more = start + int(limit) < len(kept)
    return _json({"object": "list", "url": f"/v1/{name}", "has_more": more, "data": data})


def _passes(item: Item, query: list[tuple[str, str]]) -> bool:
    """The filters on ``created`` and on the types of events; an injected record without the field passes."""
    created = item.get("created")
    types = [value for name, value in query if name == "types[]"]
    if types and item.get("type") not in types:
        return False
    for name, value in query:
        bound = re.fullmatch(r"created\[(\w+)\]", name)
        if bound and isinstance(created, int) and not COMPARED[bound[1]](created, int(value)):
            return False
    return True


def failure(message: str, **more: str) -> Item:
    """Stripe's documented body of a refusal."""
    return {"error": {"type": "invalid_request_error", "message": message, **more}}


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
