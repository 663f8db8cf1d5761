"""A file's sales, or a plain table of prices and quantities, as the training relation has them. Cells: `models.files`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from integrator.contracts.records import Record, Sale
from models import files
from models.base import Context
from models.files import MOMENTS, NUMBERS, Holidays, Prepared, Reading, Role
from models.pricing.columns import COLUMNS

KIND = "sale"
COUNTED = ("paid", "refunded")
MONEY = ("unit_price", "list_price", "unit_cost")
ROLES = (
    Role(
        column="sold_on",
        names=("sold_on", "date", "day", "sold_at", "week_start", "week", "month", "ds", "at", "timestamp"),
        read=files.moment,
        allowed=MOMENTS,
        required=True,
    ),
    Role(column="product", names=("product", "product_id", "sku", "item", "brand"), read=files.text, required=True),
    Role(
        column="quantity",
        names=("quantity", "units", "qty", "sold"),
        read=files.number,
        allowed=NUMBERS,
        required=True,
    ),
    Role(column="unit_price", names=("unit_price", "price"), read=files.number, allowed=NUMBERS, required=True),
    Role(column="tier", names=("tier", "store", "store_id"), read=files.text),
    Role(column="list_price", names=("list_price",), read=files.number, allowed=NUMBERS),
    Role(column="unit_cost", names=("unit_cost", "cost"), read=files.number, allowed=NUMBERS),
    Role(column="product_group", names=("product_group", "group", "category"), read=files.text),
    Role(column="is_holiday", names=("is_holiday", "holiday"), read=files.flag, allowed=files.FLAGS),
)
FURTHER = {
    "partner": pl.String, "list_price": pl.Float64, "revenue": pl.Float64, "weekday": pl.Int64, "month": pl.Int64,
}  # fmt: skip


def from_table(rows: files.Rows, context: Context, reading: Reading) -> Prepared:
    """One row or several a product, tier and day (or the first day of a week or month): prices per unit."""
    table = files.read(rows, ROLES, reading)
    found: dict[str, Any] = {name: list(cells) for name, cells in table.columns.items()}
    found["sold_on"] = [moment.date() if moment else None for moment in found["sold_on"]]
    prepared = _prepared(found, table.attributes, context, reading.holidays)
    names = sorted({name for row in table.attributes for name in row})
    problems = [*table.problems, *prepared.problems]
    return replace(prepared, named=table.named, attributes=names, problems=problems)


def from_records(records: Sequence[Record], context: Context, reading: Reading) -> Prepared:
    """Canonical sales that count, by the partner's day; lines in another currency than the reporting one are left out."""
    sales = [one for one in records if isinstance(one, Sale) and one.deleted_at is None]
    counted = [one for one in sales if one.status in COUNTED and one.sold_at <= context.as_of]
    used = [one for one in counted if one.currency == context.currency]
    zone = ZoneInfo(context.timezone)
    found: dict[str, Any] = {
        "product": [one.product for one in used],
        "tier": [one.tier for one in used],
        "sold_on": [one.sold_at.astimezone(zone).date() for one in used],
        "quantity": [_kept(one) for one in used],
        "unit_price": [float(one.unit_price) for one in used],
        "list_price": [None if one.list_price is None else float(one.list_price) for one in used],
        "unit_cost": [None if one.unit_cost is None else float(one.unit_cost) for one in used],
        "product_group": [one.attributes.get("product_type") for one in used],
    }
    attributes, personal = files.without_personal([one.attributes for one in used], reading)
    problems = [
        *personal,
        *files.left_out(len(sales) - len(counted), len(sales), f"not {' or '.join(COUNTED)}, or later than now"),
        *files.left_out(len(counted) - len(used), len(sales), f"their currency is not {context.currency}"),
    ]
    return _prepared(found, attributes, context, reading.holidays, problems)


def _kept(sale: Sale) -> int:
    """Units sold and not given back, as harmonize counts them."""
    if sale.status == "refunded" and not sale.refunded_quantity:
        return 0
    return max(sale.quantity - sale.refunded_quantity, 0)


def _prepared(
    found: dict[str, Any],
    attributes: Sequence[Mapping[str, Any]],
    context: Context,
    holidays: Holidays,
    problems: Sequence[str] = (),
) -> Prepared:
    count = len(attributes)
    table = files.Table(lines=range(count), columns=found, attributes=attributes, named={})
    lines = table.frame({**COLUMNS, **FURTHER, "quantity": pl.Float64}).with_columns(
        pl.col("tier").fill_null(""), pl.col(MONEY).cast(pl.Float64)
    )
    whole = lines.filter(pl.all_horizontal(pl.col("sold_on", "product", "quantity", "unit_price").is_not_null()))
    sane = whole.filter(
        pl.all_horizontal(pl.col("quantity", "unit_price").is_finite() & (pl.col("quantity", "unit_price") >= 0))
    )
    told = [
        *problems,
        *files.left_out(count - whole.height, count, "they lack date, product, quantity or price"),
        *files.left_out(whole.height - sane.height, count, "their quantity or price is infinite or below zero"),
    ]
    training = _daily(files.usable(sane, told), context, holidays)
    newest = training["sold_on"].max()
    as_of = files.just_after(files.in_utc([files.moment(newest)], context.timezone), context.as_of)
    return Prepared(training=training, live=training, as_of=as_of, problems=told)


def _daily(lines: pl.DataFrame, context: Context, holidays: Holidays) -> pl.DataFrame:
    """One row a product, tier and day: prices weighted by what was sold at them, as the feature SQL has it."""
    units = pl.col("quantity")
    weighed = [
        ((pl.col(name) * units).sum() / units.filter(pl.col(name).is_not_null()).sum()).fill_nan(None).alias(name)
        for name in MONEY
    ]
    keys = ("product", "tier", "sold_on")
    daily = lines.group_by(keys, maintain_order=True).agg(
        (pl.col("quantity") * pl.col("unit_price")).sum().alias("revenue"),
        *weighed,
        pl.len().cast(pl.Int64).alias("line_count"),
        pl.col("product_group").drop_nulls().last(),
        pl.col("is_holiday").any(),
        pl.col("attributes"),
        pl.col("quantity").sum().alias("sold"),
    )
    years = sorted({day.year for day in daily["sold_on"].to_list()})
    calendar = list(holidays(context.region, years))
    told = pl.col("is_holiday") if lines["is_holiday"].is_not_null().any() else pl.col("sold_on").is_in(calendar)
    shaped = daily.with_columns(
        pl.lit(context.partner).alias("partner"),
        pl.lit("direct").alias("platform"),
        pl.lit(context.currency).alias("currency"),
        pl.col("sold").alias("quantity"),
        pl.col("sold_on").dt.weekday().cast(pl.Int64).alias("weekday"),
        pl.col("sold_on").dt.month().cast(pl.Int64).alias("month"),
        told.alias("is_holiday"),
        pl.col("attributes").map_elements(_together, return_dtype=pl.String),
    ).drop("sold")
    missing = [pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in shaped.columns]
    return shaped.with_columns(missing).sort(keys)


def _together(lines: Sequence[str]) -> str:
    """Attributes of one product and day: the mean of numbers and flags, a text only where all lines agree."""
    rows = [json.loads(line) for line in lines]
    if len(rows) == 1:
        return json.dumps(rows[0], sort_keys=True)
    merged: dict[str, Any] = {}
    for name in sorted({name for row in rows for name in row}):
        values = [row[name] for row in rows if name in row]
        if all(isinstance(value, bool | int | float) for value in values):
            merged[name] = sum(values) / len(values)
        elif len(set(map(str, values))) == 1:
            merged[name] = values[0]
    return json.dumps(merged, sort_keys=True)
