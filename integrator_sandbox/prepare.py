"""From the packages' files to small parquet files, once: what is taken, what is dropped, and nothing else altered.

Dates stay as they are here; `timeline` moves them.
"""

import fcntl
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from integrator_sandbox.datasets import DATASETS, FURTHER_DATASETS, fetch_data

VERSION = "2"
FEWEST_DAYS = 30  # two of the thirty car parks have five and nine days, one of them with negative occupancy
BUSIEST_PRODUCTS = 600
COUNTER_PRODUCTS = range(601, 641)  # ranks just below the grocer's
DISTRICTS = ("105", "106")  # the two with the fewest visits
PARTNERS = tuple(dataset.partner for dataset in (*DATASETS, *FURTHER_DATASETS))
AGENCY_OFFSET = 5
EVERY_NTH_SEARCH = 11  # one pull then stays below HubSpot's 190 requests in ten seconds


def prepared(home: Path) -> dict[str, pl.DataFrame]:
    """The frames by partner, from ``home/sandbox/prepared-*`` or made there from the packages."""
    folder = home / "sandbox" / f"prepared-{VERSION}"
    files = {partner: folder / f"{partner}.parquet" for partner in PARTNERS}
    if not all(file.is_file() for file in files.values()):
        folder.mkdir(parents=True, exist_ok=True)
        # One at a time: two processes that open a fresh home at once would install into the same folder.
        with (folder / "prepare.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make(files, fetch_data(home))
    return {partner: pl.read_parquet(file) for partner, file in files.items()}


def _make(files: Mapping[str, Path], packages: Path) -> None:
    makers = {"car_parks": car_parks, "grocer": grocer, "travel": travel, "agency": agency}
    makers |= {"fairs": fairs, "counter": counter}
    for dataset in (*DATASETS, *FURTHER_DATASETS):
        if not files[dataset.partner].is_file():
            partial = files[dataset.partner].with_suffix(".partial")
            makers[dataset.partner](packages / dataset.file).write_parquet(partial)
            partial.rename(files[dataset.partner])


def car_parks(file: Path) -> pl.DataFrame:
    """One row a car park and day: site, capacity, day, peak (cars)."""
    days = (
        pl.read_csv(file, try_parse_dates=True)
        .group_by(site=pl.col("SystemCodeNumber"), day=pl.col("LastUpdated").dt.date())
        .agg(capacity=pl.col("Capacity").first(), peak=pl.col("Occupancy").max())
    )
    usable = days.filter(pl.len().over("site") >= FEWEST_DAYS)
    return usable.sort("site", "day").select("site", "capacity", "day", "peak")


def grocer(file: Path) -> pl.DataFrame:
    """One row a sale line of the busiest products: line, order, day, customer, product, subclass, quantity, totals.

    ``rank`` is the product's, 1 the busiest. An order is what a customer bought on one day.
    """
    return _sold(file, range(1, BUSIEST_PRODUCTS + 1))


def counter(file: Path) -> pl.DataFrame:
    """As `grocer`, the products ranked just below; an amount is the line's ``total``, which the data has whole."""
    columns = ("line", "day", "customer", "product", "subclass", "quantity", "rank")
    lines = _sold(file, COUNTER_PRODUCTS)
    return lines.select(*columns, total=pl.col("price_total").cast(pl.Int64, strict=True))


def fairs(file: Path) -> pl.DataFrame:
    """One row a customer of the two smallest districts and day: day, district, customer, the basket's total."""
    lines = ta_feng(file).filter(pl.col("PIN_CODE").str.strip_chars().is_in(DISTRICTS))
    baskets = lines.group_by(
        day=pl.col("TRANSACTION_DT").str.to_date("%m/%d/%Y"),
        district=pl.col("PIN_CODE").str.strip_chars(),
        customer="CUSTOMER_ID",
    )
    return baskets.agg(total=pl.col("SALES_PRICE").cast(pl.Int64).sum()).sort("day", "district", "customer")


def ta_feng(file: Path) -> pl.DataFrame:
    """Every sale line of the grocery as it is in the file: all text, its byte order mark gone."""
    with zipfile.ZipFile(file) as archive:
        text = archive.read(archive.namelist()[0])
    return pl.read_csv(io.BytesIO(text), infer_schema_length=0).rename(lambda name: name.strip('\ufeff"'))


def _sold(file: Path, ranks: range) -> pl.DataFrame:
    """The lines of the products with these ranks."""
    lines = ta_feng(file)
    busiest = (
        lines.group_by("PRODUCT_ID")
        .len()
        .sort(["len", "PRODUCT_ID"], descending=[True, False])
        .slice(ranks.start - 1, len(ranks))
        .with_row_index("rank", offset=ranks.start)
        .select("PRODUCT_ID", "rank")
    )
    return (
        lines.join(busiest, on="PRODUCT_ID")
        .select(
            day=pl.col("TRANSACTION_DT").str.to_date("%m/%d/%Y"),
            customer="CUSTOMER_ID",
            product="PRODUCT_ID",
            subclass="PRODUCT_SUBCLASS",
            quantity=pl.col("AMOUNT").cast(pl.Int64),
            price_total=pl.col("SALES_PRICE").cast(pl.Float64),
            cost_total=pl.col("ASSET").cast(pl.Float64),
            rank=pl.col("rank").cast(pl.Int64),
        )
        .sort("day", "customer", "rank")
        .with_row_index("line", offset=1)
        .with_columns(pl.col("line").cast(pl.Int64), order=pl.struct("day", "customer").rank("dense").cast(pl.Int64))
    )


def travel(file: Path) -> pl.DataFrame:
    """Every eleventh search by time, its own columns but the user's number and ``cnt`` (clicks, known only later)."""
    return _searches(file, 0)


def agency(file: Path) -> pl.DataFrame:
    """As `travel`, other searches."""
    return _searches(file, AGENCY_OFFSET)


def _searches(file: Path, offset: int) -> pl.DataFrame:
    return searches(file).gather_every(EVERY_NTH_SEARCH, offset)


def searches(file: Path) -> pl.DataFrame:
    """Every search by time, its own columns but the user's number and ``cnt`` (clicks, known only later)."""
    found = pl.read_csv(file, infer_schema_length=None).drop("cnt", "user_id")
    parsed = found.with_columns(
        pl.col("date_time").str.to_datetime("%Y-%m-%d %H:%M:%S"),
        pl.col("srch_ci", "srch_co").str.to_date("%Y-%m-%d"),
    )
    return parsed.sort("date_time", maintain_order=True)
