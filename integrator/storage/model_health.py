"""What is known of a model in use, read from `metrics` and `ops`: realized quality, drift, checks, the last scoring.

Reading alone: each table is written by the repository it belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

ALL = "all"
"""Of lead buckets, and as version: whatever was served."""
REALIZED = (
    "subject_kind", "role", "model_name", "model_version", "window_days", "prediction_count", "outcome_count", "mae",
    "naive_mae", "mae_ratio", "bias", "coverage", "level", "interval_count", "brier", "log_loss", "naive_log_loss",
    "calibration_error", "auc", "lift", "from_at", "to_at",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Check:
    """One verdict on what is served; `passed` is None where too little is known: n of needed."""

    name: str
    passed: bool | None
    observed: str
    n: int
    needed: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The newest look at one feature, or at the predictions; `drifted` is None where it was not judged."""

    feature: str
    about: str
    statistic: str
    value: float | None
    threshold: float
    drifted: bool | None
    n_current: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class LastScoring:
    """The last scoring, and how many of its insights are past their time now."""

    at: datetime
    run_id: str
    model_name: str
    model_version: str
    row_count: int
    failure_count: int
    stale: int


def realized(connection: Connection, partner: str, use_case: str) -> list[Mapping[str, Any]]:
    """Realized quality by subject kind, model and window, all lead times together; the longest window first."""
    rows = connection.execute(
        text(f"""select {", ".join(REALIZED)} from metrics.realized_quality
          where partner = :partner and use_case = :use_case and lead_bucket = :all
          order by subject_kind, window_days desc, role, model_version"""),
        {"partner": partner, "use_case": use_case, "all": ALL},
    )
    return [dict(row._mapping) for row in rows]


def checks(connection: Connection, partner: str, use_case: str) -> list[Check]:
    """The newest verdicts, by name."""
    rows = connection.execute(
        text("""select name, passed, observed, n, needed, at from metrics.model_check
          where partner = :partner and use_case = :use_case order by name"""),
        {"partner": partner, "use_case": use_case},
    )
    return [Check(**row._mapping) for row in rows]


def drift(connection: Connection, partner: str, use_case: str) -> list[Drift]:
    """The newest look at every feature and at the predictions, those that moved first."""
    rows = connection.execute(
        text("""select feature, about, statistic, value, threshold, drifted, n_current, at from metrics.drift
          where partner = :partner and use_case = :use_case and at = (
            select max(at) from metrics.drift where partner = :partner and use_case = :use_case)
          order by drifted desc nulls last, value desc nulls last, feature"""),
        {"partner": partner, "use_case": use_case},
    )
    return [Drift(**row._mapping) for row in rows]


def last_scoring(connection: Connection, partner: str, use_case: str, now: datetime) -> LastScoring | None:
    """The last scoring, without holding it; None before the first."""
    row = connection.execute(
        text("""select scored_at as at, run_id, model_name, model_version, row_count, failure_count, (
            select count(*) from insights.current c where c.partner = :partner and c.use_case = :use_case
              and c.stale_after < :now and c.status <> 'withdrawn') as stale
          from ops.scoring where partner = :partner and use_case = :use_case"""),
        {"partner": partner, "use_case": use_case, "now": now},
    ).one_or_none()
    return LastScoring(**row._mapping) if row else None
