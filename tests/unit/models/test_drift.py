"""Drift by column: found where it is and large, let pass where it is chance or small; many columns are corrected for."""

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from models.drift import (
    LEAST_CURRENT,
    LEAST_REFERENCE,
    MOST_ROWS,
    PREDICTION,
    Drift,
    compare,
    flattened,
    has_drifted,
    share,
)


def numbers(count: int, *, shift: float = 0.0, columns: int = 4, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({f"x{n}": rng.normal(shift if n == 0 else 0.0, 1.0, count) for n in range(columns)})


def texts(count: int, share_of_a: float, *, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"source": rng.choice(["a", "b"], count, p=[share_of_a, 1 - share_of_a])})


def named(found: list[Drift]) -> dict[str, Drift]:
    return {one.feature: one for one in found}


def test_a_column_that_moved_is_found_and_the_others_are_not() -> None:
    found = named(compare(numbers(2000), numbers(400, shift=0.7, seed=2)))
    assert {name: one.drifted for name, one in found.items()} == {"x0": True, "x1": False, "x2": False, "x3": False}
    moved = found["x0"]
    assert (moved.statistic, moved.n_reference, moved.n_current) == ("kolmogorov_smirnov", 2000, 400)
    plain = stats.ks_2samp(
        numbers(2000)["x0"].to_numpy(), numbers(400, shift=0.7, seed=2)["x0"].to_numpy(), method="asymp"
    )
    assert moved.value == pytest.approx(plain.statistic) and moved.p_value == pytest.approx(plain.pvalue * 4)


def test_shares_of_texts_and_booleans() -> None:
    found = compare(texts(1000, 0.5), texts(300, 0.8, seed=2))
    assert (
        found[0].drifted and found[0].statistic == "total_variation" and found[0].value == pytest.approx(0.3, abs=0.06)
    )
    assert not compare(texts(1000, 0.5), texts(300, 0.5, seed=2))[0].drifted
    flags = [pl.DataFrame({"is_it": [True] * n + [False] * (300 - n)}) for n in (30, 150)]
    assert compare(*flags)[0].drifted and not compare(flags[0], flags[0])[0].drifted


def test_what_is_significant_and_small_is_let_pass() -> None:
    one = compare(numbers(20_000), numbers(20_000, shift=0.12, seed=2))[0]
    assert one.p_value is not None and one.p_value < 1e-6 and one.value is not None and one.value < 0.1
    assert one.drifted is False


def test_chance_among_many_columns_is_corrected_for() -> None:
    found = [
        one for seed in range(5)
        for one in compare(numbers(150, columns=40, seed=seed), numbers(60, columns=40, seed=100 + seed))
    ]  # fmt: skip
    assert len(found) == 200 and sum(bool(one.drifted) for one in found) <= 1


def test_too_few_rows_are_not_judged_and_the_counts_are_told() -> None:
    for then, now in ((LEAST_REFERENCE - 1, 500), (500, LEAST_CURRENT - 1), (500, 0)):
        one = compare(numbers(then), numbers(now, shift=3))[0]
        assert one.drifted is None and one.value is None
        assert one.reason == f"{then} of {LEAST_REFERENCE} rows then, {now} of {LEAST_CURRENT} now"
    assert has_drifted(compare(numbers(5), numbers(5))) is None and has_drifted([]) is None


def test_missing_more_often_is_drift() -> None:
    half = numbers(300).with_columns(x0=pl.when(pl.int_range(300) % 2 == 0).then(None).otherwise(pl.col("x0")))
    assert named(compare(numbers(1000, seed=3), half))["x0"].drifted
    words = texts(300, 0.5).with_columns(
        source=pl.when(pl.int_range(300) % 3 == 0).then(None).otherwise(pl.col("source"))
    )
    assert compare(texts(1000, 0.5, seed=2), words)[0].drifted
    never = pl.DataFrame({"x": pl.Series([None] * 200, dtype=pl.Float64)})
    assert (compare(never, never)[0].drifted, compare(never, never)[0].reason) == (None, "never filled")


def test_ids_moments_and_infinite_values() -> None:
    ids = pl.DataFrame({"id": [f"i{n}" for n in range(300)], "at": [0] * 300}).with_columns(pl.col("at").cast(pl.Date))
    assert compare(ids, ids) == []
    wild = pl.DataFrame({"x": [float("inf"), float("-inf"), float("nan")] * 100})
    assert compare(wild, wild)[0].drifted is False
    constant = pl.DataFrame({"x": [1] * 200, "y": ["a"] * 200})
    assert [one.drifted for one in compare(constant, constant)] == [False, False]
    rare = pl.DataFrame({"c": [f"level {n % 90}" for n in range(900)]})
    assert compare(rare, rare)[0].drifted is False


def test_attributes_become_columns_of_their_kind() -> None:
    rows = [{"n": 1, "mixed": 2}, {"n": 2.5, "mixed": "x", "flag": True}, None, {"n": None}]
    frame = pl.DataFrame({"k": [1, 2, 3, 4], "attributes": [None if row is None else json.dumps(row) for row in rows]})
    found = flattened(frame)
    assert found.columns == ["k", "attributes.flag", "attributes.mixed", "attributes.n"]
    assert found["attributes.n"].to_list() == [1, 2.5, None, None] and found["attributes.mixed"].to_list()[:2] == [
        "2",
        "x",
    ]
    assert flattened(frame.drop("attributes")).columns == ["k"]


def test_many_rows_are_sampled_the_same_way_every_time() -> None:
    large = numbers(MOST_ROWS + 5000)
    first, second = compare(large, numbers(400, seed=9)), compare(large, numbers(400, seed=9))
    assert first == second and first[0].n_reference == MOST_ROWS


def test_the_whole_drifts_by_a_share_of_features_or_by_its_predictions() -> None:
    one = compare(numbers(2000), numbers(400, shift=0.7, seed=2))
    assert share(one) == (1, 4) and has_drifted(one) is False
    assert has_drifted(compare(numbers(2000, columns=3), numbers(400, shift=0.7, columns=3, seed=2))) is True
    moved = compare(numbers(500, columns=1), numbers(200, shift=2, columns=1, seed=3), about=PREDICTION)
    assert share(moved) == (0, 0) and has_drifted([*compare(numbers(900), numbers(400, seed=2)), *moved]) is True
