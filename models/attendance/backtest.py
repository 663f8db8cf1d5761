"""The backtest's bookkeeping: cases of every candidate, scores, the choice, the floor. Nothing is fitted here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import evaluation
from models.attendance.candidates import RULE
from models.attendance.history import History
from models.attendance.intervals import BUCKETS, LEVEL, Residuals, bounds, bucket, fit_margins, realized_coverage
from models.base import Backtest, Score

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
GATE_METRIC = "mase"


@dataclass(frozen=True)
class Case:
    """One candidate's forecasts of one fold, aligned by unit and target day; `scale` is NaN where MASE has none."""

    candidate: str
    fold: int
    unit: Ints
    lead: Ints
    weekend: NDArray[np.bool_]
    actual: Floats
    forecast: Floats
    scale: Floats

    @staticmethod
    def residuals(cases: Sequence["Case"]) -> Residuals:
        """All folds of one candidate together; an unknown scale counts as zero."""
        return Residuals(
            np.concatenate([np.full(len(c.unit), c.fold) for c in cases]),
            np.concatenate([c.lead for c in cases]),
            np.concatenate([c.actual for c in cases]),
            np.concatenate([c.forecast for c in cases]),
            np.nan_to_num(np.concatenate([c.scale for c in cases])),
        )


def backtest_of(
    cases: Sequence[Case], candidates: Sequence[str], history: History, origins: Sequence[int], horizon: int
) -> Backtest:
    """Score every candidate; the lowest MASE is chosen, ties go to the one listed first (the rule)."""
    from models.plots import backtest_plot

    scores = tuple(_score(name, [case for case in cases if case.candidate == name]) for name in candidates)
    chosen = min(scores, key=lambda score: (_finite(score.metrics[GATE_METRIC]), not score.is_rule))
    own = [case for case in cases if case.candidate == chosen.candidate]
    split = json.dumps([history.digest(), list(origins), horizon])
    return Backtest(
        gate_metric=GATE_METRIC,
        chosen=chosen.candidate,
        scores=scores,
        observations=sum(len(case.unit) for case in own),
        plot_png=backtest_plot(
            {score.candidate: score.metrics[GATE_METRIC] for score in scores},
            chosen.candidate,
            *_daily(own),
            metric="MASE",
            unit="people, mean over units",
        ),
        split=hashlib.sha256(split.encode()).hexdigest(),
        level=LEVEL,
    )


def floored_units(cases: Sequence[Case], chosen: str) -> list[int]:
    """Units for which the choice was worse than the rule in every one of at least three folds: the rule serves them."""
    if chosen == RULE:
        return []
    mine, rule = _by_unit_and_fold(cases, chosen), _by_unit_and_fold(cases, RULE)
    return sorted(
        unit
        for unit, errors in mine.items()
        if len(errors) >= 3 and all(errors[fold] > rule[unit][fold] for fold in errors)
    )


def unit_errors(cases: Sequence[Case]) -> dict[int, dict[str, float]]:
    """Unit → candidate → mean MASE over folds, rounded for a reader; units without a scale are left out."""
    found: dict[int, dict[str, float]] = {}
    for name in dict.fromkeys(case.candidate for case in cases):
        for unit, errors in _by_unit_and_fold(cases, name).items():
            mean = evaluation.mean_known(list(errors.values()))
            if np.isfinite(mean):
                found.setdefault(unit, {})[name] = round(mean, 3)
    return found


def _score(name: str, cases: Sequence[Case]) -> Score:
    residuals = Case.residuals(cases)
    margins = fit_margins(residuals)
    low, _, high = bounds(margins, residuals.lead, residuals.forecast, residuals.scale)
    tail = (1 - LEVEL) / 2
    return Score(
        candidate=name,
        is_rule=name == RULE,
        metrics={
            GATE_METRIC: _mase(cases),
            "smape": evaluation.smape(residuals.actual, residuals.forecast),
            "mae": evaluation.mae(residuals.actual, residuals.forecast),
            "pinball_p10": evaluation.pinball(residuals.actual, low, tail),
            "pinball_p90": evaluation.pinball(residuals.actual, high, 1 - tail),
        },
        coverage=realized_coverage(residuals),
        segments=_segments(cases),
    )


def _segments(cases: Sequence[Case]) -> Mapping[str, float]:
    """MASE by part of the week and by horizon bucket."""
    picks = {
        "weekdays": lambda case: ~case.weekend,
        "weekends": lambda case: case.weekend,
        **{f"days to {end}": (lambda case, n=n: bucket(case.lead) == n) for n, end in enumerate(BUCKETS)},
    }
    found = {name: _mase(cases, pick) for name, pick in picks.items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _mase(cases: Sequence[Case], pick: object = None) -> float:
    """Mean over folds of the mean over units of mean |error| / scale."""
    folds = []
    for case in cases:
        keep = np.isfinite(case.scale) & (pick(case) if callable(pick) else True)
        scaled = np.abs(case.actual - case.forecast)[keep] / case.scale[keep]
        units = case.unit[keep]
        if len(units):
            folds.append(float(np.mean([scaled[units == unit].mean() for unit in np.unique(units)])))
    return evaluation.mean_known(folds)


def _by_unit_and_fold(cases: Sequence[Case], name: str) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    for case in (case for case in cases if case.candidate == name):
        error = np.abs(case.actual - case.forecast) / np.where(np.isfinite(case.scale), case.scale, np.nan)
        for unit in np.unique(case.unit):
            found.setdefault(int(unit), {})[case.fold] = float(error[case.unit == unit].mean())
    return found


def _daily(cases: Sequence[Case]) -> tuple[Floats, Floats]:
    """Mean actual and forecast by lead day, for the plot."""
    lead = np.concatenate([case.lead for case in cases])
    actual = np.concatenate([case.actual for case in cases])
    forecast = np.concatenate([case.forecast for case in cases])
    days = np.unique(lead)
    return (
        np.array([actual[lead == day].mean() for day in days]),
        np.array([forecast[lead == day].mean() for day in days]),
    )


def _finite(value: float) -> float:
    return value if np.isfinite(value) else float("inf")
