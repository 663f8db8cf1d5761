"""A partner's own fields as numbers: read, judged and encoded. What a field means to a model is not decided here."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.messages import ENGLISH, Catalogue, catalogue

Floats = NDArray[np.float64]
MAX_ATTRIBUTES = 60
MAX_CATEGORIES = 20
KNOWN_SHARE = 10
"""One in so many past events has to carry a field."""
AHEAD_SHARE = 0.5
"""Of its share among past events that a field needs among coming ones, to count as known ahead."""


def flat_attributes(value: Any) -> dict[str, Any]:
    """An attributes cell, JSON text or mapping, as a dict of strings, numbers and booleans; nulls left out."""
    if value is None or value == "{}":
        return {}
    found = json.loads(value) if isinstance(value, str | bytes) else value
    if not isinstance(found, Mapping):
        return {}
    # JSON has no infinity and no NaN, though Python reads them: both mean that the number is not known.
    plain = ((str(key), cell) for key, cell in found.items() if isinstance(cell, str | bool | int | float))
    return {key: cell for key, cell in plain if isinstance(cell, str) or math.isfinite(cell)}


@dataclass(frozen=True)
class Encoder:
    """How attributes become numbers: kept names with their categories (None for numbers), and why others were left."""

    kept: Mapping[str, list[str] | None]
    dropped: Mapping[str, str]

    @property
    def numeric(self) -> list[int]:
        """The columns that are amounts or flags, not categories."""
        return [column for column, categories in enumerate(self.kept.values()) if categories is None]

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """rows x kept; NaN where missing, of another type, or a category never seen."""
        out = np.full((len(rows), len(self.kept)), np.nan)
        for column, (name, categories) in enumerate(self.kept.items()):
            for number, row in enumerate(rows):
                if name in row:
                    out[number, column] = _encoded(row[name], categories)
        return out


def fit_encoder(
    rows: Sequence[Mapping[str, Any]],
    excluded: Sequence[str],
    coming: Sequence[Mapping[str, Any]] = (),
    language: str = ENGLISH,
) -> Encoder:
    """Keep attributes that are known of at least a tenth of the past events, vary and are known ahead.

    `coming` are the attributes of events still to come, as far as any are known: what they carry far less often
    than past ones is only known afterwards, and a model that leans on it would fail. Each one left out has its reason,
    told in `language`.
    """
    say = catalogue("attendance", language)
    kept: dict[str, list[str] | None] = {}
    dropped: dict[str, str] = {}
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    for name in sorted(found):
        values = found[name]
        if name in excluded:
            dropped[name] = say("dropped.excluded")
            continue
        reason = _reason(values, len(rows), say) or _afterwards(name, len(values) / len(rows), coming, say)
        if reason is None and len(kept) >= MAX_ATTRIBUTES:
            reason = say("dropped.many", most=MAX_ATTRIBUTES)
        if reason is not None:
            dropped[name] = reason
        else:
            kept[name] = sorted({value for value in values if isinstance(value, str)}) or None
    return Encoder(kept, dropped)


def _reason(values: Sequence[Any], total: int, say: Catalogue) -> str | None:
    if len(values) * KNOWN_SHARE < total:
        return say("dropped.rare", known=say.number(len(values)), total=say.number(total))
    distinct = len(set(values))
    if distinct < 2:
        return say("dropped.constant")
    if any(isinstance(value, str) for value in values) and distinct > MAX_CATEGORIES:
        return say("dropped.texts", distinct=say.number(distinct), most=MAX_CATEGORIES)
    return None


def _afterwards(name: str, share: float, coming: Sequence[Mapping[str, Any]], say: Catalogue) -> str | None:
    if not coming:
        return None
    ahead = sum(name in row for row in coming)
    if ahead and ahead >= AHEAD_SHARE * share * len(coming):
        return None
    told = {"share": say.percent(share), "ahead": say.number(ahead), "coming": say.number(len(coming))}
    return say("dropped.afterwards", **told)


def _encoded(value: Any, categories: list[str] | None) -> float:
    if categories is not None:
        return float(categories.index(value)) if value in categories else float("nan")
    if isinstance(value, bool | int | float) and np.isfinite(value):
        return float(value)
    return float("nan")
