"""The partner's own fields on sale lines as controls of demand: which are used, as what, and why others are not.

Texts of JSON in, columns of numbers out. What is learned about a field is a plain dict, so that it travels inside the
model. Whether a field tells a promotion apart from its price is judged here too, for it needs prices and quantities.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST = 8
"""Fields used at once; each costs every product a coefficient."""
KNOWN_SHARE = 0.2
PARSED_SHARE = 0.95
LEAK = 0.95
"""A field that moves with the quantity as closely as this is the quantity, or made from it."""
SAME_AS_PRICE = 0.97
"""A field that moves with the price as closely as this (as R²) cannot be told from it."""
LARGEST = 1e15
PROMOTION_WORDS = ("promo", "deal", "feat", "display", "discount", "campaign", "coupon", "flyer", "advert", "sale")
LIST_DISCOUNT = "list_price_discount"
LEAD_TIME = "days_to_event"
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_REASONS_KEPT = 50


def read(texts: pl.Series, excluded: Sequence[str] = ()) -> tuple[dict[str, Floats], dict[str, str]]:
    """(numbers by field, reasons of fields left out): one number a row, NaN where it is not known.

    A field is used when it is known in a fifth of the rows and nearly all its values are numbers, booleans, or texts of
    such; of more than `MOST`, those named like promotions come first, then those known most often.
    """
    distinct, codes, times = np.unique(
        texts.fill_null("").to_numpy().astype(str), return_inverse=True, return_counts=True
    )
    maps = [_map(text) for text in distinct]
    known: Counter[str] = Counter()
    parsed: Counter[str] = Counter()
    for found, count in zip(maps, times.tolist(), strict=True):
        for name, value in found.items():
            known[name] += count
            parsed[name] += count * (value is not None)
    dropped = {name: "excluded" for name in sorted(set(excluded) & set(known))}
    least = KNOWN_SHARE * len(texts)
    eligible = []
    for name in sorted(known.keys() - dropped.keys(), key=lambda name: (-known[name], name)):
        if parsed[name] < PARSED_SHARE * known[name]:
            reason = "text"
        elif known[name] < least:
            reason = "rare"
        else:
            eligible.append(name)
            continue
        if len(dropped) < _REASONS_KEPT:
            dropped[name] = reason
    eligible.sort(key=lambda name: (not is_promotion(name), -known[name], name))
    dropped |= dict.fromkeys(eligible[MOST:], "many")
    columns = {}
    for name in sorted(eligible[:MOST]):
        values = np.array([_or_nan(found.get(name)) for found in maps])
        columns[name] = values[codes]
    return columns, dropped


def is_promotion(name: str) -> bool:
    """Whether a field is named like a promotion."""
    return any(word in name.lower() for word in PROMOTION_WORDS)


def learn(
    grids: Mapping[str, Floats], quantity: Floats, log_price: Floats, weight: NDArray[np.bool_]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(what to do with each field, reasons of fields left out) from grids of products × periods.

    Left out are fields that never change within a product, that are the quantity itself, or that move exactly with
    the price: their effect cannot be told from the price's.
    """
    used: list[dict[str, Any]] = []
    dropped: dict[str, str] = {}
    for name, grid in grids.items():
        known = grid[weight & np.isfinite(grid)]
        if not len(known):
            dropped[name] = "missing"
            continue
        facts = _facts(name, known)
        values = _within(encode(facts, grid), weight)
        spread = float((values**2).sum())
        if spread < 1e-6 * weight.sum():
            dropped[name] = "constant"
        elif _share(values, _within(np.log(quantity + 0.5), weight & (quantity > 0))) > LEAK:
            dropped[name] = "leak"
        elif _share(values, _within(np.where(weight, log_price, 0.0), weight)) > SAME_AS_PRICE:
            dropped[name] = "price"
        else:
            used.append(facts)
    return used, dropped


def encode(facts: Mapping[str, Any], values: Floats) -> Floats:
    """A field's numbers as the demand curve takes them: flags as they are, amounts in standard deviations."""
    found = np.asarray(values, dtype=np.float64)
    if facts["name"] == LEAD_TIME:
        found = np.log1p(np.maximum(found, 0.0))
    found = np.where(np.isfinite(found), found, facts["fill"])
    scaled: Floats = np.clip((found - facts["centre"]) / facts["scale"], -5.0, 5.0)
    return scaled


def _facts(name: str, known: Floats) -> dict[str, Any]:
    values = np.log1p(np.maximum(known, 0.0)) if name == LEAD_TIME else known
    if name not in (LEAD_TIME, LIST_DISCOUNT) and values.min() >= 0 and values.max() <= 1:
        return {"name": name, "fill": 0.0, "centre": 0.0, "scale": 1.0}
    centre, spread = float(np.median(values)), float(values.std())
    return {"name": name, "fill": centre, "centre": centre, "scale": spread if spread > 0 else 1.0}


def _map(text: str) -> dict[str, float | None]:
    """A row's fields; None for a value that is no number. What is no JSON map has none."""
    if not text or text == "{}":
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): _number(value) for name, value in found.items() if value is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < LARGEST else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _within(values: Floats, weight: NDArray[np.bool_]) -> Floats:
    """Around each product's own mean, zero where it has no weight."""
    count = np.maximum(weight.sum(axis=1), 1)
    inside = np.where(weight, values, 0.0)
    return np.where(weight, inside - (inside.sum(axis=1) / count)[:, None], 0.0)


def _share(left: Floats, right: Floats) -> float:
    """Squared correlation of two grids that are centred within products, where both count."""
    both = (left != 0) & (right != 0)
    one, two = left[both], right[both]
    size = float((one**2).sum() * (two**2).sum())
    return float((one * two).sum()) ** 2 / size if size > 0 else 0.0
