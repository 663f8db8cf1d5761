"""The contracts as Great Expectations suites, and one partner's harmonized records held against them.

A suite is read off `integrator.contracts.records`: what is required is there, counts and lengths lie in their ranges, what has
a closed set of values has one of them. Findings name expectations, counts and ids; never a value.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from integrator.contracts.records import KINDS
from integrator.contracts.validation import LARGEST_AMOUNT
from integrator.steps.services import Services

if TYPE_CHECKING:
    import pandas as pd

SHOWN_IDS = 5
# Harmonized sales tell more than their contract: whether a paid line was partly given back.
MAPPED_STATUSES = {"sale": {"paid": ("sold", "partly_refunded")}}


@dataclass(frozen=True)
class Rule:
    """One expectation on one column, before Great Expectations sees it; `bounds` are what it allows."""

    kind: str
    column: str
    bounds: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.column} {self.kind.replace('_', ' ')} {', '.join(f'{k} {v}' for k, v in self.bounds.items())}".strip()


@dataclass(frozen=True)
class Breach:
    """One expectation that some rows do not meet: how many, and the ids of the first of them."""

    expectation: str
    count: int
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One partner's records of one kind against their suite."""

    partner: str
    kind: str
    rows: int
    expectations: int
    breaches: tuple[Breach, ...] = ()


def check_harmonized(services: Services, partner: str, kind: str) -> Finding:
    """Hold one partner's `harmonized.<kind>` against the contract; no rows keep every contract."""
    from integrator.storage.frames import read_features

    frame = read_features(services.database, f"harmonized.{kind}", partner)
    found = rules(kind, frame.columns)
    if not frame.height:
        return Finding(partner=partner, kind=kind, rows=0, expectations=len(found))
    columns = list(dict.fromkeys([id_column(kind), *(rule.column for rule in found)]))
    breaches = validate(frame.select(columns).to_pandas(), found, id_column(kind))
    return Finding(partner=partner, kind=kind, rows=frame.height, expectations=len(found), breaches=breaches)


def id_column(kind: str) -> str:
    """A record's id in the harmonized shape: `native_id` of a sale is `sale_id`."""
    return f"{kind}_id"


def rules(kind: str, columns: "list[str]") -> list[Rule]:
    """The suite of a kind, for those of the contract's fields that the harmonized shape has."""
    found: list[Rule] = [Rule("present", name, {}) for name in ("partner", "platform") if name in columns]
    information = msgspec.inspect.type_info(KINDS[kind])
    assert isinstance(information, msgspec.inspect.StructType)
    for field in information.fields:
        column = id_column(kind) if field.name == "native_id" else field.name
        if column in columns:
            found.extend(_of_field(kind, column, field))
    return found


def _of_field(kind: str, column: str, field: msgspec.inspect.Field) -> Iterator[Rule]:
    if field.required:
        yield Rule("present", column, {})
    for choice in _choices(field.type):
        if isinstance(choice, msgspec.inspect.LiteralType):
            yield Rule("one_of", column, {"allowed": _mapped(kind, column, choice.values)})
        elif isinstance(choice, msgspec.inspect.IntType) and choice.ge is not None:
            yield Rule("between", column, {"low": choice.ge, "high": choice.le})
        elif isinstance(choice, msgspec.inspect.StrType) and choice.pattern:
            yield Rule("matches", column, {"pattern": choice.pattern})
        elif isinstance(choice, msgspec.inspect.StrType) and choice.max_length:
            yield Rule("length", column, {"low": choice.min_length, "high": choice.max_length})
        elif isinstance(choice, msgspec.inspect.DecimalType):
            yield Rule("between", column, {"low": 0, "high": float(LARGEST_AMOUNT)})


def _choices(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """A field's type, or each of them, without what was said about it for people."""
    for choice in kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,):
        yield choice.type if isinstance(choice, msgspec.inspect.Metadata) else choice


def _mapped(kind: str, column: str, values: tuple[Any, ...]) -> list[str]:
    if column != "status":
        return [str(value) for value in values]
    mapped = MAPPED_STATUSES.get(kind, {})
    return [name for value in values for name in mapped.get(value, (value,))]


def validate(frame: "pd.DataFrame", suite: list[Rule], id_name: str) -> tuple[Breach, ...]:
    """Run the suite over a frame with Great Expectations, in memory; the breaches in the suite's order.

    A null meets every rule but `present`.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # marshmallow's and pandas' own, at import and while validating
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        source = context.data_sources.add_pandas("harmonized").add_dataframe_asset("records")
        batch = source.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
        # The result repeats an expectation's meta, which is how a result finds its rule.
        expectations = [_expectation(rule, position) for position, rule in enumerate(suite)]
        checked = batch.validate(
            gx.ExpectationSuite(name="contract", expectations=expectations),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [id_name]},
        )
    results = sorted(checked.results, key=lambda result: int(result.expectation_config.meta["position"]))
    return tuple(
        _breach(rule, result.result, id_name) for rule, result in zip(suite, results, strict=True) if not result.success
    )


def preload() -> None:
    """Import Great Expectations ahead of need; it takes seconds."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations  # noqa: F401


def _expectation(rule: Rule, position: int) -> Any:
    import great_expectations.expectations as gxe

    common: dict[str, Any] = {"column": rule.column, "meta": {"position": position}}
    bounds = rule.bounds
    if rule.kind == "present":
        return gxe.ExpectColumnValuesToNotBeNull(**common)
    if rule.kind == "one_of":
        return gxe.ExpectColumnValuesToBeInSet(**common, value_set=bounds["allowed"])
    if rule.kind == "matches":
        return gxe.ExpectColumnValuesToMatchRegex(**common, regex=bounds["pattern"])
    if rule.kind == "length":
        return gxe.ExpectColumnValueLengthsToBeBetween(**common, min_value=bounds["low"], max_value=bounds["high"])
    return gxe.ExpectColumnValuesToBeBetween(**common, min_value=bounds["low"], max_value=bounds["high"])


def _breach(rule: Rule, result: Mapping[str, Any], id_name: str) -> Breach:
    rows = result.get("unexpected_index_list") or []
    ids = tuple(str(row[id_name]) for row in rows[:SHOWN_IDS])
    return Breach(str(rule), int(result.get("unexpected_count") or len(rows)), ids)
