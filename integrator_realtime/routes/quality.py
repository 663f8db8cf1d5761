"""`GET /v1/quality`: how good a partner's data is, what waits in quarantine, how fresh its connections are, and how its
insights turned out."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import invalid
from integrator.contracts.insight import rfc3339
from integrator.contracts.records import KIND_OF_PLURAL, KINDS
from integrator.storage import quality_results, verdicts
from integrator_realtime.gateway import Gateway


def router(gateway: Gateway) -> APIRouter:
    """`/v1/quality`."""
    routes = APIRouter()
    services = gateway.services

    @routes.get("/v1/quality", tags=["quality"])
    async def quality(request: Request, kind: str | None = None) -> JSONResponse:
        """The newest result of every expectation with how to mend it, what failed first; of one kind if it is named.

        `passed` is null where there is too little history to judge by. `severity` error leaves the partner out of the night.
        `models` is of the insights: verdicts, realized figures by use case, model version and window, and drift.
        """
        access = await gateway.allowed(request, "quality:read")
        wanted = KIND_OF_PLURAL.get(kind, kind) if kind is not None else None
        if wanted is not None and wanted not in KINDS:
            raise invalid("kind", kind, KINDS)
        return JSONResponse(await run_in_threadpool(_read, access.partner, wanted))

    def _read(partner: str, kind: str | None) -> dict[str, Any]:
        now = services.clock()
        with services.database.partner(partner) as connection:
            results = quality_results.newest(connection, partner, kind)
            waiting = quality_results.quarantine_counts(connection, partner, kind)
            connections = quality_results.connection_freshness(connection, partner)
            models = {
                "checks": verdicts.checks(connection, partner),
                "realized": [one for one in verdicts.quality(connection, partner) if one["lead_bucket"] == "all"],
                "drift": verdicts.newest_drift(connection, partner),
            }
        return {
            "results": [{**one, "at": rfc3339(one["at"])} for one in results],
            "quarantine": [{**one, "newest_at": rfc3339(one["newest_at"])} for one in waiting],
            "connections": [{**one, **_freshness(one["last_synced_at"], now)} for one in connections],
            "models": {name: [_plain(one) for one in rows] for name, rows in models.items()},
        }

    return routes


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _freshness(synced: datetime | None, now: datetime) -> dict[str, Any]:
    if synced is None:
        return {"last_synced_at": None, "age_seconds": None}
    return {"last_synced_at": rfc3339(synced), "age_seconds": max(0, round((now - synced).total_seconds()))}
