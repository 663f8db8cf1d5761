"""Levers for tests: order faults, expire tokens, add and remove records, move the clock. Mounted only when asked for."""

from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.limits import Fault
from integrator_sandbox.state import Sandbox


def router(sandbox: Sandbox) -> APIRouter:
    """The routes below ``/_sandbox``."""
    routes = APIRouter(prefix="/_sandbox")

    async def body(request: Request) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(await request.body())
        return decoded

    @routes.post("/faults")
    async def fault(request: Request) -> Response:
        sandbox.faults.ordered.append(Fault(**await body(request)))
        return Response(status_code=204)

    @routes.post("/expire")
    async def expire() -> Response:
        for token in sandbox.hubspot_tokens:
            sandbox.hubspot_tokens[token] = 0.0
        for part in sandbox.parts.values():
            part.expire()
        return Response(status_code=204)

    @routes.post("/records")
    async def records(request: Request) -> Response:
        wanted = await body(request)
        sandbox.injected(wanted["platform"]).extend(wanted["records"])
        return Response(status_code=204)

    @routes.post("/removed")
    async def removed(request: Request) -> Response:
        wanted = await body(request)
        sandbox.removed(wanted["platform"]).update(dict.fromkeys(wanted["ids"], sandbox.now()))
        return Response(status_code=204)

    @routes.post("/clock")
    async def clock(request: Request) -> Response:
        sandbox.fixed = datetime.fromisoformat((await body(request))["now"])
        return Response(status_code=204)

    @routes.post("/reset")
    async def reset() -> Response:
        sandbox.faults.ordered.clear()
        sandbox.extra.clear()
        sandbox.gone.clear()
        sandbox.written.clear()
        sandbox.requests.clear()
        return Response(status_code=204)

    return routes
