"""How good predictions turned out: answered predictions in, figures by model, lead and window out. Pure; frames in.

What is judged by these figures, and how, is in verdicts.py. A use case whose value is a probability gets the figures of a
probability beside those of a number.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.evaluation import EPSILON, auc, brier, calibration_error, log_loss

Floats = NDArray[np.float64]
WINDOWS = (30, 90)
"""Days back from now by which outcomes are summed up."""
ALL = "all"
CHAMPION = "champion"
BINS = 10
MIN_BINS = 2
BIN_CASES = 25
"""Answers a bin needs, so that a rate of it means something."""
CHANCE = 1.645
GROUP = ("subject_kind", "role", "model_name", "model_version", "lead_bucket")
SUBJECT = ("subject_kind", "subject_id", "platform", "due_at")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures of one group of answered predictions; None where there is nothing to say. See `metrics.realized_quality`."""

    subject_kind: str
    role: str
    model_name: str
    model_version: str
    lead_bucket: str
    window_days: int
    prediction_count: int
    outcome_count: int
    pending_count: int = 0
    mae: float | None = None
    naive_mae: float | None = None
    mae_ratio: float | None = None
    bias: float | None = None
    coverage: float | None = None
    level: float | None = None
    interval_count: int = 0
    brier: float | None = None
    log_loss: float | None = None
    naive_log_loss: float | None = None
    calibration_error: float | None = None
    auc: float | None = None
    lift: float | None = None
    reliability: Sequence[Mapping[str, float]] = field(default=())
    from_at: datetime | None = None
    to_at: datetime | None = None


def summaries(
    answers: pl.DataFrame, now: datetime, *, is_rate: bool, windows: Sequence[int] = WINDOWS
) -> list[Quality]:
    """Figures by window, subject kind, role, model version and lead bucket of one use case's `metrics.realized`.

    Champions are summed up over all versions too (`all`: whatever was served), and every group over all leads.
    """
    found: list[Quality] = []
    for days in windows:
        recent = answers.filter(pl.col("due_at") > now - timedelta(days=days))
        for key, part in _groups(recent):
            judged = part.filter(pl.col("due_at") <= now)
            pending = part.height - judged.height
            found.append(_quality(key, days, judged, pending, is_rate=is_rate))
    return found


def _groups(frame: pl.DataFrame) -> Iterator[tuple[dict[str, str], pl.DataFrame]]:
    everyone = pl.col("role") == CHAMPION
    whatever = {"model_name": pl.lit(ALL), "model_version": pl.lit(ALL)}
    for rows in (frame, frame.filter(everyone).with_columns(**whatever)):
        for level in (rows, rows.with_columns(lead_bucket=pl.lit(ALL))):
            for key, part in level.group_by(GROUP, maintain_order=True):
                yield {name: str(value) for name, value in zip(GROUP, key, strict=True)}, part


def _quality(key: Mapping[str, str], days: int, judged: pl.DataFrame, pending: int, *, is_rate: bool) -> Quality:
    base: dict[str, Any] = {**key, "window_days": days, "pending_count": pending, "prediction_count": judged.height}
    if not judged.height:
        return Quality(**base, outcome_count=0)
    error, naive = judged["error"], judged.filter(pl.col("naive_error").is_not_null())
    naive_mae = _mean(naive["naive_error"].abs())
    rated = ratio(_mean(naive["error"].abs()), naive_mae)
    base |= {
        "outcome_count": judged.select(SUBJECT).n_unique(),
        "mae": _mean(error.abs()), "bias": _mean(error), "naive_mae": naive_mae, "mae_ratio": rated,
        "lift": None if rated is None else 1 - rated,
        "level": _mean(judged["level"].drop_nulls()),
        "from_at": judged["due_at"].min(), "to_at": judged["due_at"].max(),
    }  # fmt: skip
    return Quality(**base | (_rates(judged, naive) if is_rate else _intervals(judged)))


def _intervals(judged: pl.DataFrame) -> dict[str, Any]:
    inside = judged["is_inside"].drop_nulls()
    return {"coverage": _mean(inside.cast(pl.Float64)), "interval_count": len(inside)}


def _rates(judged: pl.DataFrame, naive: pl.DataFrame) -> dict[str, Any]:
    outcome, rate = judged["actual"].to_numpy(), judged["predicted"].to_numpy()
    loss, naive_loss = _log_loss(naive, "predicted"), _log_loss(naive, "naive")
    gained = ratio(loss, naive_loss)
    covered = bin_coverage(judged)
    return {
        "brier": brier(outcome, rate), "log_loss": log_loss(outcome, rate), "naive_log_loss": naive_loss,
        "calibration_error": calibration_error(outcome, rate), "auc": _known(auc(outcome, rate)),
        "lift": None if gained is None else 1 - gained,
        "reliability": reliability(outcome, rate),
        "coverage": None if not covered else float(np.mean(covered)), "interval_count": len(covered),
    }  # fmt: skip


def _log_loss(frame: pl.DataFrame, column: str) -> float | None:
    return log_loss(frame["actual"].to_numpy(), frame[column].to_numpy()) if frame.height else None


def reliability(outcome: Floats, rate: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Bins of equal size by predicted rate: how many, mean predicted, mean actual (DeGroot & Fienberg 1983)."""
    return [
        {"count": len(part), "predicted": float(rate[part].mean()), "actual": float(outcome[part].mean())}
        for part in _bins(rate, bins)
    ]


def bin_coverage(judged: pl.DataFrame) -> list[bool]:
    """Bin by bin whether the observed rate lies in the mean interval, given the chance of that many draws.

    An interval on a rate cannot be held against one lead, who converts or does not. `CHANCE` standard errors of the
    bin's own rate are allowed on either side; with fewer than `MIN_BINS` bins of `BIN_CASES` nothing is said.
    """
    known = judged.filter(pl.col("low").is_not_null() & pl.col("high").is_not_null())
    rate = known["predicted"].to_numpy()
    parts = _bins(rate, min(BINS, known.height // BIN_CASES))
    if len(parts) < MIN_BINS:
        return []
    outcome, low, high = (known[name].to_numpy() for name in ("actual", "low", "high"))
    found = []
    for part in parts:
        observed, expected = float(outcome[part].mean()), float(rate[part].mean())
        chance = CHANCE * math.sqrt(max(expected * (1 - expected), EPSILON) / len(part))
        found.append(float(low[part].mean()) - chance <= observed <= float(high[part].mean()) + chance)
    return found


def _bins(rate: Floats, bins: int) -> list[NDArray[np.intp]]:
    if bins < 1 or not len(rate):
        return []
    order = np.argsort(rate, kind="stable")
    return [part for part in np.array_split(order, min(bins, len(order))) if len(part)]


def spiegelhalter(outcome: Floats, rate: Floats) -> float:
    """Spiegelhalter's z: how many standard errors the Brier score is from that of calibrated probabilities.

    Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical trials", eq. 12. Unlike a binned
    error it needs no bins and is not inflated by few cases. NaN where all rates are 0, 1/2 or 1.
    """
    weight = 1 - 2 * rate
    spread = float(np.sum(weight**2 * rate * (1 - rate)))
    return float(np.sum((outcome - rate) * weight)) / math.sqrt(spread) if spread > 0 else math.nan


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference; None where one is unknown, or there is nothing to be relative to."""
    return value / reference if value is not None and reference is not None and reference > 0 else None


def _mean(values: pl.Series) -> float | None:
    found = values.mean()
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
