"""The contract of a kind as conditions on its harmonized columns, read off `integrator.contracts.records`.

What is required is there, counts and lengths lie in their ranges, what has a closed set of values has one of them. A null
meets every rule but `present`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from integrator.contracts.records import KINDS
from integrator.contracts.validation import LARGEST_AMOUNT
from integrator.storage.measures import Condition

# Harmonized sales tell more than their contract: whether a paid line was partly given back.
MAPPED_STATUSES = {"sale": {"paid": ("sold", "partly_refunded")}}


def id_column(kind: str) -> str:
    """A record's id in the harmonized shape: `native_id` of a sale is `sale_id`."""
    return f"{kind}_id"


def conditions(kind: str, columns: Sequence[str]) -> list[Condition]:
    """What breaks the contract, for those of its fields that the harmonized shape has."""
    found = [_present(name) for name in ("partner", "platform") if name in columns]
    information = msgspec.inspect.type_info(KINDS[kind])
    assert isinstance(information, msgspec.inspect.StructType)
    for field in information.fields:
        column = id_column(kind) if field.name == "native_id" else field.name
        if column in columns:
            found.extend(_of_field(kind, column, field))
    return found


def _of_field(kind: str, column: str, field: msgspec.inspect.Field) -> Iterator[Condition]:
    if field.required:
        yield _present(column)
    for choice in _choices(field.type):
        if isinstance(choice, msgspec.inspect.LiteralType):
            allowed = {f"{column}_allowed": _mapped(kind, column, choice.values)}
            yield Condition(f"{column}_known", f"not record.{column} = any(:{column}_allowed)", allowed)
        elif isinstance(choice, msgspec.inspect.IntType) and choice.ge is not None:
            yield _between(column, "in_range", f"record.{column}", choice.ge, choice.le)
        elif isinstance(choice, msgspec.inspect.StrType) and choice.pattern:
            pattern = {f"{column}_pattern": choice.pattern}
            yield Condition(f"{column}_well_formed", f"record.{column} !~ :{column}_pattern", pattern)
        elif isinstance(choice, msgspec.inspect.StrType) and choice.max_length:
            yield _between(
                column, "of_fit_length", f"length(record.{column})", choice.min_length or 0, choice.max_length
            )
        elif isinstance(choice, msgspec.inspect.DecimalType):
            yield _between(column, "in_range", f"record.{column}", 0, LARGEST_AMOUNT)


def _present(column: str) -> Condition:
    return Condition(f"{column}_present", f"record.{column} is null")


def _between(column: str, name: str, expression: str, low: Any, high: Any) -> Condition:
    bounds = {f"{column}_low": low, f"{column}_high": high}
    return Condition(f"{column}_{name}", f"{expression} not between :{column}_low and :{column}_high", bounds)


def _choices(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """A field's type, or each of them, without what was said about it for people."""
    for choice in kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,):
        yield choice.type if isinstance(choice, msgspec.inspect.Metadata) else choice


def _mapped(kind: str, column: str, values: tuple[Any, ...]) -> list[str]:
    if column != "status":
        return [str(value) for value in values]
    mapped = MAPPED_STATUSES.get(kind, {})
    return [name for value in values for name in mapped.get(value, (value,))]
