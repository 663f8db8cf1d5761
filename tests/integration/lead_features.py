"""`features.lead_score` and its training relation as dbt leaves them, holding synthetic rows."""

from datetime import datetime

import polars as pl
from sqlalchemy import text

from integrator.steps.services import Services
from integrator.storage.landing_merge import copy
from tests.lead_frames import CONTEXT, leads

SQL_TYPES = {
    pl.String: "text",
    pl.Int64: "bigint",
    pl.Int8: "bigint",
    pl.Float64: "double precision",
    pl.Boolean: "boolean",
}


def put_leads(services: Services, partner: str, frame: pl.DataFrame | None = None, *, position: int = 100) -> None:
    """A partner's labelled leads, and the open ones: those of the newest moment, without their outcome."""
    labelled = leads() if frame is None else frame
    newest = labelled.filter(pl.col("as_of") == labelled["as_of"].max()).drop("converted")
    for relation, rows in (("lead_score_training", labelled), ("lead_score", newest)):
        given = rows.with_columns(pl.lit(partner).alias("partner"), pl.lit(position, pl.Int64).alias("input_position"))
        if relation == "lead_score":
            given = given.with_columns(pl.lit(CONTEXT.as_of).alias("as_of"))
        _put(services, relation, given)


def _put(services: Services, relation: str, rows: pl.DataFrame) -> None:
    kinds = [
        (
            name,
            "timestamptz"
            if isinstance(kind, pl.Datetime)
            else "jsonb"
            if name == "attributes"
            else SQL_TYPES[type(kind)],
        )
        for name, kind in zip(rows.columns, rows.dtypes, strict=True)
    ]
    shown = ", ".join(f"{name} {kind}" for name, kind in kinds)
    with services.database.batch() as connection:
        if connection.execute(text(f"select to_regclass('features.{relation}')")).scalar_one() is None:
            connection.exec_driver_sql(f"create table features.{relation} ({shown})")
            connection.exec_driver_sql(f"select integrator.protect('features.{relation}')")
        connection.exec_driver_sql(
            f"create temporary table incoming on commit drop as select * from features.{relation} with no data"
        )
        copy(connection, "incoming", [(name, "") for name in rows.columns], (_cells(row) for row in rows.iter_rows()))
        connection.exec_driver_sql(f"insert into features.{relation} select * from incoming")
        connection.exec_driver_sql("drop table incoming")


def _cells(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(cell.isoformat() if isinstance(cell, datetime) else cell for cell in row)
