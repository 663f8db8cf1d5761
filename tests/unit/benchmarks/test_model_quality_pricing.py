"""The peers and the sales of pricing's benchmark, on a made-up shelf whose demand is known. No figure rests on it."""

import json

import numpy as np
import polars as pl
import pytest

from benchmarks.model_quality import pricing_peers as peers
from benchmarks.model_quality.pricing import _r2, orange_juice_sales
from benchmarks.model_quality.pricing_plots import coverage_png, demand_png

LAST = 60


@pytest.fixture(scope="module")
def juice() -> pl.DataFrame:
    """Eleven brands in three stores over eighty weeks, in the columns of the public data; elasticity −2, feature +0.5."""
    rng = np.random.default_rng(5)
    price = {(store, week): np.exp(rng.normal(-3.2, 0.15, 11)) for store in (2, 5, 14) for week in range(1, 81)}
    rows = []
    for brand in range(1, 12):
        for (store, week), shelf in price.items():
            feat = int(rng.random() < 0.2)
            log_units = (
                5 + 0.1 * store - 2 * np.log(shelf[brand - 1] / 0.04) + 0.5 * feat + 0.02 * rng.standard_normal()
            )
            rows.append(
                {"store": store, "brand": brand, "week": week, "logmove": float(log_units + np.log(peers.OUNCES)), "deal": 0,
                 "feat": feat, "profit": 30.0, **{f"price{n + 1}": float(p) for n, p in enumerate(shelf)}}
            )  # fmt: skip
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def brand(juice: pl.DataFrame) -> peers.Brand:
    return peers.Brand.of(juice, 4, LAST)


def test_sales_are_those_a_shop_would_report(juice: pl.DataFrame) -> None:
    sales = orange_juice_sales(juice)
    row = sales.row(0, named=True)
    first = juice.row(0, named=True)
    assert (row["product"], row["tier"], row["week"]) == ("brand 1", "store 2", 1)
    assert row["unit_price"] == pytest.approx(64 * first["price1"])
    assert row["unit_cost"] == pytest.approx(0.7 * row["unit_price"])
    assert row["quantity"] == round(np.exp(first["logmove"]) / 64)
    assert json.loads(row["attributes"]) == {"deal": 0, "feat": first["feat"]}
    assert sales["sold_on"].dt.weekday().n_unique() == 1


def test_test_weeks_are_those_after_the_last_trained(brand: peers.Brand) -> None:
    assert brand.is_test.sum() == 3 * 20 == len(brand.tested_units)
    assert set(brand.week[brand.is_test]) == set(range(61, 81))


def test_the_regression_finds_what_is_there_and_the_store_mean_does_not(brand: peers.Brand) -> None:
    once, weekly, mean = (peer(brand) for peer in (peers.loglog, peers.loglog_weekly, peers.store_mean))
    assert _r2(brand.tested_units, once) > 0.97 and _r2(brand.tested_units, weekly) > 0.97
    assert _r2(brand.tested_units, once) > _r2(brand.tested_units, mean) + 0.1
    assert len(np.unique(np.round(mean, 6))) == 3


def test_a_regression_refitted_each_week_knows_nothing_of_the_week(juice: pl.DataFrame, brand: peers.Brand) -> None:
    later = juice.with_columns(logmove=pl.when(pl.col("week") == 80).then(pl.col("logmove") + 1).otherwise("logmove"))
    changed = peers.Brand.of(later, 4, LAST)
    np.testing.assert_allclose(peers.loglog_weekly(changed), peers.loglog_weekly(brand))


@pytest.fixture(scope="module")
def sklearn() -> object:
    """Imported before a test's seconds are counted."""
    import sklearn.linear_model

    return sklearn.linear_model


@pytest.mark.usefixtures("sklearn")
def test_the_library_s_default_answers_in_units_in_the_same_order(brand: peers.Brand) -> None:
    said = peers.poisson(brand)
    assert said.shape == brand.tested_units.shape and (said > 0).all()
    assert np.corrcoef(np.log(said), np.log(brand.tested_units))[0, 1] > 0.3


def test_r2_is_one_for_the_truth_and_zero_for_its_mean() -> None:
    actual = np.array([10.0, 20.0, 40.0])
    assert _r2(actual, actual) == 1.0
    assert _r2(actual, np.full(3, 20.0)) == pytest.approx(0.0)


def test_the_pictures_are_pngs() -> None:
    units = np.array([1.0, 5.0, 50.0])
    assert demand_png({1: (units, units), 2: (units, units)}).startswith(b"\x89PNG")
    assert coverage_png({1: 0.8, 2: 0.7}).startswith(b"\x89PNG")
