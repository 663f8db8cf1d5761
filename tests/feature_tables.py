"""Relations of `features` as dbt leaves them, made from a test's frame: typed, tenant-protected, with moment and position."""

from datetime import datetime

import polars as pl

from integrator.storage.database import Database
from integrator.storage.landing_merge import copy

SQL_TYPES = {
    pl.String: "text",
    pl.Int64: "bigint",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Float64: "double precision",
    pl.Decimal: "numeric",
}


def put(database: Database, relation: str, partner: str, frame: pl.DataFrame, *, at: datetime, position: int) -> None:
    """Replace the partner's rows of `features.<relation>`, which is made where it is not there yet.

    A frame without `as_of` gets the moment `at`.
    """
    if "as_of" not in frame.columns:
        frame = frame.with_columns(as_of=pl.lit(at))
    rows = frame.with_columns(partner=pl.lit(partner), input_position=pl.lit(position, pl.Int64))
    shown = ", ".join(f'"{name}" {_type(name, kind)}' for name, kind in rows.schema.items())
    with database.batch() as connection:
        connection.exec_driver_sql(f"create table if not exists features.{relation} ({shown})")
        connection.exec_driver_sql(f"select integrator.protect('features.{relation}')")
        connection.exec_driver_sql(f"delete from features.{relation} where partner = '{partner}'")
        connection.exec_driver_sql(
            f"create temporary table incoming on commit drop as select * from features.{relation} with no data"
        )
        copy(connection, "incoming", [(name, "") for name in rows.columns], rows.iter_rows())
        columns = ", ".join(f'"{name}"' for name in rows.columns)
        connection.exec_driver_sql(f"insert into features.{relation} ({columns}) select {columns} from incoming")


def _type(name: str, kind: pl.DataType) -> str:
    return "jsonb" if name == "attributes" else SQL_TYPES.get(type(kind), "timestamptz")
