"""Insights: one by its subject, as exact bytes; pages of what is new; the versions of one."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, NamedTuple
from urllib.parse import unquote

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from integrator.contracts.errors import Conflict, Forbidden, InvalidInput, NotFound, invalid
from integrator.contracts.insight import USE_CASES, rfc3339
from integrator.storage import insights
from integrator.storage.cache import Cached
from integrator.storage.insights import Served
from integrator_realtime.gateway import Gateway
from integrator_realtime.metrics import Metrics
from integrator_realtime.viewers import Viewers


class Anything(Convertor[str]):
    """Any text at all: an id may hold slashes, and also a line break, which the framework's own `path` ends at."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("anything", Anything())
SCOPE = "insights:read"
PREFIX = b"/v1/insights/"
ONE = "/{use_case}/{subject_id:anything}"
LARGEST_PAGE = 1000


def router(gateway: Gateway, viewers: Viewers, metrics: Metrics) -> APIRouter:
    """`/v1/insights`."""
    routes = APIRouter(prefix="/v1/insights", tags=["insights"])
    clock, database = gateway.services.clock, gateway.services.database

    @routes.get("")
    async def page(
        request: Request,
        use_case: Annotated[str | None, Query(description="One use case; all unless said.")] = None,
        subject: Annotated[str | None, Query(description="A native id; all subjects unless said.")] = None,
        since: Annotated[int, Query(ge=0, description="Only what was published after this `published_seq`.")] = 0,
        cursor: Annotated[int | None, Query(ge=0, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> Response:
        """Current insights, oldest publication first; `next` is null on the last page, `last` is for `since`."""
        access = await gateway.allowed(request, SCOPE)
        if use_case is not None:
            require_use_case(use_case)
        after = since if cursor is None else cursor
        if subject is not None and "\x00" in subject:
            raise InvalidInput("holds NUL, which no id does; allowed: a native id", field="subject")

        def read() -> list[Served]:
            with database.partner(access.partner) as connection:
                return insights.page(
                    connection, access.partner, use_case=use_case, after=after, limit=limit + 1, subject=subject
                )

        found = await run_in_threadpool(read)
        shown = found[:limit]
        last = shown[-1].published_seq if shown else after
        metrics.add("integrator_insights_served_total", len(shown), use_case=use_case or "all", source="database")
        items = ",".join(_item(served, clock()) for served in shown)
        following = last if len(found) > limit else "null"
        return _tagged(request, f'{{"insights":[{items}],"last":{last},"next":{following}}}'.encode())

    @routes.get(ONE)
    async def one(
        request: Request,
        use_case: str,
        subject_id: str,
        platform: Annotated[str | None, Query(description="Where several platforms share the id.")] = None,
        kind: Annotated[str | None, Query(description="Where several kinds of subject share the id.")] = None,
    ) -> Response:
        """The insight of a subject (id percent-encoded), the bytes of every channel; `…/history`: all versions."""
        viewer = await viewers.of(request, SCOPE)
        access = viewer.access
        require_use_case(use_case)
        subject, wants_history = _subject(request, subject_id)
        viewer.require(use_case, subject)
        if wants_history and viewer.widget is not None:
            raise Forbidden("a widget token opens what is current, not its history")
        if "\x00" in subject:  # what cannot be stored is not there
            raise NotFound(f"there is no insight about {subject!r}")
        found, origin = await gateway.lookup(request, access, SCOPE, use_case, subject)
        entry = _chosen(found, subject, platform, kind)
        if wants_history:
            body = await run_in_threadpool(_history, gateway, access.partner, entry.insight_id, clock())
            return _tagged(request, body)
        status, told = answered(entry, request.headers.get("if-none-match"), clock())
        source = "not_modified" if status == 304 else origin
        metrics.add("integrator_insights_served_total", use_case=use_case, source=source)
        return Response(status_code=304, headers=told.headers) if status == 304 else _json(entry.document, told.headers)

    return routes


def require_use_case(name: str) -> None:
    """`NotFound` for a use case there is not."""
    if name not in USE_CASES:
        raise NotFound(f"use case {name!r} is not known; there are: {', '.join(USE_CASES)}")


def _subject(request: Request, decoded: str) -> tuple[str, bool]:
    """The native id, and whether its history is asked for."""
    raw: bytes = request.scope.get("raw_path") or decoded.encode()
    return subject_in(raw.split(b"?")[0].partition(PREFIX)[2].partition(b"/")[2] or decoded.encode())


def subject_in(rest: bytes) -> tuple[str, bool]:
    """The same of what stands behind the use case in the raw path.

    There, a slash inside an id (`product%2Ftier`) differs from one before `history`.
    """
    subject, slash, last = rest.rpartition(b"/")
    wants_history = bool(slash) and last == b"history"
    return unquote((subject if wants_history else rest).decode("ascii", "replace")), wants_history


def _chosen(found: list[Cached], subject: str, platform: str | None, kind: str | None) -> Cached:
    matching = [e for e in found if platform in (None, e.platform) and kind in (None, e.kind)]
    if not matching:
        raise NotFound(f"there is no insight about {subject!r}")
    if len(matching) > 1:
        platforms = sorted({entry.platform for entry in matching})
        if len(platforms) > 1:
            raise Conflict(f"{subject!r} exists on several platforms; say ?platform= one of: {', '.join(platforms)}")
        kinds = sorted(entry.kind for entry in matching)
        raise Conflict(f"{subject!r} names several subjects; say ?kind= one of: {', '.join(kinds)}")
    return matching[0]


def _named(header: str | None) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")} if header else set()


class Told(NamedTuple):
    """What the headers of an answer tell of an insight, as the framework takes them and as they go over the line."""

    headers: Mapping[str, str]
    lines: tuple[tuple[bytes, bytes], ...]


def answered(entry: Cached, if_none_match: str | None, now: datetime) -> tuple[int, Told]:
    """200 or 304, and the headers of either."""
    found = _told(entry.insight_id, entry.insight_version, entry.checked_at, entry.stale_after, now > entry.stale_after)
    is_known = if_none_match is not None and bool({"*", found.headers["ETag"]} & _named(if_none_match))
    return (304 if is_known else 200), found


@lru_cache(maxsize=4096)
def _told(insight_id: str, version: int, checked_at: datetime, stale_after: datetime, is_stale: bool) -> Told:
    headers = {
        "ETag": f'"{insight_id}-{version}"',
        "Insight-Checked-At": rfc3339(checked_at),
        "Insight-Stale-After": rfc3339(stale_after),
        "Insight-Stale": "true" if is_stale else "false",
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
    }
    lines = tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
    return Told(MappingProxyType(headers), lines)


def _item(served: Served, now: datetime) -> str:
    """One entry of a page: freshness beside the document, which keeps its bytes."""
    facts = {
        "published_seq": served.published_seq,
        "checked_at": rfc3339(served.checked_at),
        "stale_after": rfc3339(served.stale_after),
        "stale": now.astimezone(UTC) > served.stale_after,
    }
    return f'{json.dumps(facts)[:-1]}, "document":{served.document}}}'


def _history(gateway: Gateway, partner: str, insight_id: str, now: datetime) -> bytes:
    with gateway.services.database.partner(partner) as connection:
        versions = insights.history(connection, partner, insight_id)
    if not versions:
        raise invalid("insight", insight_id, "one that was published")
    return f'{{"versions":[{",".join(_item(version, now) for version in versions)}]}}'.encode()


def _tagged(request: Request, body: bytes) -> Response:
    """Several insights under an ETag of their bytes, freshness included; 304 where the caller has them."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if {"*", tag} & _named(request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    return _json(body, headers)


def _json(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, headers=headers, media_type="application/json")
