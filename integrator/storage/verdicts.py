"""`metrics.realized_quality`, `metrics.drift` and `metrics.model_check`: how what is served turned out, as last found."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

DRIFT_KEPT = timedelta(days=90)
QUALITY = (
    "subject_kind", "role", "model_name", "model_version", "lead_bucket", "window_days", "prediction_count",
    "outcome_count", "pending_count", "mae", "naive_mae", "mae_ratio", "bias", "coverage", "level", "interval_count",
    "brier", "log_loss", "naive_log_loss", "calibration_error", "auc", "lift", "reliability", "from_at", "to_at",
)  # fmt: skip
DRIFT = (
    "feature", "about", "statistic", "value", "p_value", "threshold", "drifted", "n_reference", "n_current", "reason",
)  # fmt: skip
CHECK = ("name", "passed", "observed", "n", "needed")
Row = Mapping[str, Any]


def replace_quality(connection: Connection, partner: str, use_case: str, rows: Iterable[Row], now: datetime) -> None:
    """Put the figures of a use case (`QUALITY`) in the place of the last ones."""
    encoded = [{**row, "reliability": json.dumps(list(row["reliability"]))} for row in rows]
    connection.execute(
        text("delete from metrics.realized_quality where partner = :partner and use_case = :use_case"),
        {"partner": partner, "use_case": use_case},
    )
    _insert(connection, "realized_quality", QUALITY, partner, use_case, encoded, now)


def add_drift(connection: Connection, partner: str, use_case: str, rows: Iterable[Row], now: datetime) -> None:
    """Keep what was found (`DRIFT`) now; said again of the same moment it replaces, and what is 90 days old goes."""
    connection.execute(
        text("""delete from metrics.drift
          where partner = :partner and use_case = :use_case and (at = :now or at < :before)"""),
        {"partner": partner, "use_case": use_case, "now": now, "before": now - DRIFT_KEPT},
    )
    _insert(connection, "drift", DRIFT, partner, use_case, rows, now)


def replace_checks(connection: Connection, partner: str, use_case: str, rows: Sequence[Row], now: datetime) -> None:
    """The newest verdicts (`CHECK`), each in the place of the last of its name."""
    connection.execute(
        text("""delete from metrics.model_check
          where partner = :partner and use_case = :use_case and name = any(:names)"""),
        {"partner": partner, "use_case": use_case, "names": [row["name"] for row in rows]},
    )
    _insert(connection, "model_check", CHECK, partner, use_case, rows, now)


def _insert(
    connection: Connection, table: str, names: Sequence[str], partner: str, use_case: str, rows: Iterable[Row],
    now: datetime,
) -> None:  # fmt: skip
    columns = ", ".join(names)
    values = ", ".join(f"cast(:{name} as jsonb)" if name == "reliability" else f":{name}" for name in names)
    given = [
        {**{name: row[name] for name in names}, "partner": partner, "use_case": use_case, "now": now} for row in rows
    ]
    if given:
        connection.execute(
            text(f"""insert into metrics.{table} (partner, use_case, at, {columns})
              values (:partner, :use_case, :now, {values})"""),
            given,
        )


def quality(connection: Connection, partner: str, use_case: str | None = None) -> list[dict[str, Any]]:
    """Realized quality as last summed up, of one use case if it is named; whatever was served first."""
    rows = connection.execute(
        text(f"""select use_case, at, {", ".join(QUALITY)} from metrics.realized_quality
          where partner = :partner and (cast(:use_case as text) is null or use_case = :use_case)
          order by use_case, subject_kind, role, model_version <> 'all', model_name, model_version, window_days,
            lead_bucket <> 'all', lead_bucket"""),
        {"partner": partner, "use_case": use_case},
    )
    return [dict(row._mapping) for row in rows]


def checks(connection: Connection, partner: str, use_case: str | None = None) -> list[dict[str, Any]]:
    """The newest verdicts, those that failed first."""
    rows = connection.execute(
        text(f"""select use_case, at, {", ".join(CHECK)} from metrics.model_check
          where partner = :partner and (cast(:use_case as text) is null or use_case = :use_case)
          order by passed is not distinct from false desc, use_case, name"""),
        {"partner": partner, "use_case": use_case},
    )
    return [dict(row._mapping) for row in rows]


def newest_drift(connection: Connection, partner: str, use_case: str | None = None) -> list[dict[str, Any]]:
    """What was found last of each use case; what drifted first, the largest of it first."""
    rows = connection.execute(
        text(f"""select use_case, at, {", ".join(DRIFT)} from metrics.drift as found
          where partner = :partner and (cast(:use_case as text) is null or use_case = :use_case)
            and at = (select max(at) from metrics.drift as other
              where other.partner = :partner and other.use_case = found.use_case)
          order by use_case, drifted desc nulls last, value desc nulls last, feature"""),
        {"partner": partner, "use_case": use_case},
    )
    return [dict(row._mapping) for row in rows]
