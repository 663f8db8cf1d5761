"""`features.lead_score` and its training relation as dbt leaves them, holding synthetic rows."""

from datetime import UTC, datetime

import polars as pl
from sqlalchemy import text

from integrator.steps.services import Services
from integrator.storage.landing_merge import copy
from tests.lead_frames import CONTEXT, leads

MOMENT = datetime(2026, 3, 16, 6, tzinfo=UTC)
COLUMNS = {
    "partner": "text", "platform": "text", "contact_id": "text", "person_id": "text", "as_of": "timestamptz",
    "created_at": "timestamptz", "created_weekday": "integer", "created_hour": "integer", "age_days": "integer",
    "stage": "text", "source": "text", "country": "text", "attributes": "jsonb", "purchases": "integer",
    "spent": "numeric", "horizon_days": "integer", "pooling_allowed": "boolean", "input_position": "bigint",
}  # fmt: skip
RELATIONS = {"lead_score": COLUMNS, "lead_score_training": COLUMNS | {"converted": "boolean"}}


def make_relations(services: Services) -> None:
    """Both relations, empty where they were not there."""
    with services.database.batch() as connection:
        for relation, columns in RELATIONS.items():
            shown = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            if connection.execute(text(f"select to_regclass('features.{relation}')")).scalar_one() is not None:
                continue
            connection.exec_driver_sql(f"create table features.{relation} ({shown})")
            connection.exec_driver_sql(f"select integrator.protect('features.{relation}')")


def put(services: Services, relation: str, frame: pl.DataFrame, *, partner: str, position: int) -> None:
    """A partner's rows in the place of those it had."""
    columns = RELATIONS[relation]
    rows = frame.with_columns(
        partner=pl.lit(partner), pooling_allowed=pl.lit(False), input_position=pl.lit(position)
    ).select(list(columns))
    with services.database.batch() as connection:
        connection.execute(text(f"delete from features.{relation} where partner = :partner"), {"partner": partner})
        connection.exec_driver_sql(
            f"create temporary table incoming on commit drop as select * from features.{relation} with no data"
        )
        copy(connection, "incoming", [(name, "") for name in columns], rows.iter_rows())
        connection.exec_driver_sql(f"insert into features.{relation} select * from incoming")
        connection.exec_driver_sql("drop table incoming")


def put_leads(services: Services, partner: str, frame: pl.DataFrame | None = None, *, position: int = 100) -> None:
    """A partner's labelled leads, and the open ones: those of the newest moment, without their outcome."""
    labelled = leads() if frame is None else frame
    newest = labelled.filter(pl.col("as_of") == labelled["as_of"].max()).drop("converted")
    make_relations(services)
    put(services, "lead_score_training", labelled, partner=partner, position=position)
    live = newest.with_columns(as_of=pl.lit(CONTEXT.as_of))
    put(services, "lead_score", live, partner=partner, position=position)
