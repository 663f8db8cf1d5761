"""`features.attendance` and its training relation as dbt leaves them, holding synthetic rows."""

from datetime import UTC, datetime

import polars as pl
from sqlalchemy import text

from integrator.steps.services import Services
from integrator.storage.landing_merge import copy
from tests.attendance_frames import SCHEMA, arena, training

MOMENT = datetime(2026, 3, 16, 6, tzinfo=UTC)
SQL_TYPES = {pl.String: "text", pl.Int64: "bigint", pl.Boolean: "boolean", pl.Date: "date"}
RELATIONS = ("attendance", "attendance_training")


def make_relations(services: Services) -> None:
    """Both relations, empty."""
    columns = [(name, SQL_TYPES.get(kind, "timestamptz")) for name, kind in SCHEMA.items()]
    more = [("as_of", "timestamptz"), ("input_position", "bigint")]
    shown = ", ".join(f"{name} {kind}" for name, kind in [*columns, *more]).replace(
        "attributes text", "attributes jsonb"
    )
    with services.database.batch() as connection:
        for relation in RELATIONS:
            connection.exec_driver_sql(f"create table features.{relation} ({shown})")
            connection.exec_driver_sql(f"select integrator.protect('features.{relation}')")


def put_features(
    services: Services, position: int, frame: pl.DataFrame | None = None, *, partner: str = "alpha",
    as_of: datetime = MOMENT,
) -> None:  # fmt: skip
    """A partner's rows, known as of a moment, in the place of those it had; what is past is there to learn from."""
    found = arena() if frame is None else frame
    names = list(SCHEMA)
    with services.database.batch() as connection:
        for relation, rows in zip(RELATIONS, (found, training(found)), strict=True):
            connection.execute(text(f"delete from features.{relation} where partner = :partner"), {"partner": partner})
            connection.exec_driver_sql(
                f"create temporary table incoming on commit drop as select * from features.{relation} with no data"
            )
            given = ((partner, *row[1:], as_of, position) for row in rows.select(names).iter_rows())
            copy(connection, "incoming", [(name, "") for name in [*names, "as_of", "input_position"]], given)
            connection.exec_driver_sql(f"insert into features.{relation} select * from incoming")
            connection.exec_driver_sql("drop table incoming")
