"""The frame of sales as a panel: products by periods, zeros where nothing was sold, the last price carried forward.

A period is a day, or a week where sales are reported by the week. What the numbers mean for demand is not decided here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import invalid
from models.pricing.attributes import LEAD_TIME, LIST_DISCOUNT, read
from models.pricing.columns import COLUMNS, REQUIRED

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Key = tuple[str, str, str]
"""Platform, product, tier ('' when none)."""

WEEKLY_GAP = 5
"""Where the middle gap between days with any sale is as long as this, sales are by the week."""
MOST_DAYS = 1_100
"""Three years: what is older says little about demand now, and one wrong date must not make the panel a century wide."""
GRACE_DAYS = 28
"""A product without a sale for longer has stopped selling: the time since says nothing about its demand."""
_KEY = ["platform", "product", "tier"]
_EVENT = ("event_id", "event_starts_at", "event_capacity", "event_tickets_sold")


@dataclass(frozen=True)
class Panel:
    """Arrays of products × periods. `log_price` is NaN before a product's first sale; `cost` NaN where not known.

    `is_open` tells the periods in which anything at all was sold: a closed day says nothing about demand. `grids` are the
    partner's own fields by name, NaN where not known. `events` are what a product's last sale says of its event, None
    for what is sold for none or for several.
    """

    keys: list[Key]
    groups: list[str]
    currencies: list[str]
    first_day: date
    period_days: int
    quantity: Floats
    log_price: Floats
    cost: Floats
    lines: Floats
    is_open: Bools
    holidays: Floats
    grids: Mapping[str, Floats] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any] | None] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Number of periods."""
        return int(self.quantity.shape[1])

    @property
    def week(self) -> int:
        """Periods in a week."""
        return 7 // self.period_days

    @property
    def weeks(self) -> int:
        """Whole weeks of data."""
        return self.length // self.week

    @property
    def last_day(self) -> date:
        """The last day of the data."""
        return self.first_day + timedelta(days=self.length * self.period_days - 1)

    @property
    def is_active(self) -> Bools:
        """Products × periods in which a product was on sale in a shop that was open: its zeros are demand of zero."""
        position = np.arange(self.length)
        sold = self.quantity > 0
        last = np.where(sold.any(axis=1), self.length - 1 - np.argmax(sold[:, ::-1], axis=1), -1)
        grace = GRACE_DAYS // self.period_days
        ended = (position[None, :] > last[:, None]) & (last[:, None] < self.length - grace)
        return np.isfinite(self.log_price) & self.is_open & ~ended

    def some(self, products: NDArray[np.intp]) -> "Panel":
        """These products only."""
        return replace(
            self, keys=[self.keys[i] for i in products], groups=[self.groups[i] for i in products],
            currencies=[self.currencies[i] for i in products], quantity=self.quantity[products],
            log_price=self.log_price[products], cost=self.cost[products], lines=self.lines[products],
            grids={name: grid[products] for name, grid in self.grids.items()},
            events=[self.events[i] for i in products],
        )  # fmt: skip

    def until(self, period: int) -> "Panel":
        """The first `period` periods."""
        return replace(
            self, quantity=self.quantity[:, :period], log_price=self.log_price[:, :period], cost=self.cost[:, :period],
            lines=self.lines[:, :period], is_open=self.is_open[:period], holidays=self.holidays[:period],
            grids={name: grid[:, :period] for name, grid in self.grids.items()},
        )  # fmt: skip


def panel(frame: pl.DataFrame, currency: str, excluded: Sequence[str] = ()) -> Panel | None:
    """The panel of `features.pricing`, products sorted; None when no line has a quantity and a price above zero.

    Refunds may make a day's net quantity negative: it counts as zero. A day that comes twice is added up. Fields in
    `excluded` are left out. Raises InvalidInput when a column is missing.
    """
    sold = _sold(frame)
    if not len(sold):
        return None
    sold = sold.filter(pl.col("sold_on") > pl.col("sold_on").max() - timedelta(days=MOST_DAYS))
    columns, dropped = read(sold["attributes"], excluded)
    fields = {f"field:{name}": values for name, values in columns.items()}
    sold = sold.with_columns(pl.Series(name, values) for name, values in fields.items())
    first, last = sold["sold_on"].min(), sold["sold_on"].max()
    assert isinstance(first, date) and isinstance(last, date)
    period_days = _period_days(sold["sold_on"])
    sold = sold.with_columns(period=(pl.col("sold_on") - first).dt.total_days() // period_days)
    if sold.select(*_KEY, "period").is_duplicated().any():
        sold = _merged(sold, [LIST_DISCOUNT, LEAD_TIME, *fields])
    index = sold.select(_KEY).unique().sort(_KEY).with_row_index("i")
    sold = sold.join(index, on=_KEY).sort("i", "period")
    width = (last - first).days // period_days + 1
    rows, periods = sold["i"].to_numpy().astype(np.intp), sold["period"].to_numpy().astype(np.intp)

    def spread(name: str, empty: float) -> Floats:
        grid = np.full((len(index), width), empty)
        grid[rows, periods] = sold[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return grid

    holidays = np.zeros(width)
    np.maximum.at(holidays, periods, sold["is_holiday"].cast(pl.Float64).fill_null(0.0).to_numpy() / period_days)
    is_open = np.zeros(width, dtype=bool)
    is_open[periods] = True
    last_facts = sold.group_by("i").agg(
        pl.col("product_group", "currency").drop_nulls().last(), pl.col(_EVENT).last(),
        pl.col("event_id").drop_nulls().n_unique().alias("event_count"),
    ).sort("i")  # fmt: skip
    cost = spread("unit_cost", np.nan)
    names = {LIST_DISCOUNT: LIST_DISCOUNT, **{name.removeprefix("field:"): name for name in fields}}
    grids = {name: spread(column, np.nan) for name, column in names.items() if name not in excluded}
    if LEAD_TIME not in excluded:
        grids[LEAD_TIME] = _lead_time(spread(LEAD_TIME, np.nan), period_days)
    return Panel(
        keys=[(str(p), str(q), str(t)) for p, q, t in index.select(_KEY).iter_rows()],
        groups=[group or "" for group in last_facts["product_group"].to_list()],
        currencies=[code or currency for code in last_facts["currency"].to_list()],
        first_day=first, period_days=period_days,
        quantity=spread("quantity", 0.0), log_price=_carried(np.log(spread("unit_price", np.nan))),
        cost=np.where(cost > 0, cost, np.nan), lines=spread("line_count", 0.0), is_open=is_open, holidays=holidays,
        grids={name: grid for name, grid in grids.items() if np.isfinite(grid).any()},
        events=[facts if facts["event_id"] and facts["event_count"] == 1 else None for facts in last_facts.iter_rows(named=True)],
        dropped=dropped,
    )  # fmt: skip


def _sold(frame: pl.DataFrame) -> pl.DataFrame:
    """Lines of something sold at a price, in the types of `COLUMNS`; what is not finite is not known."""
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise invalid("pricing columns, missing", missing, REQUIRED)
    typed = frame.select(
        (pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name))
        for name, kind in COLUMNS.items()
    )
    finite = [
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
        for name in ("quantity", "unit_price", "list_price", "unit_cost", LEAD_TIME)
    ]
    sold = typed.with_columns(
        *finite, pl.col("platform", "tier").fill_null(""), pl.col("line_count").fill_null(1)
    ).filter(
        (pl.col("unit_price") > 0) & (pl.col("quantity") > 0)
        & pl.col("product").is_not_null() & pl.col("sold_on").is_not_null()
    )  # fmt: skip
    listed = pl.when(pl.col("list_price") > 0).then((pl.col("list_price") / pl.col("unit_price")).log())
    return sold.with_columns(listed.alias(LIST_DISCOUNT))


def _period_days(days: pl.Series) -> int:
    gaps = np.diff(np.sort(days.unique().to_numpy()).astype("datetime64[D]").astype(np.int64))
    return 7 if len(gaps) and float(np.median(gaps)) >= WEEKLY_GAP else 1


def _merged(sold: pl.DataFrame, fields: Sequence[str]) -> pl.DataFrame:
    """One row a period for each product: what comes in several rows is added up, prices and costs by quantity."""

    def average(name: str) -> pl.Expr:
        known = pl.when(pl.col(name).is_finite()).then(pl.col("quantity"))
        total = known.sum()
        return ((pl.col(name) * known).sum() / pl.when(total > 0).then(total)).alias(name)

    return sold.sort(*_KEY, "sold_on", maintain_order=True).group_by(*_KEY, "period", maintain_order=True).agg(
        pl.col("quantity", "line_count").sum(),
        *(average(name) for name in ("unit_price", "unit_cost", *fields)),
        pl.col("currency", "product_group").drop_nulls().last(),
        pl.col("is_holiday").cast(pl.Float64).sum(),
        pl.col(_EVENT).last(),
    )  # fmt: skip


def _lead_time(days: Floats, period_days: int) -> Floats:
    """Days to the event for every period: known where sold, counted down where not."""
    now = np.arange(days.shape[1]) * period_days
    return np.maximum(_carried(days + now) - now, 0.0)


def _carried(grid: Floats) -> Floats:
    """Each row's last known value carried forward; NaN before the first."""
    known = np.where(np.isfinite(grid), np.arange(grid.shape[1]), 0)
    return np.take_along_axis(grid, np.maximum.accumulate(known, axis=1), axis=1)
