"""Records out of a log (Kafka): what a message says, whose it is, and landing one partner's share of a batch.

Knows messages as bytes with a place and nothing of a broker. A message is `Placed` under its partner, or a `DeadLetter`
that no partner can be named for. Reading never raises: whatever is in a message, it ends as one of the two.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import psycopg
from sqlalchemy import exc

from integrator.contracts.errors import PermanentError
from integrator.contracts.records import KINDS
from integrator.contracts.validation import E_MAIL
from integrator.steps.push import DIRECT, allowed_attributes
from integrator.steps.services import Services
from integrator.storage.landing_placed import LandedHere, Placed, Refusal, Refused, land_placed
from integrator.storage.stream_offsets import Place

PLATFORM = re.compile(r"[a-z][a-z0-9_-]{0,39}")
KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
PLATFORM_HEADER = "platform"
LONGEST_ID = 200
ENVELOPE = ("partner", "kind", "platform")
# What PostgreSQL will refuse the next time too, by SQLAlchemy's word or under COPY by psycopg's own. That it is away, or
# that two waited for each other, is none of these.
_FOR_GOOD = (
    PermanentError, exc.DataError, exc.IntegrityError, exc.ProgrammingError, psycopg.DataError, psycopg.IntegrityError,
    psycopg.ProgrammingError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came; `at` is the producer's or the broker's time, aware."""

    place: Place
    offset: int
    key: bytes | None
    value: bytes | None
    at: datetime
    platform_header: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes it holds."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Read:
    """A message under its partner."""

    message: Message
    partner: str
    thing: Placed


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that no partner can be named for; `reason` is one word for machines."""

    message: Message
    reason: str


@dataclass(frozen=True)
class Rules:
    """Whose records are taken: the partners there are, those the operator allows (empty: all), bytes one may have."""

    partners: Collection[str]
    allowed: Collection[str]
    most_bytes: int


@dataclass(frozen=True, slots=True)
class _Key:
    partner: str
    kind: str
    native_id: str


class _Envelope(msgspec.Struct):
    partner: str
    kind: str
    platform: str = DIRECT
    native_id: str = ""


class _Bad(Exception):
    """What is wrong with a message, and its record as far as it could be read."""

    def __init__(
        self, reason: str, words: str, *, field: str | None = None, platform: str = DIRECT, payload: bytes | None = None
    ) -> None:
        super().__init__(reason)
        self.refusal = Refusal(reason, field, words)
        self.platform, self.payload = platform, payload


def read(message: Message, rules: Rules) -> Read | DeadLetter:
    """What a message says. Only where key and value name one partner, who may send here, is it filed under anyone."""
    try:
        key = _key(message.key)
    except _Bad as bad:
        return DeadLetter(message, bad.refusal.reason)
    if key.partner not in rules.partners:
        return DeadLetter(message, "partner-unknown")
    if rules.allowed and key.partner not in rules.allowed:
        return DeadLetter(message, "partner-not-allowed")
    try:
        return Read(message, key.partner, _thing(message, key, rules.most_bytes))
    except _OtherPartner:
        return DeadLetter(message, "partner-mismatch")
    except _Bad as bad:
        kind = key.kind if KIND.fullmatch(key.kind) else "unknown"
        payload = message.value if bad.payload is None else bad.payload
        thing = _placed(message, key, bad.platform, payload or b"", kind=kind, refusal=bad.refusal)
        return Read(message, key.partner, thing)


class _OtherPartner(Exception):
    """Key and value name two partners: neither is shown what may be the other's."""


def _key(raw: bytes | None) -> _Key:
    try:
        partner, kind, native_id = (raw or b"").decode().split("/", 2)
    except (UnicodeDecodeError, ValueError):
        raise _Bad("key-invalid", "") from None
    return _Key(partner, kind, native_id)


def _thing(message: Message, key: _Key, most_bytes: int) -> Placed:
    if message.value is None:
        return _deletion(message, key)
    envelope, payload = _opened(message.value, key.partner)
    if message.size > most_bytes:
        raise _Bad("too-large", f"{message.size} bytes; allowed: {most_bytes}", payload=payload)
    if key.kind not in KINDS:
        raise _Bad("kind-unknown", f"is no kind of record; allowed: {', '.join(KINDS)}", field="kind", payload=payload)
    if not PLATFORM.fullmatch(envelope.platform):
        raise _Bad("platform-invalid", f"allowed: {PLATFORM.pattern}", field="platform", payload=payload)
    if (envelope.kind, envelope.native_id) != (key.kind, key.native_id):
        words = "the key is not partner/kind/native_id of the record"
        raise _Bad("key-mismatch", words, platform=envelope.platform, payload=payload)
    return _placed(message, key, envelope.platform, payload)


def _deletion(message: Message, key: _Key) -> Placed:
    """A message without a value: its record is no more. A header may name the platform, where several have that id."""
    if key.kind not in KINDS:
        raise _Bad("kind-unknown", f"is no kind of record; allowed: {', '.join(KINDS)}", field="kind")
    if not 0 < len(key.native_id) <= LONGEST_ID or "\x00" in key.native_id or E_MAIL.search(key.native_id):
        raise _Bad("record-invalid", f"1 to {LONGEST_ID} characters, no e-mail address", field="native_id")
    if message.platform_header is None:
        return _placed(message, key, None, None)
    platform = message.platform_header.decode(errors="replace")
    if not PLATFORM.fullmatch(platform):
        raise _Bad("platform-invalid", f"allowed: {PLATFORM.pattern}", field="platform")
    return _placed(message, key, platform, None)


def _opened(value: bytes, partner: str) -> tuple[_Envelope, bytes]:
    """What it is about, and the record without that: numbers keep the digits they came with.

    Whose it is comes first: a value that names another partner is nothing to be shown to this one, whatever else is wrong.
    """
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        named = msgspec.json.decode(fields.get("partner", b"null"))
        if isinstance(named, str) and named != partner:
            raise _OtherPartner
        envelope = msgspec.json.decode(value, type=_Envelope)
    except msgspec.ValidationError as error:
        raise _Bad("record-invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _Bad("not-json", f"not JSON: {error}") from error
    return envelope, msgspec.json.encode({name: raw for name, raw in fields.items() if name not in ENVELOPE})


def _placed(
    message: Message, key: _Key, platform: str | None, payload: bytes | None, *, kind: str | None = None,
    refusal: Refusal | None = None,
) -> Placed:  # fmt: skip
    return Placed(
        message.place, message.offset, message.at, platform, kind or key.kind, key.native_id, payload, refusal
    )


def land(
    services: Services, partner: str, reads: Sequence[Read], tell: Callable[[Sequence[tuple[Message, Refusal]]], None]
) -> LandedHere:
    """Land a partner's share of a batch, in one transaction with how far it came.

    `tell` hears of what is refused before the commit; whatever it raises takes all of it back. What PostgreSQL refuses
    for good is looked for by halves, so that one record nobody foresaw never keeps its neighbours from landing.
    """
    messages = {(read.thing.place, read.thing.offset): read.message for read in reads}

    def told(refused: Refused) -> None:
        tell([(messages[thing.place, thing.offset], why) for thing, why in refused])

    return _land(services, partner, [read.thing for read in reads], told)


def _land(services: Services, partner: str, things: Sequence[Placed], tell: Callable[[Refused], None]) -> LandedHere:
    try:
        return land_placed(
            services.database, partner, things, now=services.clock(), tell=tell,
            attributes_of=lambda platform: allowed_attributes(services, partner, platform),
        )  # fmt: skip
    except _FOR_GOOD as error:
        if len(things) > 1:
            half = len(things) // 2
            first = _land(services, partner, things[:half], tell)
            return _both(first, _land(services, partner, things[half:], tell))
        if things[0].refusal is not None:
            raise
        refusal = Refusal("refused", None, f"could not be stored: {type(error).__name__}")
        return _land(services, partner, [replace(things[0], refusal=refusal)], tell)


def _both(first: LandedHere, second: LandedHere) -> LandedHere:
    return LandedHere(
        first.result + second.result, first.skipped + second.skipped, first.refused + second.refused,
        first.touched | second.touched,
    )  # fmt: skip
