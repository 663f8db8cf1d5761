"""What every platform is: a spec, pages of canonical records, a cursor. No platform's own knowledge here.

A page's cursor resumes *after* that page, whatever crashed in between; records may come again (overlap), landing
leaves the equal ones alone. Several records of one ``native_id`` in a page are its versions, oldest first.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from integrator.contracts.errors import Forbidden, InvalidInput, invalid
from integrator.platforms.http import HttpPolicy, Session, closing

Clock = Callable[[], datetime]
Cursor = Mapping[str, Any]
Raw = dict[str, Any]
OURS = "integrator_"
"""How the names of the fields begin that write-back fills, at every platform."""


@dataclass(frozen=True)
class OAuth:
    """The authorization-code flow (RFC 6749 §4.1 with PKCE) by which a partner lets us in.

    `authorize` and `token` are addresses with settings in braces, e.g. ``{base_url}/oauth/token``; `defaults` are the
    settings they may lack. `keeps` maps credential fields to the fields of the token answer they come from, `learns`
    settings likewise (Salesforce answers with the address of the partner's own instance).
    """

    authorize: str
    token: str
    scopes: tuple[str, ...]
    keeps: Mapping[str, str]
    learns: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    client_fields: tuple[str, str] = ("client_id", "client_secret")
    scope_separator: str = " "
    optional_scopes: tuple[str, ...] = ()
    """What write-back needs beside: HubSpot leaves out those the app does not have."""


@dataclass(frozen=True)
class PlatformSpec:
    """What a person has to know to connect an account; ``setting_fields`` maps a name to whether it is required."""

    name: str
    title: str
    kinds: tuple[str, ...]
    credential_fields: tuple[str, ...]
    setting_fields: Mapping[str, bool]
    oauth: OAuth | None = None
    writes_back: tuple[str, ...] = ()
    """The use cases whose insights it takes back into its own records."""

    def require(self, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        """Raise `InvalidInput` naming the first setting or credential that is missing, unknown or no address."""
        for name, required in self.setting_fields.items():
            if required and not settings.get(name):
                raise InvalidInput(f"{self.name} needs the setting {name}", field=name)
            if name.endswith("_url") and settings.get(name):
                _require_address(f"{self.name} setting {name}", str(settings[name]))
        for name in settings:
            if name not in self.setting_fields:
                raise invalid(f"{self.name} setting", name, self.setting_fields)
        for name in self.credential_fields:
            if not credentials.get(name):
                raise InvalidInput(f"{self.name} needs the credential {name}", field=name)
        known = {*self.credential_fields, *(self.oauth.keeps if self.oauth else ())}
        known.update(self.oauth.client_fields if self.oauth else ())
        for name in credentials:
            if self.credential_fields and name not in known:
                raise invalid(f"{self.name} credential", name, sorted(known))

    def require_kind(self, kind: str) -> None:
        """Raise `InvalidInput` when this platform has no records of ``kind``."""
        if kind not in self.kinds:
            raise invalid(f"{self.name} kind", kind, self.kinds)


@dataclass(frozen=True)
class Account:
    """One account as a pull sees it: what opens it, our clock, and how patient to be with it."""

    settings: Mapping[str, Any]
    credentials: Mapping[str, str] = field(repr=False)
    clock: Clock
    http: HttpPolicy


@dataclass(frozen=True)
class Window:
    """A bounded stretch of the past, for a backfill: what changed from `since` to before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Listing:
    """All that an account shows now under `scope`: what a former listing of that scope had and this lacks is gone.

    Only for a listing read whole, from its first page to its last; a list of changes is none.
    """

    scope: str
    ids: frozenset[str]


@dataclass(frozen=True)
class CustomField:
    """One of the account's own fields: `string`, `number` or `boolean` in our attributes, and what people call it."""

    type: str
    label: str | None = None


@dataclass(frozen=True)
class Page:
    """Canonical records (JSON-able dicts, as in `integrator.contracts`) and the cursor that resumes after them.

    Where a platform tells what is gone only by no longer showing it, the last page carries the `listing`. Where it
    describes its custom fields, the pages carry them all as `fields`, by attribute. Pages between two listings name the
    listing's `scope`: what they bring counts as shown, so that its going is noticed too.
    """

    kind: str
    records: list[Raw]
    cursor: Raw
    listing: Listing | None = None
    scope: str | None = None
    fields: Mapping[str, CustomField] | None = None


class Platform(ABC):
    """A place data comes from.

    Others ask `pull`, `has_news`, `count` and `check`: each refuses bad settings before any request, and opens a session
    and closes it. A platform itself fills in what stands after them, and is handed that session.
    """

    def __init__(self, spec: PlatformSpec, session_for: Callable[[Account], Session]) -> None:
        """``session_for`` signs an account's requests; before the first of them it asks for nothing."""
        self.spec = spec
        self._session_for = session_for

    def pull(self, account: Account, kind: str, cursor: Cursor | None, window: Window | None = None) -> Iterator[Page]:
        """Everything of ``kind`` that changed since ``cursor``; None means from the beginning.

        With a ``window`` only what changed within it: a backfill, whose cursor is its own and resumes it. The last
        page's cursor of a finished backfill holds ``{"done": true}``.
        Raises `Unauthorized`, `Forbidden`, `InvalidInput` (permanent), `Unavailable`, `RateLimited` (transient).
        """
        with self._opened(account, kind) as session:
            if not done(cursor):
                yield from self.pages(session, account, kind, cursor, window)

    def has_news(self, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Whether a pull would find anything, in a few requests; what a sensor asks."""
        with self._opened(account) as session:
            return self.news(session, account, cursors)

    def count(self, account: Account, kind: str) -> int | None:
        """How many records of ``kind`` the account has now, in a few requests; None where the platform cannot say."""
        with self._opened(account, kind) as session:
            return self.total(session, account, kind)

    def check(self, account: Account) -> list[str]:
        """The permissions that are missing, by the platform's own names; a wrong credential raises `Unauthorized`."""
        with self._opened(account) as session:
            return self.missing(session, account)

    @contextmanager
    def _opened(self, account: Account, kind: str | None = None) -> Iterator[Session]:
        self.spec.require(account.settings, account.credentials)
        if kind is not None:
            self.spec.require_kind(kind)
        with closing(self._session_for(account)) as session:
            yield session

    @abstractmethod
    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """For `pull`, of a cursor that is not done."""

    @abstractmethod
    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """For `has_news`, of the cursors that the last pages left; None where there was none."""

    @abstractmethod
    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """For `count`."""

    @abstractmethod
    def missing(self, session: Session, account: Account) -> list[str]:
        """For `check`."""


def is_ours(name: str) -> bool:
    """Whether write-back fills this field: a pull leaves it out, or a score would be read as a feature of itself."""
    return name.lower().startswith(OURS)


def _require_address(what: str, value: str) -> None:
    """An address is shown to people and written down, so nothing secret may stand in it."""
    allowed = "http(s)://host/path, without a user name, a password or a query"
    try:
        parts = urlsplit(value)
        host, has_user = parts.hostname, parts.username is not None or parts.password is not None
    except ValueError as error:
        raise invalid(what, "(unreadable)", allowed) from error
    if has_user:
        raise invalid(what, f"(with a user name at {host})", allowed)
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise invalid(what, value, allowed)


def mapped(raw: object, to_records: Callable[[Any], list[Raw]]) -> list[Raw]:
    """``to_records(raw)``; a record that cannot be mapped comes back as it is, for landing to quarantine it."""
    try:
        return to_records(raw)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError):
        if isinstance(raw, dict):
            native_id = raw.get("native_id", raw.get("code", raw.get("id")))
            return [{**raw, "native_id": None if native_id is None else str(native_id)}]
        return [{"native_id": None, "unreadable": raw}]


def done(cursor: Cursor | None) -> bool:
    """Whether a backfill with this cursor has come to its end."""
    return cursor is not None and cursor.get("done") is True


def resting(cursors: Iterable[Cursor | None]) -> bool:
    """Whether these are all ``{since}``: no first pull is due, and none was broken off within a list."""
    return all(set(cursor or {}) == {"since"} for cursor in cursors)


def moment(text: object) -> datetime:
    """An RFC 3339 moment, aware; raises ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError(f"not a moment: {text!r}")
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"a moment without an offset: {text!r}")
    return parsed


def stamp(value: datetime) -> str:
    """A moment as cursors carry it: UTC, microseconds only where there are some, with Z."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def missing_permissions(probes: Iterable[tuple[str, Callable[[], object]]]) -> list[str]:
    """The names of the probes that are forbidden; any other error passes through."""
    missing = []
    for name, probe in probes:
        try:
            probe()
        except Forbidden:
            missing.append(name)
    return missing
