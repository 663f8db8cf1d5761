"""A model's health made by hand, for the advice drawn from it and for the tables that show it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from integrator.steps.model_health import Health
from integrator.steps.serving import Serving
from integrator.storage.inferences import Inferences
from integrator.storage.scored import LastScoring
from models.versions import VersionInfo

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def info(version: str, **changes: Any) -> VersionInfo:
    made = VersionInfo(
        version=version, champion=False, challenger=False, candidate="forest", metrics={"mase": 0.8}, promoted=False,
        reasons=("It does not beat the champion.",), logged_at="2026-03-15T06:00:00Z", data_hash="ab",
    )  # fmt: skip
    return replace(made, **changes)


def health(**changes: Any) -> Health:
    """A champion of yesterday, scored an hour ago, in which nothing is wrong."""
    made = Health(
        use_case="attendance",
        serving=Serving(
            use_case="attendance", partner="acme", rung="partner", name="attendance.acme", version="3"
        ),
        trained_at=NOW - DAY, age_days=1, trained=info("3", promoted=True, champion=True), challenger=None,
        challenger_verdict=None, backtest={}, gate_metric="mase", level=0.8, realized=(), checks=(), drift=(),
        inferences=(inferred(100, 0),), last_scoring=scored(NOW - timedelta(hours=1)), shadow=None, readiness=None,
        unreadable=None,
    )  # fmt: skip
    return replace(made, **changes)


def inferred(success: int, failure: int, **changes: Any) -> Inferences:
    made = Inferences(
        model_name="attendance.acme", model_version="3", is_shadow=False, runs=1, last_at=NOW, mean_ms=1.0, p50_ms=1.0,
        p95_ms=2.0, max_ms=3.0, counts={"success": success, "failure": failure, "fallback": 0, "refusal": 0},
    )  # fmt: skip
    return replace(made, **changes)


def scored(at: datetime, stale: int = 0) -> LastScoring:
    return LastScoring(
        at=at, run_id="r", model_name="attendance.acme", model_version="3", row_count=9, failure_count=0, stale=stale
    )


def check(passed: bool | None) -> dict[str, Any]:
    return {"name": "coverage", "passed": passed, "observed": "0.61 of 120 inside", "n": 120, "needed": 30}


def drifted(name: str, moved: bool | None) -> dict[str, Any]:
    return {"feature": name, "about": "feature", "statistic": "psi", "value": 0.4, "threshold": 0.2, "drifted": moved,
            "n_current": 90}  # fmt: skip


def realized(role: str, version: str, mae: float | None, count: int = 60, **changes: Any) -> dict[str, Any]:
    return {"subject_kind": "event", "role": role, "model_version": version, "window_days": 90, "mae": mae,
            "prediction_count": count, **changes}  # fmt: skip


RULE = Serving(use_case="attendance", partner="acme", rung="rule", name="attendance.rule", version="1")
