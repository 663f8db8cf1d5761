"""The functions an expression may call: small, pure, without names of their own to reach anything else.

Null in, null out, unless said otherwise. What cannot be read raises `InvalidInput` with the ``value`` at fault (for the
quarantine) and a message that never repeats it. A function here is documented by its own row: the guide is made from it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from integrator.contracts.currencies import CURRENCIES, digits
from integrator.contracts.errors import InvalidInput
from integrator.contracts.validation import known_zone

LONGEST_TEXT = 10_000
LARGEST = Decimal(10) ** 18
# Groups of three alone are groups: taken for one, the comma of "1,5" would make it fifteen.
_GROUPED = {
    ".": re.compile(r"[+-]?(\d{1,3}([, \u00a0\u202f'])\d{3}(\2\d{3})*|\d+)(\.\d+)?([eE][+-]?\d{1,2})?"),
    ",": re.compile(r"[+-]?(\d{1,3}([. \u00a0\u202f'])\d{3}(\2\d{3})*|\d+)(,\d+)?([eE][+-]?\d{1,2})?"),
}
_GROUPS = re.compile(r"[, \u00a0\u202f'.]")


@dataclass(frozen=True)
class Function:
    """One function: its arguments as shown, how many may be given, what it does, an example with its outcome.

    A ``lazy`` one gets its arguments as functions, so that only what is chosen is evaluated.
    """

    name: str
    arguments: str
    least: int
    most: int
    does: str
    example: str
    outcome: Any
    call: Callable[..., Any]
    lazy: bool = False


def text_of(value: Any) -> str | None:
    """A scalar as text; a list or an object has none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and -LARGEST < value < LARGEST:
        return str(value)
    raise InvalidInput("is no text", value=value)


def is_empty(value: Any) -> bool:
    """Null, or text without a visible character."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_true(value: Any) -> bool:
    """Whether a condition holds: not null, not empty, not false, not 0, not the text ``false``."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false")
    return bool(value)


def amount(value: Any, mark: Any = ".") -> Decimal | None:
    """An exact number; in text, ``mark`` separates the decimals; the other mark, a space or ' may group by three."""
    if is_empty(value):
        return None
    if mark not in _GROUPED:
        raise InvalidInput("the decimal mark is '.' or ','", value=mark)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise InvalidInput("is not a number", value=value)
    if not isinstance(value, str):
        found = Decimal(value) if isinstance(value, int) else Decimal(str(value))
    else:
        written = value.strip()
        if not _GROUPED[mark].fullmatch(written):
            raise InvalidInput(f"is not a number with the decimal mark {mark}", value=value)
        whole, _, rest = written.partition(mark)
        found = Decimal(f"{_GROUPS.sub('', whole)}.{rest}" if rest else _GROUPS.sub("", whole))
    if not found.is_finite() or abs(found) >= LARGEST or int(found.as_tuple().exponent) < -20:
        raise InvalidInput("is not a number that can be kept", value=value)
    return found


def number(value: Any, mark: Any = ".") -> int | float | None:
    """A whole number where it is one, else a float."""
    found = amount(value, mark)
    if found is None:
        return None
    return int(found) if found == found.to_integral_value() else float(found)


def decimal(value: Any, mark: Any = ".") -> str | None:
    """An amount of money as exact text."""
    found = amount(value, mark)
    return None if found is None else format(found, "f")


def decimal_minor(value: Any, currency: Any) -> str | None:
    """Minor units as an amount: 1250 in EUR is 12.50, in JPY 1250."""
    found = amount(value)
    if found is None:
        return None
    code = str(currency).upper()
    if code not in CURRENCIES:
        raise InvalidInput("its currency is no ISO 4217 code in use", value=currency)
    return format(found.scaleb(-digits(code)), "f")


def arithmetic(operation: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Any, Any], str | None]:
    """A function of two exact numbers; the outcome has at most six decimals."""

    def compute(left: Any, right: Any) -> str | None:
        first, second = amount(left), amount(right)
        if first is None or second is None:
            return None
        try:
            return format(round(operation(first, second), 6).normalize(), "f")
        except ArithmeticError as error:
            raise InvalidInput("cannot be computed with", value=right) from error

    return compute


def date(value: Any, zone: Any = None, form: Any = None) -> str | None:
    """A moment as RFC 3339; text without an offset is local time of ``zone``; ``form`` is a strptime format."""
    if is_empty(value):
        return None
    try:
        written = str(value).strip()
        found = datetime.strptime(written, str(form)) if form else datetime.fromisoformat(written)  # noqa: DTZ007
    except ValueError as error:
        raise InvalidInput("is no date in the form that is expected", value=value) from error
    if found.tzinfo is None:
        found = _local(found, zone, value)
    return found.isoformat()


def _local(naive: datetime, zone: Any, value: Any) -> datetime:
    if not isinstance(zone, str) or not known_zone(zone):
        raise InvalidInput("has no offset, and no IANA zone is given", value=value)
    found = naive.replace(tzinfo=ZoneInfo(zone))
    if found.astimezone(UTC).astimezone(found.tzinfo).replace(tzinfo=None) != naive:
        raise InvalidInput(f"does not exist in {zone}: the clocks were set forward over it", value=value)
    return found


def epoch(value: Any, unit: Any = "s") -> str | None:
    """A moment from seconds (``s``) or milliseconds (``ms``) since 1970."""
    found = amount(value)
    if found is None:
        return None
    if unit not in ("s", "ms"):
        raise InvalidInput("the unit is 's' or 'ms'", value=unit)
    try:
        moment = datetime.fromtimestamp(float(found / (1000 if unit == "ms" else 1)), UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise InvalidInput("is no moment", value=value) from error
    return moment.isoformat().replace("+00:00", "Z")


def concat(*parts: Any) -> str | None:
    """The parts one after the other; null when any of them is."""
    texts = [text_of(part) for part in parts]
    if any(text is None for text in texts):
        return None
    return _bounded("".join(text for text in texts if text))


def join(parts: Any, separator: Any) -> str | None:
    """The parts of a list that are there, with the separator between."""
    texts = [text_of(part) for part in _list(parts)]
    return _bounded(str(separator).join(text for text in texts if text and text.strip())) or None


def total(values: Any) -> str | None:
    """The sum of a list of numbers, exact; of an empty one 0."""
    found = [part for part in (amount(value) for value in _list(values)) if part is not None]
    return format(sum(found, Decimal(0)), "f")


def count(values: Any) -> int:
    """How many there are, nulls left out."""
    return sum(value is not None for value in _list(values))


def equals(left: Any, right: Any) -> bool:
    """Whether both are the same; ``1`` and ``'1'`` are."""
    return left == right or (left is not None and right is not None and text_of(left) == text_of(right))


def more(left: Any, right: Any) -> bool | None:
    """Whether the first number is larger."""
    first, second = amount(left), amount(right)
    return None if first is None or second is None else first > second


def split(value: Any, separator: Any, index: Any) -> str | None:
    """One part of a text, counted from 0, from the end with -1; null where there is none."""
    text = text_of(value)
    if text is None:
        return None
    if not isinstance(separator, str) or not separator or not isinstance(index, int):
        raise InvalidInput("wants a separator and a whole number", value=value)
    parts = text.split(separator)
    return parts[index].strip() if -len(parts) <= index < len(parts) else None


def _coalesce(*choices: Callable[[], Any]) -> Any:
    return next((found for choice in choices if not is_empty(found := choice())), None)


def _if(condition: Callable[[], Any], then: Callable[[], Any], otherwise: Callable[[], Any] = lambda: None) -> Any:
    return then() if is_true(condition()) else otherwise()


def _all(*conditions: Callable[[], Any]) -> bool:
    return all(is_true(condition()) for condition in conditions)


def _any(*conditions: Callable[[], Any]) -> bool:
    return any(is_true(condition()) for condition in conditions)


def _on_text(change: Callable[[str], str]) -> Callable[[Any], str | None]:
    def changed(value: Any) -> str | None:
        text = text_of(value)
        return None if text is None else change(text)

    return changed


def _list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidInput("is no list", value=value)
    return value


def _bounded(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"makes a text of more than {LONGEST_TEXT} characters", value=None)
    return text


# fmt: off
FUNCTIONS: tuple[Function, ...] = (
    Function("coalesce", "a, b, …", 1, 20, "the first that is neither null nor empty text",
             "coalesce(null, '', 'web')", "web", _coalesce, lazy=True),
    Function("if", "condition, then[, else]", 2, 3, "`then` where the condition holds, else `else` (or null)",
             "if(equals('y', 'y'), 'granted', 'denied')", "granted", _if, lazy=True),
    Function("equals", "a, b", 2, 2, "whether both are the same; a number and its text are", "equals(1, '1')", True,
             equals),
    Function("more", "a, b", 2, 2, "whether number a is larger than b", "more('2.5', 2)", True, more),
    Function("not", "a", 1, 1, "whether the condition does not hold; null, 0, false and empty text do not",
             "not('false')", True, lambda value: not is_true(value)),
    Function("all", "a, b, …", 1, 20, "whether all conditions hold", "all(true, 1)", True, _all, lazy=True),
    Function("any", "a, b, …", 1, 20, "whether one of the conditions holds", "any(false, 1)", True, _any, lazy=True),
    Function("lower", "text", 1, 1, "in small letters", "lower('Paid')", "paid", _on_text(str.lower)),
    Function("upper", "text", 1, 1, "in capitals", "upper('eur')", "EUR", _on_text(str.upper)),
    Function("trim", "text", 1, 1, "without spaces at both ends", "trim(' a ')", "a", _on_text(str.strip)),
    Function("text", "a", 1, 1, "a number or boolean as text; ids must be text", "text(12)", "12", text_of),
    Function("concat", "a, b, …", 1, 20, "the parts joined; null when any of them is null", "concat('A-', 7)", "A-7",
             concat),
    Function("join", "list, separator", 2, 2, "the parts of a list that are there, joined",
             "join($.names[*], ' ')", "Ada Byron", join),
    Function("split", "text, separator, index", 3, 3, "one part of a text, from 0; -1 is the last",
             "split('a/b', '/', -1)", "b", split),
    Function("number", "a[, mark]", 1, 2, "a number from text; `mark` is the decimal mark, `'.'` unless said",
             "number('1.234,5', ',')", 1234.5, number),
    Function("decimal", "a[, mark]", 1, 2, "an amount of money, exact", "decimal('1,250.00')", "1250.00", decimal),
    Function("decimal_minor", "amount, currency", 2, 2, "an amount given in minor units: cents, pence",
             "decimal_minor(1250, 'EUR')", "12.50", decimal_minor),
    Function("plus", "a, b", 2, 2, "a + b, exact", "plus('0.1', '0.2')", "0.3", arithmetic(lambda a, b: a + b)),
    Function("minus", "a, b", 2, 2, "a - b, exact", "minus(5, '1.5')", "3.5", arithmetic(lambda a, b: a - b)),
    Function("times", "a, b", 2, 2, "a × b, to six decimals", "times('9.90', 2)", "19.8",
             arithmetic(lambda a, b: a * b)),
    Function("divide", "a, b", 2, 2, "a / b, to six decimals; b is not 0", "divide('25.00', 2)", "12.5",
             arithmetic(lambda a, b: a / b)),
    Function("sum", "list", 1, 1, "the sum of a list of numbers, exact", "sum($.prices[*])", "7.50", total),
    Function("count", "list", 1, 1, "how many are in a list, nulls left out", "count($.prices[*])", 2, count),
    Function("date", "text[, zone[, format]]", 1, 3,
             "a moment; text without an offset is local time of the zone; the format is strptime's, ISO 8601 unless"
             " said; of an hour that comes twice the first is meant, one that does not exist is refused",
             "date('02.05.2026 19:30', 'Europe/Berlin', '%d.%m.%Y %H:%M')", "2026-05-02T19:30:00+02:00", date),
    Function("epoch", "number[, unit]", 1, 2, "a moment from seconds since 1970, or milliseconds with `'ms'`",
             "epoch(1767225600)", "2026-01-01T00:00:00Z", epoch),
)
# fmt: on
EXAMPLE_ROW = {"names": ["Ada", None, "Byron"], "prices": ["5.00", "2.50"]}


@lru_cache(maxsize=1)
def by_name() -> dict[str, Function]:
    """The functions by the names expressions call them."""
    return {function.name: function for function in FUNCTIONS}
