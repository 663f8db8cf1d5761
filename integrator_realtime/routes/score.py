"""`POST /v1/score/{use_case}`: a payload, or up to 1,000, scored now with what serves the partner; see the steps.

Single payloads that come while others of the partner's are scored go through the model together, in one transaction.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio
import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from integrator.contracts.errors import IntegratorError, InvalidInput, NotFound, Unavailable
from integrator.contracts.insight import USE_CASES
from integrator.steps.champions import Champions
from integrator.steps.live_score import Answer, Outcome, count_failure, score_now
from integrator.steps.services import Services
from integrator.storage.database import LOST
from integrator_realtime import bodies
from integrator_realtime.bodies import BadBody
from integrator_realtime.gateway import Gateway
from integrator_realtime.gathering import SMALL, Gathering
from integrator_realtime.intake import Intake
from integrator_realtime.metrics import Metrics
from integrator_realtime.problems import described
from integrator_realtime.routes.score_described import SCORED, SCORING

log = logging.getLogger(__name__)

SCOPE = "score:write"
MOST = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class _Single:
    """One payload, to be scored with others of its partner and use case."""

    partner: str
    use_case: str
    said: Any


class _Scoring:
    """What scores, on threads; half of them is what one partner may have: its large batches keep nobody else waiting."""

    def __init__(self, services: Services, metrics: Metrics, champions: Champions) -> None:
        self._services, self._metrics, self._champions = services, metrics, champions
        self._threads = anyio.CapacityLimiter(services.settings.score_threads)
        self._shares: dict[str, anyio.CapacityLimiter] = {}
        self._gathering = Gathering[_Single, Answer](self._run, self._together)

    async def many(self, partner: str, use_case: str, items: Sequence[Any]) -> list[Outcome]:
        """What becomes of each."""
        return await self._run(partner, partial(self._work, partner, use_case, items))

    async def single(self, partner: str, use_case: str, said: Any, size: int) -> Answer:
        """One payload of so many bytes; raises its error."""
        if size <= SMALL:
            return await self._gathering.ask((partner, use_case), _Single(partner, use_case, said), size)
        (found,) = await self.many(partner, use_case, [said])
        if isinstance(found, IntegratorError):
            raise found
        return found

    async def _run(self, partner: str, what: Callable[[], T]) -> T:
        most = max(1, int(self._threads.total_tokens) // 2)
        async with self._shares.setdefault(partner, anyio.CapacityLimiter(most)):
            return await anyio.to_thread.run_sync(what, limiter=self._threads)

    def _work(self, partner: str, use_case: str, items: Sequence[Any]) -> list[Outcome]:
        began = time.perf_counter()
        try:
            held = self._champions.get(partner, use_case)
        except Unavailable as error:
            count_failure(self._services, partner, use_case, error)
            self._metrics.add("integrator_scores_total", len(items), use_case=use_case, outcome="failure")
            raise
        found = score_now(self._services, held, items)
        self._metrics.add("integrator_score_seconds_total", time.perf_counter() - began, use_case=use_case)
        for one in found:
            self._metrics.add("integrator_scores_total", use_case=use_case, outcome=_outcome(one))
        return found

    def _together(self, asked: Sequence[_Single]) -> Sequence[Outcome | Exception]:
        try:
            return self._work(asked[0].partner, asked[0].use_case, [one.said for one in asked])
        except (IntegratorError, *LOST):
            raise  # it is everybody's: to try one by one would only take longer to say so
        except Exception as error:  # tried one by one, it is told to whom it belongs
            return [self._alone(one) for one in asked] if len(asked) > 1 else [error]

    def _alone(self, one: _Single) -> Outcome | Exception:
        try:
            return self._work(one.partner, one.use_case, [one.said])[0]
        except Exception as error:
            return error


def router(gateway: Gateway, metrics: Metrics, intake: Intake, champions: Champions) -> APIRouter:
    """`/v1/score`."""
    routes = APIRouter(prefix="/v1/score", tags=["score"])
    settings = gateway.services.settings
    most = bodies.ceiling(settings)
    scoring = _Scoring(gateway.services, metrics, champions)

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
            raw = await bodies.read(request, settings, keep)
            body = bodies.inflated(raw, most) if declared.gzipped else raw
            said = _decoded(body, declared.form)
            if isinstance(said, list):
                return _many(await scoring.many(access.partner, use_case, said))
            found = await scoring.single(access.partner, use_case, said, len(body))
            return Response(found.document, media_type="application/json")

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


def _many(found: Sequence[Outcome]) -> Response:
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
