"""Answered predictions in the shape of `metrics.realized`: seeded, with errors and coverage that are known.

Made up on purpose, for tests of figures only.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA: dict[str, Any] = {
    "use_case": pl.String, "subject_kind": pl.String, "subject_id": pl.String, "platform": pl.String,
    "due_at": pl.Datetime("us", "UTC"), "lead_bucket": pl.String, "role": pl.String, "model_name": pl.String,
    "model_version": pl.String, "predicted": pl.Float64, "low": pl.Float64, "high": pl.Float64, "level": pl.Float64,
    "is_inside": pl.Boolean, "actual": pl.Float64, "error": pl.Float64, "naive": pl.Float64, "naive_error": pl.Float64,
}  # fmt: skip


def answered(predicted: float, actual: float, *, days_ago: float = 1.0, n: int = 0, **more: Any) -> dict[str, Any]:
    """One answer; the interval is 10 either way, the naive rule says 20 more, unless said otherwise."""
    low, high = more.pop("low", predicted - 10), more.pop("high", predicted + 10)
    naive = more.pop("naive", predicted + 20)
    return {
        "use_case": "attendance", "subject_kind": "event", "subject_id": f"e{n}", "platform": "pretix",
        "due_at": NOW - days_ago * DAY, "lead_bucket": "last", "role": "champion", "model_name": "attendance.alpha",
        "model_version": "7", "predicted": predicted, "low": low, "high": high, "level": 0.8,
        "is_inside": None if low is None else low <= actual <= high, "actual": actual, "error": predicted - actual,
        "naive": naive, "naive_error": None if naive is None else naive - actual, **more,
    }  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """The rows as they are read."""
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def people(
    count: int = 120, *, spread: float = 8.0, naive_spread: float = 16.0, bias: float = 0.0, seed: int = 1, days: int = 20,
    **more: Any,
) -> pl.DataFrame:  # fmt: skip
    """Events over some days: errors of the prediction and of the naive rule are normal, intervals hold 80 % at spread 8."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        actual = float(rng.normal(100, 30))
        said = actual + bias + float(rng.normal(0, spread))
        rows.append(
            answered(
                said, actual, n=n, days_ago=1 + n % days, low=said - 10.25, high=said + 10.25,
                naive=actual + float(rng.normal(0, naive_spread)), **more,
            )
        )  # fmt: skip
    return frame(*rows)


def leads(count: int = 600, *, tilt: float = 1.0, seed: int = 2, days: int = 25) -> pl.DataFrame:
    """Leads whose chances are known; `tilt` multiplies what is predicted, so that 1 is calibrated."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(count):
        chance = float(rng.beta(2, 6))
        said = min(0.95, chance * tilt)
        rows.append(
            answered(
                said, float(rng.random() < chance), n=n, days_ago=1 + n % days, low=max(0.0, said - 0.06),
                high=min(1.0, said + 0.06), naive=0.25, is_inside=None, use_case="lead_score", subject_kind="contact",
                lead_bucket="first", model_name="lead_score.alpha",
            )
        )  # fmt: skip
    return frame(*rows)
