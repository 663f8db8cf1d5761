"""Quarantine over HTTP: what waits there and why, one record with its content, replay as it came or mended."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.insight import rfc3339
from integrator.contracts.records import KIND_OF_PLURAL, KINDS
from integrator.steps.quarantine import one, replay, replay_waiting
from integrator.storage import quarantine
from integrator.storage.quarantine import Filter, Quarantined
from integrator_realtime import bodies
from integrator_realtime.bodies import BadBody
from integrator_realtime.gateway import Gateway
from integrator_realtime.intake import Intake
from integrator_realtime.routes.records_described import MENDED, REPLAYED

SCOPE = "quarantine:write"
LARGEST_PAGE = 1000
LARGEST_ID = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=LARGEST_ID, description="`quarantine_id` of the list.")]
Kind = Annotated[str | None, Query(description="events, contacts or sales; all unless said.")]
Platform = Annotated[str | None, Query(max_length=40, description="One platform; all unless said.")]
Field = Annotated[str | None, Query(max_length=200, description="The field at fault; all unless said.")]


def router(gateway: Gateway, intake: Intake) -> APIRouter:
    """`/v1/quarantine`."""
    routes = APIRouter(prefix="/v1/quarantine", tags=["quarantine"])
    services = gateway.services

    @routes.get("")
    async def page(
        request: Request,
        kind: Kind = None,
        platform: Platform = None,
        field: Field = None,
        cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> JSONResponse:
        """What waits, newest first, with field and reason; `next` is null on the last page."""
        access = await gateway.allowed(request, SCOPE)
        only = _filter(kind, platform, field)

        def read() -> list[Quarantined]:
            with services.database.partner(access.partner) as connection:
                return quarantine.waiting(connection, access.partner, limit + 1, only=only, before=cursor)

        found = await run_in_threadpool(read)
        following = found[limit - 1].quarantine_id if len(found) > limit else None
        return JSONResponse({"quarantine": [_shown(entry) for entry in found[:limit]], "next": following})

    @routes.get("/{quarantine_id}")
    async def show(request: Request, quarantine_id: Id) -> JSONResponse:
        """One record as it came: `payload` is its text, personal fields and all."""
        access = await gateway.allowed(request, SCOPE)
        found = await run_in_threadpool(one, services, access.partner, quarantine_id)
        replayed_at = rfc3339(found.replayed_at) if found.replayed_at else None
        payload = found.payload.decode(errors="replace")
        body = {**_shown(found.entry), "replayed_at": replayed_at, "payload": payload}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    @routes.post("/replay", responses=REPLAYED)
    async def replay_many(
        request: Request,
        kind: Kind = None,
        platform: Platform = None,
        field: Field = None,
        after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="`next` of the replay before.")] = 0,
    ) -> JSONResponse:
        """Land what waits as it came, oldest first, up to 10,000 at once; what still cannot stays, with its reason."""
        access = await gateway.allowed(request, SCOPE)
        only = _filter(kind, platform, field)
        done = await intake.run(
            access.partner, lambda: replay_waiting(services, access.partner, only, after=after)
        )  # fmt: skip
        return JSONResponse(done.document())

    @routes.post("/{quarantine_id}/replay", responses=REPLAYED, openapi_extra=MENDED)
    async def replay_one(request: Request, quarantine_id: Id) -> JSONResponse:
        """Land one record as it came, or the mended one in the body in its place; twice changes nothing."""
        access = await gateway.allowed(request, SCOPE)
        with intake.holding(access.partner) as keep:
            mended = await _mended(request, keep)
            done = await intake.run(access.partner, lambda: replay(services, access.partner, quarantine_id, mended))
        return JSONResponse(done.document())

    async def _mended(request: Request, keep: Any) -> bytes | None:
        """The body, when there is one: a JSON object."""
        if not _has_body(request):
            return None
        most = bodies.ceiling(services.settings)
        declared = bodies.declared(request, most)
        if declared.form != "array":
            raise BadBody(415, "unsupported-media-type", "a mended record is one JSON object: application/json")
        raw = await bodies.read(request, services.settings, keep)
        return (bodies.inflated(raw, most) if declared.gzipped else raw) or None

    return routes


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _filter(kind: str | None, platform: str | None, field: str | None) -> Filter:
    single = KIND_OF_PLURAL.get(kind, kind) if kind is not None else None
    if single is not None and single not in KINDS:
        raise invalid("kind", kind, KIND_OF_PLURAL)
    for name, value in (("platform", platform), ("field", field)):
        if value is not None and "\x00" in value:
            raise InvalidInput(f"{name} holds NUL", field=name)
    return Filter(single, platform, field)


def _shown(entry: Quarantined) -> dict[str, Any]:
    return {**entry.__dict__, "quarantined_at": rfc3339(entry.quarantined_at)}
