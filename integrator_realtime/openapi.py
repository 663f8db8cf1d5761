"""The OpenAPI 3.1 document: what the routes say of themselves, and beside it what is the same for all of them.

Every operation gets its security, its problem answers, its rate limit headers and the shape of its answer from the tables
below; a route that states one itself keeps it.
"""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from integrator.contracts import feedback, insight, records
from integrator.security.scopes import SCOPES
from integrator_realtime.openapi_schemas import SCHEMAS, Schema, ref
from integrator_realtime.problems import MEDIA_TYPE, TITLES
from integrator_realtime.routes.score_described import SHAPES as SCORES

# The longest prefix that fits decides.
SCOPE_OF = {
    "/v1/events": "events:write", "/v1/contacts": "contacts:write", "/v1/sales": "sales:write",
    "/v1/insights": "insights:read", "/v1/live": "insights:read", "/v1/score": "score:write", "/v1/feedback": "feedback:write",
    "/v1/readiness": "quality:read", "/v1/quality": "quality:read", "/v1/quarantine": "quarantine:write",
    "/v1/connections": "connections:write", "/v1/webhooks": "webhooks:write",
    "/v1/host-databases": "connections:write", "/v1/price-rules": "connections:write", "/v1/widget-tokens": "widgets:issue",
    "/v1/privacy/export": "privacy:export", "/v1/privacy/erase": "privacy:erase",
}  # fmt: skip
# What a widget token opens.
WIDGET = ("/v1/insights/{use_case}/{subject_id}", "/v1/live")
# Who comes here has no token: a platform's browser redirect with a state that is good once.
OPEN = ("/v1/connections/callback",)
ANSWERS: dict[tuple[str, str], Schema] = {
    ("get", "/v1/insights"): ref("InsightPage"),
    ("get", "/v1/insights/{use_case}/{subject_id}"): {"anyOf": [ref("Insight"), ref("InsightHistory")]},
    ("post", "/v1/events"): ref("Pushed"), ("post", "/v1/contacts"): ref("Pushed"), ("post", "/v1/sales"): ref("Pushed"),
    ("post", "/v1/feedback"): ref("FeedbackTaken"),
    ("get", "/v1/quarantine"): ref("QuarantinePage"), ("get", "/v1/quarantine/{quarantine_id}"): ref("Quarantined"),
    ("get", "/v1/readiness"): ref("Readiness"), ("get", "/v1/quality"): ref("Quality"),
    ("post", "/v1/widget-tokens"): ref("WidgetToken"),
    ("get", "/v1/connections"): ref("Connections"), ("get", "/v1/connections/{connection_id}"): ref("Connection"),
    ("get", "/v1/host-databases"): ref("HostDatabases"), ("get", "/v1/host-databases/{name}"): ref("HostDatabase"),
    ("get", "/v1/price-rules"): ref("PriceRules"), ("put", "/v1/price-rules"): ref("PriceRule"),
    ("get", "/v1/webhooks"): ref("Webhooks"), ("post", "/v1/webhooks"): ref("NewWebhookMade"),
    ("get", "/v1/webhooks/{endpoint_id}"): ref("Webhook"), ("patch", "/v1/webhooks/{endpoint_id}"): ref("Webhook"),
    ("post", "/v1/webhooks/{endpoint_id}/test"): ref("WebhookTested"),
    ("post", "/v1/webhooks/{endpoint_id}/rotate"): ref("WebhookRotated"),
    ("post", "/v1/webhooks/{endpoint_id}/enable"): ref("Webhook"),
    ("post", "/v1/webhooks/{endpoint_id}/disable"): ref("Webhook"),
    ("post", "/v1/webhooks/{endpoint_id}/replay"): ref("WebhookReplayed"),
    ("get", "/v1/webhooks/{endpoint_id}/attempts"): ref("WebhookAttempts"),
    ("post", "/oauth/token"): ref("Token"), ("post", "/oauth/introspect"): ref("Introspection"),
    ("post", "/oauth/revoke"): {"type": "object"}, ("get", "/.well-known/jwks.json"): ref("Jwks"),
    ("get", "/.well-known/oauth-authorization-server"): ref("Metadata"), ("get", "/healthz"): ref("Health"),
    ("get", "/readyz"): ref("Health"),
}  # fmt: skip
KINDS: Schema = {"type": "string", "enum": [*records.KIND_OF_PLURAL, *records.KINDS]}
# What routes check in their own words, by the second part of the path and the parameter.
PARAMETERS: dict[tuple[str, str], Schema] = {
    ("quarantine", "kind"): KINDS, ("quality", "kind"): KINDS,
    ("quarantine", "platform"): {"type": "string", "maxLength": 40, "pattern": r"^[^\x00]*$"},
    ("quarantine", "field"): {"type": "string", "maxLength": 200, "pattern": r"^[^\x00]*$"},
    ("score", "use_case"): {"type": "string", "enum": list(insight.USE_CASES)},
    ("live", "use_case"): {
        "type": "array", "items": {"type": "string", "enum": list(insight.USE_CASES)},
    },
    ("insights", "subject"): {"type": "string", "maxLength": 200, "pattern": r"^[^\x00]*$"},
    ("insights", "use_case"): {"type": "string", "enum": list(insight.USE_CASES)},
}  # fmt: skip
MEDIA = {
    "/metrics": "text/plain", "/v1/schemas/{name}": "application/schema+json", "/v1/connections/callback": "text/html",
    "/v1/live": "text/event-stream",
    "/v1/widget.js": "text/javascript",
}  # fmt: skip
BODIES: dict[str, str] = {
    "/oauth/token": "TokenRequest", "/oauth/introspect": "TokenQuestion", "/oauth/revoke": "TokenQuestion"
}  # fmt: skip
SECURITY_SCHEMES: dict[str, Schema] = {
    "oauth": {
        "type": "oauth2", "description": "OAuth 2.0 client credentials; tokens live ten minutes.",
        "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {name: name for name in SCOPES}}},
    },
    "apiKey": {"type": "http", "scheme": "bearer", "description": "A plain API key, `iak_…`, in place of the token."},
    "widget": {
        "type": "http", "scheme": "bearer",
        "description": "A widget token, from a page of its origin, for the use cases and subjects it names.",
    },
    "client": {"type": "http", "scheme": "basic", "description": "The client's id and secret."},
}  # fmt: skip
LIMIT_HEADERS: Schema = {
    "RateLimit": {
        "description": "What is left of each quota (`r`) and the seconds until all of it is there again (`t`).",
        "schema": {"type": "string"}, "example": '"read-client";r=19999;t=1, "read-partner";r=39999;t=1',
    },
    "RateLimit-Policy": {
        "description": "Each quota (`q`) and its window in seconds (`w`).",
        "schema": {"type": "string"}, "example": '"read-client";q=20000;w=2, "read-partner";q=40000;w=2',
    },
}  # fmt: skip
RETRY_AFTER: Schema = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}}}


def install(app: FastAPI) -> None:
    """Let `app` answer `/openapi.json` with the whole document; made at the first request."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            plain = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = complete(plain)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document with everything shared put in, in place."""
    components = document.setdefault("components", {})
    shapes: Schema = {**components.get("schemas", {}), **SCORES, **_contracts(), **SCHEMAS}
    for unused in ("HTTPValidationError", "ValidationError"):  # ours are problems
        shapes.pop(unused, None)
    components["schemas"] = shapes
    components["securitySchemes"] = SECURITY_SCHEMES
    components["headers"] = LIMIT_HEADERS
    components["responses"] = {"Problem": _problem()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _one(path, method, operation)
    return document


def scope_of(path: str) -> str | None:
    """The scope a route asks for; None for those that are open."""
    fitting = [prefix for prefix in SCOPE_OF if path == prefix or path.startswith(prefix + "/")]
    return SCOPE_OF[max(fitting, key=len)] if fitting and path not in OPEN else None


def _one(path: str, method: str, operation: dict[str, Any]) -> None:
    oauth, scope = path.startswith("/oauth/"), scope_of(path)
    if scope is not None:
        widget: list[Schema] = [{"widget": []}] if path in WIDGET else []
        operation.setdefault("security", [{"oauth": [scope]}, {"apiKey": []}, *widget])
    elif oauth:
        operation.setdefault("security", [{"client": []}, {}])
    for parameter in operation.get("parameters", []):
        allowed = PARAMETERS.get((path.split("/")[2], parameter["name"])) if path.startswith("/v1/") else None
        if allowed is not None:
            parameter["schema"] = {**allowed, "title": parameter["name"].capitalize()}
    answers = operation["responses"]
    if "HTTPValidationError" in json.dumps(answers.get("422", {})):
        del answers["422"]
    _good(path, method, answers, limited=scope is not None)
    _bad(path, method, answers, oauth=oauth, guarded=scope is not None)
    if "requestBody" not in operation:
        _body(path, method, operation)


def _good(path: str, method: str, answers: Schema, *, limited: bool) -> None:
    for status, answer in answers.items():
        if not status.startswith("2"):
            continue
        if limited:
            answer.setdefault("headers", {}).update(
                {name: {"$ref": f"#/components/headers/{name}"} for name in LIMIT_HEADERS}
            )
        if status == "204":
            continue
        shape: Schema = ANSWERS.get((method, path), {"type": "object"})
        media = MEDIA.get(path, "application/json")
        stated = answer.get("content", {}).get("application/json", {}).get("schema")
        answer["content"] = {media: {"schema": stated or ({"type": "string"} if media.startswith("text/") else shape)}}
    if path == "/readyz":
        answers["503"] = {"description": "PostgreSQL does not answer", "content": answers["200"]["content"]}
    if path.startswith("/v1/insights"):
        answers["304"] = {"description": "Not modified: `If-None-Match` names the current version"}


def _bad(path: str, method: str, answers: Schema, *, oauth: bool, guarded: bool) -> None:
    if oauth:
        for status in ("400", "401", "413", "429", "503"):
            answer = {
                "description": TITLES[int(status)],
                "content": {"application/json": {"schema": ref("OAuthError")}},
            }
            answers.setdefault(status, {**answer, **({"headers": RETRY_AFTER} if status in ("429", "503") else {})})
        return
    statuses = ["404", "422"] if "{" in path else ["422"] if path.startswith("/v1/") else []
    if guarded:
        statuses += ["401", "403", "404", "409", "429", "503"]
    if method in ("post", "put", "patch"):
        statuses += ["400", "408", "413", "415"]
    if path in OPEN:
        statuses += ["404", "409", "503"]
    for status in sorted({*statuses}):
        answers.setdefault(status, {"$ref": "#/components/responses/Problem"})


def _body(path: str, method: str, operation: dict[str, Any]) -> None:
    plural = path.removeprefix("/v1/")
    if path in BODIES:
        content = {"application/x-www-form-urlencoded": {"schema": ref(BODIES[path])}}
        operation["requestBody"] = {"required": True, "content": content}
    elif method == "post" and plural in records.KIND_OF_PLURAL:
        name = records.KIND_OF_PLURAL[plural].capitalize()
        lines = {"schema": {"type": "string", "description": "One JSON object a line."}}
        content = {"application/json": {"schema": {"type": "array", "items": ref(name)}}, "application/x-ndjson": lines}
        operation["requestBody"] = {"required": True, "content": content}
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key", "in": "header", "required": False,
                "description": "The same key and body within 12 hours get the first answer again.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}, "example": "order-4711-1",
            }
        )  # fmt: skip


def _problem() -> Schema:
    headers = {"Retry-After": {"description": "With 429 and 503: seconds to wait.", "schema": {"type": "string"}}}
    content = {MEDIA_TYPE: {"schema": ref("Problem")}}
    return {"description": "A problem document (RFC 9457); `type` is stable.", "headers": headers, "content": content}


def _contracts() -> Schema:
    """Records, feedback and the insight, from their own JSON Schemas."""
    found: Schema = {}
    for schema in (
        insight.json_schema(),
        feedback.json_schema(),
        *(records.json_schema(kind) for kind in records.KINDS),
    ):
        found |= schema["$defs"]
    shapes: Schema = json.loads(json.dumps(found).replace('"#/$defs/', '"#/components/schemas/'))
    return shapes
