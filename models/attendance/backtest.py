"""The backtest's bookkeeping: scores of every candidate over all grids, segments, residuals. Nothing is fitted here.

Only folds count on which the choice for each series was made from what was over before: the procedure is judged as
a whole, selection included, and every other candidate on the same steps.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models import evaluation
from models.attendance.cadence import DAY
from models.attendance.candidates import COMBINATION, METRIC, PER_SERIES, PROPHET, RULE
from models.attendance.features import weekday
from models.attendance.fitting import Fitted
from models.attendance.grid import Floats
from models.attendance.intervals import LEVEL, Residuals, bounds, covered, edges_of, fit_margins
from models.base import Backtest, Score
from models.gate import SEGMENT_MARGIN

GATE_METRIC = METRIC
ONE_FOR_ALL = 0.03
"""By how much one family for all series has to beat the rule and the choice per series: it is picked after the fact."""
PRIOR_CELLS = 3.0
"""Folds at which a series' own spread counts as much as that of all the partner's."""


def backtest_of(fitted: Sequence[Fitted], digest: str) -> Backtest:
    """Score every candidate, and take the one that `_chosen` says; the rule stays where none beats it."""
    names = [*dict.fromkeys(name for one in fitted for name in one.plan.families), COMBINATION, PER_SERIES]
    # prophet cannot be fitted to a series that never changes: a candidate without a single forecast is not compared
    scores = tuple(score(name, fitted) for name in names if any(len(residuals(one, name).actual) for one in fitted))
    by_name = {score.candidate: score for score in scores}
    chosen = _chosen(by_name)
    split = json.dumps([digest, *([one.grid.cadence.name, *one.plan.origins, one.plan.horizon] for one in fitted)])
    return Backtest(
        gate_metric=GATE_METRIC,
        chosen=chosen,
        scores=scores,
        observations=sum(int(np.isfinite(_actual(one)).sum()) for one in fitted),
        plot_png=picture(scores, chosen, fitted),
        split=hashlib.sha256(split.encode()).hexdigest(),
        level=LEVEL,
    )


def _chosen(scores: Mapping[str, Score]) -> str:
    """The choice per series, or one family for all of them where it is better by `ONE_FOR_ALL`, or the rule.

    On a short history the first folds' choices rest on little, and the choice per series may be no better than the rule
    where one family plainly is. Prophet, fitted for those series alone that chose it, serves no others, and nor does what
    the gate would refuse for one of its segments.
    """
    handicap = {RULE: 0.0, PER_SERIES: 0.0}
    rule = scores[RULE].segments
    fair = {
        name: score.metrics[GATE_METRIC] * (1 + handicap.get(name, ONE_FOR_ALL))
        for name, score in scores.items()
        if name not in (PROPHET, COMBINATION)
        and all(error <= (1 + SEGMENT_MARGIN) * rule.get(part, np.inf) for part, error in score.segments.items())
    }
    known = [name for name in fair if np.isfinite(fair[name])]
    return min(known, key=lambda name: (fair[name], name != RULE), default=RULE)


def picture(scores: Sequence[Score], chosen: str, fitted: Sequence[Fitted]) -> bytes:
    """All candidates' scores, and the chosen one's forecasts on the largest grid."""
    from models.plots import backtest_plot

    largest = max(fitted, key=lambda one: np.isfinite(_actual(one)).sum())
    return backtest_plot(
        {score.candidate: score.metrics[GATE_METRIC] for score in scores},
        chosen,
        *_by_lead(largest, chosen),
        metric="MASE",
        unit="people, mean over units",
        axis="steps ahead",
    )


def residuals(one: Fitted, name: str) -> Residuals:
    """A candidate's known cells on the judged folds of one grid, scaled by each unit's spread as known before."""
    forecast, actual = forecast_of(one, name), _actual(one)
    scale = one.folds.scale[:, list(one.judged)] * spreads(one, name)[:, :-1]
    unit, fold, lead = np.nonzero(np.isfinite(actual) & np.isfinite(forecast))
    return Residuals(
        fold,
        lead + 1,
        actual[unit, fold, lead],
        forecast[unit, fold, lead],
        np.nan_to_num(scale[unit, fold]),
        edges_of(one.plan.horizon),
    )


def spreads(one: Fitted, name: str) -> Floats:
    """Each unit's error relative to the grid's, as known before each judged fold and at the end: units x (folds + 1).

    Shrunk to 1, so that margins are wider for series that are harder to foretell.
    """
    errors = _scaled(one, name)
    known = np.isfinite(errors)
    total, count = np.where(known, errors, 0.0).sum(axis=2), known.sum(axis=2)
    total, count = (
        np.concatenate([np.zeros((len(part), 1)), np.cumsum(part, axis=1)], axis=1) for part in (total, count)
    )
    every = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1)
    folds = count / one.plan.horizon
    own = total / np.maximum(count, 1) / np.where(every > 0, every, 1.0)
    return np.asarray((folds * own + PRIOR_CELLS) / (folds + PRIOR_CELLS))


def forecast_of(one: Fitted, name: str) -> Floats:
    """A candidate's forecasts on the judged folds; the rule's where this grid has not tried it."""
    return one.forecasts.get(name, one.forecasts[RULE])


def _actual(one: Fitted) -> Floats:
    return one.folds.actual[:, list(one.judged)]


def _scaled(one: Fitted, name: str) -> Floats:
    """Absolute errors in units of the naive scale; units x folds x steps, NaN where unknown."""
    scale = one.folds.scale[:, list(one.judged)]
    return np.asarray(np.abs(_actual(one) - forecast_of(one, name)) / scale[..., None])


def score(name: str, fitted: Sequence[Fitted]) -> Score:
    """A candidate's figures over all grids, with the coverage of intervals learned on earlier folds alone."""
    parts = [residuals(one, name) for one in fitted]
    margins = [fit_margins(part) for part in parts]
    ends = [bounds(m, part.lead, part.forecast, part.scale) for m, part in zip(margins, parts, strict=True)]
    actual, forecast = (np.concatenate([getattr(part, of) for part in parts]) for of in ("actual", "forecast"))
    low, high = (np.concatenate([end[side] for end in ends]) for side in (0, 2))
    inside = np.concatenate([covered(part) for part in parts])
    tail = (1 - LEVEL) / 2
    return Score(
        candidate=name,
        is_rule=name == RULE,
        metrics={
            GATE_METRIC: _mase([_scaled(one, name) for one in fitted]),
            "smape": evaluation.smape(actual, forecast),
            "mae": evaluation.mae(actual, forecast),
            "pinball_p10": evaluation.pinball(actual, low, tail),
            "pinball_p90": evaluation.pinball(actual, high, 1 - tail),
        },
        coverage=float(inside.mean()) if len(inside) else None,
        coverage_cases=len(inside) or None,
        segments=_segments(name, fitted),
    )


def _segments(name: str, fitted: Sequence[Fitted]) -> Mapping[str, float]:
    """MASE by part of the week, by half of the horizon, and by cadence where there are several."""
    found: dict[str, float] = {}
    scaled = [_scaled(one, name) for one in fitted]
    for label, wanted in (("weekdays", False), ("weekends", True)):
        picked = [
            np.where(_weekend(one) == wanted, errors, np.nan)
            for one, errors in zip(fitted, scaled, strict=True)
            if one.grid.cadence.minutes <= DAY or not one.grid.is_regular
        ]
        found[label] = _mase(picked)
    halves = [-(-one.plan.horizon // 2) for one in fitted]
    found["near horizon"] = _mase([errors[:, :, :half] for errors, half in zip(scaled, halves, strict=True)])
    found["far horizon"] = _mase([errors[:, :, half:] for errors, half in zip(scaled, halves, strict=True)])
    if len(fitted) > 1:
        found |= {one.grid.cadence.name: _mase([errors]) for one, errors in zip(fitted, scaled, strict=True)}
    return {label: value for label, value in found.items() if np.isfinite(value)}


def _weekend(one: Fitted) -> NDArray[np.bool_]:
    target = one.folds.target[list(one.judged)]
    return np.asarray(weekday(one.grid.calendar.when[:, target]) >= 6)


def _mase(several: Sequence[Floats]) -> float:
    """Mean over units of each one's mean scaled error; NaN where no unit has one."""
    means = []
    for errors in several:
        known = np.isfinite(errors)
        count = known.sum(axis=(1, 2))
        means.append((np.where(known, errors, 0.0).sum(axis=(1, 2))[count > 0]) / count[count > 0])
    every = np.concatenate(means) if means else np.empty(0)
    return float(every.mean()) if len(every) else float("nan")


def _by_lead(one: Fitted, name: str) -> tuple[Floats, Floats]:
    """Mean actual and forecast by steps ahead, for the plot."""
    known = np.isfinite(_actual(one)) & np.isfinite(forecast_of(one, name))
    count = np.maximum(known.sum(axis=(0, 1)), 1)
    pair = (np.where(known, values, 0.0).sum(axis=(0, 1)) / count for values in (_actual(one), forecast_of(one, name)))
    actual, forecast = pair
    return actual, forecast
