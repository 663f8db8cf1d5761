"""Predictions of some days and what came of them, for the tests of realized quality. Shapes only: no figure is asserted
of a model; values are chosen so that errors and coverage can be reckoned by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from integrator.contracts.insight import Interval, Subject, insight_id
from integrator.steps.predictions import encode
from integrator.steps.publish import publish
from integrator.steps.services import Services
from models.base import Prediction
from tests.publishing import prediction, put_scored

DAY, WEEK = timedelta(days=1), timedelta(days=7)
TABLES = ("metrics.outcome", "metrics.decision", "metrics.realized", "metrics.realized_quality", "metrics.drift",
          "metrics.model_check", "metrics.model_quality", "insights.version", "insights.current", "ops.prediction_log",
          "ops.shadow_prediction", "ops.shadow_scoring", "ops.scored", "ops.scoring", "ops.step_runs",
          "ops.inference_log")  # fmt: skip
HARMONIZED = {
    "event": "event_id text, series_id text, starts_at timestamptz, attendance bigint, status text",
    "sale": "product text, tier text, sold_on date, quantity bigint, net_quantity bigint, unit_price_reported numeric, "
            "is_counted boolean default true",
    "contact": "person_id text, contact_id text, converted_at timestamptz",
    "identity": "person_id text, native_id text",
}  # fmt: skip


def build_harmonized(services: Services) -> None:
    """The columns that outcomes are read from, as dbt leaves them: owned by the night's role, protected, readable."""
    with services.database.batch() as connection:
        for name, columns in HARMONIZED.items():
            connection.exec_driver_sql(
                f"create table if not exists harmonized.{name} (partner text not null, platform text not null, {columns})"
            )
            connection.exec_driver_sql(f"select integrator.protect('harmonized.{name}')")
            connection.exec_driver_sql(f"grant select on harmonized.{name} to integrator_service")


def empty(services: Services) -> None:
    """Nothing predicted, nothing happened."""
    with services.database.batch() as connection:
        for table in (*TABLES, *(f"harmonized.{name}" for name in HARMONIZED)):
            connection.execute(text(f"delete from {table}"))


def at(services: Services, moment: datetime) -> Services:
    """The same services at another time."""
    return replace(services, clock=lambda: moment)


def say(
    services: Services, moment: datetime, predictions: Sequence[Prediction], *, use_case: str = "attendance",
    model: str = "7", rows: Sequence[dict[str, Any]] | None = None, partner: str = "alpha", run_id: str = "",
) -> None:  # fmt: skip
    """Score and publish at a moment, by version `model` of the partner's own model."""
    put_scored(
        services, partner, predictions, position=int(moment.timestamp()), at=moment, use_case=use_case,
        model=(f"{use_case}.{partner}", model), feature_rows=rows, run_id=run_id or f"run-{moment:%m%d}",
    )  # fmt: skip
    publish(at(services, moment), partner, use_case, run_id=run_id or f"run-{moment:%m%d}")


def lead(name: str, value: float, *, horizon: int = 30, **more: Any) -> Prediction:
    """A lead's probability."""
    return prediction(
        name, value, subject=Subject("contact", name, "hubspot"), unit="probability", baseline=0.2, contributions=(),
        interval=Interval(0.8, max(0.0, value - 0.1), min(1.0, value + 0.1)), details={"horizon_days": horizon}, **more,
    )  # fmt: skip


def series(name: str, days: Sequence[datetime], value: float) -> Prediction:
    """A forecast of some days, each the value with 10 either way."""
    horizon = [{"at": day.isoformat(), "p10": value - 10, "p50": value, "p90": value + 10} for day in days]
    return prediction(name, value, subject=Subject("series", name, "pretix"), details={"horizon": horizon})


def plant(services: Services, table: str, **row: Any) -> None:
    """One row, by the night's role."""
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    with services.database.batch() as connection:
        connection.execute(text(f"insert into {table} ({names}) values ({values})"), row)


def shadow(
    services: Services, moment: datetime, said: Prediction, version: str, *, use_case: str = "attendance"
) -> None:
    """What a challenger said beside the champion."""
    name, key = f"{use_case}.alpha", {"partner": "alpha", "use_case": use_case}
    plant(
        services, "ops.shadow_prediction", **key, insight_id=insight_id("alpha", use_case, said.subject), model_name=name,
        model_version=version, as_of=moment, subject_kind=said.subject.kind, subject_id=said.subject.id,
        platform=said.subject.platform, outcome="success", rung="partner", input_position=1, at=moment, run_id="run",
        prediction=encode(said),
    )  # fmt: skip
    plant(
        services, "ops.shadow_scoring", **key, model_name=name, model_version=version, champion_name=name,
        champion_version="7", run_id=f"run-{moment:%m%d}", at=moment, as_of=moment, input_position=1, row_count=1,
        failure_count=0,
    )  # fmt: skip


def found(services: Services, query: str, **values: Any) -> list[Any]:
    """What the night's role reads."""
    with services.database.batch() as connection:
        return list(connection.execute(text(query), values).all())


def answers(services: Services, partner: str = "alpha") -> dict[tuple[str, ...], Any]:
    """`metrics.realized` by subject, bucket, role and version."""
    rows = found(services, "select * from metrics.realized where partner = :partner order by due_at", partner=partner)
    return {(row.subject_id, row.lead_bucket, row.role, row.model_version): row for row in rows}
