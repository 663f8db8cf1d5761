"""The part of SOQL the stand-in reads: one object, comparisons joined by AND, one level of child rows. No data here.

What lies outside is a MALFORMED_QUERY, as is what Salesforce itself would not parse.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<moment>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))|(?P<number>-?\d+(?:\.\d+)?)|"
    r"'(?P<text>(?:[^'\\]|\\.)*)'|"
    r"(?P<word>[A-Za-z]\w*(?:\.\w+)*)|(?P<sign>>=|<=|!=|[=<>(),]))"
)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


class SoqlError(Exception):
    """A query that is refused, by Salesforce's own code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Comparison:
    """``field sign literal``; a literal is a moment, text, number or boolean."""

    field: str
    sign: str
    literal: Any


@dataclass(frozen=True)
class Query:
    """What was asked. ``count`` for COUNT(); ``children`` are relationship → fields."""

    table: str
    fields: tuple[str, ...]
    count: bool
    children: dict[str, tuple[str, ...]]
    where: tuple[Comparison, ...]
    order: tuple[tuple[str, bool], ...]
    limit: int | None


def parse(text: str) -> Query:
    """The query, or a `SoqlError`."""
    return _Reader(text).query()


class _Reader:
    """Tokens from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            if found is None:
                raise _malformed(text[position : position + 20])
            kind = str(found.lastgroup)
            self._tokens.append((kind, found.group(kind)))
            position = found.end()
        self._at = 0

    def query(self) -> Query:
        fields, children, count = self._selection()
        table = self._word("FROM")
        where: list[Comparison] = []
        if self._takes("WHERE"):
            where.append(self._comparison())
            while self._takes("AND"):
                where.append(self._comparison())
        order = self._order()
        limit = int(self._next("number")) if self._takes("LIMIT") else None
        if self._at != len(self._tokens):
            raise _malformed(self._tokens[self._at][1])
        return Query(table, tuple(fields), count, children, tuple(where), tuple(order), limit)

    def _selection(self) -> tuple[list[str], dict[str, tuple[str, ...]], bool]:
        self._expect("SELECT")
        fields: list[str] = []
        children: dict[str, tuple[str, ...]] = {}
        while True:
            if self._takes("("):
                inner, nested, count = self._selection()
                if nested or count:
                    raise _malformed("a child query in a child query")
                children[self._word("FROM")] = tuple(inner)
                self._order()
                self._expect(")")
            else:
                fields.append(self._next("word"))
                if fields[-1].upper() == "COUNT" and self._takes("("):
                    self._expect(")")
                    return [], {}, True
            if not self._takes(","):
                return fields, children, False

    def _comparison(self) -> Comparison:
        field, sign = self._next("word"), self._next("sign")
        if sign not in OPERATORS:
            raise _malformed(sign)
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        self._at += 1
        if kind == "moment":
            return Comparison(field, sign, datetime.fromisoformat(text))
        if kind == "number":
            return Comparison(field, sign, float(text))
        if kind == "word" and text.upper() in ("TRUE", "FALSE"):
            return Comparison(field, sign, text.upper() == "TRUE")
        if kind == "text":
            return Comparison(field, sign, text)
        raise _malformed(text)

    def _order(self) -> list[tuple[str, bool]]:
        order: list[tuple[str, bool]] = []
        if not self._takes("ORDER"):
            return order
        self._expect("BY")
        while True:
            field = self._next("word")
            descending = self._takes("DESC")
            order.append((field, descending or (self._takes("ASC") and False)))
            if not self._takes(","):
                return order

    def _word(self, keyword: str) -> str:
        self._expect(keyword)
        return self._next("word")

    def _takes(self, wanted: str) -> bool:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind not in ("word", "sign") or text.upper() != wanted:
            return False
        self._at += 1
        return True

    def _expect(self, wanted: str) -> None:
        if not self._takes(wanted):
            raise _malformed(self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>")

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise _malformed(self._tokens[self._at][1] if self._at < len(self._tokens) else "<EOF>")
        self._at += 1
        return self._tokens[self._at - 1][1]


def _malformed(near: str) -> SoqlError:
    return SoqlError("MALFORMED_QUERY", f"unexpected token: {near}")
