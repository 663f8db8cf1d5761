"""Letting clients into the Salesforce stand-in: three grants of OAuth 2.0, tokens that expire or turn."""

import time
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request, Response

from integrator_sandbox.consent import Consent
from integrator_sandbox.demo import SALESFORCE_CLIENT
from integrator_sandbox.state import Sandbox

Form = Mapping[str, str]
Refusal = dict[str, str]


class Login:
    """Tokens given out, the page that lets people in, and the refresh tokens that are good now.

    With ``rotates`` every use of a refresh token gives another one and ends it.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        """Nobody is in yet."""
        self.sandbox = sandbox
        self.rotates = False
        self.tokens: dict[str, float] = {}
        self.consent = Consent("Salesforce", SALESFORCE_CLIENT["client_id"], SALESFORCE_CLIENT["client_secret"])
        self.refresh: set[str] = {"sandbox-refresh"}

    def admits(self, token: str) -> bool:
        """Whether a token is good now."""
        return self.tokens.get(token, 0.0) > time.monotonic()

    def expire(self) -> None:
        """Every token is worth nothing from now on."""
        self.tokens = dict.fromkeys(self.tokens, 0.0)

    def reset(self) -> None:
        """As at the beginning."""
        self.rotates, self.refresh = False, {"sandbox-refresh"}

    def mount(self, routes: APIRouter) -> None:
        """The authorize page and the token endpoint."""

        self.consent.mount(routes, "/services/oauth2/authorize")

        @routes.post("/services/oauth2/token")
        async def token(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            refused, given = self._judge(form)
            if refused is not None:
                return _json(refused, 400)
            fresh = f"00D000000000001!{uuid.uuid4().hex}"
            self.tokens[fresh] = time.monotonic() + self.sandbox.token_seconds
            base = str(request.base_url).rstrip("/")
            body = {
                "access_token": fresh, "instance_url": f"{base}/salesforce", "token_type": "Bearer", "scope": "api",
                "id": f"{base}/id/00D000000000001EAA/005000000000001AAA", "issued_at": str(round(time.time() * 1000)),
            }  # fmt: skip
            return _json({**body, **given})

    def _judge(self, form: Form) -> tuple[Refusal | None, Form]:
        """The refusal, or None and what the token answer holds besides."""
        if any(form.get(name) != value for name, value in SALESFORCE_CLIENT.items()):
            return {"error": "invalid_client", "error_description": "invalid client credentials"}, {}
        grant = form.get("grant_type")
        if grant == "client_credentials":
            return None, {}
        if grant == "refresh_token":
            return self._refreshed(form.get("refresh_token", ""))
        if grant == "authorization_code":
            if (why := self.consent.refused(form)) is not None:
                return {"error": why, "error_description": "expired authorization code"}, {}
            return None, {"refresh_token": self._another()}
        return {"error": "unsupported_grant_type", "error_description": "grant type not supported"}, {}

    def _refreshed(self, old: str) -> tuple[Refusal | None, Form]:
        if old not in self.refresh:
            return {"error": "invalid_grant", "error_description": "expired access/refresh token"}, {}
        if not self.rotates:
            return None, {}
        self.refresh.discard(old)
        return None, {"refresh_token": self._another()}

    def _another(self) -> str:
        fresh = f"refresh-{uuid.uuid4().hex}"
        self.refresh.add(fresh)
        return fresh


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
