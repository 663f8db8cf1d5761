"""What a host's page needs to show insights by itself: the component's script, and tokens that its backend asks for."""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from integrator.contracts.errors import Unauthorized, invalid
from integrator.contracts.insight import UseCase
from integrator.security import clients, origins
from integrator.security.tokens import Access
from integrator.security.widget_tokens import LONGEST, LONGEST_TOKEN, MOST_SUBJECTS, SHORTEST, Wanted
from integrator.storage import widget_origins
from integrator_realtime import json_bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.live.script import script
from integrator_realtime.viewers import Viewers

SCOPE = "widgets:issue"
# Any page may load the script, which holds nothing of a partner, and no browser takes it for anything else.
SHARED = {"Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff"}
Seconds = Annotated[int, msgspec.Meta(ge=int(SHORTEST.total_seconds()), le=int(LONGEST.total_seconds()))]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TOKEN)]


class TokenWanted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the page may see, and where it is: one of the partner's registered origins. Lifetime in seconds."""

    use_cases: Annotated[list[UseCase], msgspec.Meta(min_length=1)]
    subjects: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MOST_SUBJECTS)] | Literal["all"]
    origin: str
    expires_in: Seconds = int(LONGEST.total_seconds())


def router(gateway: Gateway, viewers: Viewers) -> APIRouter:
    """`/v1/widget-tokens` and `/v1/widget.js`."""
    routes = APIRouter(tags=["widgets"])

    @routes.post("/v1/widget-tokens", openapi_extra=json_bodies.described(TokenWanted))
    async def issue(request: Request) -> JSONResponse:
        """A token for a page: reads these insights, follows them live, and opens nothing else; five minutes at most."""
        access = await gateway.allowed(request, SCOPE)
        wanted = await json_bodies.read(request, TokenWanted)
        token, seconds = await run_in_threadpool(_issue, gateway, viewers, access, wanted)
        body = {"token": token, "token_type": "Bearer", "expires_in": seconds}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    @routes.get("/v1/widget.js")
    async def component(request: Request) -> Response:
        """The component: one script tag, then `<integrator-insight>` wherever an insight is to stand."""
        made = script()
        headers = {"ETag": made.etag, "Cache-Control": "public, max-age=300", **SHARED}
        if request.headers.get("if-none-match") == made.etag:
            return Response(status_code=304, headers=headers)
        return Response(made.body, headers=headers, media_type="text/javascript")

    return routes


def _issue(gateway: Gateway, viewers: Viewers, access: Access, wanted: TokenWanted) -> tuple[str, int]:
    services = gateway.services
    client = clients.find(services.database, access.client_id)
    if client is None or not client.in_force(services.clock()):
        raise Unauthorized(clients.REFUSED)
    origin = origins.origin_of(wanted.origin)
    with services.database.partner(access.partner) as connection:
        known: list[Any] = [row["origin"] for row in widget_origins.for_partner(connection, access.partner)]
    if origin not in known:
        raise invalid("origin", origin, known or "none yet: register it with `integrator widgets origins add`")
    subjects = None if wanted.subjects == "all" else tuple(dict.fromkeys(wanted.subjects))
    asked = Wanted(tuple(dict.fromkeys(wanted.use_cases)), subjects, origin, timedelta(seconds=wanted.expires_in))
    return viewers.tokens.issue(client, asked)
