"""Sale records landed a second, beside a straightforward pydantic and SQLAlchemy insert, and the ceiling of COPY."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel
from sqlalchemy import Column, DateTime, Integer, MetaData, Numeric, String, Table, create_engine, insert

from benchmarks.figure import Figure
from integrator.embedded.session import close_storage, open_storage
from integrator.settings import Settings
from integrator.storage import landing
from integrator.storage.partners import Partner, register

ROWS, BATCH = 60_000, 5_000
NOW = datetime(2026, 3, 16, tzinfo=UTC)


class PlainSale(BaseModel):
    """The peer's model: the same fields, no versions, no vault."""

    native_id: str
    product: str
    sold_at: AwareDatetime
    quantity: int
    unit_price: Decimal
    currency: str
    status: str


def measure(home: Path) -> list[Figure]:
    """Rows a second into the same PostgreSQL, committed batch by batch."""
    settings = Settings(home=home)
    storage = open_storage(settings)
    try:
        register(storage.database, Partner(partner="bench", timezone="UTC", currency="EUR", region="DE"), NOW)
        ours = _rate(lambda batch: landing.write(storage.database, "bench", "direct", "sale", batch, now=NOW))
        address = storage.database.address
        url = storage.database.url(address.owner, password=address.password)
        plain, copied = _plain(url), _copied(storage.database)
    finally:
        storage.database.close()
        close_storage(settings)
    return [
        Figure("sale records landed, in process", ours, "rows/s", "", "pydantic + SQLAlchemy insert", plain),
        Figure("the same beside the ceiling", ours, "rows/s", "", "COPY of ready rows, no checks", copied),
    ]


def _records() -> list[dict[str, Any]]:
    return [
        {
            "native_id": f"s{i}", "product": f"p{i % 300}", "sold_at": "2026-03-01T12:00:00+00:00", "quantity": 1 + i % 3,
            "unit_price": f"{10 + i % 7}.50", "currency": "EUR", "status": "paid",
        }
        for i in range(ROWS)
    ]  # fmt: skip


def _rate(write: Any) -> float:
    records = _records()
    started = time.monotonic()
    for start in range(0, ROWS, BATCH):
        write(records[start : start + BATCH])
    return ROWS / (time.monotonic() - started)


def _plain(url: Any) -> float:
    engine = create_engine(url)
    table = Table(
        "plain_sale", MetaData(schema="public"), Column("native_id", String, primary_key=True), Column("product", String),
        Column("sold_at", DateTime(timezone=True)), Column("quantity", Integer), Column("unit_price", Numeric),
        Column("currency", String), Column("status", String),
    )  # fmt: skip
    table.create(engine)

    def write(batch: list[dict[str, Any]]) -> None:
        with engine.begin() as connection:
            connection.execute(insert(table), [PlainSale.model_validate(row).model_dump() for row in batch])

    rate = _rate(write)
    engine.dispose()
    return rate


def _copied(database: Any) -> float:
    columns = ("native_id", "product", "sold_at", "quantity", "unit_price", "currency", "status")
    with database.owner() as connection:
        connection.exec_driver_sql(
            "create table public.copied (native_id text primary key, product text, sold_at timestamptz, quantity integer, "
            "unit_price numeric, currency text, status text)"
        )

    def write(batch: list[dict[str, Any]]) -> None:
        with database.owner() as connection:
            driver = connection.connection.driver_connection
            with (
                driver.cursor() as cursor,
                cursor.copy(f"copy public.copied ({', '.join(columns)}) from stdin") as pipe,
            ):
                for row in batch:
                    pipe.write_row(tuple(row.values()))

    return _rate(write)
