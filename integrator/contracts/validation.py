"""Reading a raw record: shape by msgspec, meaning by the rules below. What fails says which field and why.

Reasons never carry a value that could be personal; statuses, currencies and zones may be named.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from integrator.contracts.currencies import CURRENCIES
from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS, Contact, Event, Record, Sale

E_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_AT = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]+)`")
EARLIEST, LATEST = 1900, 2200
MOST_ATTRIBUTES = 500
LONGEST_TEXT = 10_000
LARGEST_AMOUNT = Decimal(10) ** 15


def read_record(kind: str, raw: Mapping[str, Any] | bytes, *, strict: bool = True) -> Record:
    """The typed record; `InvalidInput` with its `field` and reason. `strict=False` reads numbers from text (CSV)."""
    model = KINDS[kind]
    try:
        if isinstance(raw, bytes):
            record = msgspec.json.decode(raw, type=model, strict=strict)
        else:
            record = msgspec.convert(raw, type=model, strict=strict)
    except msgspec.ValidationError as error:
        raise _shape(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    except OverflowError as error:
        raise InvalidInput("a number is out of range") from error
    except UnicodeEncodeError as error:  # half a character where one of a closed set of values is wanted
        raise _first_unstorable(raw if isinstance(raw, Mapping) else {}) from error
    _common(record)
    _RULES[kind](record)
    return record


def _shape(message: str) -> InvalidInput:
    match = _AT.match(message)
    reason, path = (match["reason"], match["path"] or "") if match else (message, "")
    field = path.lstrip(".").replace("[...]", "")
    missing = _MISSING.search(reason)
    if missing:
        field = f"{field}.{missing['name']}".lstrip(".")
    return InvalidInput(reason, field=field or None)


def _common(record: Record) -> None:
    if "@" in record.native_id and E_MAIL.search(record.native_id):
        raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="native_id")
    if record.attributes:
        _attributes(record.attributes)
    for name in _MOMENTS[record.kind]:
        moment: datetime | None = getattr(record, name)
        if moment is not None and not EARLIEST <= moment.year <= LATEST:
            raise InvalidInput(f"year {moment.year}; allowed: {EARLIEST} to {LATEST}", field=name)
    # One encoding finds what cannot be stored; only then is the field looked for: this runs for every record.
    try:
        storable = _NUL not in _ENCODER.encode(record)
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise _unstorable(record)


def _attributes(attributes: Mapping[str, Any]) -> None:
    if len(attributes) > MOST_ATTRIBUTES:
        raise InvalidInput(f"{len(attributes)} attributes; allowed: {MOST_ATTRIBUTES}", field="attributes")
    for name, value in attributes.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput("is not a finite number", field=f"attributes.{name}")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise InvalidInput(f"{len(value)} characters; allowed: {LONGEST_TEXT}", field=f"attributes.{name}")


def _unstorable(record: Record) -> InvalidInput:
    texts = {name: getattr(record, name) for name in record.__struct_fields__}
    texts |= {f"attributes.{name}": value for name, value in record.attributes.items()}
    return _first_unstorable(texts)


def _first_unstorable(texts: Mapping[str, Any]) -> InvalidInput:
    for name, value in texts.items():
        if isinstance(value, str) and ("\x00" in value or not _encodable(value)):
            return InvalidInput("holds NUL or half of a character, which cannot be stored", field=name)
    return InvalidInput("holds NUL or half of a character, which cannot be stored")


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_ENCODER = msgspec.json.Encoder()
_NUL = b"\\u0000"
_MOMENTS = {kind: tuple(n for n in model.__struct_fields__ if n.endswith("_at")) for kind, model in KINDS.items()}


def _event(record: Record) -> None:
    assert isinstance(record, Event)
    if not known_zone(record.timezone):
        raise InvalidInput(f"{record.timezone!r}; allowed: an IANA name such as Europe/Berlin", field="timezone")
    if record.ends_at is not None and record.ends_at < record.starts_at:
        raise InvalidInput("is before starts_at", field="ends_at")


def _contact(record: Record) -> None:
    assert isinstance(record, Contact)
    if record.converted_at is not None and record.converted_at < record.created_at:
        raise InvalidInput("is before created_at", field="converted_at")


def _sale(record: Record) -> None:
    assert isinstance(record, Sale)
    if record.currency not in CURRENCIES:
        raise InvalidInput(f"{record.currency!r}; allowed: an ISO 4217 code in use", field="currency")
    if record.refunded_quantity > record.quantity:
        raise InvalidInput(f"more than the {record.quantity} sold", field="refunded_quantity")
    for name in ("unit_price", "list_price", "unit_cost", "refunded_amount"):
        amount: Decimal | None = getattr(record, name)
        if amount is not None and not (amount.is_finite() and 0 <= amount < LARGEST_AMOUNT):
            raise InvalidInput(f"is not an amount from 0 to below {LARGEST_AMOUNT:.0e}", field=name)
    if record.contact_id and E_MAIL.search(record.contact_id):
        raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="contact_id")


_RULES = {"event": _event, "contact": _contact, "sale": _sale}


@lru_cache(maxsize=1024)
def known_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
