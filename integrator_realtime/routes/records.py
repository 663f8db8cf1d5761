"""The ingestion API: `POST /v1/events`, `/v1/contacts`, `/v1/sales`. Answered after commit."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from integrator.contracts.records import KIND_OF_PLURAL
from integrator.steps.push import DIRECT, Push
from integrator_realtime import bodies
from integrator_realtime.bodies import BadBody
from integrator_realtime.gateway import Gateway
from integrator_realtime.intake import Intake
from integrator_realtime.metrics import Metrics
from integrator_realtime.push_landing import PushLanding
from integrator_realtime.routes.records_described import PUSHED, pushing

PLATFORM_NAME = r"^[a-z][a-z0-9_-]{0,39}$"
KEY = re.compile(r"[\x21-\x7e]{1,255}")

Platform = Annotated[str, Query(pattern=PLATFORM_NAME, description="Where the records come from.")]


def router(gateway: Gateway, metrics: Metrics, intake: Intake, landing: PushLanding) -> APIRouter:
    """One route per kind of record."""
    routes = APIRouter(prefix="/v1", tags=["records"])
    for plural, kind in KIND_OF_PLURAL.items():
        _add(routes, gateway, intake, landing, metrics, plural, kind)
    return routes


def _add(
    routes: APIRouter, gateway: Gateway, intake: Intake, landing: PushLanding, metrics: Metrics, plural: str, kind: str
) -> None:
    settings = gateway.services.settings
    most = bodies.ceiling(settings)

    @routes.post(f"/{plural}", name=f"push_{plural}", responses=PUSHED, openapi_extra=pushing(kind))
    async def take(request: Request, platform: Platform = DIRECT) -> Response:
        """Land records, up to 10,000 or 16 MiB; good ones land whatever becomes of the others."""
        access = await gateway.allowed(request, f"{plural}:write")
        declared = bodies.declared(request, most)
        key = idempotency_key(request)
        with intake.holding(access.partner) as keep:
            what = Push(access.partner, access.client_id, kind, platform, declared.form, b"", key)
            done = await landing.push(what, await bodies.read(request, settings, keep), gzipped=declared.gzipped)
        metrics.add("integrator_pushes_total", kind=kind, replayed=str(done.replayed).lower())
        for outcome in ("accepted", "unchanged", "quarantined"):
            metrics.add("integrator_records_pushed_total", getattr(done.landed, outcome), kind=kind, outcome=outcome)
        headers = {"Idempotent-Replayed": "true"} if done.replayed else None
        return Response(done.body, headers=headers, media_type="application/json")


def idempotency_key(request: Request) -> str | None:
    """The header's value, quoted as the draft has it or bare; `BadBody` with 400 for one that cannot be a key."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    value = values[0].strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if len(values) > 1 or not KEY.fullmatch(value):
        raise BadBody(
            400, "idempotency-key-invalid", "Idempotency-Key; allowed: once, 1 to 255 visible ASCII characters"
        )
    return value
