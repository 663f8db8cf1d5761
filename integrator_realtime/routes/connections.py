"""`/v1/connections`: a partner connects its own accounts. Credentials go in and never come out."""

from dataclasses import asdict
from datetime import datetime

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, Response

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KIND_OF_PLURAL
from integrator.security.tokens import Access
from integrator.steps import authorize, connections
from integrator_realtime import json_bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.managing import actor_of, answer, given, there

SCOPE = "connections:write"
CALLBACK = "/v1/connections/callback"
CONNECTED = "<!doctype html><title>Connected</title><p>The account is connected. You may close this page."


class Account(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An account to connect: `settings` and `credentials` as the platform's guide names them."""

    platform: str
    connection_id: str | None = None
    settings: dict[str, str | bool | int | list[str]] = {}
    credentials: dict[str, str] = {}
    allowed_attributes: list[str] = []


class Stretch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A stretch of the past to pull again: RFC 3339 with an offset; until now unless said, all kinds unless said."""

    since: datetime
    until: datetime | None = None
    kind: str | None = None


def router(gateway: Gateway) -> APIRouter:
    """The routes; `callback` alone needs no token, for a browser comes to it with a state that is taken once."""
    routes = APIRouter(prefix="/v1/connections", tags=["connections"])
    for part in (_all, _authorization, _one, _changes):
        part(routes, gateway)
    return routes


def _all(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("")
    async def page(request: Request) -> JSONResponse:
        """All connections and their status."""
        access = await gateway.allowed(request, SCOPE)
        found = await run_in_threadpool(connections.listed, services, access.partner)
        return answer({"connections": found})

    @routes.post("", openapi_extra=json_bodies.described(Account))
    async def save(request: Request) -> JSONResponse:
        """Connect an account, or replace it: the credentials are tried first; `missing` names permissions it lacks."""
        access = await gateway.allowed(request, SCOPE)
        wanted = await json_bodies.read(request, Account)
        account = connections.account_of(
            access.partner, wanted.platform, wanted.connection_id, wanted.settings, wanted.credentials,
            wanted.allowed_attributes,
        )  # fmt: skip
        missing = await there(lambda: connections.save(services, actor_of(access), account))
        return answer({"connection_id": account.connection_id, "platform": account.platform, "missing": missing})

    @routes.post("/rotate")
    async def rotate(request: Request) -> JSONResponse:
        """Seal all credentials with a fresh data key."""
        access = await gateway.allowed(request, SCOPE)
        return answer({"connections": await run_in_threadpool(connections.rotate, services, actor_of(access))})


def _authorization(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.post("/authorize", openapi_extra=json_bodies.described(Account))
    async def begin(request: Request) -> JSONResponse:
        """The address at which an administrator of the account lets us in, good for ten minutes.

        `credentials` are the client id and secret of the partner's app at the platform; the app must allow the redirect.
        """
        access = await gateway.allowed(request, SCOPE)
        wanted = await json_bodies.read(request, Account)
        asked = authorize.Asked(
            wanted.platform, wanted.connection_id, wanted.settings, wanted.credentials, wanted.allowed_attributes
        )
        redirect = f"{gateway.issuer.issuer}{CALLBACK}"
        address = await run_in_threadpool(authorize.start, services, actor_of(access), asked, redirect)
        return answer({"authorize_url": address, "redirect_uri": redirect})

    @routes.get("/callback")
    async def callback(state: str, code: str | None = None, error: str | None = None) -> Response:
        """Where the platform sends the administrator's browser back to; each state is taken once."""
        await there(lambda: authorize.finish(services, state, code, error))
        return HTMLResponse(CONNECTED, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _one(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("/{connection_id}")
    async def one(request: Request, connection_id: str) -> JSONResponse:
        """One connection: settings, backfills, and the custom fields it has shown."""
        access = await gateway.allowed(request, SCOPE)
        return answer(await run_in_threadpool(connections.detail, services, access.partner, given(connection_id)))

    @routes.post("/{connection_id}/check")
    async def check(request: Request, connection_id: str) -> JSONResponse:
        """Ask the platform; `missing` names the permissions that are."""
        access = await _known(gateway, request, connection_id)
        missing = await there(lambda: connections.check(services, access.partner, connection_id))
        return answer({"connection_id": connection_id, "missing": missing})

    @routes.post("/{connection_id}/sync")
    async def sync(request: Request, connection_id: str) -> JSONResponse:
        """Pull what is new, for some seconds; ask again while `complete` is false. Counts by kind, and what failed."""
        access = await _known(gateway, request, connection_id)
        seconds = services.settings.sync_seconds
        rows = await run_in_threadpool(connections.sync, services, actor_of(access), connection_id, seconds=seconds)
        shown = [{k: v for k, v in row.items() if k != "exit_code"} for row in rows]
        return answer({"complete": all(row["complete"] for row in rows), "kinds": shown})

    @routes.get("/{connection_id}/reconcile")
    async def reconcile(request: Request, connection_id: str) -> JSONResponse:
        """Counted at the platform, landed, deleted, in quarantine, and what is missing, with the likely reason."""
        access = await _known(gateway, request, connection_id)
        rows = await there(lambda: connections.reconcile(services, access.partner, connection_id))
        return answer({"kinds": [asdict(row) for row in rows]})


def _changes(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.post("/{connection_id}/backfill", openapi_extra=json_bodies.described(Stretch))
    async def backfill(request: Request, connection_id: str) -> JSONResponse:
        """Have a stretch of the past pulled again, some pages after every pull, until it is done."""
        access = await _known(gateway, request, connection_id)
        wanted = await json_bodies.read(request, Stretch)
        if wanted.since.tzinfo is None or (wanted.until is not None and wanted.until.tzinfo is None):
            raise InvalidInput("since and until need an offset, such as Z", field="since")
        kind = KIND_OF_PLURAL.get(wanted.kind, wanted.kind) if wanted.kind is not None else None
        rows = await run_in_threadpool(
            connections.backfill, services, actor_of(access), connection_id, wanted.since, wanted.until, kind
        )
        return answer({"backfills": rows})

    @routes.post("/{connection_id}/pause")
    async def pause(request: Request, connection_id: str) -> JSONResponse:
        """Leave it alone until it is resumed."""
        access = await _known(gateway, request, connection_id)
        await run_in_threadpool(connections.pause, services, actor_of(access), connection_id)
        return answer({"connection_id": connection_id, "status": "paused"})

    @routes.post("/{connection_id}/resume")
    async def resume(request: Request, connection_id: str) -> JSONResponse:
        """Pull it again, from where it had come to."""
        access = await _known(gateway, request, connection_id)
        await run_in_threadpool(connections.resume, services, actor_of(access), connection_id)
        return answer({"connection_id": connection_id, "status": "active"})

    @routes.delete("/{connection_id}", status_code=204)
    async def remove(request: Request, connection_id: str) -> Response:
        """Forget the account and its credentials; what it brought stays."""
        access = await _known(gateway, request, connection_id)
        await run_in_threadpool(connections.remove, services, actor_of(access), connection_id)
        return Response(status_code=204)


async def _known(gateway: Gateway, request: Request, connection_id: str) -> Access:
    """Who asks, about a connection that is there."""
    access = await gateway.allowed(request, SCOPE)
    await run_in_threadpool(connections.get, gateway.services, access.partner, given(connection_id))
    return access
