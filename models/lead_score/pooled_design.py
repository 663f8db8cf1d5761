"""What of a lead can be compared between partners: built-in fields, and fields and words that several partners share.

Feature rows in, a matrix out. A field enters by its name when enough partners have it, a word when enough partners use it;
everything else of a partner stays with it. Nothing is fitted to outcomes here.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import FeatureRow
from models.lead_score.columns import TEXTS
from models.pooling.sharing import common_levels

Floats = NDArray[np.float64]
Design = list[dict[str, Any]]

LEAST_ROWS = 20
"""Rows of each partner that a word or a field needs before it counts as that partner's."""
_CLIP = 3.0
_PLAIN: tuple[dict[str, Any], ...] = (
    {"owner": "age_days", "kind": "number", "form": "log"},
    {"owner": "purchases", "kind": "number", "form": "log"},
    {"owner": "created_weekday", "kind": "number", "form": "weekend"},
    {"owner": "created_hour", "kind": "number", "form": "office"},
)
_OFFICE_HOURS = range(9, 18)
_SATURDAY = 6


def design(members: Sequence[Sequence[FeatureRow]], left_out: Collection[str], least_partners: int) -> Design:
    """One column for each built-in number, each shared word, and each shared numeric field; `left_out` fields never."""
    texts = [_texts(rows, left_out) for rows in members]
    levels = common_levels(texts, least_partners=least_partners, least_rows=LEAST_ROWS)
    numbers: Counter[str] = Counter()
    for rows in members:
        numbers.update(name for name, known in _numeric(rows, left_out).items() if known >= LEAST_ROWS)
    found: Design = [dict(column) for column in _PLAIN]
    for owner, words in levels.items():
        found += [{"owner": owner, "kind": "category", "form": "word", "word": word} for word in words]
    shared = sorted(name for name, partners in numbers.items() if partners >= least_partners and name not in levels)
    found += [{"owner": owner, "kind": "number", "form": "plain"} for owner in shared]
    return found


def scaled(columns: Design, members: Sequence[Sequence[FeatureRow]]) -> Design:
    """The columns with the mean and spread of all partners, each partner counting once."""
    matrices = [_raw(columns, rows) for rows in members]
    with np.errstate(invalid="ignore"):
        means = np.nanmean([_mean(matrix) for matrix in matrices], axis=0)
        spreads = np.sqrt(np.nanmean([_mean((matrix - means) ** 2) for matrix in matrices], axis=0))
    return [
        {**column, "mean": _known(mean, 0.0), "scale": _known(spread, 1.0) or 1.0}
        for column, mean, spread in zip(columns, means, spreads, strict=True)
    ]


def matrix(columns: Design, rows: Sequence[FeatureRow]) -> Floats:
    """rows x columns in standard units, at most three from the mean; what is not known is the mean."""
    raw = _raw(columns, rows)
    mean = np.array([column["mean"] for column in columns])
    scale = np.array([column["scale"] for column in columns])
    found: Floats = np.nan_to_num(np.clip((raw - mean) / scale, -_CLIP, _CLIP), nan=0.0)
    return found


def _raw(columns: Design, rows: Sequence[FeatureRow]) -> Floats:
    return np.array([[_cell(column, row) for column in columns] for row in rows], dtype=np.float64).reshape(
        len(rows), len(columns)
    )


def _cell(column: Mapping[str, Any], row: FeatureRow) -> float:
    value = _value(str(column["owner"]), row)
    if column["form"] == "word":
        return float(value == column["word"])
    number = _number(value)
    if number is None:
        return math.nan
    if column["form"] == "log":
        return math.log1p(max(0.0, number))
    if column["form"] == "weekend":
        return float(number >= _SATURDAY)
    return float(int(number) in _OFFICE_HOURS) if column["form"] == "office" else number


def _value(owner: str, row: FeatureRow) -> Any:
    return row["attributes"].get(owner) if owner in row["attributes"] or owner not in row else row[owner]


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float) and math.isfinite(value) and abs(value) < 1e12:
        return float(value)
    return None


def _texts(rows: Sequence[FeatureRow], left_out: Collection[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        own = {name: value for name, value in row["attributes"].items() if name not in left_out}
        for name, value in {**own, **{name: row.get(name) for name in TEXTS}}.items():
            if isinstance(value, str) and value:
                found.setdefault(name, Counter())[value] += 1
    return found


def _numeric(rows: Sequence[FeatureRow], left_out: Collection[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    built_in = {str(column["owner"]) for column in _PLAIN}
    for row in rows:
        own = row["attributes"].items()
        found.update(
            name
            for name, value in own
            if name not in left_out and name not in built_in and name not in TEXTS and _number(value) is not None
        )
    return found


def _mean(values: Floats) -> Floats:
    """Column means of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _known(value: float, otherwise: float) -> float:
    return float(value) if math.isfinite(value) else otherwise
