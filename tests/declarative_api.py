"""A small ticket shop behind `docs/guides/examples/boxoffice.yaml`: every way of paging, a filter, refusals on order."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "s3cret"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(minutes: float) -> str:
    """A moment so many minutes after `START`, as the shop writes it."""
    return (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


@dataclass
class Shop:
    """What the shop holds, whom it lets in and what it was asked; tests change it between requests."""

    shows: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    authorization: str = f"Bearer {TOKEN}"
    header: str = "authorization"
    refusals: list[int] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    ignores_filter: bool = False
    sticks: bool = False
    next_base: str | None = None
    rotates: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """Paths and queries of the requests so far."""
        return [f"{request.url.path}?{request.url.query}" for request in self.asked]

    def _refused(self, request: Request) -> Response | None:
        self.asked.append(request)
        if self.refusals:
            return JSONResponse({}, self.refusals.pop(0), {"retry-after": "3"})
        given = request.headers.get(self.header) or request.query_params.get(self.header)
        return None if given == self.authorization else JSONResponse({}, 401)

    def _kept(self, request: Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        query = request.query_params
        since, until = query.get("updated_since"), query.get("updated_before")
        if since and not self.ignores_filter:
            low = datetime.fromisoformat(since)
            rows = [row for row in rows if datetime.fromisoformat(row["updated_at"]) >= low]
        if until:
            rows = [row for row in rows if datetime.fromisoformat(row["updated_at"]) < datetime.fromisoformat(until)]
        return sorted(rows, key=lambda row: str(row["updated_at"])) if query.get("sort") else rows

    async def list_shows(self, request: Request) -> Response:
        """Page numbers."""
        if refused := self._refused(request):
            return refused
        number, size = int(request.query_params.get("page", 1)), int(request.query_params.get("per_page", 50))
        if self.sticks:
            number = 1
        rest = self.shows[(number - 1) * size :]
        more = number + 1 if len(rest) > size else None
        body = {"data": rest[:size], "meta": {"total": len(self.shows), "next_page": more}}
        return JSONResponse(body, headers=self.headers)

    async def list_customers(self, request: Request) -> Response:
        """A cursor."""
        if refused := self._refused(request):
            return refused
        rows = self._kept(request, self.customers)
        start, size = int(request.query_params.get("after", 0)), int(request.query_params.get("limit", 100))
        end = start if self.sticks else start + size
        return JSONResponse({"items": rows[start : start + size], "next": str(end) if end < len(rows) else None})

    async def list_orders(self, request: Request) -> Response:
        """An offset, sorted."""
        if refused := self._refused(request):
            return refused
        rows = self._kept(request, self.orders)
        start, size = int(request.query_params.get("offset", 0)), int(request.query_params.get("limit", 100))
        return JSONResponse({"orders": rows[start : start + size]})

    async def linked(self, request: Request) -> Response:
        """Links: in the body as ``next``, in the header as ``Link``; to another host where a test says so."""
        if refused := self._refused(request):
            return refused
        start = int(request.query_params.get("from", 0))
        base = str(request.url).split("?", maxsplit=1)[0] if self.next_base is None else self.next_base
        link = f"{base}?from={start + 2}" if start + 2 < len(self.shows) else None
        headers = {"link": f'<{link}>; rel="next"'} if link else {}
        return JSONResponse({"data": self.shows[start : start + 2], "next": link}, headers=headers)

    async def token(self, request: Request) -> Response:
        """OAuth 2.0: client credentials and refresh tokens that may rotate."""
        form = dict(parse_qsl((await request.body()).decode()))
        self.forms.append(form)
        basic = base64.b64encode(b"me:word").decode()
        if form.get("client_secret") != "word" and request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 400)
        turned = {"refresh_token": f"r{len(self.forms)}"} if self.rotates else {}
        return JSONResponse({"access_token": self.authorization.removeprefix("Bearer "), **turned})

    def app(self) -> Starlette:
        """The shop as an application."""
        return Starlette(
            routes=[
                Route("/v1/venues/{venue}/shows", self.list_shows),
                Route("/v1/customers", self.list_customers),
                Route("/v1/orders", self.list_orders),
                Route("/v1/linked", self.linked),
                Route("/v1/token", self.token, methods=["POST"]),
            ]
        )


def stocked() -> Shop:
    """A shop with 120 shows, 230 customers and 250 orders of two lines, three of them tests."""
    return Shop([show(n) for n in range(120)], [customer(n) for n in range(230)], [order(n) for n in range(250)])


def show(number: int) -> dict[str, Any]:
    """One show."""
    return {
        "id": number,
        "title": f"Show {number}",
        "starts": f"2026-05-{1 + number % 28:02d}T19:30:00",
        "ends": f"2026-05-{1 + number % 28:02d}T22:00:00",
        "zone": "Europe/Berlin",
        "state": "Open" if number % 10 else "CALLED_OFF",
        "genre": "play",
        "seats": 300,
        "hall": {"city": "Berlin", "country": "de"},
        "custom": {"seated": True, "cast": number, "tags": ["a"]},
    }


def customer(number: int, changed: float | None = None) -> dict[str, Any]:
    """One customer, last changed so many minutes after the start."""
    return {
        "id": f"c{number}",
        "updated_at": at(number if changed is None else changed),
        "created_at": at(number - 1000),
        "email": f"person{number}@example.org",
        "names": ["Ada", None, f"B{number}"],
        "stage": "buyer" if number % 3 else "lead",
        "first_order_at": at(number - 500),
        "opt_in": bool(number % 2),
        "visits": number,
    }


def order(number: int, changed: float | None = None) -> dict[str, Any]:
    """One order of two lines."""
    return {
        "id": f"o{number}",
        "updated_at": at(number if changed is None else changed),
        "placed": int((START + timedelta(minutes=number)).timestamp() * 1000),
        "customer_id": f"c{number % 230}",
        "currency": "eur",
        "state": 1 + number % 3,
        "test": number >= 247,
        "source": None if number % 2 else "app",
        "lines": [
            {"line": line, "show_id": number % 120, "sku": 40 + line, "count": 1 + line, "cents": 1250 * (line + 1)}
            for line in (0, 1)
        ],
    }
