"""Speaking to a declared platform: the session with its authentication, and a list answer by answer."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from integrator.contracts.errors import Forbidden, InvalidInput, Unavailable, invalid
from integrator.platforms.base import Account
from integrator.platforms.declarative.definition import (
    HEADER_VALUE,
    RESERVED_SETTINGS,
    SETTING,
    Definition,
    RateLimit,
    Stream,
    climbs,
    load_definition,
)
from integrator.platforms.declarative.functions import amount, is_empty, is_true
from integrator.platforms.http import Session, decoded, token_answer

if TYPE_CHECKING:
    import requests

State = dict[str, Any]
MOST_ANSWERS = 100_000


@dataclass(frozen=True)
class Declared(Account):
    """An account with the definition it is read by, found good together."""

    definition: Definition

    @property
    def base_url(self) -> str:
        """The connection's own address, else the definition's."""
        return str(self.settings.get("base_url") or self.definition.base_url).rstrip("/")

    @property
    def prefix(self) -> str:
        """What stands before native ids."""
        return str(self.settings.get("prefix") or self.definition.name)


def definition_of(settings: Mapping[str, Any], credentials: Mapping[str, str]) -> Definition:
    """The definition a connection holds; raises `InvalidInput` naming what is wrong in it, or lacking beside it."""
    text = settings.get("definition")
    if not isinstance(text, str) or not text.strip():
        raise invalid("declarative setting definition", text, "the text of a definition")
    definition = _definition(text)
    require(definition, settings, credentials)
    return definition


def declared_of(account: Account) -> Declared:
    """The account with its definition; raises as `definition_of`."""
    return declared(account, definition_of(account.settings, account.credentials))


def declared(account: Account, definition: Definition) -> Declared:
    """The account with a definition that stands elsewhere than in its settings."""
    return Declared(account.settings, account.credentials, account.clock, account.http, definition)


@lru_cache(maxsize=32)
def _definition(text: str) -> Definition:
    return load_definition(text, name="definition")


@dataclass(frozen=True)
class Answer:
    """One answer of a list: its rows, the whole body, and the state that asks for what follows; None at the end."""

    rows: list[Any]
    body: Any
    next: State | None
    http: "requests.Response"


def session_for(account: Declared) -> Session:
    """A session that signs its requests as the definition says; OAuth tokens when first needed, and again on a 401."""
    definition, held = account.definition, dict(account.credentials)
    fixed = dict(definition.headers)
    kind = definition.authentication.type
    pace = _pace(definition.rate_limit)
    if kind in ("client_credentials", "refresh_token"):

        def refresh(_: Session) -> dict[str, str]:
            return {"Authorization": f"Bearer {_token(account, held)}"}

        return Session(definition.name, account.base_url, fixed, account.http, refresh, pace=pace)
    return Session(definition.name, account.base_url, fixed | _signed(account), account.http, pace=pace)


def walk(
    account: Declared, session: Session, stream: Stream, params: Mapping[str, Any], state: State | None = None
) -> Iterator[Answer]:
    """The answers of a list from ``state`` on; a platform that asks for the same again is refused."""
    for _ in range(MOST_ANSWERS):
        answer = ask(account, session, stream, params, state)
        yield answer
        if answer.next is None:
            return
        if answer.next == state:
            raise InvalidInput(f"{account.definition.name}: {stream.name}: the paging comes back to where it was")
        state = answer.next
    raise InvalidInput(f"{account.definition.name}: {stream.name}: more than {MOST_ANSWERS} answers to one list")


def ask(
    account: Declared, session: Session, stream: Stream, params: Mapping[str, Any], state: State | None = None
) -> Answer:
    """One answer; `Unavailable` when it holds no list where the definition says."""
    sent = request(account, session, stream, params, state)
    body = decoded(account.definition.name, sent)
    rows = rows_of(account, stream, body)
    return Answer(rows, body, _next(account, stream, rows, body, sent, state), sent)


def request(
    account: Declared, session: Session, stream: Stream, params: Mapping[str, Any], state: State | None = None
) -> "requests.Response":
    """Ask for a page of a list."""
    secret = _secret_params(account)
    if state is not None and "next" in state:
        return session.get(state["next"], params=secret)
    paging = stream.paging
    asked: dict[str, Any] = {name: _filled(account, value) for name, value in stream.params.items()} | dict(params)
    if paging.size_param:
        asked[paging.size_param] = paging.size
    if paging.type == "page":
        asked[str(paging.param)] = paging.first if state is None else state["page"]
    elif state is not None:
        asked[str(paging.param)] = state[paging.type]
    return session.get(path_of(account, stream.path), params={**asked, **secret})


def rows_of(account: Declared, stream: Stream, body: Any) -> list[Any]:
    """The rows of an answer; anything without them is transient, as a maintenance page is."""
    rows = stream.records(body)
    if not isinstance(rows, list):
        raise Unavailable(f"{account.definition.name}: {stream.name}: the answer has no list at {stream.records.text}")
    return rows


def path_of(account: Declared, template: str) -> str:
    """A path with the connection's settings in it, each as one segment whatever it holds."""
    path = SETTING.sub(lambda found: quote(str(account.settings[found[1]]), safe=""), template)
    if climbs(path):
        raise invalid("path", path, "settings that are no dots")
    return path


def require(definition: Definition, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
    """Raise `InvalidInput` naming the first setting or credential that is missing, unknown or unfit for a header."""
    known = (*RESERVED_SETTINGS, *definition.settings)
    for name, value in settings.items():
        if name not in known:
            raise invalid(f"{definition.name} setting", name, known)
        if not isinstance(value, str) or not value:
            raise invalid(f"{definition.name} setting {name}", value, "a non-empty text")
    for name in definition.settings:
        if name not in settings:
            raise invalid(f"{definition.name} setting {name}", None, "a non-empty text")
    base_url = str(settings.get("base_url", "https://"))
    if not base_url.startswith(("https://", "http://")) or not HEADER_VALUE.fullmatch(base_url):
        raise invalid(f"{definition.name} setting base_url", base_url, "an http(s) address")
    for name in definition.credentials:
        value = credentials.get(name)
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise invalid(f"{definition.name} credential {name}", None, "a non-empty value of printable ASCII")


def _signed(account: Declared) -> dict[str, str]:
    how, secrets = account.definition.authentication, account.credentials
    if how.type == "bearer":
        return {"Authorization": f"Bearer {secrets['token']}"}
    if how.type == "header":
        return {str(how.name): f"{how.before}{secrets['key']}"}
    if how.type == "basic":
        return {"Authorization": _basic(secrets["username"], secrets["password"])}
    return {}


def _basic(name: str, word: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{word}'.encode()).decode()}"


def _secret_params(account: Declared) -> dict[str, str]:
    how = account.definition.authentication
    return {str(how.name): account.credentials["key"]} if how.type == "query" else {}


def _token(account: Declared, held: dict[str, str]) -> str:
    """An access token, by the client alone or by the refresh token in ``held``."""
    name, how = account.definition.name, account.definition.authentication
    form: dict[str, str] = {"grant_type": how.type}
    if how.scopes:
        form["scope"] = " ".join(how.scopes)
    if how.type == "refresh_token":
        form["refresh_token"] = held["refresh_token"]
    headers = {}
    if how.client == "basic":
        headers = {"Authorization": _basic(held["client_id"], held["client_secret"])}
    else:
        form |= {key: held[key] for key in ("client_id", "client_secret")}
    asked = Session(name, account.base_url, {}, account.http)
    turning = held if how.type == "refresh_token" else {}
    token = str(token_answer(asked, str(how.token_url), form, turning, headers)["access_token"])
    if not HEADER_VALUE.fullmatch(token[:500]) or len(token) > 8_000:
        raise Unavailable(f"{name}: the token answer holds no access_token that fits a header")
    return token


def _pace(limit: RateLimit) -> "Callable[[requests.Response], float | None] | None":
    """Seconds to wait after an answer: to the next slot, or as long as an empty quota says."""
    if limit.requests is None and limit.remaining_header is None:
        return None

    def seconds(answer: "requests.Response") -> float | None:
        wait = 0.0
        if limit.requests is not None:
            wait = limit.seconds / limit.requests - answer.elapsed.total_seconds()
        if limit.remaining_header and _number(answer.headers.get(limit.remaining_header)) == 0:
            wait = max(wait, _number(answer.headers.get(limit.reset_header or "")) or limit.seconds)
        return wait if wait > 0 else None

    return seconds


def _number(text: str | None) -> float | None:
    try:
        found = amount(text)
    except InvalidInput:
        return None
    return None if found is None else float(found)


def _filled(account: Declared, value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return SETTING.sub(lambda found: str(account.settings[found[1]]), value)


def _next(
    account: Declared, stream: Stream, rows: list[Any], body: Any, sent: "requests.Response", state: State | None
) -> State | None:
    paging = stream.paging
    if paging.type == "none" or (stream.more is not None and not is_true(stream.more(body))):
        return None
    if paging.type in ("page", "offset"):
        if not rows or (stream.more is None and len(rows) < paging.size):
            return None
        if paging.type == "page":
            return {"page": (paging.first if state is None else state["page"]) + 1}
        return {"offset": (0 if state is None else state["offset"]) + len(rows)}
    if paging.type == "link_header":
        link = (sent.links.get("next") or {}).get("url")
    else:
        link = stream.next(body) if stream.next is not None else None
    if is_empty(link):
        return None
    if paging.type == "cursor":
        return {"cursor": str(link)[:4_000]}
    return {"next": same_host(account, str(link), sent.request.url or "")}


def same_host(account: Declared, link: str, asked: str) -> str:
    """A next link as a whole address, without our key; one that leads to another host is refused."""
    base = urlsplit(account.base_url)
    try:
        found = urlsplit(urljoin(asked, link))
        same = (found.scheme, found.netloc.lower()) == (base.scheme, base.netloc.lower())
    except ValueError:
        same = False
    if not same or climbs(found.path):
        raise Forbidden(f"{account.definition.name}: a next link leads away from {base.netloc}; allowed: the same host")
    secret = _secret_params(account)
    kept = [(name, value) for name, value in parse_qsl(found.query, keep_blank_values=True) if name not in secret]
    return urlunsplit((found.scheme, found.netloc, found.path, urlencode(kept), ""))
