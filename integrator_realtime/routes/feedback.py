"""`POST /v1/feedback`: what really happened, and whether advice was taken. Answered after commit."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from integrator.steps.feedback import KIND, Taken, take
from integrator.steps.push import DIRECT, Push
from integrator.steps.services import Services
from integrator_realtime import bodies
from integrator_realtime.gateway import Gateway
from integrator_realtime.gathering import SMALL
from integrator_realtime.intake import Intake
from integrator_realtime.metrics import Metrics
from integrator_realtime.routes.records import idempotency_key
from integrator_realtime.routes.records_described import KEY_HEADER, REPLAYED_HEADER

EXAMPLE: dict[str, Any] = {"id": "ins_4n3gk2q7x5w6z1a9b8c7d6e5f4", "actual": 870, "at": "2026-04-01T19:00:00+02:00"}
_ITEM = {"$ref": "#/components/schemas/Feedback"}
_LINES = {"type": "string", "description": "One item a line, each a JSON object; empty lines are skipped."}
TAKEN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Committed. What became of each item; also when none was taken.",
        "headers": REPLAYED_HEADER,
    }
}
GIVING: dict[str, Any] = {
    "parameters": [KEY_HEADER],
    "requestBody": {
        "required": True,
        "description": "Up to 10,000 items and 16 MiB, as sent and once inflated; plain, or with Content-Encoding gzip.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": _ITEM}, "example": [EXAMPLE]},
            "application/x-ndjson": {"schema": _LINES},
        },
    },
}


def router(gateway: Gateway, metrics: Metrics, intake: Intake) -> APIRouter:
    """`/v1/feedback`."""
    routes = APIRouter()
    services = gateway.services
    most = bodies.ceiling(services.settings)

    @routes.post("/v1/feedback", tags=["feedback"], responses=TAKEN, openapi_extra=GIVING)
    async def feedback(request: Request) -> Response:
        """Outcomes and decisions about insights; said again they change nothing, and good items count beside bad ones."""
        access = await gateway.allowed(request, "feedback:write")
        declared = bodies.declared(request, most)
        key = idempotency_key(request)
        with intake.holding(access.partner) as keep:
            raw = await bodies.read(request, services.settings, keep)
            what = Push(access.partner, access.client_id, KIND, DIRECT, declared.form, raw, key)
            take_it = partial(_taken, services, what, most if declared.gzipped else None)
            is_small = len(raw) <= SMALL and not declared.gzipped
            done = await (intake.run_small if is_small else intake.run)(access.partner, take_it)
        metrics.add("integrator_feedback_bodies_total", replayed=str(done.replayed).lower())
        counts = {
            "accepted": done.result.accepted, "unchanged": done.result.unchanged, "refused": len(done.result.errors)
        }  # fmt: skip
        for outcome, count in counts.items():
            metrics.add("integrator_feedback_total", count, outcome=outcome)
        headers = {"Idempotent-Replayed": "true"} if done.replayed else None
        return Response(done.body, headers=headers, media_type="application/json")

    return routes


def _taken(services: Services, what: Push, inflated_to: int | None) -> Taken:
    if inflated_to is None:
        return take(services, what)
    body = bodies.inflated(what.body, inflated_to)
    return take(services, Push(what.partner, what.client_id, what.kind, what.platform, what.form, body, what.key))
