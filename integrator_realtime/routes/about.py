"""What is not about one insight: schemas, readiness, health, metrics."""

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from integrator.contracts import insight, records
from integrator.contracts.errors import IntegratorError, NotFound
from integrator.contracts.insight import rfc3339
from integrator.steps.champions import Champions
from integrator.storage import readiness
from integrator_realtime.gateway import Gateway
from integrator_realtime.metrics import Metrics


def router(gateway: Gateway, metrics: Metrics, champions: Champions) -> APIRouter:
    """`/v1/schemas`, `/v1/readiness`, `/healthz`, `/readyz`, `/metrics`."""
    routes = APIRouter()
    database = gateway.services.database

    @routes.get("/v1/schemas/{name}", tags=["schemas"])
    async def schema(name: str) -> JSONResponse:
        """The JSON Schema of a record or of the insight."""
        if name == "insight":
            found = insight.json_schema()
        elif name in records.KINDS:
            found = records.json_schema(name)
        else:
            raise NotFound(f"schema {name!r} is not known; there are: {', '.join([*records.KINDS, 'insight'])}")
        return JSONResponse(found, media_type="application/schema+json")

    @routes.get("/v1/readiness", tags=["quality"])
    async def ready(request: Request) -> JSONResponse:
        """Per use case: the rung reached, and what the next one needs."""
        access = await gateway.allowed(request, "quality:read")

        def read() -> list[dict[str, Any]]:
            with database.partner(access.partner) as connection:
                return readiness.of_partner(connection, access.partner)

        found = await run_in_threadpool(read)
        return JSONResponse({"readiness": [{**entry, "at": rfc3339(entry["at"])} for entry in found]})

    @routes.get("/healthz", tags=["operation"])
    async def healthz() -> JSONResponse:
        """Whether the process answers at all."""
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz", tags=["operation"])
    async def readyz() -> JSONResponse:
        """PostgreSQL answers (else 503); whether Redis does, which only costs speed; models that should serve and do not.

        These name no partner: whose they are is in the log and in the partner's events.
        """
        postgres = await run_in_threadpool(_answers, gateway)
        redis = await gateway.cache_answers()
        status = "ok" if postgres and redis else "degraded" if postgres else "unavailable"
        refused = [{"use_case": one.use_case, "version": one.version} for one in champions.refused]
        more = {"refused_models": refused} if refused else {}
        return JSONResponse({"status": status, "postgres": postgres, "redis": redis, **more}, 200 if postgres else 503)

    @routes.get("/metrics", tags=["operation"])
    async def show_metrics() -> PlainTextResponse:
        """Counters of this process."""
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    return routes


def _answers(gateway: Gateway) -> bool:
    try:
        with gateway.services.database.service() as connection:
            return bool(connection.execute(text("select true")).scalar_one())
    except (IntegratorError, SQLAlchemyError):
        return False
