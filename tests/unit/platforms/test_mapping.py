"""Mappings: what the rules make of a row, what a file may say, and that a hostile one costs nothing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.validation import read_record
from integrator.platforms.declarative.document import read_document
from integrator.platforms.declarative.expressions import parse
from integrator.platforms.declarative.functions import EXAMPLE_ROW, FUNCTIONS
from integrator.platforms.declarative.mapping import KEYS, MappingKeys, load_mapping

SALE = """
kind: sale
fields:
  native_id: $.id
  product: $.sku
  sold_at: $.at
  quantity: number($.n)
  unit_price: decimal($.price, ',')
  currency: "'EUR'"
  status: {from: $.state, map: {1: paid, true: refunded}, default: "'pending'"}
"""


def record(text: str, row: Any) -> dict[str, Any]:
    """The one record of a row."""
    (found,) = load_mapping(text, name="map.yaml").records(row)
    return found


def value(expression: str, row: Any = None) -> Any:
    """What an expression is worth."""
    return parse(expression)({} if row is None else row)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_function_does_what_its_example_says(function: Any) -> None:
    assert value(function.example, EXAMPLE_ROW) == function.outcome
    nothing = [parse("null").compute] * function.least
    assert function.least <= len(nothing) <= function.most
    assert len(function.does) > 10


def test_every_key_of_a_mapping_is_described() -> None:
    assert set(KEYS) == set(MappingKeys.__struct_fields__)


def test_a_row_becomes_a_record_that_lands() -> None:
    row = {"id": 7, "sku": "A", "at": "2026-03-01T10:00:00Z", "n": "2", "price": "1.234,50", "state": 1}
    found = record(SALE, row)
    assert found == {
        "native_id": "7", "product": "A", "sold_at": "2026-03-01T10:00:00Z", "quantity": 2, "unit_price": "1234.50",
        "currency": "EUR", "status": "paid",
    }  # fmt: skip
    read_record("sale", found)


@pytest.mark.parametrize(
    ("state", "expected"), [(True, "refunded"), (1, "paid"), ("1", "paid"), (None, "pending"), (9, "pending")]
)
def test_values_are_mapped_and_defaulted(state: Any, expected: str) -> None:
    assert record(SALE, {"id": "a", "state": state})["status"] == expected


def test_a_value_outside_the_map_passes_for_landing_to_judge_unless_there_is_a_default() -> None:
    text = SALE.replace(""", default: "'pending'"}""", "}")
    assert record(text, {"id": "a", "state": "haunted"})["status"] == "haunted"


def test_what_cannot_be_read_is_handed_on_and_refused_by_landing_with_its_field() -> None:
    mapping = load_mapping(SALE, name="map.yaml")
    row = {"id": "a", "sku": "A", "at": "2026-03-01T10:00:00Z", "n": "two", "price": "1,0", "state": 1}
    found, problems = mapping.report(row)
    assert [(problem.field, problem.reason) for problem in problems] == [
        ("quantity", "is not a number with the decimal mark .")
    ]
    assert found["quantity"]["unreadable"] == "two"
    with pytest.raises(InvalidInput) as caught:
        read_record("sale", found, strict=False)
    assert caught.value.field == "quantity"


def test_the_rest_becomes_attributes_and_what_is_used_does_not() -> None:
    text = SALE + 'attributes: "*"\nleave_out: [secret]\ntyped_text: true\n'
    row = {
        "id": "a",
        "sku": "A",
        "secret": "x",
        "zip": "0123",
        "age": "41",
        "vip": "true",
        "no": None,
        "deep": {"a": 1},
    }
    assert record(text, row)["attributes"] == {"zip": "0123", "age": 41, "vip": True}
    assert "attributes" not in record(SALE, row)


def test_attributes_of_an_object_and_by_name() -> None:
    text = SALE + "attributes: {'*': $.custom.*, size: number($.size), state: $.state}\n"
    row = {"id": "a", "size": "12.5", "state": "x", "custom": {"a": 1, "b": "t", "c": [1]}, "other": 1}
    assert record(text, row)["attributes"] == {"a": 1, "b": "t", "size": 12.5, "state": "x"}


def test_columns_with_any_name_are_reached() -> None:
    assert value("$['Event Name']", {"Event Name": "Gala"}) == "Gala"
    assert value('$["a.b"][0].c', {"a.b": [{"c": 5}]}) == 5
    assert value("$.größe-2", {"größe-2": 1}) == 1
    assert value("$.a[-1]", {"a": [1, 2]}) == 2
    assert value("$.a[5].b", {"a": [1, 2]}) is None
    assert value("$.a[*].b", {"a": [{"b": 1}, {}, {"b": 3}]}) == [1, None, 3]


@pytest.mark.parametrize("at", ["2026-03-29T02:30:00", "2026-03-29 02:59"])
def test_a_time_the_clocks_leapt_over_is_refused_and_a_double_one_is_the_first(at: str) -> None:
    with pytest.raises(InvalidInput, match="does not exist in Europe/Berlin"):
        value("date($.at, 'Europe/Berlin')", {"at": at})
    assert value("date('2026-10-25T02:30:00', 'Europe/Berlin')") == "2026-10-25T02:30:00+02:00"


@pytest.mark.parametrize(
    "expression",
    ["date('2026-03-01')", "date('2026-03-01', 'Berlin')", "date('soon', 'UTC')", "number('1,5')", "number('1.000.5')",
     "number('NaN')", "number('1e999')", "number(true)", "decimal_minor(1, 'XYZ')", "divide(1, 0)", "epoch(1e18)",
     "epoch(99999999999999)", "sum('abc')", "split('a', '', 0)", "concat($.o)"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_without_repeating_the_value(expression: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        value(expression, {"o": {"secret": 1}})
    assert "secret" not in str(caught.value)


def test_only_what_is_chosen_is_evaluated() -> None:
    assert value("if(equals($.a, 1), 'one', number('x'))", {"a": 1}) == "one"
    assert value("coalesce($.a, number('x'))", {"a": 1}) == 1
    assert value("any(true, number('x'))")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: sales\nfields: {}", "map.yaml:1: kind 'sales' is not allowed; allowed: event, contact, sale"),
        ("kind: sale\nfields:\n  colour: $.x", "map.yaml:3: fields.colour 'colour' is not allowed; allowed: native_id"),
        ("kind: event\nfields:\n  native_id: $.a\n  venue: {town: $.x}", "map.yaml:4: fields.venue.town"),
        ("kind: sale\nfields:\n  product: $.x", "fields with native_id"),
        ("kind: sale\nfields:\n  native_id: lowr($.x)", "map.yaml:3: fields.native_id: 'lowr' is not allowed"),
        ("kind: sale\nfields:\n  native_id: EUR", "'text' in quotes"),
        ("kind: sale\nfields:\n  native_id: lower()", "allowed: lower(text)"),
        ("kind: sale\nfields:\n  native_id: lower($.a", "is not closed"),
        ("kind: sale\nfields:\n  native_id: $.a $.b", "after a whole expression"),
        ("kind: sale\nfields:\n  native_id: [1]", "map.yaml:3: fields.native_id"),
        ("kind: sale\nfields:\n  native_id: {frm: $.a}", "allowed: from, map, default"),
        ("kind: sale\nfields:\n  native_id: {from: $.a, map: [1]}", "map.yaml:3: fields.native_id.map"),
        ("kind: sale\nfields:\n  native_id: {map: {}}", "a mapping with from"),
        ("kind: sale\nfields: 5", "map.yaml:1"),
        ("kind: sale\nfields: {native_id: $.a}\ncolour: red", "map.yaml:3: colour 'colour' is not allowed"),
        ("kind: sale\nfields: {native_id: $.a}\nattributes: all", "map.yaml:3: attributes"),
        ("kind: sale\nfields: {native_id: $.a}\nattributes: $.a", "a path that ends in .*"),
        ("kind: sale\nkind: sale", "map.yaml:2: a second 'kind'"),
        ("a: &x 1\nb: *x", "map.yaml:1: an anchor or alias"),
        ("a: !!python/object/apply:os.system [x]", "the tag"),
        ("<<: {a: 1}", "a merge key"),
        ("? [a]\n: 1", "such a key"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: [1, 2", "map.yaml:1: not YAML"),
        ("", "map.yaml:1: the file None"),
        ("a: \x00", "no readable text"),
    ],
)
def test_a_bad_file_is_refused_with_file_line_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_mapping(text, name="map.yaml")
    assert said in str(caught.value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    "text",
    [BOMB, "[" * 60_000, "{a: " * 10_000, "a: " + "x" * 70_000, "\n".join(f"k{n}: 1" for n in range(6_000)), b"\xff\xfe\x00",
     b"\xed\xa0\x80: 1"],
)  # fmt: skip
def test_a_hostile_file_is_refused_at_once(text: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        load_mapping(text, name="bomb.yaml")


def test_hostile_expressions_are_refused_at_once() -> None:
    for expression in ("lower(" * 200, "$" + "[*]" * 600, "'" * 3, "not(" * 20 + "1" + ")" * 20, "__import__('os')"):
        with pytest.raises(InvalidInput):
            parse(expression)
    with pytest.raises(InvalidInput, match="more than 10000"):
        value("count($.a[*])", {"a": [1] * 10_001})


def test_words_mean_what_they_look_like() -> None:
    data = read_document(
        "a: no\nb: on\nc: 2026-01-01\nd: 012\ne: 1.5\nf: null\ng: '5'\nh: true\ni: 1_000", name="x"
    ).data
    assert data == {
        "a": "no", "b": "on", "c": "2026-01-01", "d": "012", "e": 1.5, "f": None, "g": "5", "h": True, "i": "1_000"
    }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for read in (parse, lambda given: load_mapping(given, name="x")):
        try:
            read(text)
        except InvalidInput:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)
ANY_ROW = load_mapping(
    """
kind: sale
each: $.a[*]
only: not(more($.b, 3))
fields:
  native_id: concat($.a, each.b)
  product: upper(each)
  sold_at: coalesce(epoch($.b), date($.a, 'UTC'))
  quantity: count($.b)
  unit_price: divide(decimal($.a), sum($.b[*]))
  status: {from: $.c.a, map: {a: paid}}
attributes: "*"
typed_text: true
""",
    name="x",
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_row_is_read_without_an_exception(row: Any) -> None:
    ANY_ROW.records(row)
    assert isinstance(ANY_ROW.read(row), dict)


def test_elements_become_records_and_a_row_without_its_list_is_seen() -> None:
    text = "kind: sale\neach: $.lines\nonly: not($.test)\nfields:\n  native_id: concat($.id, '-', each.n)\n  product: each.sku\n"
    mapping = load_mapping(text, name="x")
    two = {"id": "a", "lines": [{"n": 1, "sku": 5}, {"n": 2, "sku": "b"}]}
    assert mapping.records(two) == [{"native_id": "a-1", "product": "5"}, {"native_id": "a-2", "product": "b"}]
    assert mapping.records({**two, "test": True}) == []
    assert mapping.records({"id": "a", "lines": []}) == []
    for odd in ({"id": "a"}, {"id": "a", "lines": 5}, {"id": "a", "lines": [{}] * 10_001}, ["no", "object"], None):
        assert mapping.records(odd) == [{}]
