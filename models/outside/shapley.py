"""Why a model of unknown make said what it said: Shapley values sampled by permutations against one reference row.

Štrumbelj & Kononenko 2014, "Explaining prediction models and individual predictions with feature contributions",
algorithm 1, with each permutation and its reverse (Mitchell et al. 2022, "Sampling permutations for Shapley value
estimation", antithetic sampling). Nothing here knows a use case.
"""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PAIRS = 4
"""Permutations, each used forwards and backwards. The values sum exactly whatever their number."""
BATCH = 20_000
"""Rows a model is asked at once."""


def sampled(
    point: Callable[[pl.DataFrame], Floats],
    table: pl.DataFrame,
    reference: pl.DataFrame,
    players: Sequence[str],
    *,
    seed: int,
    pairs: int = PAIRS,
) -> tuple[Floats, Floats, float]:
    """(rows x players values, the model's answer per row, its answer to the reference), all in the answer's unit.

    A row's values sum to its answer minus the reference's, but for floating point. `reference` is one row; columns that
    are no player keep the row's own value. All rows share the permutations, so a row's values do not depend on the others.
    """
    rows, count = table.height, len(players)
    neutral = reference.select(table.columns)
    base = _repeated(table, neutral, players)
    chain = np.random.default_rng(seed)
    orders = [order for _ in range(pairs) for order in _both_ways(chain.permutation(count))]
    effects = np.zeros((rows, count))
    start, end = _asked(point, base), _asked(point, table)
    for order in orders:
        mixed, before = base, start
        for number, player in enumerate(order):
            last = number == count - 1
            mixed = mixed.with_columns(table[players[player]])
            after = end if last else _asked(point, mixed)
            effects[:, player] += (after - before) / len(orders)
            before = after
    expected = float(_asked(point, neutral)[0])
    return effects, end, expected


def typical(table: pl.DataFrame) -> pl.DataFrame:
    """One row in the middle of the table: the median of each number, the most frequent word (the first of equals)."""
    middle = []
    for name, kind in table.schema.items():
        known = table[name].drop_nulls()
        if kind == pl.Float64:
            known = known.drop_nans()
            middle.append(pl.Series(name, [known.median() if len(known) else float("nan")], dtype=kind))
        else:
            middle.append(pl.Series(name, [known.mode().sort()[0] if len(known) else None], dtype=kind))
    return pl.DataFrame(middle)


def _repeated(table: pl.DataFrame, neutral: pl.DataFrame, players: Sequence[str]) -> pl.DataFrame:
    """The table, every player's column that of the reference."""
    kinds = table.schema
    return table.with_columns(pl.lit(neutral[player][0], dtype=kinds[player]).alias(player) for player in players)


def _both_ways(order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return order, order[::-1]


def _asked(point: Callable[[pl.DataFrame], Floats], table: pl.DataFrame) -> Floats:
    parts = [point(table[start : start + BATCH]) for start in range(0, table.height, BATCH)]
    return np.concatenate(parts) if parts else np.empty(0)
