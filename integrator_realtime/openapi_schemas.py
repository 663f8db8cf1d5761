"""The shared shapes of the OpenAPI document: what answers look like, each with an example. Data only."""

from typing import Any, get_args

from integrator.contracts.readiness import PooledState, RungReached

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MOMENT: Schema = {"type": "string", "format": "date-time"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
USE_CASE: Schema = {"type": "string", "enum": ["attendance", "pricing", "lead_score"]}
MOMENT_EXAMPLE = "2026-11-22T02:00:31Z"


def ref(name: str) -> Schema:
    """A shape of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(example: object = None, required: str | None = None, /, **properties: Schema) -> Schema:
    """An object; every property is required unless `required` names some. More may come: additive within v1."""
    names = list(properties) if required is None else required.split()
    found: Schema = {"type": "object", "required": names, "properties": properties}
    return found if example is None else {**found, "examples": [example]}


def many(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """Or null."""
    return {"anyOf": [schema, {"type": "null"}]}


PROBLEM = {
    "type": "urn:integrator:problem:not-found", "title": "Not found", "status": 404,
    "detail": "there is no insight about 'gala'", "instance": "urn:integrator:request:req_6b1f0c2a9d3e4f5a6b7c8d9e",
}  # fmt: skip
TOKEN = {"access_token": "eyJhbGciOiJFUzI1NiIs…", "token_type": "Bearer", "expires_in": 600, "scope": "insights:read"}
PUSHED = {
    "accepted": 2, "unchanged": 0, "quarantined": 1,
    "errors": [{"line": 3, "field": "currency", "value": "EURO", "reason": "'EURO' is no ISO 4217 code"}],
}  # fmt: skip
WAITING = {
    "quarantine_id": 17, "platform": "direct", "kind": "sale", "native_id": "s-3", "line": 3, "field": "currency",
    "reason": "'EURO' is no ISO 4217 code", "quarantined_at": MOMENT_EXAMPLE,
}  # fmt: skip
FED_BACK = {
    "accepted": 1,
    "unchanged": 0,
    "errors": [{"index": 1, "field": "id", "value": "ins_unknown", "reason": "there is no insight of that id"}],
}
WEBHOOK = {
    "endpoint_id": "we_0f3c5a7e9b1d2f4a6c8e", "url": "https://host.example/hooks/insights",
    "event_types": ["insight.updated", "insight.withdrawn"], "use_cases": [], "statuses": [], "subject_kinds": [],
    "subject_prefix": None, "minimum_change": 0.05, "max_per_second": None, "max_in_flight": 4, "status": "active",
    "status_reason": None, "failing_since": None, "held_until": None, "created_at": MOMENT_EXAMPLE,
}  # fmt: skip
WEBHOOK_FIELDS: dict[str, Schema] = {
    "endpoint_id": TEXT, "url": TEXT, "event_types": many(TEXT), "use_cases": many(TEXT), "statuses": many(TEXT),
    "subject_kinds": many(TEXT), "subject_prefix": maybe(TEXT), "minimum_change": maybe(NUMBER),
    "max_per_second": maybe(NUMBER), "max_in_flight": COUNT, "status": {"type": "string", "enum": ["active", "disabled"]},
    "status_reason": maybe(TEXT), "failing_since": maybe(MOMENT), "held_until": maybe(MOMENT), "created_at": MOMENT,
}  # fmt: skip
TESTED = {
    "endpoint_id": "we_0f3c5a7e9b1d2f4a6c8e", "message_id": "msg_5d41402abc4b2a76b9719d911017c592", "delivered": True,
    "status_code": 204, "error": None, "duration_ms": 12.5, "response": None,
}  # fmt: skip
ATTEMPT = {
    "attempt_id": 4711, "message_id": "msg_5d41402abc4b2a76b9719d911017c592", "event_type": "insight.updated",
    "insight_id": "ins_ebjmx4jl62vs3kjd3liv4xnezg", "insight_version": 7, "attempt": 1, "at": MOMENT_EXAMPLE,
    "status_code": 503, "error": "answered 503", "duration_ms": 12.5, "response": "try later", "message_status": "pending",
    "next_attempt_at": MOMENT_EXAMPLE,
}  # fmt: skip
CHECKED = {
    "use_case": "attendance",
    "name": "coverage",
    "passed": True,
    "n": 212,
    "needed": 50,
    "at": MOMENT_EXAMPLE,
    "observed": "81.6% of 212 outcomes inside the intervals of version 12 that promise 80%",
}
KEY = {"kty": "EC", "crv": "P-256", "kid": "sk_1f2e3d4c5b6a7988", "use": "sig", "alg": "ES256", "x": "…", "y": "…"}
CONNECTED = {
    "connection_id": "pretix", "platform": "pretix", "status": "active", "status_reason": None,
    "last_synced_at": MOMENT_EXAMPLE,
}  # fmt: skip
HOST_DATABASE = {
    "name": "forecasts", "address": "postgresql://integrator:***@db.example.com/shop", "tls": "verify",
    "table": "forecasts", "status": "active", "status_reason": None, "behind": False, "rows_written": 212,
    "last_error": None, "last_synced_at": MOMENT_EXAMPLE,
}  # fmt: skip
PRICE_RULE = {
    "platform": None, "product": "tea", "tier": None, "floor": "95.00", "ceiling": None, "max_change": "0.05",
    "currency": "EUR",
}  # fmt: skip
PRICE_RULE_FIELDS: dict[str, Schema] = {name: maybe(TEXT) for name in PRICE_RULE}

SCHEMAS: dict[str, Schema] = {
    "Problem": thing(
        PROBLEM, "type title status detail", type={"type": "string", "format": "uri"}, title=TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599}, detail=TEXT, instance=TEXT, field=TEXT,
        errors=many(thing(None, field=TEXT, reason=TEXT)),
    ),
    "PriceRule": thing(PRICE_RULE, **PRICE_RULE_FIELDS),
    "PriceRules": thing({"price_rules": [PRICE_RULE]}, price_rules=many(ref("PriceRule"))),
    "OAuthError": thing(
        {"error": "invalid_client", "error_description": "the client is unknown"}, error=TEXT, error_description=TEXT
    ),
    "Token": thing(TOKEN, access_token=TEXT, token_type={"const": "Bearer"}, expires_in=COUNT, scope=TEXT),
    "WidgetToken": thing(
        {"token": "eyJhbGciOiJFUzI1NiIs…", "token_type": "Bearer", "expires_in": 300},
        token=TEXT, token_type={"const": "Bearer"}, expires_in=COUNT,
    ),
    "Introspection": thing(
        {"active": True, "client_id": "icl_1f2e", "scope": "insights:read"}, "active", active=FLAG, client_id=TEXT,
        sub=TEXT, partner=TEXT, scope=TEXT, token_type=TEXT, iss=TEXT, aud=TEXT, jti=TEXT, exp=COUNT,
        cnf=thing({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
    ),
    "Jwks": thing({"keys": [KEY]}, keys=many(thing(None, kty=TEXT, kid=TEXT, alg=TEXT))),
    "Metadata": thing(
        {"issuer": "https://api.example", "token_endpoint": "https://api.example/oauth/token"}, issuer=TEXT,
        token_endpoint=TEXT, jwks_uri=TEXT, grant_types_supported=many(TEXT), scopes_supported=many(TEXT),
    ),
    "Pushed": thing(
        PUSHED, accepted=COUNT, unchanged=COUNT, quarantined=COUNT,
        errors=many(thing(None, "line reason", line={"type": "integer"}, field=maybe(TEXT), value={}, reason=TEXT)),
    ),
    "FeedbackTaken": thing(
        FED_BACK, accepted=COUNT, unchanged=COUNT,
        errors=many(thing(None, index=COUNT, field=maybe(TEXT), value=maybe(TEXT), reason=TEXT)),
    ),
    "Quarantined": thing(
        WAITING, "quarantine_id platform kind reason quarantined_at", quarantine_id=COUNT, platform=TEXT, kind=TEXT,
        native_id=maybe(TEXT), line=maybe({"type": "integer"}), field=maybe(TEXT), reason=TEXT, quarantined_at=MOMENT,
        replayed_at=maybe(MOMENT), payload=TEXT,
    ),
    "QuarantinePage": thing(
        {"quarantine": [WAITING], "next": None}, quarantine=many(ref("Quarantined")), next=maybe(COUNT)
    ),
    "InsightEntry": thing(
        None, published_seq=COUNT, checked_at=MOMENT, stale_after=MOMENT, stale=FLAG, document=ref("Insight")
    ),
    "InsightPage": thing(
        {"insights": [], "last": 0, "next": None}, insights=many(ref("InsightEntry")),
        last={"type": "integer"}, next=maybe({"type": "integer"}),
    ),
    "InsightHistory": thing(None, versions=many(ref("InsightEntry"))),
    "Readiness": thing(
        {"readiness": [{"use_case": "attendance", "rung": "rule", "at": MOMENT_EXAMPLE,
                        "requirements": [{"name": "history_days", "unit": "days of attendance history", "have": 12,
                                          "need": 42, "days_left": 30}],
                        "pooled": {"state": "consent_missing", "reason": "Pooling needs your consent: …"}}]},
        readiness=many(thing(
            None, "use_case rung at", use_case=USE_CASE, rung={"type": "string", "enum": list(get_args(RungReached))},
            at=MOMENT, requirements=many(thing(
                None, "name have need", name=TEXT, unit=TEXT, have={"type": "integer"}, need={"type": "integer"},
                days_left=maybe({"type": "integer"}),
            )),
            pooled=maybe(thing(None, state={"type": "string", "enum": list(get_args(PooledState))}, reason=TEXT)),
        )),
    ),
    "Quality": thing(
        {"results": [], "quarantine": [], "connections": [], "models": {"checks": [CHECKED], "realized": [], "drift": []}},
        results=many({"type": "object"}), quarantine=many({"type": "object"}), connections=many({"type": "object"}),
        models=thing(None, checks=many(ref("ModelCheck")), realized=many(ref("Realized")), drift=many(ref("Drift"))),
    ),
    "ModelCheck": thing(
        CHECKED, use_case=USE_CASE, name=TEXT, passed=maybe(FLAG), observed=TEXT, n=COUNT, needed=COUNT, at=MOMENT
    ),
    "Realized": thing(
        None, "use_case subject_kind role model_name model_version window_days prediction_count outcome_count at",
        use_case=USE_CASE, subject_kind=TEXT, role={"enum": ["champion", "challenger"]}, model_name=TEXT,
        model_version=TEXT, window_days=COUNT, prediction_count=COUNT, outcome_count=COUNT, pending_count=COUNT,
        mae=maybe(NUMBER), mae_ratio=maybe(NUMBER), bias=maybe(NUMBER), coverage=maybe(NUMBER), lift=maybe(NUMBER),
        calibration_error=maybe(NUMBER), auc=maybe(NUMBER), reliability=many({"type": "object"}), at=MOMENT,
    ),
    "Drift": thing(
        None, "use_case feature about statistic drifted n_reference n_current at", use_case=USE_CASE, feature=TEXT,
        about={"enum": ["feature", "prediction"]}, statistic=TEXT, value=maybe(NUMBER), p_value=maybe(NUMBER),
        threshold=NUMBER, drifted=maybe(FLAG), n_reference=COUNT, n_current=COUNT, reason=maybe(TEXT), at=MOMENT,
    ),
    "Health": thing(
        {"status": "ok"}, "status", status=TEXT, postgres=FLAG, redis=FLAG,
        refused_models=many(thing(None, use_case=USE_CASE, version=TEXT)),
    ),
    "Connection": thing(CONNECTED, connection_id=TEXT, platform=TEXT, status=TEXT, last_synced_at=maybe(MOMENT)),
    "HostDatabase": thing(
        HOST_DATABASE, name=TEXT, address=TEXT, tls=TEXT, table=TEXT, status=TEXT, status_reason=maybe(TEXT), behind=FLAG,
        rows_written=COUNT, last_error=maybe(TEXT), last_synced_at=maybe(MOMENT),
    ),
    "HostDatabases": thing({"host_databases": [HOST_DATABASE]}, host_databases=many(ref("HostDatabase"))),
    "Webhook": thing(WEBHOOK, "endpoint_id url status", **WEBHOOK_FIELDS),
    "NewWebhookMade": thing(
        {**WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "endpoint_id url status", **WEBHOOK_FIELDS,
        secret=TEXT,
    ),
    "Webhooks": thing({"webhooks": [WEBHOOK]}, webhooks=many(ref("Webhook"))),
    "WebhookTested": thing(
        TESTED, endpoint_id=TEXT, message_id=TEXT, delivered=FLAG, status_code=maybe(COUNT), error=maybe(TEXT),
        duration_ms=NUMBER, response=maybe(TEXT),
    ),
    "WebhookRotated": thing(
        {"endpoint_id": "we_0f3c5a7e9b1d2f4a6c8e", "secret": "whsec_…", "former_until": MOMENT_EXAMPLE},
        endpoint_id=TEXT, secret=TEXT, former_until=MOMENT,
    ),
    "WebhookReplayed": thing(
        {"endpoint_id": "we_0f3c5a7e9b1d2f4a6c8e", "messages": 12}, endpoint_id=TEXT, messages=COUNT
    ),
    "WebhookAttempts": thing(
        {"attempts": [ATTEMPT], "next": None},
        attempts=many(thing(None, "attempt_id message_id event_type attempt at message_status")), next=maybe(COUNT),
    ),
    "Connections": thing({"connections": [CONNECTED]}, connections=many(ref("Connection"))),
    "TokenRequest": thing(
        {"grant_type": "client_credentials", "scope": "insights:read"}, "grant_type",
        grant_type={"const": "client_credentials"}, scope=TEXT, client_id=TEXT, client_secret=TEXT,
        client_assertion_type=TEXT, client_assertion=TEXT,
    ),
    "TokenQuestion": thing(
        {"token": "eyJhbGciOiJFUzI1NiIs…"}, "token", token={"type": "string", "minLength": 1}, token_type_hint=TEXT,
        client_id=TEXT, client_secret=TEXT, client_assertion_type=TEXT, client_assertion=TEXT,
    ),
}  # fmt: skip
