"""What pricing is measured against on the orange juice: the published regression, the naive rule and a library's default."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

OUNCES = 64


@dataclass(frozen=True)
class Brand:
    """One brand's store-weeks: log units, regressors (own and cross log prices, deal, feature), store and week."""

    log_units: Floats
    x: Floats
    own: int
    store: Ints
    week: Ints
    last_trained: int

    @classmethod
    def of(cls, juice: pl.DataFrame, brand: int, last_trained: int) -> "Brand":
        """The rows of a brand in which a whole unit of 64 ounces was sold."""
        rows = juice.filter((pl.col("brand") == brand) & ((pl.col("logmove").exp() / OUNCES).round() > 0))
        rows = rows.sort("store", "week")
        prices = np.log(rows.select(f"price{number}" for number in range(1, 12)).to_numpy())
        _, store = np.unique(rows["store"].to_numpy(), return_inverse=True)
        units = np.maximum((np.exp(rows["logmove"].to_numpy()) / OUNCES).round(), 1.0)
        return cls(
            log_units=np.log(units), x=np.column_stack([prices, rows.select("deal", "feat").to_numpy()]), own=brand - 1,
            store=store.astype(np.intp), week=rows["week"].to_numpy().astype(np.intp), last_trained=last_trained,
        )  # fmt: skip

    @property
    def is_test(self) -> NDArray[np.bool_]:
        """Weeks after the last trained one."""
        return self.week > self.last_trained

    @property
    def tested_units(self) -> Floats:
        """Units of the test weeks, by store and week: the order in which every peer answers."""
        return np.exp(self.log_units[self.is_test])


def loglog(brand: Brand) -> Floats:
    """log units on all log prices, deal and feature with store effects, by least squares on the trained weeks."""
    return np.exp(_loglog(brand, ~brand.is_test, brand.is_test))


def loglog_weekly(brand: Brand) -> Floats:
    """The same, fitted anew before every test week on all weeks before it."""
    said = np.zeros(len(brand.week))
    for week in np.unique(brand.week[brand.is_test]):
        now = brand.week == week
        said[now] = _loglog(brand, brand.week < week, now)
    return np.exp(said[brand.is_test])


def store_mean(brand: Brand) -> Floats:
    """The naive rule: the store's mean log units of the trained weeks, whatever the price."""
    return np.exp(_by_store(brand.log_units, brand.store, ~brand.is_test)[brand.store[brand.is_test]])


def poisson(brand: Brand) -> Floats:
    """scikit-learn's PoissonRegressor as it comes, on own log price, deal, feature and the stores."""
    from sklearn.linear_model import PoissonRegressor

    stores = (brand.store[:, None] == np.arange(brand.store.max() + 1)).astype(np.float64)
    x = np.column_stack([brand.x[:, [brand.own, -2, -1]], stores])
    past = ~brand.is_test
    fitted = PoissonRegressor(max_iter=1000).fit(x[past], np.exp(brand.log_units[past]))
    said: Floats = fitted.predict(x[brand.is_test])
    return said


def _loglog(brand: Brand, past: NDArray[np.bool_], ahead: NDArray[np.bool_]) -> Floats:
    """Store effects by centring within stores (Frisch & Waugh 1933); the prediction has each store's own constant."""
    centre_x = np.column_stack([_by_store(column, brand.store, past) for column in brand.x.T])
    centre_y = _by_store(brand.log_units, brand.store, past)
    x, y = brand.x[past] - centre_x[brand.store[past]], brand.log_units[past] - centre_y[brand.store[past]]
    slope = np.linalg.lstsq(x, y, rcond=None)[0]
    said: Floats = centre_y[brand.store[ahead]] + (brand.x[ahead] - centre_x[brand.store[ahead]]) @ slope
    return said


def _by_store(values: Floats, store: Ints, counted: NDArray[np.bool_]) -> Floats:
    width = int(store.max()) + 1
    total = np.bincount(store[counted], values[counted], minlength=width)
    return total / np.maximum(np.bincount(store[counted], minlength=width), 1)
