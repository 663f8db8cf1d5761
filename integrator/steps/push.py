"""A pushed body, from bytes to what is acknowledged: counted, landed once, answered once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import LandingResult
from integrator.steps.services import Services
from integrator.storage import idempotency
from integrator.storage.connections import for_partner
from integrator.storage.idempotency import Answer, Call
from integrator.storage.landing_body import Form, write_body

DIRECT = "direct"
BOM = b"\xef\xbb\xbf"


class EmptyBody(InvalidInput):
    """A body without a single character that means something."""

    status = 400
    slug = "empty-body"


class TooManyRecords(InvalidInput):
    """One body holds more records than are taken at once."""

    status = 413
    slug = "too-many-records"


class KeyReused(InvalidInput):
    """An idempotency key came a second time with other content."""

    slug = "idempotency-key-reused"


@dataclass(frozen=True)
class Push:
    """One push: who sends what, already inflated; `key` is the caller's idempotency key."""

    partner: str
    client_id: str
    kind: str
    platform: str
    form: Form
    body: bytes
    key: str | None = None


@dataclass(frozen=True)
class Pushed:
    """What to answer, and what has landed now; nothing, and `replayed`, when it was answered before."""

    body: bytes
    landed: LandingResult = field(default_factory=LandingResult)
    replayed: bool = False


class AnsweredMeanwhile(Exception):
    """Takes the transaction back: another call under the same key has committed."""


def push(services: Services, what: Push) -> Pushed:
    """Land a body and answer, after commit, with what became of its records.

    `InvalidInput` when the body as a whole cannot be read, holds too many records, or comes under the key of another.
    """
    body = content(what)
    call = call_of(services, what, body)
    if call is not None:
        answered = kept(services, call)
        if answered is not None:
            return Pushed(answered, replayed=True)
    require_few(body, what.form, services.settings.push_most_records)
    try:
        return pushed(_land(services, what, body, keeping(services, call)))
    except AnsweredMeanwhile:
        assert call is not None
        answered = kept(services, call)  # for 12 h, so it is there
        return Pushed(answered, replayed=True) if answered else pushed(_land(services, what, body, None))


def allowed_attributes(services: Services, partner: str, platform: str) -> tuple[str, ...]:
    """The attributes a partner's own connections to that platform declare free of personal data."""
    if platform == DIRECT:
        return ()
    with services.database.partner(partner) as connection:
        found = for_partner(connection, services.database.master, partner, platform)
    return tuple(sorted({name for account in found for name in account.allowed_attributes}))


def content(what: Push) -> bytes:
    """The body's text; `EmptyBody` when there is none."""
    body = what.body.removeprefix(BOM)
    if not body or body.isspace():
        raise EmptyBody("the body is empty; allowed: a JSON array, or one JSON object a line")
    return body


def call_of(services: Services, what: Push, body: bytes) -> Call | None:
    """What its answer is kept under; None without a key."""
    if what.key is None:
        return None
    parts = (what.platform.encode(), what.form.encode(), body)
    digest = idempotency.digest(services.database.master, what.partner, *parts)
    return Call(what.partner, what.client_id, f"push/{what.kind}", what.key, digest)


def kept(services: Services, call: Call) -> bytes | None:
    """What was answered under this key before; `KeyReused` when it was to other content."""
    with services.database.partner(call.partner) as connection:
        found: Answer | None = idempotency.find(connection, services.database.master, call, services.clock())
    if found is None:
        return None
    if found.digest != call.digest:
        raise KeyReused("this Idempotency-Key came before with other content; allowed: one key for one request")
    return found.body


def keeping(services: Services, call: Call | None) -> Callable[[Connection, msgspec.Struct], None] | None:
    """Keeps the answer in the transaction of what it acknowledges; raises `AnsweredMeanwhile` when another was first."""
    if call is None:
        return None

    def keep(connection: Connection, result: msgspec.Struct) -> None:
        now = services.clock()
        idempotency.sweep(connection, call.partner, now)
        if not idempotency.keep(connection, services.database.master, call, 200, encoded(result), now):
            raise AnsweredMeanwhile

    return keep


def _land(
    services: Services, what: Push, body: bytes, within: Callable[[Connection, LandingResult], None] | None
) -> LandingResult:
    return write_body(
        services.database, what.partner, what.platform, what.kind, body, what.form, now=services.clock(),
        allowed_attributes=allowed_attributes(services, what.partner, what.platform), within=within,
    )  # fmt: skip


def pushed(result: LandingResult) -> Pushed:
    """The answer to what has landed."""
    return Pushed(encoded(result), result)


def encoded(result: msgspec.Struct) -> bytes:
    """An answer's body."""
    return msgspec.json.encode(result)


def require_few(body: bytes, form: Form, most: int) -> None:
    """`TooManyRecords` for more than `most`."""
    count = _lines(body, most) if form == "ndjson" else _elements(body, most)
    if count > most:
        raise TooManyRecords(f"{count} records in one body; allowed: {most}")


def _lines(body: bytes, most: int) -> int:
    if body.count(b"\n") < most:  # blank lines count here only, where it costs nothing to be wrong
        return 0
    return sum(1 for line in body.split(b"\n") if line.strip())


def _elements(body: bytes, most: int) -> int:
    if body.count(b",") < most:
        return 0
    try:
        return len(msgspec.json.decode(body, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0  # what it is instead is said where it is read
