"""Every error as an RFC 9457 problem document. What is not ours to show is not shown."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    RateLimited,
    TransientError,
    Unauthorized,
    Unavailable,
    allowed_by,
)
from integrator.storage.database import LOST
from integrator.storage.failures import traced

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed",
    408: "Request timeout", 409: "Conflict", 413: "Content too large", 415: "Unsupported media type",
    422: "Invalid input", 429: "Too many requests",
    500: "Internal error", 503: "Unavailable",
}  # fmt: skip
REALM = 'Bearer realm="integrator"'


class MissingScope(Forbidden):
    """The token is good and lacks `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs the scope {scope}")
        self.scope = scope


class PlatformAway(Unavailable):
    """The platform or database that the caller itself named did not answer: what it answered is the caller's to know."""


def problem(
    request: Request, status: int, slug: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """The answer; `type` is a stable URN per kind of failure, `instance` the request's id."""
    title = TITLES.get(status, "Error")
    document = {"type": f"urn:integrator:problem:{slug}", "title": title, "status": status, "detail": detail, **more}
    request_id = request.scope.get("request_id")
    if request_id:
        document["instance"] = f"urn:integrator:request:{request_id}"
    return Response(json.dumps(document), status, headers=headers, media_type=MEDIA_TYPE)


def described(error: IntegratorError) -> dict[str, object]:
    """A failure of one item among many: a problem without its request; what is not ours to show is not shown."""
    slug, status, told = error.slug, error.status, str(error)
    if status >= 500:
        slug, told = ("defect", "something went wrong on our side")
    title = TITLES.get(status, "Error")
    document: dict[str, object] = {
        "type": f"urn:integrator:problem:{slug}", "title": title, "status": status, "detail": told
    }  # fmt: skip
    if isinstance(error, InvalidInput) and error.field:
        document["field"] = error.field
    return document


def install(app: FastAPI) -> None:
    """Answer every failure, the framework's own too, with a problem."""
    app.add_exception_handler(IntegratorError, _ours)
    for lost in LOST:
        app.add_exception_handler(lost, _lost)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, IntegratorError)
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    more: dict[str, object] = {}
    if isinstance(error, Unauthorized):
        named = ', error="invalid_token"' if request.headers.get("authorization") else ""
        headers["WWW-Authenticate"] = REALM + named
    elif isinstance(error, MissingScope):
        headers["WWW-Authenticate"] = f'{REALM}, error="insufficient_scope", scope="{error.scope}"'
    elif isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, round(error.retry_after or 1)))
    elif isinstance(error, TransientError):
        headers["Retry-After"] = "1"
        log.warning("%s %s: %s", request.method, request.url.path, error)
        told = str(error) if isinstance(error, PlatformAway) else "a service behind this one did not answer"
        return problem(request, error.status, error.slug, told, headers=headers)
    elif error.status >= 500:
        return _unexpected(request, error)
    if isinstance(error, InvalidInput) and error.field:
        more["field"] = error.field
    return problem(request, error.status, error.slug, str(error), headers=headers, **more)


def _lost(request: Request, error: Exception) -> Response:
    log.warning("%s %s: PostgreSQL did not answer: %s", request.method, request.url.path, type(error).__name__)
    detail = "a service behind this one did not answer; what was not acknowledged can be sent again"
    return problem(request, 503, "unavailable", detail, headers={"Retry-After": "1"})


def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    slug = TITLES.get(error.status_code, "error").lower().replace(" ", "-")
    allowed = (error.headers or {}).get("Allow", "see /openapi.json")
    detail = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not possible here; allowed: {allowed}",
    }.get(error.status_code, str(error.detail))
    return problem(request, error.status_code, slug, detail, headers=error.headers)


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in found["loc"][1:]), "reason": _reason(found)}
        for found in error.errors()
    ]
    named = "; ".join(f"{entry['field']} {entry['reason']}" for entry in errors)
    return problem(request, 422, "invalid-input", named, errors=errors)


def _reason(found: Mapping[str, Any]) -> str:
    """What was said and what is allowed; a value is repeated from the address alone, never from a body."""
    if found["type"] == "missing":
        return "is missing"
    shown = f"{str(found['input'])[:80]!r} " if found["loc"][0] in ("query", "path") else ""
    return f"{shown}is not allowed; allowed: {allowed_by(found['msg'])}"


def _unexpected(request: Request, error: Exception) -> Response:
    request_id = request.scope.get("request_id")
    log.error("%s %s failed, %s: %s", request.method, request.url.path, request_id, traced(error))
    detail = "something went wrong on our side; the request's id finds it in our log"
    return problem(request, 500, "defect", detail, headers=request.scope.get("cors_headers"))
