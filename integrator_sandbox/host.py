"""A host, as a partner would run one: a page that shows insights, and a backend that gets tokens for it.

The page holds one script tag and `<integrator-insight>` elements. The backend alone knows the client's secret; it asks the
realtime API for a widget token in the name of the page's origin, for the one insight an element shows.
"""

import os
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import requests
from fastapi import APIRouter, Request, Response

from integrator_sandbox.webhooks import NAME

SECONDS = 10
SHOWN, LISTED = 3, 200
API = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
USE_CASES = ("attendance", "pricing", "lead_score")
STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 64rem; }
body { background: light-dark(#f6f8fa, #0d1117); color: light-dark(#1b1f24, #e6edf3); }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
h1 { font-size: 1.25rem; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/host/style.css">
<script src="{api}/v1/widget.js" defer></script>
</head>
<body>
<h1>{title}</h1>
<main>
{elements}
</main>
</body>
</html>
"""


class Account(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the realtime API is, and the client that the backend speaks as (scopes `insights:read widgets:issue`)."""

    api: str
    client_id: str
    client_secret: str


@dataclass
class Host:
    """One partner's backend: it keeps its account in a file, and its access token until that is refused."""

    path: Path
    token: str | None = None
    account: Account | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.account = msgspec.json.decode(self.path.read_bytes(), type=Account)

    def keep(self, account: Account) -> None:
        """Remember an account, for nobody else to read."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(account))
        self.account, self.token = account, None

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        """The realtime API's answer; a token that has ended is renewed once."""
        assert self.account is not None
        answer = self._ask(method, path, **how)
        if answer.status_code == 401:
            self.token = None
            answer = self._ask(method, path, **how)
        return answer

    def _ask(self, method: str, path: str, **how: Any) -> requests.Response:
        account = self.account
        assert account is not None
        if self.token is None:
            login, form = (account.client_id, account.client_secret), {"grant_type": "client_credentials"}
            answer = requests.post(f"{account.api}/oauth/token", data=form, auth=login, timeout=SECONDS)
            if answer.status_code != 200:
                return answer
            self.token = str(answer.json()["access_token"])
        headers = {"Authorization": f"Bearer {self.token}"}
        return requests.request(method, account.api + path, headers=headers, timeout=SECONDS, **how)


class Hosts:
    """The hosts there are, by partner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Host] = {}

    def of(self, partner: str) -> Host:
        """A partner's host; one that was registered before the process began finds its file."""
        if partner not in self.known:
            self.known[partner] = Host(self.folder / f"{partner}.json")
        return self.known[partner]

    def ready(self, partner: str) -> Host | None:
        """A host that was registered."""
        host = self.of(partner) if NAME.fullmatch(partner) else None
        return host if host is not None and host.account is not None else None


def router(folder: Path) -> APIRouter:
    """`/host/{partner}`, its token address, and `/_sandbox/hosts/{partner}` to register it; accounts lie in `folder`."""
    routes, hosts = APIRouter(), Hosts(folder)
    _registration(routes, hosts)
    _pages(routes, hosts)
    return routes


def _registration(routes: APIRouter, hosts: Hosts) -> None:
    @routes.put("/_sandbox/hosts/{partner}")
    async def register(partner: str, request: Request) -> Response:
        try:
            account = msgspec.json.decode(await request.body(), type=Account)
        except msgspec.DecodeError as error:
            return _json({"error": str(error)}, 422)
        if not NAME.fullmatch(partner) or not API.fullmatch(account.api):
            return _json({"error": f"the partner is {NAME.pattern}, the api {API.pattern}"}, 422)
        hosts.of(partner).keep(account)
        return Response(status_code=204)

    @routes.get("/_sandbox/hosts/{partner}")
    def registered(partner: str) -> Response:
        host = hosts.ready(partner)
        if host is None or host.account is None:
            return _json({"error": "no such host"}, 404)
        return _json({"partner": partner, "api": host.account.api, "client_id": host.account.client_id})


def _pages(routes: APIRouter, hosts: Hosts) -> None:
    @routes.get("/host/style.css")
    def style() -> Response:
        return Response(STYLE, media_type="text/css")

    @routes.get("/host/{partner}")
    def page(partner: str, use_case: str | None = None, subject: str | None = None, lang: str = "en") -> Response:
        host = hosts.ready(partner)
        if host is None or host.account is None:
            return Response("This host is not set up.", 404, media_type="text/plain")
        shown = [{"use-case": use_case, "subject": subject}] if use_case and subject else _some(host)
        elements = "\n".join(_element(partner, one, lang) for one in shown) or "<p>There are no insights yet.</p>"
        api = host.account.api
        text = PAGE.format(title=escape(f"{partner} at work"), api=escape(api), elements=elements)
        policy = f"default-src 'none'; style-src 'self'; script-src {api}; connect-src 'self' {api}; base-uri 'none'"
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})

    @routes.post("/host/{partner}/token")
    def token(partner: str, wanted: dict[str, Any], request: Request) -> Response:
        """A real host looks at its user's session here, and at what that user may see."""
        host = hosts.ready(partner)
        origin = f"{request.url.scheme}://{request.url.netloc}"
        if host is None:
            return _json({"detail": "this host is not set up"}, 404)
        if request.headers.get("origin") != origin:
            return _json({"detail": "tokens are for this host's own pages"}, 403)
        body = {"use_cases": [wanted.get("use_case")], "subjects": [wanted.get("subject")], "origin": origin}
        answer = host.ask("POST", "/v1/widget-tokens", json=body)
        headers = {"Cache-Control": "no-store"}
        return Response(answer.content, answer.status_code, media_type="application/json", headers=headers)


def _some(host: Host) -> list[dict[str, str]]:
    """A few insights of each use case, as the backend may list them."""
    found = []
    for use_case in USE_CASES:
        answer = host.ask("GET", "/v1/insights", params={"use_case": use_case, "limit": LISTED})
        entries = answer.json()["insights"] if answer.status_code == 200 else []
        standing = [entry["document"] for entry in entries if entry["document"]["status"] != "withdrawn"]
        for document in standing[-SHOWN:]:
            subject = document["subject"]
            one = {"subject": subject["id"], "platform": subject["platform"], "kind": subject["kind"]}
            found.append({"use-case": use_case, **one})
    return found


def _element(partner: str, shown: dict[str, str], lang: str) -> str:
    values = {**shown, "lang": lang, "token-url": f"/host/{partner}/token"}
    attributes = " ".join(f'{name}="{escape(value)}"' for name, value in values.items())
    return f"<integrator-insight {attributes}></integrator-insight>"


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
