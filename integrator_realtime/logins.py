"""How a client says who it is at the OAuth endpoints: secret in the header or the form, signed assertion, certificate."""

import base64
import binascii
from math import ceil
from urllib.parse import parse_qs, unquote_plus

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from integrator.contracts.errors import Unauthorized
from integrator.security import assertions, certificates, clients
from integrator.storage.clients import Client
from integrator_realtime.gateway import Gateway

LARGEST_BODY = 16_384
FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_WAYS = ("client_secret", "client_assertion")


class OAuthError(Exception):
    """One of RFC 6749 §5.2's errors."""

    def __init__(self, error: str, description: str, status: int = 400, *, wait: float = 0) -> None:
        super().__init__(description)
        self.error, self.description, self.status, self.wait = error, description, status, wait

    def answer(self) -> JSONResponse:
        """As that section says."""
        headers = dict(NO_STORE)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="integrator"'
        if self.wait:
            headers["Retry-After"] = str(max(1, ceil(self.wait)))
        return JSONResponse({"error": self.error, "error_description": _plain(self.description)}, self.status, headers)


async def form_of(request: Request) -> dict[str, str]:
    """The body's fields, each at most once; `OAuthError` for anything but a small form."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"content type {kind!r}; allowed: {FORM}")
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


async def client_of(gateway: Gateway, request: Request, form: dict[str, str]) -> Client:
    """Who asks; `OAuthError` with 401, or with 429 when this client id failed too often from here."""
    header = request.headers.get("authorization")
    if sum([header is not None, *(way in form for way in _WAYS)]) > 1:
        raise OAuthError("invalid_request", "say who you are in one way: in the header or in the form, not in both")
    client_id, secret = _basic(header) if header is not None else (_claimed(form), form.get(_WAYS[0], ""))
    wait = await gateway.failures(request, client_id, charge=False)
    if wait:
        gateway.metrics.add("integrator_rate_limited_total", budget="failures")
        raise OAuthError("temporarily_unavailable", "too many failed attempts of this client", 429, wait=wait)
    try:
        return await run_in_threadpool(_authenticated, gateway, request, form, client_id, secret)
    except Unauthorized as error:
        gateway.metrics.add("integrator_login_failures_total")
        await gateway.failures(request, client_id, charge=True)
        raise OAuthError("invalid_client", str(error), 401) from error


def _authenticated(gateway: Gateway, request: Request, form: dict[str, str], client_id: str, secret: str) -> Client:
    database, now = gateway.services.database, gateway.services.clock()
    if "client_assertion" in form:
        if form.get("client_assertion_type") != assertions.TYPE:
            raise Unauthorized(f"the client_assertion_type is not known; allowed: {assertions.TYPE}")
        audiences = (gateway.issuer.issuer, f"{gateway.issuer.issuer}/oauth/token")
        return assertions.authenticate(database, form["client_assertion"], form.get("client_id"), audiences, now)
    shown = gateway.certificates.of(request)
    if shown is not None and not secret:
        return certificates.authenticate(database, client_id, shown, now)
    return clients.authenticate(database, client_id, secret, now)


def _claimed(form: dict[str, str]) -> str:
    """Whose failed attempts are counted: nothing is proven yet."""
    if "client_assertion" not in form:
        return form.get("client_id", "")
    try:
        return assertions.subject(form["client_assertion"])
    except Unauthorized:
        return ""


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


def _plain(text: str) -> str:
    """The characters RFC 6749 §5.2 allows in a description."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in text)
