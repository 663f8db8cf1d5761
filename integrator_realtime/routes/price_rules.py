"""`/v1/price-rules`: what a partner allows its prices to be. Amounts come as text or numbers and go out as text."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from integrator.steps import price_rules
from integrator_realtime import json_bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.managing import actor_of, answer

SCOPE = "connections:write"


class Bounds(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """At least one of floor, ceiling and max_change, a share of the current price; currency is the partner's unless said."""

    floor: Decimal | None = None
    ceiling: Decimal | None = None
    max_change: Decimal | None = None
    currency: str | None = None


def router(gateway: Gateway) -> APIRouter:
    """The routes at `/v1/price-rules`."""
    routes = APIRouter(prefix="/v1/price-rules", tags=["price rules"])
    services = gateway.services

    @routes.get("")
    async def page(request: Request) -> JSONResponse:
        """All price rules; null as platform, product or tier means every one."""
        access = await gateway.allowed(request, SCOPE)
        found = await run_in_threadpool(price_rules.listed, services, access.partner)
        return answer({"price_rules": [_shown(rule) for rule in found]})

    @routes.put("", openapi_extra=json_bodies.described(Bounds))
    async def save(
        request: Request, platform: str | None = None, product: str | None = None, tier: str | None = None
    ) -> JSONResponse:
        """Put bounds in the place of those for this platform, product and tier; what is not named is for every one."""
        access = await gateway.allowed(request, SCOPE)
        bounds = await json_bodies.read(request, Bounds)
        facts = msgspec.structs.asdict(bounds) | {"platform": platform, "product": product, "tier": tier}
        rule, _ = await run_in_threadpool(price_rules.save, services, actor_of(access), facts)
        return answer(_shown(asdict(rule)))

    @routes.delete("", status_code=204)
    async def remove(
        request: Request, platform: str | None = None, product: str | None = None, tier: str | None = None
    ) -> Response:
        """Forget the rule for exactly this platform, product and tier; without them, the one for every product."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(price_rules.remove, services, actor_of(access), (platform, product, tier))
        return Response(status_code=204)

    return routes


def _shown(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in rule.items()}
