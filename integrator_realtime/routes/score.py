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

from integrator.contracts.errors import IntegratorError, InvalidInput, NotFound
from integrator.contracts.insight import USE_CASES
from integrator.steps.champions import Champions
from integrator.steps.live_score import Answer, Outcome, count_failures, score_now
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
        return await self._run(partner, partial(self._counted, partner, use_case, items))

    async def single(self, partner: str, use_case: str, said: Any, size: int) -> Answer:
        """One payload of so many bytes, at most `SMALL`; raises its error."""
        return await self._gathering.ask((partner, use_case), _Single(partner, use_case, said), size)

    async def large(self, partner: str, use_case: str, read: Callable[[], Any]) -> Response:
        """A body that is read on the thread: so that as many are held as there are threads, and not one for each who waits."""
        return await self._run(partner, partial(self._large, partner, use_case, read))

    async def _run(self, partner: str, what: Callable[[], T]) -> T:
        most = max(1, int(self._threads.total_tokens) // 2)
        async with self._shares.setdefault(partner, anyio.CapacityLimiter(most)):
            return await anyio.to_thread.run_sync(what, limiter=self._threads)

    def _large(self, partner: str, use_case: str, read: Callable[[], Any]) -> Response:
        said = read()
        found = self._counted(partner, use_case, said if isinstance(said, list) else [said])
        return _many(found) if isinstance(said, list) else _one(found[0])

    def _work(self, partner: str, use_case: str, items: Sequence[Any]) -> list[Outcome]:
        began = time.perf_counter()
        found = score_now(self._services, self._champions.get(partner, use_case), items)
        self._metrics.add("integrator_score_seconds_total", time.perf_counter() - began, use_case=use_case)
        for one in found:
            self._metrics.add("integrator_scores_total", use_case=use_case, outcome=_outcome(one))
        return found

    def _counted(self, partner: str, use_case: str, items: Sequence[Any]) -> list[Outcome]:
        """The same, and where nothing comes of any of them, each is counted as what that was."""
        try:
            return self._work(partner, use_case, items)
        except Exception as error:
            self._count(partner, use_case, len(items), error)
            raise

    def _count(self, partner: str, use_case: str, count: int, error: Exception) -> None:
        outcome = _outcome(error)
        self._metrics.add("integrator_scores_total", count, use_case=use_case, outcome=outcome)
        if outcome == "failure":
            count_failures(self._services, partner, use_case, count, error)

    def _together(self, asked: Sequence[_Single]) -> Sequence[Outcome | Exception]:
        first = asked[0]
        try:
            return self._work(first.partner, first.use_case, [one.said for one in asked])
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, (IntegratorError, *LOST)):
                return [self._alone(one) for one in asked]  # so that it is told to whom it belongs
            # It is everybody's: to try one by one would only take longer to say so.
            self._count(first.partner, first.use_case, len(asked), error)
            return [error] * len(asked)

    def _alone(self, one: _Single) -> Outcome | Exception:
        try:
            return self._counted(one.partner, one.use_case, [one.said])[0]
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
        if declared.form != "array":
            raise BadBody(415, "unsupported-media-type", "Content-Type application/x-ndjson; allowed: application/json")
        partner = access.partner
        with intake.holding(partner) as keep:
            raw = await bodies.read(request, settings, keep)
            plain = await intake.run_small(partner, partial(bodies.small, raw, SMALL)) if declared.gzipped else raw
            if plain is None or len(plain) > SMALL:
                return await scoring.large(partner, use_case, partial(_read, raw, most, is_gzipped=declared.gzipped))
            said = _decoded(plain)
            if isinstance(said, list):
                return _many(await scoring.many(partner, use_case, said))
            return _one(await scoring.single(partner, use_case, said, len(plain)))

    return routes


def _read(raw: bytes, most: int, *, is_gzipped: bool) -> Any:
    return _decoded(bodies.inflated(raw, most) if is_gzipped else raw)


def _decoded(body: bytes) -> Any:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not JSON: {error}; allowed: an object, or an array of them") from error
    if isinstance(said, list) and not 1 <= len(said) <= MOST:
        raise InvalidInput(f"{len(said)} payloads; allowed: 1 to {MOST}")
    return said


def _one(found: Outcome) -> Response:
    if isinstance(found, IntegratorError):
        raise found
    return Response(found.document, media_type="application/json")


def _many(found: Sequence[Outcome]) -> Response:
    """One document or problem for each payload, in order."""
    shown = [json.dumps(described(one)).encode() if isinstance(one, IntegratorError) else one.document for one in found]
    for one in found:
        if isinstance(one, IntegratorError) and one.status >= 500:
            log.error("one of many scores failed: %s", one)
    return Response(b'{"scores":[' + b",".join(shown) + b"]}", media_type="application/json")


def _outcome(found: Outcome | Exception) -> str:
    if isinstance(found, Answer):
        return found.outcome
    return "invalid" if isinstance(found, IntegratorError) and found.status < 500 else "failure"
