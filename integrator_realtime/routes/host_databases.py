"""`/v1/host-databases`: tables of a partner's own databases. Addresses go in and never come out with a password."""

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from integrator.steps import host_databases, host_sync
from integrator_realtime import json_bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.managing import actor_of, answer, given, there

SCOPE = "connections:write"


class Target(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table to write: `columns` maps our fields to its columns; without them, every field that has one of its name."""

    address: str
    table: str
    name: str | None = None
    tls: str = "verify"
    schema: str | None = None
    columns: dict[str, str] = {}
    constants: dict[str, str | int | float | bool | None] = {}
    key: list[str] = msgspec.field(default_factory=lambda: list(host_databases.KEY))
    use_cases: list[str] = []
    platforms: list[str] = []
    subject_kinds: list[str] = []
    withdrawn: str = "mark"


def router(gateway: Gateway) -> APIRouter:
    """The routes below `/v1/host-databases`."""
    routes = APIRouter(prefix="/v1/host-databases", tags=["host databases"])
    for part in (_all, _one, _changes):
        part(routes, gateway)
    return routes


def _all(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("")
    async def page(request: Request) -> JSONResponse:
        """All host databases, their status and their last error."""
        access = await gateway.allowed(request, SCOPE)
        found = await run_in_threadpool(host_databases.listed, services, access.partner)
        return answer({"host_databases": found})

    @routes.post("", openapi_extra=json_bodies.described(Target))
    async def save(request: Request) -> JSONResponse:
        """Add a table, or replace its settings: it is checked first, and what does not fit is not kept."""
        access = await gateway.allowed(request, SCOPE)
        wanted = host_databases.Wanted(**msgspec.structs.asdict(await json_bodies.read(request, Target)))
        made = await there(lambda: host_databases.save(services, actor_of(access), wanted))
        return answer(await run_in_threadpool(host_databases.detail, services, access.partner, made.name))


def _one(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("/{name}")
    async def one(request: Request, name: str) -> JSONResponse:
        """One host database: status, last error, whether it is behind, and its layout."""
        access = await gateway.allowed(request, SCOPE)
        return answer(await run_in_threadpool(host_databases.detail, services, access.partner, given(name)))

    @routes.post("/{name}/check")
    async def check(request: Request, name: str) -> JSONResponse:
        """Look whether the table is there and fits; what does not is said all at once."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.get, services, access.partner, given(name))
        await there(lambda: host_databases.check(services, access.partner, name))
        return answer({"name": name, "fits": True})

    @routes.post("/{name}/diff")
    async def diff(request: Request, name: str) -> JSONResponse:
        """What writing everything current would change, and some of it, old and new; nothing is changed."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.get, services, access.partner, given(name))
        found = await there(lambda: host_databases.difference(services, access.partner, name))
        return answer(host_databases.shown(found))

    @routes.post("/{name}/sync")
    async def sync(request: Request, name: str) -> JSONResponse:
        """Write what was published since the last time, at once; it happens by itself within a second."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.get, services, access.partner, given(name))
        report = await there(lambda: host_sync.sync(services, access.partner, name))
        return answer({"name": name, "written": report.written})


def _changes(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.post("/{name}/pause")
    async def pause(request: Request, name: str) -> JSONResponse:
        """Write nothing there until it is resumed."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.pause, services, actor_of(access), given(name))
        return answer({"name": name, "status": "paused"})

    @routes.post("/{name}/resume")
    async def resume(request: Request, name: str) -> JSONResponse:
        """Write there again, from where it had come to."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.resume, services, actor_of(access), given(name))
        return answer({"name": name, "status": "active"})

    @routes.delete("/{name}", status_code=204)
    async def remove(request: Request, name: str) -> Response:
        """Forget the table and its address; what was written there stays."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(host_databases.remove, services, actor_of(access), given(name))
        return Response(status_code=204)
