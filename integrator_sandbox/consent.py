"""The page at which an administrator lets an app in, and the codes it hands out: once each, for a minute, with PKCE."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

CODE_SECONDS = 60.0


@dataclass(frozen=True)
class Code:
    """What a code was given for."""

    redirect_uri: str
    challenge: str | None
    until: float


@dataclass
class Consent:
    """One platform's app: its client, and the codes that are out."""

    title: str
    client_id: str
    client_secret: str
    codes: dict[str, Code] = field(default_factory=dict)

    def mount(self, routes: APIRouter, path: str) -> None:
        """Serve the page there."""
        routes.add_api_route(path, self.page, methods=["GET"])

    def page(self, request: Request) -> Response:
        """Ask; with ``consent=yes`` or ``consent=no`` go back to the app."""
        query = dict(request.query_params)
        redirect = query.get("redirect_uri", "")
        if query.get("client_id") != self.client_id or urlsplit(redirect).scheme not in ("http", "https"):
            return HTMLResponse("<p>unknown client or redirect", 400)
        challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
        if query.get("response_type", "code") != "code" or (challenge and method != "S256"):
            return _back(redirect, query, error="invalid_request")
        consent = query.get("consent")
        if consent == "no":
            return _back(redirect, query, error="access_denied")
        if consent == "yes":
            code = secrets.token_urlsafe(16)
            self.codes[code] = Code(redirect, challenge, time.monotonic() + CODE_SECONDS)
            return _back(redirect, query, code=code)
        scopes = escape(query.get("scope", "everything"))
        links = [
            f'<a id="{answer}" href="{escape(str(request.url.include_query_params(consent=answer)))}">{answer}</a>'
            for answer in ("yes", "no")
        ]
        return HTMLResponse(f"<h1>{escape(self.title)}</h1><p>Let the app read {scopes}? {' '.join(links)}")

    def refused(self, form: Mapping[str, str]) -> str | None:
        """Why a token request is refused, None when its code is good; the code is used up either way."""
        code = self.codes.pop(form.get("code", ""), None)
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            return "invalid_client"
        if code is None or code.until < time.monotonic() or form.get("redirect_uri") != code.redirect_uri:
            return "invalid_grant"
        verifier = form.get("code_verifier", "")
        answer = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        return "invalid_grant" if code.challenge is not None and answer != code.challenge else None


def _back(redirect: str, query: Mapping[str, str], **answer: str) -> Response:
    state = {"state": query["state"]} if "state" in query else {}
    return RedirectResponse(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer | state)}", 302)
