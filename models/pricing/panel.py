"""The daily frame as a panel: products by days, zeros where nothing was sold, the last price carried forward."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import invalid

Floats = NDArray[np.float64]
Key = tuple[str, str, str]
"""Platform, product, tier ('' when none)."""

COLUMNS = (
    "platform", "product", "tier", "sold_on", "quantity", "line_count", "unit_price", "unit_cost", "currency",
    "product_group", "is_holiday",
)  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """Arrays of products × days. `log_price` is NaN before a product's first sale; `cost` NaN where not known.

    `open_days` tells the days on which anything at all was sold: a closed day says nothing about demand.
    """

    keys: list[Key]
    groups: list[str]
    currencies: list[str]
    first_day: date
    quantity: Floats
    log_price: Floats
    cost: Floats
    lines: Floats
    open_days: NDArray[np.bool_]
    holidays: Floats

    @property
    def last_day(self) -> date:
        """The last day of the data."""
        return self.first_day + timedelta(days=self.quantity.shape[1] - 1)

    @property
    def weekdays(self) -> NDArray[np.intp]:
        """0 for Monday … 6, per day."""
        return (self.first_day.weekday() + np.arange(self.quantity.shape[1])) % 7

    def some(self, products: NDArray[np.intp]) -> "Panel":
        """These products only."""
        return Panel(
            [self.keys[i] for i in products], [self.groups[i] for i in products],
            [self.currencies[i] for i in products], self.first_day, self.quantity[products], self.log_price[products],
            self.cost[products], self.lines[products], self.open_days, self.holidays,
        )  # fmt: skip

    def until(self, day: int) -> "Panel":
        """The first `day` days."""
        return Panel(
            self.keys, self.groups, self.currencies, self.first_day, self.quantity[:, :day], self.log_price[:, :day],
            self.cost[:, :day], self.lines[:, :day], self.open_days[:day], self.holidays[:day],
        )  # fmt: skip


def panel(frame: pl.DataFrame, currency: str) -> Panel | None:
    """The panel of `features.pricing`, products sorted; None when no line has a quantity and a price above zero.

    Refunds may make a day's net quantity negative: it counts as zero. A day that comes twice is added
    up. Raises InvalidInput when a column is missing.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise invalid("pricing columns, missing", missing, COLUMNS)
    money = [pl.col(name).cast(pl.Float64) for name in ("unit_price", "unit_cost")]
    days = frame.select(COLUMNS).with_columns(*money, pl.col("tier").fill_null(""))
    sold = days.filter((pl.col("unit_price") > 0) & pl.col("unit_price").is_finite() & (pl.col("quantity") > 0))
    if not len(sold):
        return None
    if sold.select("platform", "product", "tier", "sold_on").is_duplicated().any():
        sold = _merged(sold)
    index = sold.select("platform", "product", "tier").unique().sort("platform", "product", "tier").with_row_index("i")
    sold = sold.join(index, on=["platform", "product", "tier"]).sort("i", "sold_on")
    first, last = sold["sold_on"].min(), sold["sold_on"].max()
    assert isinstance(first, date) and isinstance(last, date)
    width = (last - first).days + 1
    rows = sold["i"].to_numpy().astype(np.intp)
    columns = (sold["sold_on"] - first).dt.total_days().to_numpy().astype(np.intp)

    def spread(name: str, empty: float) -> Floats:
        grid = np.full((len(index), width), empty)
        grid[rows, columns] = sold[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return grid

    holidays = np.zeros(width)
    holidays[columns] = sold["is_holiday"].fill_null(False).cast(pl.Float64).to_numpy()
    last_facts = (
        sold.group_by("i").agg(pl.col("product_group").last(), pl.col("currency").drop_nulls().last()).sort("i")
    )
    open_days = np.zeros(width, dtype=bool)
    open_days[columns] = True
    return Panel(
        keys=[(str(p), str(q), str(t)) for p, q, t in index.select("platform", "product", "tier").iter_rows()],
        groups=[group or "" for group in last_facts["product_group"].to_list()],
        currencies=[code or currency for code in last_facts["currency"].to_list()],
        first_day=first,
        quantity=spread("quantity", 0.0),
        log_price=_carried(np.log(spread("unit_price", np.nan))),
        cost=np.where(spread("unit_cost", np.nan) > 0, spread("unit_cost", np.nan), np.nan),
        lines=spread("line_count", 0.0),
        open_days=open_days,
        holidays=holidays,
    )


def _merged(sold: pl.DataFrame) -> pl.DataFrame:
    """One row a day for each product: what a day has in several rows is added up, prices and costs by quantity."""

    def average(name: str) -> pl.Expr:
        known = pl.when(pl.col(name).is_finite()).then(pl.col("quantity"))
        return (pl.col(name) * known).sum() / pl.when(known.sum() > 0).then(known.sum())

    return sold.group_by("platform", "product", "tier", "sold_on").agg(
        pl.col("quantity", "line_count").sum(),
        average("unit_price").alias("unit_price"),
        average("unit_cost").alias("unit_cost"),
        pl.col("currency", "product_group").drop_nulls().last(),
        pl.col("is_holiday").any(),
    )


def _carried(grid: Floats) -> Floats:
    """Each row's last known value carried forward; NaN before the first."""
    known = np.where(np.isfinite(grid), np.arange(grid.shape[1]), 0)
    return np.take_along_axis(grid, np.maximum.accumulate(known, axis=1), axis=1)
