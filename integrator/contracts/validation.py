"""Reading a raw record: shape by msgspec, meaning by the rules below. What fails says which field and why.

Reasons never carry a value that could be personal; statuses, currencies and zones may be named.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Clamped, Context, Decimal, DecimalException, InvalidOperation, Overflow, Rounded, Subnormal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from integrator.contracts.currencies import CURRENCIES
from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS, Contact, Event, Record, Sale

E_MAIL = re.compile(r"(?<=[^@\s])@[^@\s]+\.[^@\s]")
"""Whether a text holds an address; begun at its @, so that a long text without one costs no more than its length."""
_AT = re.compile(r"^(?P<reason>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]+)`")
EARLIEST, LATEST = 1900, 2200
MOST_ATTRIBUTES = 500
LONGEST_TEXT = 10_000
LARGEST_INTEGER = 2**63 - 1
NOTHING, LARGEST_AMOUNT = Decimal(0), Decimal(10) ** 15
PIECE_BYTES = 1 << 17
_NUL = b"\\u0000"
# Deterministic, so that the same attributes in another order are the same record.
_ENCODER = msgspec.json.Encoder(order="deterministic")


def read_record(kind: str, raw: Mapping[str, Any] | bytes, *, strict: bool = True) -> Record:
    """The typed record; `InvalidInput` with its `field` and reason. `strict=False` reads numbers from text (CSV)."""
    model = KINDS[kind]
    try:
        if isinstance(raw, bytes):
            record = msgspec.json.decode(raw, type=model, strict=strict)
        else:
            record = msgspec.convert(raw, type=model, strict=strict)
    except msgspec.ValidationError as error:
        raise refusal(model, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}") from error
    except OverflowError as error:
        raise InvalidInput("a number is out of range") from error
    except UnicodeEncodeError as error:  # half a character where one of a closed set of values is wanted
        raise _first_unstorable(raw if isinstance(raw, Mapping) else {}) from error
    check(kind, [record])
    return record


def read_records(kind: str, raws: Sequence[Any], *, strict: bool = True) -> list[Record]:
    """Many at once, from JSON-able values; the first refusal is raised without its place."""
    return _together(kind, lambda: msgspec.convert(raws, type=_LISTS[kind], strict=strict))


def read_array(kind: str, body: bytes) -> list[Record]:
    """Many at once, from a JSON array; the first refusal is raised without its place."""
    return _together(kind, lambda: msgspec.json.decode(body, type=_LISTS[kind]))


def read_ndjson(kind: str, body: bytes) -> list[Record]:
    """Many at once, from JSON texts on lines; the first refusal is raised without its place."""
    return _together(
        kind, lambda: [record for piece in _pieces(body) for record in _DECODERS[kind].decode_lines(piece)]
    )


def _pieces(body: bytes) -> Iterator[memoryview]:
    """Whole lines, about `PIECE_BYTES` of them: decoding lets no other thread run, and someone may wait for an answer."""
    view, start = memoryview(body), 0
    while start < len(body):
        end = body.find(b"\n", start + PIECE_BYTES) + 1 or len(body)
        yield view[start:end]
        start = end


def _together(kind: str, read: Callable[[], list[Record]]) -> list[Record]:
    try:
        records = read()
    except (msgspec.DecodeError, UnicodeError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"not all of it are records: {error}") from error
    check(kind, records)
    return records


def canonical(records: Sequence[Record]) -> bytes:
    """One line for each record, the same for equal records: what is hashed, and what shows if a text can be stored.

    Raises `UnicodeEncodeError` for half a character.
    """
    return _ENCODER.encode_lines(records)


def check(kind: str, records: Sequence[Record]) -> None:
    """Hold records to the rules types cannot tell; `InvalidInput` for the first that breaks one."""
    rule, moments_of = _RULES[kind], _MOMENTS_OF[kind]
    for record in records:
        if "@" in record.native_id and E_MAIL.search(record.native_id):
            raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="native_id")
        if record.attributes:
            check_attributes(record.attributes)
        for moment in moments_of(record):
            if moment is not None and not EARLIEST <= moment.year <= LATEST:
                raise _moment(record)
        rule(record)
    # One encoding finds what cannot be stored; only then is the field looked for.
    try:
        storable = _NUL not in canonical(records)
    except UnicodeEncodeError:
        storable = False
    if not storable:
        raise _unstorable(records)


def refusal(model: Any, message: str) -> InvalidInput:
    """What msgspec says against a value of the struct `model`, with the field at fault and the values allowed."""
    match = _AT.match(message)
    reason, path = (match["reason"], match["path"] or "") if match else (message, "")
    field = path.lstrip(".").replace("[...]", "")
    missing = _MISSING.search(reason)
    if missing:
        field = f"{field}.{missing['name']}".lstrip(".")
    elif reason.startswith("Invalid enum value"):
        reason = f"{reason}; allowed: {', '.join(_choices(model, field))}"
    return InvalidInput(reason, field=field or None)


@lru_cache(maxsize=64)
def _choices(model: Any, field: str) -> tuple[str, ...]:
    """The closed set of values of a field, by its dotted name."""
    types: list[Any] = [model]
    for name in field.split("."):
        hints = [get_type_hints(one).get(name) for one in types if hasattr(one, "__struct_fields__")]
        types = [part for hint in hints for part in (hint, *get_args(hint))]
    return tuple(value for one in types if get_origin(one) is Literal for value in get_args(one))


def _moment(record: Record) -> InvalidInput:
    for name in _MOMENTS[record.kind]:
        moment = getattr(record, name)
        if moment is not None and not EARLIEST <= moment.year <= LATEST:
            break
    return _year(name, moment.year)


def _year(name: str, year: int) -> InvalidInput:
    return InvalidInput(f"year {year}; allowed: {EARLIEST} to {LATEST}", field=name)


def check_year(name: str, moment: date) -> None:
    """Hold a date or a moment to years that every zone and every reckoning with it can hold."""
    if not EARLIEST <= moment.year <= LATEST:
        raise _year(name, moment.year)


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Hold a flat map of a partner's own fields to its limits; `InvalidInput` names the first that breaks one."""
    if len(attributes) > MOST_ATTRIBUTES:
        raise InvalidInput(f"{len(attributes)} attributes; allowed: {MOST_ATTRIBUTES}", field="attributes")
    for name, value in attributes.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput("is not a finite number", field=f"attributes.{name}")
        if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise InvalidInput(f"is not a whole number up to {LARGEST_INTEGER}", field=f"attributes.{name}")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise InvalidInput(f"{len(value)} characters; allowed: {LONGEST_TEXT}", field=f"attributes.{name}")


def check_texts(texts: Mapping[str, Any]) -> None:
    """`InvalidInput` for the first text, by its name, that PostgreSQL cannot hold."""
    if not all(map(_is_storable, texts.values())):
        raise _first_unstorable(texts)


def _unstorable(records: Sequence[Record]) -> InvalidInput:
    texts: dict[str, Any] = {}
    for record in records:
        texts = {name: getattr(record, name) for name in record.__struct_fields__}
        texts |= {f"attributes.{name}": value for name, value in record.attributes.items()}
        if not all(map(_is_storable, texts.values())):
            break
    return _first_unstorable(texts)


def _first_unstorable(texts: Mapping[str, Any]) -> InvalidInput:
    for name, value in texts.items():
        if not _is_storable(value):
            return InvalidInput("holds NUL or half of a character, which cannot be stored", field=name)
    return InvalidInput("holds NUL or half of a character, which cannot be stored")


def _is_storable(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in value


_LISTS: dict[str, Any] = {kind: list[model] for kind, model in KINDS.items()}  # type: ignore[valid-type]
_DECODERS: dict[str, Any] = {kind: msgspec.json.Decoder(model) for kind, model in KINDS.items()}
_MOMENTS = {kind: tuple(n for n in model.__struct_fields__ if n.endswith("_at")) for kind, model in KINDS.items()}
_MOMENTS_OF = {kind: attrgetter(*names) for kind, names in _MOMENTS.items()}


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
    for amount in _AMOUNTS_OF(record):
        if amount is not None and not _is_amount(amount):
            name = next(name for name in _AMOUNTS if getattr(record, name) is amount)
            raise InvalidInput(f"is not an amount from 0 to below {LARGEST_AMOUNT:.0e}", field=name)
    if record.contact_id and "@" in record.contact_id and E_MAIL.search(record.contact_id):
        raise InvalidInput("looks like an e-mail address; allowed: an opaque id", field="contact_id")


# Exact, and short enough for PostgreSQL's numeric: at most 38 digits, none below 10^-57. What would be rounded is refused.
_MONEY = Context(prec=38, Emin=-20, Emax=14, traps=[Clamped, InvalidOperation, Overflow, Rounded, Subnormal])
_AMOUNTS = ("unit_price", "list_price", "unit_cost", "refunded_amount")
_AMOUNTS_OF = attrgetter(*_AMOUNTS)


def _is_amount(amount: Decimal) -> bool:
    try:
        _MONEY.plus(amount)
        return NOTHING <= amount < LARGEST_AMOUNT
    except DecimalException:
        return False


_RULES = {"event": _event, "contact": _contact, "sale": _sale}


@lru_cache(maxsize=1024)
def known_zone(name: str) -> bool:
    """Whether `name` is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
