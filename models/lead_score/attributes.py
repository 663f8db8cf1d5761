"""Type inference and encoding: feature rows in, a numeric matrix out, NaN where a value is missing.

A partner's own attributes are used without any code being written: booleans, numbers, dates (as days from
`as_of`) and categories. What the encoder learned is a plain dict, so that it travels inside the model.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.base import FeatureRow
from models.lead_score.columns import BUILT_IN
from models.lead_score.splits import person_folds
from models.messages import ENGLISH, Catalogue, catalogue

Floats = NDArray[np.float64]

PARSE_SHARE = 0.95
"""An attribute is of a type when this share of its known values parses as it."""
RARE = 5
"""Categories seen in fewer rows are one group; an unseen category joins it."""
PRIOR_ROWS = 20.0
MAX_DATE_PAIRS = 3
LARGEST = 1e100
"""What is larger is not a measure of anything, and its square would be infinite: it counts as not known."""
ID_LEVELS = 8
"""Whole numbers that repeat over at least so many values may be ids: encoded as number and as category."""
CODES = frozenset(
    "id ids code codes zip postcode market cluster region city state country continent destination site store shop "
    "branch channel campaign segment category type class group owner agent team".split()
)
_FOLDS = 5
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?")
FEW = 8
"""Rows up to which a column costs less cell by cell: a frame's library takes half a millisecond to begin."""
_REMEMBERED = 1 << 16


class Table:
    """Feature rows by column, each column read and parsed once, for the rows taken from it too."""

    def __init__(self, rows: Sequence[FeatureRow], whole: "tuple[Table, NDArray[np.intp]] | None" = None) -> None:
        """`whole` is the table these rows were taken from, and where they stand in it."""
        self.rows = rows
        self._whole = whole
        self._columns: dict[tuple[str, str], pl.Series] = {}

    def take(self, index: NDArray[np.intp]) -> "Table":
        """Some of the rows."""
        return Table([self.rows[i] for i in index], (self, index))

    def text(self, name: str) -> pl.Series:
        """One field of all rows as text; null where unknown or empty, booleans as 1 and 0."""
        return self._column("text", name)

    def number(self, name: str) -> pl.Series:
        """The same as finite numbers; null where it is none."""
        return self._column("number", name)

    def date(self, name: str) -> pl.Series:
        """The same as dates, by day; null where it is none. `as_of` is a field too."""
        return self._column("date", name)

    def numbers(self, name: str) -> Floats:
        """`number` as an array, NaN where it is null. Of few rows each cell is read by itself, and remembered."""
        if len(self.rows) <= FEW:
            return np.array([math.nan if cell is None else _number_in(cell) for cell in self._cells(name)])
        return _floats(self.number(name))

    def days(self, name: str) -> Floats:
        """`date` as days since 1970, NaN where it is null; of few rows as above."""
        if len(self.rows) <= FEW:
            return np.array([_day_of(cell) for cell in self._cells(name)])
        return _floats(self.date(name).dt.epoch("d"))

    def cells(self, name: str) -> list[str | None]:
        """`text` as a list."""
        return self._cells(name) if len(self.rows) <= FEW else self.text(name).to_list()

    def _cells(self, name: str) -> list[str | None]:
        own = name not in BUILT_IN and name != "as_of"
        return [_text((row["attributes"] if own else row).get(name)) for row in self.rows]

    def _column(self, kind: str, name: str) -> pl.Series:
        if (kind, name) not in self._columns:
            self._columns[kind, name] = self._read(kind, name)
        return self._columns[kind, name]

    def _read(self, kind: str, name: str) -> pl.Series:
        if self._whole is not None:
            table, index = self._whole
            return table._column(kind, name)[index]
        if kind == "number":
            return _numbers(self.text(name))
        if kind == "date":
            return _dates(self.text(name))
        return pl.Series(name, self._cells(name), dtype=pl.String)


def names(rows: Sequence[FeatureRow]) -> list[str]:
    """Built-in fields, then every attribute any row has, sorted."""
    own: set[str] = set()
    for row in rows:
        own.update(row["attributes"])
    return [*BUILT_IN, *sorted(own - set(BUILT_IN))]


def infer(text: pl.Series, name: str = "", language: str = ENGLISH) -> tuple[str, str | None]:
    """(kind, reason): number, date, category, or `none` with the reason why it cannot be used, told in `language`.

    Whole numbers under a name that ends like a code's (`hotel_market`, `store_id`) are categories where each value
    comes often enough to have a rate of its own, and else left out: their size says nothing.
    """
    words = catalogue("lead_score", language)
    known = text.drop_nulls()
    if not len(known):
        return "none", words("dropped.missing")
    distinct = known.n_unique()
    if distinct == 1 and len(known) == len(text):
        return "none", words("dropped.constant")
    if _numbers(known).is_not_null().mean() >= PARSE_SHARE:  # type: ignore[operator]
        return _number_or_code(known, name, words)
    if _dates(known).is_not_null().mean() >= PARSE_SHARE:  # type: ignore[operator]
        return "date", None
    if len(known) > 50 and distinct > len(known) / 2:
        return "none", words("dropped.different", **_counted(distinct, len(known), words))
    return "category", None


def is_code(name: str) -> bool:
    """Whether a field's name says that its numbers name things and do not count them; never for a field of ours."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return name not in BUILT_IN and bool(words) and words[-1].lower() in CODES


def fit(
    rows: Table | Sequence[FeatureRow],
    outcome: Floats,
    groups: NDArray[np.intp],
    excluded: Sequence[str],
    seed: int,
    language: str = ENGLISH,
) -> tuple[dict[str, Any], Floats, dict[str, str]]:
    """Learn types and category rates: (encoder, matrix of `rows`, reasons in `language` of what is left out).

    Categories become the smoothed log-odds of their outcome, (conversions + m·rate) / (rows + m) (Micci-Barreca
    2001). In the matrix given back each row's is learned from other folds alone, a `group` (person) never
    being in two folds, so that the model does not learn from its own answers.
    """
    table = rows if isinstance(rows, Table) else Table(rows)
    numeric: list[dict[str, Any]] = []
    dates: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    dropped: dict[str, str] = {}
    folds = person_folds(outcome, groups, _FOLDS, seed)
    held_out: dict[str, Floats] = {}
    for name in names(table.rows):
        if name in excluded:
            dropped[name] = catalogue("lead_score", language)("dropped.excluded")
            continue
        text = table.text(name)
        kind, reason = infer(text, name, language)
        if reason is not None:
            dropped.update({} if name in BUILT_IN else {name: reason})
        elif kind == "date":
            dates.append({"kind": "date", "name": name, "owner": name})
        elif kind == "number":
            numeric.append({"kind": "number", "name": name, "owner": name})
        if kind == "category" or (kind == "number" and name not in BUILT_IN and _like_ids(text)):
            column = {"kind": "category", "name": name, "owner": name}
            categories.append(column | _rates(text, outcome))
            held_out[name] = _cross_fitted(text, outcome, folds)
    spans = [
        {"kind": "span", "name": f"{first['name']}|{second['name']}", "owner": f"{first['name']}_to_{second['name']}"}
        # a span is written as `first|second`, so a name that holds the bar has none
        for first, second in list(combinations([d for d in dates if "|" not in d["name"]], 2))[:MAX_DATE_PAIRS]
    ]
    encoder = {"columns": [*numeric, *dates, *spans, *categories]}
    return encoder, transform(encoder, table, held_out), dropped


def transform(
    encoder: dict[str, Any], rows: Table | Sequence[FeatureRow], held_out: dict[str, Floats] | None = None
) -> Floats:
    """The matrix, one row per feature row and one column per encoder column; unseen categories count as rare ones."""
    table = rows if isinstance(rows, Table) else Table(rows)
    today = table.days("as_of")
    matrix = np.full((len(table.rows), len(encoder["columns"])), np.nan)
    for number, column in enumerate(encoder["columns"]):
        name = column["name"]
        if column["kind"] == "number":
            matrix[:, number] = table.numbers(name)
        elif column["kind"] == "date":
            matrix[:, number] = table.days(name) - today
        elif column["kind"] == "span":
            first, second = name.split("|")
            matrix[:, number] = table.days(second) - table.days(first)
        elif held_out is not None and name in held_out:
            matrix[:, number] = held_out[name]
        else:
            matrix[:, number] = _encode(table.cells(name), column)
    return matrix


def without(encoder: dict[str, Any], matrix: Floats, owners: Sequence[str]) -> tuple[dict[str, Any], Floats]:
    """The encoder and its matrix without these attributes and what was derived from them."""
    kept = [
        number
        for number, column in enumerate(encoder["columns"])
        if not set(column["name"].split("|") if column["kind"] == "span" else [column["owner"]]) & set(owners)
    ]
    return {"columns": [encoder["columns"][number] for number in kept]}, matrix[:, kept]


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        # 3.0 and 3 are one category: JSON does not tell them apart.
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def _numbers(text: pl.Series) -> pl.Series:
    number = _plain_numbers(text).cast(pl.Float64, strict=False)
    lowered = text.str.to_lowercase()
    frame = pl.DataFrame({"n": number, "t": lowered}).select(
        pl.when(pl.col("t") == "true")
        .then(1.0)
        .when(pl.col("t") == "false")
        .then(0.0)
        .otherwise(pl.col("n"))
        .alias("n")
    )["n"]
    is_usable = frame.is_finite() & (frame.abs() < LARGEST)
    return pl.select(pl.when(is_usable).then(frame).otherwise(None).alias("n"))["n"]


def _plain_numbers(text: pl.Series) -> pl.Series:
    """Numbers in text as people write them, without currency or per cent sign and marks of thousands.

    `1,234.5` and `1.234,5` are one number; `1,234` is a thousand, `12,5` twelve and a half.
    """
    bare = text.str.strip_chars(" \u00a0$€£¥%")
    if not bare.str.contains(",", literal=True).any():
        return bare
    frame = pl.DataFrame({"t": bare}).select(
        pl.when(pl.col("t").str.contains(r"^-?\d{1,3}(,\d{3})+(\.\d+)?$"))
        .then(pl.col("t").str.replace_all(",", "", literal=True))
        .when(pl.col("t").str.contains(r"^-?\d{1,3}(\.\d{3})*,\d+$|^-?\d+,\d+$"))
        .then(pl.col("t").str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True))
        .otherwise(pl.col("t"))
    )
    return frame["t"]


def _dates(text: pl.Series) -> pl.Series:
    """ISO dates and timestamps, by day; what does not start like 2026-11-22 is null."""
    return text.str.extract(f"^{_DATE.pattern}$", 1).str.to_date("%Y-%m-%d", strict=False)


@lru_cache(maxsize=_REMEMBERED)
def _number_in(cell: str) -> float:
    return float(_floats(_numbers(pl.Series([cell], dtype=pl.String)))[0])


def _day_of(cell: str | None) -> float:
    """The same of one cell: the time of day, which differs each time, must not keep the day from being remembered."""
    found = None if cell is None else _DATE.fullmatch(cell)
    return math.nan if found is None else _day_in(found[1])


@lru_cache(maxsize=_REMEMBERED)
def _day_in(cell: str) -> float:
    return float(_floats(_dates(pl.Series([cell], dtype=pl.String)).dt.epoch("d"))[0])


def _floats(series: pl.Series) -> Floats:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _like_ids(text: pl.Series) -> bool:
    known = _numbers(text).drop_nulls()
    distinct = known.n_unique()
    return _whole(known) and distinct >= ID_LEVELS and len(known) >= 2 * RARE * distinct


def _number_or_code(known: pl.Series, name: str, words: Catalogue) -> tuple[str, str | None]:
    distinct = known.n_unique()
    if not is_code(name) or distinct < ID_LEVELS or not _whole(_numbers(known).drop_nulls()):
        return "number", None
    if _like_ids(known):
        return "category", None
    return "none", words("dropped.code", **_counted(distinct, len(known), words))


def _counted(distinct: int, rows: int, words: Catalogue) -> dict[str, str]:
    return {"distinct": words.number(distinct), "rows": words.number(rows)}


def _whole(numbers: pl.Series) -> bool:
    return bool((numbers == numbers.round(0)).all())


def _logit(rate: Floats) -> Floats:
    clipped = np.clip(rate, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _smoothed(conversions: Floats, counts: Floats, prior: float) -> Floats:
    return _logit((conversions + PRIOR_ROWS * prior) / (counts + PRIOR_ROWS))


def _rates(text: pl.Series, outcome: Floats) -> dict[str, Any]:
    """`levels` (category → log-odds) and `rare`, the log-odds of all categories too small to stand alone."""
    frame = pl.DataFrame({"level": text, "y": outcome}).drop_nulls("level")
    by_level = frame.group_by("level").agg(pl.len().alias("n"), pl.col("y").sum()).sort("level")
    prior = float(outcome.mean())
    common = by_level.filter(pl.col("n") >= RARE)
    rare = by_level.filter(pl.col("n") < RARE)
    values = _smoothed(common["y"].to_numpy().astype(float), common["n"].to_numpy().astype(float), prior)
    rest = _smoothed(np.array([float(rare["y"].sum())]), np.array([float(rare["n"].sum())]), prior)
    return {"levels": dict(zip(common["level"].to_list(), values.tolist(), strict=True)), "rare": float(rest[0])}


def _encode(cells: Sequence[str | None], column: dict[str, Any]) -> Floats:
    levels, rare = column["levels"], column["rare"]
    return np.array([math.nan if value is None else levels.get(value, rare) for value in cells], dtype=float)


def _cross_fitted(text: pl.Series, outcome: Floats, folds: NDArray[np.intp]) -> Floats:
    encoded = np.full(len(text), np.nan)
    for fold in range(_FOLDS):
        inside = folds == fold
        if inside.any() and not inside.all():
            rates = _rates(text.filter(pl.Series(~inside)), outcome[~inside])
            encoded[inside] = _encode(text.filter(pl.Series(inside)).to_list(), rates)
    return encoded
