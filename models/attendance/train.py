"""Training: rolling-origin backtest of all candidates over all units, then the best one fitted on everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from integrator.contracts.errors import NotReady, invalid
from models.attendance import candidates, prophet_family
from models.attendance.backtest import Case, backtest_of, floored_units, unit_errors
from models.attendance.candidates import BOOSTING, CANDIDATES, MEAN, PROPHET, RULE, Encoder
from models.attendance.features import COLUMN
from models.attendance.history import History, history
from models.attendance.intervals import Margins, fit_margins, realized_coverage
from models.attendance.panel import Panel, scales, test_panel, training_panel
from models.attendance.predict import STATE_VERSION, AttendanceModel
from models.attendance.readiness import MIN_OBSERVATIONS, readiness
from models.base import Context, FeatureRow, TrainConfig, Trained
from models.evaluation import rolling_origins

HORIZON_DAYS = 14
FOLDS = 4
FOLD_STEP_DAYS = 7
MIN_TRAINING_DAYS = 28
MAX_PROPHET_FITS = 300
"""About 0.05 s a fit; above this prophet is left out, and the parameters say so."""


@dataclass(frozen=True)
class _Plan:
    """What one training does, decided before any model is fitted."""

    horizon: int
    origins: tuple[int, ...]
    candidates: tuple[str, ...]
    notes: dict[str, str]


def train(training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
    """Compare the candidates, choose by mean MASE, fit the chosen one on all of the frame.

    Raises `NotReady` with the counts when the history is too short, `InvalidInput` for an unknown candidate.
    """
    found = history(training, window_days=config.window_days)
    ready = readiness(found)
    if not ready.ready:
        raise NotReady(f"attendance of {context.partner} is not ready for a model of its own: {ready}")
    plan = _plan(found, config)
    panel = training_panel(found, plan.horizon)
    encoder = candidates.fit_encoder(panel.attributes(found), config.excluded_attributes)
    cases = [
        case
        for fold, origin in enumerate(plan.origins)
        for case in _fold(found, panel, encoder, plan, fold, origin, context.seed)
    ]
    table = backtest_of(cases, plan.candidates, found, plan.origins, plan.horizon)
    own = [case for case in cases if case.candidate == table.chosen]
    residuals = Case.residuals(own)
    margins = fit_margins(residuals)
    floored = floored_units(cases, table.chosen)
    known = np.isfinite(found.people).sum(axis=1)
    units = [unit for unit, count in zip(found.units, known, strict=True) if count >= MIN_OBSERVATIONS]
    state: dict[str, Any] = {
        "state_version": STATE_VERSION,
        "family": table.chosen,
        "units": units,
        "floored": [found.units[unit] for unit in floored],
        "horizon": plan.horizon,
        "encoder": {"kept": dict(encoder.kept), "dropped": dict(encoder.dropped)},
        "margins": _margins_state(margins),
        "coverage": realized_coverage(residuals),
        "observations": table.observations,
        "alternatives": {score.candidate: score.metrics["mase"] for score in table.scores},
        "unit_alternatives": {found.units[unit]: errors for unit, errors in unit_errors(cases).items()},
        "boosting": _final_boosting(found, panel, encoder, table.chosen, context.seed),
        "prophet": _final_prophet(found, units, table.chosen),
    }
    return Trained(
        model=AttendanceModel(state),
        backtest=table,
        params={
            "horizon_days": plan.horizon,
            "window_days": config.window_days or found.days,
            "folds": len(plan.origins),
            "units": len(found.units),
            "days": found.days,
            "training_rows": len(panel.people),
            "attributes": sorted(encoder.kept),
            "floored_units": len(floored),
            "seed": context.seed,
            **plan.notes,
        },
        dropped=encoder.dropped,
        data_hash=found.digest(),
        sample=_sample(training, context),
    )


def _plan(found: History, config: TrainConfig) -> _Plan:
    wanted = tuple(dict.fromkeys((RULE, *(config.candidates or CANDIDATES))))
    unknown = [name for name in wanted if name not in CANDIDATES]
    if unknown:
        raise invalid("candidate", unknown[0], CANDIDATES)
    if config.horizon_days is not None and config.horizon_days < 1:
        raise invalid("horizon_days", config.horizon_days, "a whole number from 1")
    horizon = min(config.horizon_days or HORIZON_DAYS, found.days // 3)
    origins = rolling_origins(
        found.days, horizon=horizon, folds=FOLDS, minimum=MIN_TRAINING_DAYS, step=min(FOLD_STEP_DAYS, horizon)
    )
    # A fold in which nobody was open, as a holiday is for a horizon of one day, has nothing to be judged by.
    origins = [origin for origin in origins if len(test_panel(found, origin, horizon).people)]
    if not origins:
        raise NotReady(f"{found.days} days of history leave no backtest of {horizon} days after {MIN_TRAINING_DAYS}")
    notes: dict[str, str] = {}
    fits = len(found.units) * (len(origins) + 1)
    if PROPHET in wanted and fits > MAX_PROPHET_FITS:
        wanted = tuple(name for name in wanted if name != PROPHET)
        notes["prophet"] = f"left out: {fits} fits, above {MAX_PROPHET_FITS}"
    return _Plan(horizon, tuple(origins), wanted, notes)


def _fold(found: History, panel: Panel, encoder: Encoder, plan: _Plan, fold: int, origin: int, seed: int) -> list[Case]:
    """Every candidate's forecasts of one fold, on exactly the same days."""
    test = test_panel(found, origin, plan.horizon)
    scale = scales(found, origin)
    encoded = encoder.encode(test.attributes(found))
    boosting = None
    if {BOOSTING, MEAN} & set(plan.candidates):
        boosting = _fit_boosting(found, panel.before(origin), encoder, seed)
    capacity = test.rows[:, COLUMN["capacity"]]
    cases = []
    for name in plan.candidates:
        if name == PROPHET:
            forecast = _prophet_fold(found, test, origin)
        else:
            forecast = candidates.combined(name, test.rows, encoded, boosting)
        weekend = found.weekdays[test.target] >= 6
        cases.append(
            Case(
                name,
                fold,
                test.unit,
                test.lead,
                weekend,
                test.people,
                candidates.capped(forecast, capacity),
                scale[test.unit],
            )
        )
    return cases


def _fit_boosting(found: History, panel: Panel, encoder: Encoder, seed: int) -> Any:
    """Unweighted: weights by scale changed the error by 0.003 and cost a third of the time."""
    encoded = encoder.encode(panel.attributes(found))
    return candidates.fit_boosting(panel.rows, encoded, panel.people, seed)


def _prophet_fold(found: History, test: Panel, origin: int) -> Any:
    """Seasonal naive where a unit has too few days for prophet."""
    forecast = candidates.seasonal_naive(test.rows).copy()
    for unit in np.unique(test.unit):
        model = _fit_prophet(found, int(unit), origin)
        if model is None:
            continue
        own = test.unit == unit
        days = [found.day(int(target)) for target in test.target[own]]
        holiday = test.rows[own, COLUMN["is_holiday"]]
        forecast[own] = prophet_family.parts(model, days, holiday).sum(axis=1)
    return forecast


def _fit_prophet(found: History, unit: int, origin: int) -> Any | None:
    people = found.people[unit, :origin]
    if np.isfinite(people).sum() < prophet_family.MIN_OBSERVATIONS:
        return None
    days = [found.day(index) for index in range(origin)]
    holidays = [days[index] for index in np.flatnonzero(found.holiday[unit, :origin] > 0)]
    return prophet_family.fit(days, people, holidays)


def _final_boosting(found: History, panel: Panel, encoder: Encoder, chosen: str, seed: int) -> Any | None:
    if chosen not in (BOOSTING, MEAN):
        return None
    return _fit_boosting(found, panel, encoder, seed)


def _final_prophet(found: History, units: Sequence[str], chosen: str) -> dict[str, dict[str, Any]]:
    """Per unit prophet's JSON and its mean trend over the last four weeks, the level that "usual" means."""
    fitted: dict[str, dict[str, Any]] = {}
    if chosen != PROPHET:
        return fitted
    for unit in units:
        model = _fit_prophet(found, found.units.index(unit), found.days)
        if model is not None:
            days = [found.day(index) for index in range(max(0, found.days - 56), found.days)]
            trend = prophet_family.parts(model, days, np.zeros(len(days)))[:, 0]
            fitted[unit] = {"json": prophet_family.to_json(model), "trend": float(trend.mean())}
    return fitted


def _margins_state(margins: Margins) -> dict[str, list[float]]:
    return {"shift": list(margins.shift), "low": list(margins.low), "high": list(margins.high)}


def _sample(training: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """Feature rows of the newest past days, as if they were still to come: example input without any live frame."""
    from models.attendance.rows import example_rows

    return example_rows(training, context)
