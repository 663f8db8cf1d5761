"""What of an insight a host's column may take, which column types hold it, and the value as that column wants it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

from sqlalchemy import types

from integrator.contracts.errors import InvalidInput, invalid
from integrator.contracts.insight import rfc3339

Kind = Literal["text", "whole", "number", "moment", "document"]

# As the columns of the insight tables are named and typed.
FIELDS: Mapping[str, Kind] = {
    "insight_id": "text", "insight_version": "whole", "use_case": "text", "subject_kind": "text", "subject_id": "text",
    "platform": "text", "status": "text", "value": "number", "unit": "text", "low": "number", "high": "number",
    "level": "number", "confidence": "text", "rung": "text", "model_name": "text", "model_version": "text",
    "summary": "text", "generated_at": "moment", "published_seq": "whole", "document": "document",
}  # fmt: skip
DETAILS: Mapping[str, Mapping[str, Kind]] = {
    "attendance": {
        "p10": "number", "p50": "number", "p90": "number", "capacity": "whole", "sell_out_at": "moment",
        "family": "text", "alternatives": "document", "horizon": "document",
    },
    "pricing": {
        "current_price": "number", "floor": "number", "ceiling": "number", "expected_quantity": "number",
        "expected_revenue": "number", "expected_profit": "number", "elasticity": "number", "demand_curve": "document",
        "disclosure": "text", "expires_at": "moment",
    },
    "lead_score": {
        "score": "whole", "grade": "text", "rank": "whole", "trend": "text", "horizon_days": "whole",
        "what_would_change_it": "document",
    },
}  # fmt: skip
KINDS: Mapping[str, Kind] = {**FIELDS, **{name: kind for one in DETAILS.values() for name, kind in one.items()}}
# The longest text of the fields that have one, in characters.
LENGTHS = {"insight_id": 30, "use_case": 10, "subject_kind": 7, "status": 9, "unit": 11, "confidence": 6, "rung": 7}
# Without a value where the insight is refused or withdrawn, or of another use case.
NULLABLE = frozenset({"value", "low", "high", "level", *(name for one in DETAILS.values() for name in one)})
_HOLDS: Mapping[Kind, tuple[type[types.TypeEngine[Any]], ...]] = {
    "text": (types.String,),
    "whole": (types.Integer, types.Numeric),
    "number": (types.Numeric, types.Float, types.Integer),
    "moment": (types.DateTime, types.String),
    "document": (types.String, types.JSON),
}
_WORDS: Mapping[Kind, str] = {
    "text": "text", "whole": "integer or numeric", "number": "numeric, double or integer",
    "moment": "timestamp or text", "document": "text or JSON",
}  # fmt: skip


def misfit(field: str, column: types.TypeEngine[Any]) -> str | None:
    """Why a column of this type cannot take the field, None where it can; one without a type (SQLite's) takes all."""
    kind = KINDS[field]
    if isinstance(column, types.NullType):
        return None
    if not isinstance(column, _HOLDS[kind]):
        return f"is {column!r}; allowed for {field}: {_WORDS[kind]}"
    length = getattr(column, "length", None)
    if isinstance(column, types.String) and length is not None and length < LENGTHS.get(field, 0):
        return f"holds {length} characters; {field} has up to {LENGTHS[field]}"
    return None


def value_of(insight: Mapping[str, Any], field: str) -> Any:
    """A field of an insight's row, as Python has it; None where its use case has no such detail."""
    if field in FIELDS:
        return insight[field]
    found = insight["details"].get(field) if field in DETAILS.get(insight["use_case"], {}) else None
    if found is None:
        return None
    kind = KINDS[field]
    if kind == "moment":
        return datetime.fromisoformat(found)
    if kind in ("number", "whole"):
        return Decimal(str(found))
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if kind == "document" else str(found)


def fitted(field: str, value: Any, column: types.TypeEngine[Any], dialect: str) -> Any:
    """The value as the column takes it: numbers rounded to its scale, moments in UTC.

    `InvalidInput` where a text is longer than the column, rather than have it cut.
    """
    if value is None:
        return None
    kind = KINDS[field]
    if kind == "moment":
        return _moment(value, column)
    if kind in ("number", "whole"):
        return _number(value, column, dialect)
    length = getattr(column, "length", None)
    if isinstance(column, types.String) and length is not None and len(value) > length:
        raise InvalidInput(f"{field} has {len(value)} characters and its column holds {length}", field=field)
    return value


def _moment(value: datetime, column: types.TypeEngine[Any]) -> Any:
    if not isinstance(column, types.DateTime):
        return rfc3339(value)
    moment = value.astimezone(UTC)
    return moment if column.timezone else moment.replace(tzinfo=None)


def _number(value: Any, column: types.TypeEngine[Any], dialect: str) -> int | float | Decimal:
    number = Decimal(value)
    if isinstance(column, types.Integer):
        return int(number.to_integral_value(ROUND_HALF_EVEN))
    scale = getattr(column, "scale", None)
    exact = isinstance(column, types.Numeric) and not isinstance(column, types.Float)
    if exact and scale is not None:
        number = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)
    if exact and dialect != "sqlite":
        return number
    return int(number) if number == number.to_integral_value() else float(number)


def known(field: str, use_cases: tuple[str, ...]) -> None:
    """Raise `InvalidInput` unless an insight of one of these use cases (all where none is said) has the field."""
    taken = use_cases or tuple(DETAILS)
    allowed = [*FIELDS, *(name for use_case in taken for name in DETAILS[use_case])]
    if field not in allowed:
        raise invalid("field", field, allowed)
