"""OAuth 2.0: client credentials (RFC 6749 §4.4), introspection (RFC 7662), revocation (RFC 7009), keys (RFC 7517) and
metadata (RFC 8414).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import InvalidInput, Unauthorized, Unavailable
from integrator.security.api_keys import is_api_key
from integrator.security.assertions import ALGORITHMS
from integrator.security.certificates import thumbprint
from integrator.security.scopes import SCOPES
from integrator.security.tokens import AUDIENCE, Access
from integrator.storage import logs
from integrator.storage.clients import Client
from integrator_realtime.gateway import Gateway
from integrator_realtime.logins import NO_STORE, OAuthError, client_of, form_of


@dataclass(frozen=True, slots=True)
class Login:
    """A client that proved who it is, and the certificate that tokens of it are bound to, if any."""

    gateway: Gateway
    client: Client
    certificate: str | None


Act = Callable[[Login, dict[str, str]], dict[str, Any]]


def router(gateway: Gateway) -> APIRouter:
    """`/oauth` and the two well-known documents."""
    routes = APIRouter(tags=["oauth"])

    @routes.post("/oauth/token")
    async def token(request: Request) -> JSONResponse:
        """A bearer token for a client: by its secret (header or form), a signed assertion, or its certificate."""
        return await _answered(gateway, request, _issue)

    @routes.post("/oauth/introspect")
    async def introspect(request: Request) -> JSONResponse:
        """Whether one of the own partner's tokens or API keys is in force, and what it allows."""
        return await _answered(gateway, request, _introspect)

    @routes.post("/oauth/revoke")
    async def revoke(request: Request) -> JSONResponse:
        """Take one of the client's own tokens out of force, from the next request on."""
        return await _answered(gateway, request, _revoke)

    @routes.get("/.well-known/jwks.json")
    async def jwks() -> JSONResponse:
        """The public keys that verify our tokens."""
        ring = await run_in_threadpool(gateway.issuer.ring)
        return JSONResponse(ring.jwks(), headers={"Cache-Control": "public, max-age=60"})

    @routes.get("/.well-known/oauth-authorization-server")
    async def metadata() -> JSONResponse:
        """What this authorization server can do."""
        return JSONResponse(_metadata(gateway))

    return routes


async def _answered(gateway: Gateway, request: Request, act: Act) -> JSONResponse:
    """Read the form, find out who asks, do it outside the event loop."""
    try:
        form = await form_of(request)
        client = await client_of(gateway, request, form)
        shown = gateway.certificates.of(request) if client.method == "tls_client_auth" else None
        login = Login(gateway, client, thumbprint(shown) if shown is not None else None)
        return JSONResponse(await run_in_threadpool(act, login, form), headers=NO_STORE)
    except OAuthError as error:
        return error.answer()


def _issue(login: Login, form: dict[str, str]) -> dict[str, Any]:
    client, issuer = login.client, login.gateway.issuer
    grant = form.get("grant_type")
    if grant is None:
        raise OAuthError("invalid_request", "the parameter grant_type is missing; allowed: client_credentials")
    if grant != "client_credentials":
        raise OAuthError("unsupported_grant_type", f"grant_type {grant!r}; allowed: client_credentials")
    wanted = tuple(dict.fromkeys(form["scope"].split())) if "scope" in form else client.scopes
    try:
        token = issuer.issue(client, wanted, login.certificate)
    except InvalidInput as error:
        raise OAuthError("invalid_scope", str(error)) from error
    left = issuer.verify(token).expires_at - login.gateway.services.clock()
    return {
        "access_token": token, "token_type": "Bearer", "expires_in": round(left.total_seconds()),
        "scope": " ".join(wanted),
    }  # fmt: skip


def _introspect(login: Login, form: dict[str, str]) -> dict[str, Any]:
    """RFC 7662 §2.2; what is not the own partner's is as unknown as rubbish."""
    token, gateway = _token(form), login.gateway
    try:
        access = gateway.keys.verify(token) if is_api_key(token) else gateway.issuer.verify(token)
    except Unauthorized:
        return {"active": False}
    if access.partner != login.client.partner or gateway.denied_in_tables(access):
        return {"active": False}
    facts: dict[str, Any] = {
        "active": True, "client_id": access.client_id, "sub": access.client_id, "partner": access.partner,
        "scope": " ".join(scope for scope in SCOPES if scope in access.scopes),
    }  # fmt: skip
    return facts if is_api_key(token) else {**facts, **_of_token(gateway, access)}


def _of_token(gateway: Gateway, access: Access) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "token_type": "Bearer", "iss": gateway.issuer.issuer, "aud": AUDIENCE, "jti": access.jti,
        "exp": int(access.expires_at.timestamp()),
    }  # fmt: skip
    return facts if access.certificate is None else {**facts, "cnf": {"x5t#S256": access.certificate}}


def _revoke(login: Login, form: dict[str, str]) -> dict[str, Any]:
    """Written down first, so that it holds without Redis too; a token that is not in force needs nothing."""
    token, client, gateway = _token(form), login.client, login.gateway
    if is_api_key(token):
        raise OAuthError("unsupported_token_type", "API keys are revoked with: integrator clients revoke")
    try:
        access = gateway.issuer.verify(token)
    except Unauthorized:
        return {}
    if access.client_id != client.client_id:
        raise OAuthError("invalid_request", "the token was issued to another client")
    services, now = gateway.services, gateway.services.clock()
    with services.database.partner(access.partner) as connection:
        logs.event(connection, access.partner, "token.revoked", now, {"jti": access.jti, "client_id": client.client_id})
    try:
        services.cache.deny(access.jti, int((access.expires_at - now).total_seconds()) + 1)
    except Unavailable as error:
        description = "try again: the revocation is not in force everywhere"
        raise OAuthError("temporarily_unavailable", description, 503, wait=1) from error
    return {}


def _token(form: dict[str, str]) -> str:
    if "token" not in form:
        raise OAuthError("invalid_request", "the parameter token is missing")
    return form["token"]


def _metadata(gateway: Gateway) -> dict[str, Any]:
    issuer = gateway.issuer.issuer
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    if gateway.certificates.possible:
        methods.append("tls_client_auth")
    found: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(SCOPES),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "tls_client_certificate_bound_access_tokens": gateway.certificates.possible,
    }
    for name in ("token", "revocation", "introspection"):
        found[f"{name}_endpoint_auth_methods_supported"] = methods
        found[f"{name}_endpoint_auth_signing_alg_values_supported"] = list(ALGORITHMS)
    return {
        **found,
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
    }
