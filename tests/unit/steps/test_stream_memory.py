"""What was touched is laid over what the night wrote: replaced by key, gone where no row is left, never doubled."""

import polars as pl

from integrator.steps.stream_memory import laid_over
from integrator.storage.touched import Hit

NIGHT = pl.DataFrame(
    {"platform": ["a", "a", "b", "a"], "product": ["x", "y", "x", "x"], "tier": ["", "", "", "vip"], "n": [1, 2, 3, 4]}
)


def hit(platform: str, key: str) -> Hit:
    return Hit(key, platform, "product", key)


def rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return sorted(frame.rows())


def test_rows_of_a_key_are_replaced_on_its_platform_alone() -> None:
    fresh = pl.DataFrame({"n": [9], "tier": [""], "product": ["x"], "platform": ["a"]})
    found = laid_over(NIGHT, fresh, "product", {hit("a", "x")})
    assert found.columns == NIGHT.columns
    assert rows(found) == [("a", "x", "", 9), ("a", "y", "", 2), ("b", "x", "", 3)]


def test_a_key_without_a_row_is_gone_and_a_new_one_comes() -> None:
    fresh = pl.DataFrame({"platform": ["a"], "product": ["z"], "tier": [""], "n": [7]})
    found = laid_over(NIGHT, fresh, "product", {hit("a", "y"), hit("a", "z"), hit("c", "nobody")})
    assert rows(found) == [("a", "x", "", 1), ("a", "x", "vip", 4), ("a", "z", "", 7), ("b", "x", "", 3)]


def test_two_hits_of_one_key_replace_it_once_and_none_replaces_nothing() -> None:
    fresh = pl.DataFrame({"platform": ["a"], "product": ["y"], "tier": [""], "n": [5]})
    hits = {Hit("y", "a", "product", "y"), Hit("y", "a", "tier", "y/vip")}
    assert rows(laid_over(NIGHT, fresh, "product", hits)).count(("a", "y", "", 5)) == 1
    assert rows(laid_over(NIGHT, fresh.clear(), "product", set())) == rows(NIGHT)
