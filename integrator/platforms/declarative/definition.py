"""What a definition may say: a platform's address, authentication, and its streams with paging and mapping. Pure.

Every key is a field of a struct here, described in the table beside it: the guide is made from both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from integrator.platforms.declarative.document import At, Document, read_document
from integrator.platforms.declarative.expressions import EVERY, Expression
from integrator.platforms.declarative.mapping import RecordMapping, expression_at, mapping_of, structure

NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,500}")
PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%{}-]*)+")
SETTING = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# What decides where a request goes and as whom is not a definition's to set.
OWN_HEADERS = frozenset(
    "authorization connection content-length cookie expect host proxy-authorization te trailer transfer-encoding"
    " upgrade x-forwarded-for x-forwarded-host x-forwarded-proto forwarded".split()
)
RESERVED_SETTINGS = ("definition", "base_url", "prefix")
MOST_STREAMS = 10


class Keys(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A mapping of a definition: its keys are the fields, and no others are taken."""


class Authentication(Keys, frozen=True):
    """How requests are signed; what is secret is a credential of the connection, never of the file."""

    type: Literal["none", "bearer", "header", "query", "basic", "client_credentials", "refresh_token"]
    name: str | None = None
    before: str = ""
    token_url: str | None = None
    scopes: list[str] = []
    client: Literal["body", "basic"] = "body"


class Paging(Keys, frozen=True):
    """How a list goes on after its first answer."""

    type: Literal["none", "page", "offset", "cursor", "next_link", "link_header"]
    param: str | None = None
    next: str | None = None
    more: str | None = None
    first: int = 1
    size: int = 100
    size_param: str | None = None


class Incremental(Keys, frozen=True):
    """How only what has changed is asked for."""

    param: str
    field: str
    format: Literal["rfc3339", "date", "epoch", "epoch_ms"] = "rfc3339"
    before: str = ""
    until_param: str | None = None
    overlap: int = 60
    ordered: bool = False


class RateLimit(Keys, frozen=True):
    """How fast the platform wants to be asked; ``Retry-After`` is honoured in any case."""

    requests: int | None = None
    seconds: float = 1.0
    remaining_header: str | None = None
    reset_header: str | None = None


class StreamKeys(Keys, frozen=True):
    """One list of the platform, and the records it makes."""

    path: str
    record: dict[str, Any]
    params: dict[str, str | int | bool] = {}
    records: str = "$"
    paging: dict[str, Any] | None = None
    incremental: dict[str, Any] | None = None
    total: str | None = None
    every_hours: int = 24


class DefinitionKeys(Keys, frozen=True):
    """The whole file."""

    platform: str
    base_url: str
    authentication: dict[str, Any]
    streams: dict[str, Any]
    title: str | None = None
    settings: list[str] = []
    headers: dict[str, str] = {}
    rate_limit: dict[str, Any] | None = None


SAID: Mapping[type[Keys], Mapping[str, str]] = {
    DefinitionKeys: {
        "platform": "the platform's name: small letters, digits and _; it stands before every native id",
        "base_url": "https address that all paths are below",
        "authentication": "see authentication",
        "streams": "the lists to read by name, at most 10; see stream",
        "title": "the name people read",
        "settings": "what a connection must say besides, used as `{name}` in paths and params, e.g. an organization",
        "headers": "fixed headers, e.g. a version; never those that decide where a request goes and as whom",
        "rate_limit": "see rate_limit",
    },
    Authentication: {
        "type": "`none`; `bearer` (credential `token`); `header`, `query` (credential `key`); `basic` (`username`,"
        " `password`); `client_credentials` (`client_id`, `client_secret`); `refresh_token` (those and"
        " `refresh_token`)",
        "name": "with `header` and `query`: the name of the header or parameter",
        "before": "with `header`: what stands before the key, e.g. `'Token '`",
        "token_url": "with the two OAuth types: a path below `base_url`, or an https address",
        "scopes": "with the two OAuth types: the scopes to ask for",
        "client": "with the two OAuth types: whether id and secret go in the form's `body` or as `basic`",
    },
    StreamKeys: {
        "path": "below `base_url`, with settings in braces",
        "record": "the mapping; see mapping",
        "params": "fixed parameters of the query; text may hold settings in braces",
        "records": "the path to the list in an answer",
        "paging": "see paging; without it one answer is everything",
        "incremental": "see incremental; without it every pull reads the whole list, and what is gone from it is"
        " deleted",
        "total": "the path to the number of all rows in an answer, for the reconciliation report",
        "every_hours": "without `incremental`: how often the sensor takes a look",
    },
    Paging: {
        "type": "`page` (numbers), `offset` (rows), `cursor` (a value of the answer), `next_link` (an address in the"
        " answer), `link_header` (RFC 8288), `none`",
        "param": "with `page`, `offset`, `cursor`: the parameter that asks for a page",
        "next": "with `cursor`, `next_link`: the path to the value in the answer; it may start at the last row, e.g."
        " `$.data[-1].id`",
        "more": "the path to whether there is more; without it a short page is the last (`page`, `offset`)",
        "first": "with `page`: the number of the first",
        "size": "rows a page",
        "size_param": "the parameter that asks for the size",
    },
    Incremental: {
        "param": "the parameter that takes the moment",
        "field": "the path in a row to the moment of its last change",
        "format": "how the moment is written: `rfc3339` (UTC), `date`, `epoch` (seconds), `epoch_ms`",
        "before": "what stands before the moment, e.g. `'>='`",
        "until_param": "the parameter that bounds a backfill above; without it rows are left out as they come",
        "overlap": "seconds asked for again each time, for lists that lag",
        "ordered": "whether the list is sorted by that moment, oldest first (say so in `params` where it must be asked"
        " for): then a crash resumes within, and pages cannot shift",
    },
    RateLimit: {
        "requests": "at most so many …",
        "seconds": "… in so many seconds",
        "remaining_header": "the header that counts what is left; at 0 the pull waits",
        "reset_header": "the header that tells how many seconds to wait then",
    },
}

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "bearer": ("token",),
    "header": ("key",),
    "query": ("key",),
    "basic": ("username", "password"),
    "client_credentials": ("client_id", "client_secret"),
    "refresh_token": ("client_id", "client_secret", "refresh_token"),
}
# What each type cannot do without.
AUTHENTICATION_NEEDS = {
    "header": ("name",),
    "query": ("name",),
    "client_credentials": ("token_url",),
    "refresh_token": ("token_url",),
}
PAGING_NEEDS = {"page": ("param",), "offset": ("param",), "cursor": ("param", "next"), "next_link": ("next",)}


@dataclass(frozen=True)
class Stream:
    """One list, compiled."""

    name: str
    path: str
    params: Mapping[str, str | int | bool]
    records: Expression
    paging: Paging
    next: Expression | None
    more: Expression | None
    incremental: Incremental | None
    changed: Expression | None
    mapping: RecordMapping
    total: Expression | None = None
    every_hours: int = 24


@dataclass(frozen=True)
class Definition:
    """A platform as its file describes it."""

    name: str
    title: str
    base_url: str
    authentication: Authentication
    settings: tuple[str, ...]
    headers: Mapping[str, str]
    rate_limit: RateLimit
    streams: tuple[Stream, ...]

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the credentials a connection needs."""
        return CREDENTIALS[self.authentication.type]

    def of_kind(self, kind: str) -> tuple[Stream, ...]:
        """The streams that make records of a kind."""
        return tuple(stream for stream in self.streams if stream.mapping.kind == kind)


def load_definition(text: str | bytes, *, name: str) -> Definition:
    """A definition from its YAML; raises `InvalidInput` naming file, line, key and what is allowed."""
    document = read_document(text, name=name)
    keys = structure(document, (), document.data, DefinitionKeys)
    if not NAME.fullmatch(keys.platform):
        raise document.refuse(("platform",), keys.platform, "2 to 31 small letters, digits and _")
    require_address(document, ("base_url",), keys.base_url)
    settings = _settings(document, keys.settings)
    authentication = _authentication(document, ("authentication",), keys.authentication)
    for header, value in keys.headers.items():
        _header(document, ("headers", header), header, value)
    if not 1 <= len(keys.streams) <= MOST_STREAMS:
        raise document.refuse(("streams",), len(keys.streams), f"1 to {MOST_STREAMS} streams")
    rate_limit = structure(document, ("rate_limit",), keys.rate_limit or {}, RateLimit)
    if not 0 < rate_limit.seconds <= 3600 or (rate_limit.requests is not None and rate_limit.requests < 1):
        raise document.refuse(("rate_limit",), keys.rate_limit, "at least 1 request in up to 3600 seconds")
    return Definition(
        keys.platform, keys.title or keys.platform, keys.base_url.rstrip("/"), authentication, settings, keys.headers,
        rate_limit,
        tuple(_stream(document, ("streams", name), name, data, settings) for name, data in keys.streams.items()),
    )  # fmt: skip


def require_address(document: Document, at: At, url: str) -> None:
    """Raise unless ``url`` is https (http only to loopback) with a host, and without user, query or fragment."""
    allowed = "an https address without user, query or fragment"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise document.refuse(at, url, allowed) from error
    loopback = host in ("localhost", "127.0.0.1", "::1")
    secure = parts.scheme == "https" or (parts.scheme == "http" and loopback)
    odd = parts.query or parts.fragment or parts.username is not None or re.search(r"[\s\\]|[^\x21-\x7e]", url)
    if not secure or not host or odd or climbs(parts.path):
        raise document.refuse(at, url, allowed)


def _settings(document: Document, names: list[str]) -> tuple[str, ...]:
    for position, name in enumerate(names):
        if not NAME.fullmatch(name) or name in RESERVED_SETTINGS or name in names[:position]:
            allowed = f"different names of small letters, digits and _, none of {', '.join(RESERVED_SETTINGS)}"
            raise document.refuse(("settings", position), name, allowed)
    return tuple(names)


def _authentication(document: Document, at: At, data: Any) -> Authentication:
    found = structure(document, at, data, Authentication)
    _needs(document, at, found, AUTHENTICATION_NEEDS.get(found.type, ()))
    if found.type == "header":
        _header(document, (*at, "name"), str(found.name), found.before, allow=("authorization",))
    if found.token_url is not None:
        if found.token_url.startswith("/"):
            _path(document, (*at, "token_url"), found.token_url, ())
        else:
            require_address(document, (*at, "token_url"), found.token_url)
    return found


def _header(document: Document, at: At, name: str, value: str, allow: tuple[str, ...] = ()) -> None:
    if not HEADER.fullmatch(name) or (name.lower() in OWN_HEADERS and name.lower() not in allow):
        raise document.refuse(at, name, "a header's name, and none that decides where a request goes and as whom")
    if not HEADER_VALUE.fullmatch(value):
        raise document.refuse(at, value, "up to 500 printable ASCII characters, no line breaks")


def _needs(document: Document, at: At, found: Keys, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(found, name):
            raise document.refuse((*at, name), getattr(found, name), f"a value: {getattr(found, 'type', '')} needs it")


def _path(document: Document, at: At, path: str, settings: tuple[str, ...]) -> None:
    if len(path) > 500 or not PATH.fullmatch(path) or climbs(path) or path.startswith("//"):
        raise document.refuse(at, path, "a path that starts with / and climbs nowhere")
    _braces(document, at, path, settings)


def climbs(path: str) -> bool:
    """Whether a path has a segment of dots, however it is written."""
    spelled = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/")
    return any(segment in (".", "..") for segment in spelled.split("/"))


def _braces(document: Document, at: At, text: str, settings: tuple[str, ...]) -> None:
    for name in SETTING.findall(text):
        if name not in settings:
            raise document.refuse(at, name, f"settings the file names: {', '.join(settings) or 'none so far'}")
    if set("{}") & set(SETTING.sub("", text)):
        raise document.refuse(at, text, "braces around a setting's name")


def _stream(document: Document, at: At, name: str, data: Any, settings: tuple[str, ...]) -> Stream:
    if not NAME.fullmatch(name):
        raise document.refuse(at, name, "2 to 31 small letters, digits and _")
    keys = structure(document, at, data, StreamKeys)
    _path(document, (*at, "path"), keys.path, settings)
    for param, value in keys.params.items():
        if isinstance(value, str):
            _braces(document, (*at, "params", param), value, settings)
    paging = structure(document, (*at, "paging"), keys.paging or {"type": "none"}, Paging)
    _needs(document, (*at, "paging"), paging, PAGING_NEEDS.get(paging.type, ()))
    if not 1 <= paging.size <= 10_000:
        raise document.refuse((*at, "paging", "size"), paging.size, "1 to 10000")
    incremental = changed = None
    if keys.incremental is not None:
        incremental = structure(document, (*at, "incremental"), keys.incremental, Incremental)
        changed = expression_at(document, (*at, "incremental", "field"), incremental.field)
        if not 0 <= incremental.overlap <= 604_800:
            raise document.refuse((*at, "incremental", "overlap"), incremental.overlap, "0 to 604800 seconds")
    records = expression_at(document, (*at, "records"), keys.records)
    assert records is not None
    if any(EVERY in path for path in records.uses):
        raise document.refuse((*at, "records"), keys.records, "a path to the list itself, without [*]")
    return Stream(
        name, keys.path, keys.params, records, paging,
        expression_at(document, (*at, "paging", "next"), paging.next),
        expression_at(document, (*at, "paging", "more"), paging.more),
        incremental, changed, mapping_of(document, (*at, "record"), keys.record),
        expression_at(document, (*at, "total"), keys.total), keys.every_hours,
    )  # fmt: skip
