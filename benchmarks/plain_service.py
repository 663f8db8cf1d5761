"""The service one would write in an afternoon: FastAPI, pydantic, SQLAlchemy `insert`. The peer of `push`, run as a process."""

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import URL, Column, DateTime, Engine, Integer, MetaData, Numeric, String, Table, create_engine, insert


class PlainSale(BaseModel):
    """The same fields; no versions, no vault, no quarantine: one bad record is a 500."""

    native_id: str
    product: str
    event_id: str
    contact_id: str
    sold_at: AwareDatetime
    quantity: int
    unit_price: Decimal
    currency: str
    status: str


TABLE = Table(
    "plain_sale", MetaData(schema="public"), Column("native_id", String, primary_key=True), Column("product", String),
    Column("event_id", String), Column("contact_id", String), Column("sold_at", DateTime(timezone=True)),
    Column("quantity", Integer), Column("unit_price", Numeric), Column("currency", String), Column("status", String),
)  # fmt: skip


def fresh_table(url: URL | str) -> Engine:
    """The engine, with an empty table behind it."""
    engine = create_engine(url)
    TABLE.drop(engine, checkfirst=True)
    TABLE.create(engine)
    return engine


def store(engine: Engine, raws: Sequence[Any]) -> None:
    """Validate and insert, in one transaction; `raws` are dicts, or JSON texts."""
    read = PlainSale.model_validate_json if raws and isinstance(raws[0], bytes) else PlainSale.model_validate
    with engine.begin() as connection:
        connection.execute(insert(TABLE), [read(raw).model_dump() for raw in raws])


def main(url: str, port: int) -> None:
    """Serve until told to stop."""
    engine = fresh_table(url)
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/v1/sales")
    async def take(request: Request) -> dict[str, int]:
        from starlette.concurrency import run_in_threadpool

        lines = (await request.body()).splitlines()
        await run_in_threadpool(store, engine, lines)
        return {"accepted": len(lines)}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
