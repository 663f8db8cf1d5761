"""`GET /v1/live`: a subject's insight as it changes, as server-sent events that are read with fetch and a bearer header."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from integrator.contracts.errors import Forbidden, InvalidInput, invalid
from integrator.security.api_keys import is_api_key
from integrator.security.tokens import Access
from integrator.storage.live import Wanted
from integrator_realtime.gateway import Gateway, bearer
from integrator_realtime.live.hub import Hub
from integrator_realtime.routes.insights import SCOPE, require_use_case
from integrator_realtime.viewers import Viewer, Viewers

MOST_SUBJECTS = 100
LARGEST_SEQ = 2**63 - 1
REPEATABLE = ("use_case", "subject")


def router(gateway: Gateway, viewers: Viewers, hub: Hub) -> APIRouter:
    """`/v1/live`."""
    routes = APIRouter(tags=["insights"])

    @routes.get("/v1/live")
    async def live(
        request: Request,
        use_case: Annotated[list[str] | None, Query(description="These use cases; all unless said.")] = None,
        subject: Annotated[
            list[str] | None, Query(description="These subjects' native ids, up to 100; all unless said.")
        ] = None,
        platform: Annotated[str | None, Query(description="Where several platforms share an id.")] = None,
        kind: Annotated[str | None, Query(description="Where several kinds of subject share an id.")] = None,
    ) -> Response:
        """Server-sent events: named subjects' current insights first, then every version as it is published.

        `Last-Event-ID` goes on after that `published_seq`. Events: `insight` (the document), `freshness`, `cursor`, `end`.
        """
        viewer = await viewers.of(request, SCOPE, repeatable=REPEATABLE)
        wanted = _wanted(viewer, use_case or [], subject or [], platform, kind)
        last = _last(request.headers.get("last-event-id"))
        await gateway.admit(request, viewer.access, SCOPE)
        key = bearer(request)

        async def renewed() -> Access:
            return await run_in_threadpool(gateway.keys.verify, key)

        return await hub.stream(viewer, wanted, last, renewed if is_api_key(key) else None)

    return routes


def _wanted(
    viewer: Viewer, use_cases: list[str], subjects: list[str], platform: str | None, kind: str | None
) -> Wanted:
    for use_case in use_cases:
        require_use_case(use_case)
    if len(subjects) > MOST_SUBJECTS:
        raise InvalidInput(f"{len(subjects)} subjects are not allowed; allowed: up to {MOST_SUBJECTS}", field="subject")
    for name, value in (("subject", "".join(subjects)), ("platform", platform or ""), ("kind", kind or "")):
        if "\x00" in value:
            raise InvalidInput(f"{name} holds a character that no id has", field=name)
    asked = Wanted(frozenset(use_cases) or None, frozenset(subjects) or None, platform, kind)
    return asked if viewer.widget is None else _within(viewer, asked)


def _within(viewer: Viewer, asked: Wanted) -> Wanted:
    """What is asked, or all that a widget token allows; `Forbidden` for more."""
    widget = viewer.widget
    assert widget is not None
    beyond = (asked.use_cases or frozenset()) - widget.use_cases
    if widget.subjects is not None:
        beyond |= (asked.subjects or frozenset()) - widget.subjects
    if beyond:
        raise Forbidden(f"the widget token is not for {min(beyond)[:80]!r}")
    return Wanted(asked.use_cases or widget.use_cases, asked.subjects or widget.subjects, asked.platform, asked.kind)


def _last(header: str | None) -> int | None:
    """The cursor a reader comes back with."""
    if header is None or not header.strip():
        return None
    digits = header.strip()
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19 or int(digits) > LARGEST_SEQ:
        raise invalid("Last-Event-ID", header, "the id of an event of this stream, a whole number")
    return int(digits)
