"""`POST /v1/score/{use_case}`: a payload, or up to 1,000, scored now with what serves the partner; see the steps."""

import json
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from integrator.contracts.errors import IntegratorError, InvalidInput, NotFound, Unavailable
from integrator.contracts.insight import USE_CASES
from integrator.steps.champions import Champions
from integrator.steps.live_score import Outcome, count_failure, score_now
from integrator_realtime import bodies
from integrator_realtime.bodies import BadBody
from integrator_realtime.gateway import Gateway
from integrator_realtime.intake import Intake
from integrator_realtime.metrics import Metrics
from integrator_realtime.problems import described
from integrator_realtime.routes.score_described import SCORED, SCORING

log = logging.getLogger(__name__)

SCOPE = "score:write"
MOST = 1000


def router(gateway: Gateway, metrics: Metrics, intake: Intake, champions: Champions) -> APIRouter:
    """`/v1/score`."""
    routes = APIRouter(prefix="/v1/score", tags=["score"])
    services = gateway.services
    most = bodies.ceiling(services.settings)
    most_threads = services.settings.score_threads
    threads = anyio.CapacityLimiter(most_threads)
    # Half of them is what one partner may have at a time: its large batches keep nobody else's single scores waiting.
    shares: dict[str, anyio.CapacityLimiter] = {}

    def work(partner: str, use_case: str, items: Sequence[Any]) -> list[Outcome]:
        began = time.perf_counter()
        try:
            held = champions.get(partner, use_case)
        except Unavailable as error:
            count_failure(services, partner, use_case, error)
            metrics.add("integrator_scores_total", len(items), use_case=use_case, outcome="failure")
            raise
        found = score_now(services, held, items)
        metrics.add("integrator_score_seconds_total", time.perf_counter() - began, use_case=use_case)
        return found

    @routes.post("/{use_case}", responses=SCORED, openapi_extra=SCORING)
    async def score(request: Request, use_case: str) -> Response:
        """Score what the body says now, explained and logged; one object, or an array of up to 1,000.

        A known subject starts from its own feature row, and what is said is laid over it; a contact that is not known is
        scored from the payload alone. Nothing is published.
        """
        access = await gateway.allowed(request, SCOPE)
        if use_case not in USE_CASES:
            raise NotFound(f"use case {use_case!r} is not known; there are: {', '.join(USE_CASES)}")
        declared = bodies.declared(request, most)
        with intake.holding(access.partner) as keep:
            raw = await bodies.read(request, services.settings, keep)
            body = bodies.inflated(raw, most) if declared.gzipped else raw
            said = _decoded(body, declared.form)
            items = said if isinstance(said, list) else [said]
            async with shares.setdefault(access.partner, anyio.CapacityLimiter(max(1, most_threads // 2))):
                found = await anyio.to_thread.run_sync(partial(work, access.partner, use_case, items), limiter=threads)
        for one in found:
            metrics.add("integrator_scores_total", use_case=use_case, outcome=_outcome(one))
        return _answer(found) if isinstance(said, list) else _single(found[0])

    return routes


def _decoded(body: bytes, form: str) -> Any:
    if form != "array":
        raise BadBody(415, "unsupported-media-type", "Content-Type application/x-ndjson; allowed: application/json")
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not JSON: {error}; allowed: an object, or an array of them") from error
    if isinstance(said, list) and not 1 <= len(said) <= MOST:
        raise InvalidInput(f"{len(said)} payloads; allowed: 1 to {MOST}")
    return said


def _single(found: Outcome) -> Response:
    if isinstance(found, IntegratorError):
        raise found
    return Response(found.document, media_type="application/json")


def _answer(found: Sequence[Outcome]) -> Response:
    """One document or problem for each payload, in order."""
    shown = [json.dumps(described(one)).encode() if isinstance(one, IntegratorError) else one.document for one in found]
    for one in found:
        if isinstance(one, IntegratorError) and one.status >= 500:
            log.error("one of many scores failed: %s", one)
    return Response(b'{"scores":[' + b",".join(shown) + b"]}", media_type="application/json")


def _outcome(found: Outcome) -> str:
    if isinstance(found, IntegratorError):
        return "failure" if found.status >= 500 else "invalid"
    return found.outcome
