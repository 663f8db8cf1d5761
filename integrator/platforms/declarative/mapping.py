"""Field mappings: a row of anything (a JSON object, a line of a CSV file) as a canonical record. Pure: no I/O.

A mapping is the YAML of ``kind``, ``fields`` and a few more keys; each field is a rule: an expression, a literal number
or boolean, or ``{from, map, default}``. What cannot be read is handed on as ``{"unreadable": …, "reason": …}`` in its
field, which no record allows: landing quarantines it with the field's name, and the sender's value is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from integrator.contracts.errors import InvalidInput
from integrator.contracts.records import KINDS, Consent, Venue
from integrator.platforms.declarative.document import At, Document, read_document, scalar
from integrator.platforms.declarative.expressions import (
    EVERY,
    LARGEST_LIST,
    Expression,
    Scope,
    Steps,
    follow,
    parse,
    steps_of,
)
from integrator.platforms.declarative.functions import is_empty, is_true

Raw = dict[str, Any]
T = TypeVar("T", bound=msgspec.Struct)
Row = Mapping[str, Any]
MOST_FIELDS = 500
NESTED = {"venue": Venue, "consent": Consent}
REST = "*"
# Platforms number what we name: a whole number in these is written as text.
NAMES = ("native_id", "event_id", "contact_id", "series_id", "product", "tier")
_RULE_KEYS = ("from", "map", "default")


class MappingKeys(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a mapping. ``prefix`` is not among them: what a record is called is the platform's affair."""

    kind: str
    fields: dict[str, Any]
    each: str | None = None
    only: str | None = None
    attributes: Any = None
    leave_out: list[str] = []
    typed_text: bool = False


KEYS = {
    "kind": "what the records are: event, contact or sale",
    "fields": "a rule for each field of the record; `venue` and `consent` take a mapping of their own",
    "each": "a path to a list in the row: one record for each element, which expressions see as `each`; a row without the"
    " list is quarantined, unless `only` leaves it out",
    "only": "a condition; rows (elements) for which it does not hold make no record",
    "attributes": "the partner's own fields: `'*'` takes every scalar field of the row that no other rule uses,"
    " `$.path.*` those of an object, a mapping names them one by one (with `'*'` for the rest)",
    "leave_out": "names that `'*'` does not take",
    "typed_text": "whether attributes written as text become numbers and booleans where they look it (CSV files)",
}


@dataclass(frozen=True)
class Problem:
    """A field that could not be read, and why; the value is not told, it may be personal."""

    field: str
    reason: str


@dataclass(frozen=True)
class Rule:
    """One field's rule, compiled."""

    field: str
    compute: Callable[[Scope], Any]
    uses: frozenset[Steps] = frozenset()


@dataclass(frozen=True)
class RecordMapping:
    """Rows to records of one ``kind``; ``name`` is what messages call the file."""

    name: str
    kind: str
    rules: tuple[Rule, ...]
    attributes: tuple[Rule, ...] = ()
    rest: Callable[[Scope], Raw] | None = None
    each: Expression | None = None
    only: Expression | None = None
    typed_text: bool = False

    def read(self, row: Row, item: Any = None) -> Raw:
        """The record of a row (and of an element of ``each``); never raises for what the row holds."""
        return self.report(row, item)[0]

    def records(self, row: Any) -> list[Raw]:
        """All records of a row, in order: one, none (``only``), or one for each element (``each``)."""
        return [record for record, _ in self.reports(row)]

    def reports(self, row: Any) -> Iterator[tuple[Raw, list[Problem]]]:
        """`records`, each with what could not be read in it."""
        for item in self._items(row):
            if self._wanted(row, item):
                yield self.report(row, item)

    def report(self, row: Any, item: Any = None) -> tuple[Raw, list[Problem]]:
        """The record, and what could not be read in it."""
        scope, problems = Scope(row, item), list[Problem]()
        record: Raw = {}
        for rule in self.rules:
            value = _value(rule, scope, problems)
            if value is not None:
                _put(record, rule.field, value)
        attributes = self._attributes(scope, problems)
        if attributes:
            record["attributes"] = attributes
        return record, problems

    def _items(self, row: Any) -> list[Any]:
        if self.each is None:
            return [None]
        try:
            found = self.each(row)
        except InvalidInput:
            return [None]
        # Where there is no list, or too long a one, one record is made: quarantined for what it lacks, and so seen.
        return found if isinstance(found, list) and len(found) <= LARGEST_LIST else [None]

    def _wanted(self, row: Any, item: Any) -> bool:
        try:
            return self.only is None or is_true(self.only(row, item))
        except InvalidInput:
            return True

    def _attributes(self, scope: Scope, problems: list[Problem]) -> Raw:
        found: Raw = dict(self.rest(scope)) if self.rest else {}
        for rule in self.attributes:
            found[rule.field.partition(".")[2]] = _value(rule, scope, problems)
        typed = {key: _typed(value) if self.typed_text else value for key, value in found.items()}
        return {key: value for key, value in typed.items() if not is_empty(value)}


def load_mapping(text: str | bytes, *, name: str) -> RecordMapping:
    """A mapping from its YAML; raises `InvalidInput` naming file, line, field and what is allowed."""
    document = read_document(text, name=name)
    return mapping_of(document, (), document.data)


def mapping_of(document: Document, at: At, data: Any) -> RecordMapping:
    """A mapping that stands at a place of a document."""
    keys = structure(document, at, data, MappingKeys)
    if keys.kind not in KINDS:
        raise document.refuse((*at, "kind"), keys.kind, KINDS)
    rules = _rules(document, (*at, "fields"), keys.fields, keys.kind)
    if not any(rule.field == "native_id" for rule in rules):
        raise document.refuse((*at, "fields"), sorted(keys.fields), "fields with native_id among them")
    attributes, rest = _attribute_rules(document, (*at, "attributes"), keys.attributes)
    used = frozenset[Steps]().union(*(rule.uses for rule in (*rules, *attributes)))
    return RecordMapping(
        document.name, keys.kind, rules, attributes,
        None if rest is None else _rest_of(rest, used, frozenset(keys.leave_out)),
        expression_at(document, (*at, "each"), keys.each), expression_at(document, (*at, "only"), keys.only),
        keys.typed_text,
    )  # fmt: skip


def structure(document: Document, at: At, data: Any, model: type[T]) -> T:
    """``data`` as a struct; an unknown, missing or wrong key is named with its line and what is allowed."""
    if not isinstance(data, Mapping):
        raise document.refuse(at, data, f"a mapping with {', '.join(model.__struct_fields__)}")
    for key in data:
        if key not in model.__struct_encode_fields__:
            raise document.refuse((*at, key), key, model.__struct_encode_fields__)
    try:
        return msgspec.convert(data, model)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{document.where(at)}: {error}") from error


def expression_at(document: Document, at: At, text: Any) -> Expression | None:
    """The expression at a place, None where there is none."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise document.refuse(at, text, "an expression")
    try:
        return parse(text)
    except InvalidInput as error:
        raise InvalidInput(f"{document.where(at)}: {error}") from error


def _rules(document: Document, at: At, fields: Mapping[str, Any], kind: str) -> tuple[Rule, ...]:
    allowed = [name for name in KINDS[kind].__struct_fields__ if name != "attributes"]
    found: list[Rule] = []
    for field, spec in fields.items():
        if field not in allowed:
            raise document.refuse((*at, field), field, allowed)
        if field not in NESTED:
            found.append(_rule(document, (*at, field), field, spec))
            continue
        inner = NESTED[field].__struct_fields__
        if not isinstance(spec, Mapping):
            raise document.refuse((*at, field), spec, f"a mapping with {', '.join(inner)}")
        for part, part_spec in spec.items():
            if part not in inner:
                raise document.refuse((*at, field, part), part, inner)
            found.append(_rule(document, (*at, field, part), f"{field}.{part}", part_spec))
    return tuple(found)


def _rule(document: Document, at: At, field: str, spec: Any) -> Rule:
    if isinstance(spec, Mapping):
        return _mapped_rule(document, at, field, spec)
    if isinstance(spec, str):
        expression = expression_at(document, at, spec)
        assert expression is not None
        return Rule(field, expression.compute, expression.uses)
    if spec is None or isinstance(spec, bool | int | float):
        return Rule(field, lambda _: spec)
    raise document.refuse(at, spec, f"an expression, a number, true, false or a mapping with {', '.join(_RULE_KEYS)}")


def _mapped_rule(document: Document, at: At, field: str, spec: Mapping[str, Any]) -> Rule:
    """``{from, map, default}``: a value not in the map passes as it is, for landing to judge it, unless defaulted."""
    for key in spec:
        if key not in _RULE_KEYS:
            raise document.refuse((*at, key), key, _RULE_KEYS)
    source = expression_at(document, (*at, "from"), spec.get("from"))
    if source is None:
        raise document.refuse(at, list(spec), "a mapping with from")
    table = spec.get("map", {})
    if not isinstance(table, Mapping) or not all(
        isinstance(v, str | bool | int | float | None) for v in table.values()
    ):
        raise document.refuse((*at, "map"), table, "a mapping of values to text, numbers, booleans or null")
    fallback = _rule(document, (*at, "default"), field, spec.get("default"))
    compute, has_default, has_map = source.compute, "default" in spec, "map" in spec

    def mapped(scope: Scope) -> Any:
        value = compute(scope)
        known = str(value).lower() if isinstance(value, bool) else str(value)
        if not is_empty(value) and known in table:
            return table[known]
        if has_default and (has_map or is_empty(value)):
            return fallback.compute(scope)
        return value

    return Rule(field, mapped, source.uses | fallback.uses)


def _attribute_rules(document: Document, at: At, spec: Any) -> tuple[tuple[Rule, ...], Steps | None]:
    if spec is None:
        return (), None
    if isinstance(spec, str):
        return (), _rest_path(document, at, spec)
    if not isinstance(spec, Mapping) or len(spec) > MOST_FIELDS:
        raise document.refuse(at, spec, f"'*', a path such as $.custom.*, or a mapping of at most {MOST_FIELDS} names")
    rules = tuple(_rule(document, (*at, n), f"attributes.{n}", s) for n, s in spec.items() if n != REST)
    return rules, _rest_path(document, (*at, REST), spec[REST]) if REST in spec else None


def _rest_path(document: Document, at: At, path: Any) -> Steps:
    """The object whose remaining scalar fields are attributes: its root and steps."""
    if path == REST:
        return ("$",)
    expression = expression_at(document, at, path)
    steps = steps_of(str(path))
    if expression is None or expression.uses != {steps} or steps[-1:] != (EVERY,):
        raise document.refuse(at, path, "'*', or a path that ends in .* such as $.custom.*")
    return steps[:-1]


def _rest_of(rest: Steps, used: frozenset[Steps], leave_out: frozenset[str]) -> Callable[[Scope], Raw]:
    """A function for the scalar fields of an object that no rule reads."""
    depth = len(rest)
    taken = leave_out | {str(path[depth]) for path in used if path[:depth] == rest and len(path) > depth}

    def remaining(scope: Scope) -> Raw:
        value = follow(scope.row if rest[0] == "$" else scope.item, rest[1:])
        if not isinstance(value, Mapping):
            return {}
        return {
            str(key): part
            for key, part in value.items()
            if str(key) not in taken and isinstance(part, str | int | float | bool)
        }

    return remaining


def _value(rule: Rule, scope: Scope, problems: list[Problem]) -> Any:
    try:
        value = rule.compute(scope)
    except InvalidInput as error:
        problems.append(Problem(rule.field, str(error)))
        return {"unreadable": error.value, "reason": str(error)}
    if rule.field in NAMES and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if is_empty(value) else value


def _put(record: Raw, field: str, value: Any) -> None:
    outer, _, inner = field.partition(".")
    if inner:
        record.setdefault(outer, {})[inner] = value
    else:
        record[field] = value


def _typed(value: Any) -> Any:
    """Text that looks like a number or boolean as one; what starts with a superfluous 0 is a code and stays."""
    if not isinstance(value, str):
        return value
    found = scalar(value.strip())
    return value if found is None else found
