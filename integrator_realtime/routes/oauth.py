"""OAuth 2.0: client credentials (RFC 6749 §4.4), revocation (RFC 7009), keys (RFC 7517), metadata (RFC 8414)."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import InvalidInput, Unauthorized, Unavailable
from integrator.security.clients import authenticate
from integrator.security.scopes import SCOPES
from integrator.storage import logs
from integrator.storage.clients import Client
from integrator_realtime.gateway import Gateway

LARGEST_BODY = 16_384
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """One of RFC 6749 §5.2's errors."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status

    def answer(self) -> JSONResponse:
        """As that section says."""
        headers = dict(NO_STORE)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="integrator"'
        return JSONResponse({"error": self.error, "error_description": self.description}, self.status, headers)


def router(gateway: Gateway) -> APIRouter:
    """`/oauth` and the two well-known documents."""
    routes = APIRouter(tags=["oauth"])

    @routes.post("/oauth/token")
    async def token(request: Request) -> JSONResponse:
        """A bearer token for a client's own id and secret, in the `Authorization` header or in the form."""
        try:
            form = await _form(request)
            client = await run_in_threadpool(_client, gateway, request, form)
            return _issue(gateway, client, form)
        except OAuthError as error:
            return error.answer()

    @routes.post("/oauth/revoke")
    async def revoke(request: Request) -> JSONResponse:
        """Take one of the client's own tokens out of force, from the next request on."""
        try:
            form = await _form(request)
            client = await run_in_threadpool(_client, gateway, request, form)
            if "token" not in form:
                raise OAuthError("invalid_request", "the parameter token is missing")
            await run_in_threadpool(_revoke, gateway, client, form["token"])
            return JSONResponse({}, headers=NO_STORE)
        except OAuthError as error:
            return error.answer()

    @routes.get("/.well-known/jwks.json")
    async def jwks() -> JSONResponse:
        """The public keys that verify our tokens."""
        ring = await run_in_threadpool(gateway.issuer.ring)
        return JSONResponse(ring.jwks(), headers={"Cache-Control": "public, max-age=60"})

    @routes.get("/.well-known/oauth-authorization-server")
    async def metadata() -> JSONResponse:
        """What this authorization server can do."""
        return JSONResponse(_metadata(gateway.issuer.issuer))

    return routes


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", f"content type {kind!r}; allowed: application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise OAuthError("invalid_request", f"the body is larger than {LARGEST_BODY} bytes", 413)
    try:
        fields = parse_qs(body.decode(), keep_blank_values=False, max_num_fields=20)
    except ValueError as error:
        raise OAuthError("invalid_request", "the body is not a form") from error
    repeated = [name for name, values in fields.items() if len(values) > 1]
    if repeated:
        raise OAuthError("invalid_request", f"repeated: {', '.join(sorted(repeated))}")
    return {name: values[0] for name, values in fields.items()}


def _client(gateway: Gateway, request: Request, form: dict[str, str]) -> Client:
    header = request.headers.get("authorization")
    if header is not None and "client_secret" in form:
        raise OAuthError("invalid_request", "say who you are in the header or in the form, not in both")
    if header is not None:
        client_id, secret = _basic(header)
    else:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    try:
        return authenticate(gateway.services.database, client_id, secret, gateway.services.clock())
    except Unauthorized as error:
        raise OAuthError("invalid_client", str(error), 401) from error


def _basic(header: str) -> tuple[str, str]:
    kind, _, encoded = header.partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError(kind)
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error) as error:
        raise OAuthError("invalid_client", "the Authorization header is not Basic", 401) from error
    return unquote_plus(client_id), unquote_plus(secret)


def _issue(gateway: Gateway, client: Client, form: dict[str, str]) -> JSONResponse:
    grant = form.get("grant_type")
    if grant is None:
        raise OAuthError("invalid_request", "the parameter grant_type is missing; allowed: client_credentials")
    if grant != "client_credentials":
        raise OAuthError("unsupported_grant_type", f"grant_type {grant!r}; allowed: client_credentials")
    wanted = tuple(form["scope"].split()) if "scope" in form else client.scopes
    try:
        token = gateway.issuer.issue(client, wanted)
    except InvalidInput as error:
        raise OAuthError("invalid_scope", str(error)) from error
    seconds = int(gateway.issuer.lifetime.total_seconds())
    body = {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": " ".join(wanted)}
    return JSONResponse(body, headers=NO_STORE)


def _revoke(gateway: Gateway, client: Client, token: str) -> None:
    """Written down first, so that it holds without Redis too; a token that is not in force needs nothing."""
    try:
        access = gateway.issuer.verify(token)
    except Unauthorized:
        return
    if access.client_id != client.client_id:
        raise OAuthError("invalid_request", "the token was issued to another client")
    services, now = gateway.services, gateway.services.clock()
    with services.database.partner(access.partner) as connection:
        logs.event(connection, access.partner, "token.revoked", now, {"jti": access.jti, "client_id": client.client_id})
    try:
        services.cache.deny(access.jti, int((access.expires_at - now).total_seconds()) + 1)
    except Unavailable as error:
        description = "try again: the revocation is not in force everywhere"
        raise OAuthError("temporarily_unavailable", description, 503) from error


def _metadata(issuer: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": list(SCOPES),
    }
