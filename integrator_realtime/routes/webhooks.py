"""`/v1/webhooks`: where a partner's insights are delivered. A signing secret is in the answer that makes it, and never again."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from msgspec import UNSET, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import STATUSES, USE_CASES
from integrator.steps import webhooks
from integrator.steps.connections import Actor
from integrator.storage.webhook_rules import EVENT_TYPES, SUBJECT_KINDS, Wanted
from integrator_realtime import json_bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.managing import actor_of, answer, given

SCOPE = "webhooks:write"
LARGEST_PAGE = 1000
LARGEST_ID = 2**63 - 1
AGAIN: dict[str, Any] = {"description": "It was there already, with these wishes; its secret is not shown again"}


def _among(values: tuple[str, ...]) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"enum": list(values)})


EventTypes = list[Annotated[str, _among(EVENT_TYPES)]]
UseCases = list[Annotated[str, _among(USE_CASES)]]
Statuses = list[Annotated[str, _among(STATUSES)]]
SubjectKinds = list[Annotated[str, _among(SUBJECT_KINDS)]]


class NewWebhook(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An endpoint: its address and what it wants; an empty list and null mean no restriction."""

    url: str
    event_types: EventTypes = msgspec.field(default_factory=lambda: list(Wanted().event_types))
    use_cases: UseCases = []
    statuses: Statuses = []
    subject_kinds: SubjectKinds = []
    subject_prefix: str | None = None
    minimum_change: float | None = None
    max_per_second: float | None = None
    max_in_flight: int = Wanted().max_in_flight


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be another; what is left out stays."""

    url: str | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET
    use_cases: UseCases | UnsetType = UNSET
    statuses: Statuses | UnsetType = UNSET
    subject_kinds: SubjectKinds | UnsetType = UNSET
    subject_prefix: str | UnsetType | None = UNSET
    minimum_change: float | UnsetType | None = UNSET
    max_per_second: float | UnsetType | None = UNSET
    max_in_flight: int | UnsetType = UNSET


class Replay(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One message by its id, or a stretch of time: RFC 3339 with an offset; until now unless said, all types unless said."""

    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    event_types: EventTypes = []
    only_failed: bool = False


def router(gateway: Gateway) -> APIRouter:
    """The routes below `/v1/webhooks`."""
    routes = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
    for part in (_all, _one, _actions, _log):
        part(routes, gateway)
    return routes


def _all(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("")
    async def page(request: Request) -> JSONResponse:
        """All endpoints, oldest first, without their secrets."""
        access = await gateway.allowed(request, SCOPE)
        return answer({"webhooks": await run_in_threadpool(webhooks.listed, services, access.partner)})

    @routes.post("", status_code=201, openapi_extra=json_bodies.described(NewWebhook), responses={200: AGAIN})
    async def add(request: Request) -> JSONResponse:
        """Add an endpoint; `secret` is shown now and never again. The same once more answers 200 with the one there is."""
        access = await gateway.allowed(request, SCOPE)
        fields = _plain(await json_bodies.read(request, NewWebhook))
        url = fields.pop("url")
        made = await run_in_threadpool(webhooks.add, services, actor_of(access), url, Wanted(**fields))
        response = answer(webhooks.shown(made))
        response.status_code = 201 if hasattr(made, "secret") else 200
        response.headers["Location"] = f"/v1/webhooks/{made.endpoint_id}"
        return response


def _one(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("/{endpoint_id}")
    async def one(request: Request, endpoint_id: str) -> JSONResponse:
        """One endpoint, how it is doing, and how many messages wait, arrived, failed or were superseded."""
        access = await gateway.allowed(request, SCOPE)
        return answer(await run_in_threadpool(webhooks.detail, services, access.partner, given(endpoint_id)))

    @routes.patch("/{endpoint_id}", openapi_extra=json_bodies.described(WebhookChange))
    async def change(request: Request, endpoint_id: str) -> JSONResponse:
        """Another address or other wishes; what is left out stays."""
        access = await gateway.allowed(request, SCOPE)
        fields = _plain(await json_bodies.read(request, WebhookChange))
        url = fields.pop("url", None)
        made = await run_in_threadpool(
            lambda: webhooks.change(services, actor_of(access), given(endpoint_id), fields, url=url)
        )
        return answer(webhooks.shown(made))

    @routes.delete("/{endpoint_id}", status_code=204)
    async def remove(request: Request, endpoint_id: str) -> Response:
        """Forget an endpoint, what waits for it and its log."""
        access = await gateway.allowed(request, SCOPE)
        await run_in_threadpool(webhooks.remove, services, actor_of(access), given(endpoint_id))
        return Response(status_code=204)


def _actions(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.post("/{endpoint_id}/test")
    async def test(request: Request, endpoint_id: str) -> JSONResponse:
        """Send a `webhook.test` there now, once, and say what came of it."""
        access = await gateway.allowed(request, SCOPE)
        done = await run_in_threadpool(webhooks.test, services, actor_of(access), given(endpoint_id))
        return answer(asdict(done))

    @routes.post("/{endpoint_id}/rotate")
    async def rotate(request: Request, endpoint_id: str) -> JSONResponse:
        """Another secret, shown now and never again; until `former_until` messages carry a signature of the one before too."""
        access = await gateway.allowed(request, SCOPE)
        secret, until = await run_in_threadpool(webhooks.rotate, services, actor_of(access), given(endpoint_id))
        return answer({"endpoint_id": endpoint_id, "secret": secret, "former_until": until})

    @routes.post("/{endpoint_id}/enable")
    async def enable(request: Request, endpoint_id: str) -> JSONResponse:
        """Send there again, from now on; what failed meanwhile can be replayed."""
        access = await gateway.allowed(request, SCOPE)
        return answer(
            webhooks.shown(await run_in_threadpool(webhooks.enable, services, actor_of(access), given(endpoint_id)))
        )

    @routes.post("/{endpoint_id}/disable")
    async def disable(request: Request, endpoint_id: str) -> JSONResponse:
        """Send nothing there until it is enabled again; what waited has failed and can be replayed then."""
        access = await gateway.allowed(request, SCOPE)
        return answer(
            webhooks.shown(await run_in_threadpool(webhooks.disable, services, actor_of(access), given(endpoint_id)))
        )

    @routes.post("/{endpoint_id}/replay", openapi_extra=json_bodies.described(Replay))
    async def replay(request: Request, endpoint_id: str) -> JSONResponse:
        """Send one message again, or all that were made in a stretch of time, under their ids; `messages` is how many."""
        access = await gateway.allowed(request, SCOPE)
        wanted = await json_bodies.read(request, Replay)
        actor, name = actor_of(access), given(endpoint_id)
        count = await run_in_threadpool(lambda: _replayed(gateway, actor, name, wanted))
        return answer({"endpoint_id": endpoint_id, "messages": count})


def _log(routes: APIRouter, gateway: Gateway) -> None:
    services = gateway.services

    @routes.get("/{endpoint_id}/attempts")
    async def attempts(
        request: Request,
        endpoint_id: str,
        message_id: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")] = None,
        cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> JSONResponse:
        """The log of attempts, newest first, with what the receiver answered; `next` is null on the last page."""
        access = await gateway.allowed(request, SCOPE)
        found = await run_in_threadpool(
            lambda: webhooks.attempts(
                services, access.partner, given(endpoint_id), limit=limit + 1, before=cursor, message_id=message_id
            )
        )
        following = found[limit - 1].attempt_id if len(found) > limit else None
        return answer({"attempts": [asdict(one) for one in found[:limit]], "next": following})


def _replayed(gateway: Gateway, actor: Actor, endpoint_id: str, wanted: Replay) -> int:
    if (wanted.message_id is None) == (wanted.since is None):
        raise InvalidInput("replay needs either message_id or since", field="since")
    for name, moment in (("since", wanted.since), ("until", wanted.until)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidInput(f"{name} needs an offset, such as Z", field=name)
    if wanted.message_id is not None:
        return webhooks.replay_one(gateway.services, actor, endpoint_id, wanted.message_id)
    assert wanted.since is not None
    return webhooks.replay(
        gateway.services, actor, endpoint_id, wanted.since, wanted.until, tuple(wanted.event_types),
        only_failed=wanted.only_failed,
    )  # fmt: skip


def _plain(body: msgspec.Struct) -> dict[str, Any]:
    """The fields that were given; lists as tuples."""
    given_fields = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given_fields.items()}
