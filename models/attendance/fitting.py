"""One grid's training: forecasts of every family on rolling origins, the choice for each series, the final fits.

Only the forecasting; what is scored, chosen for the gate and kept as a state is put together in train.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.attendance import candidates, prophet_family
from models.attendance.attributes import Encoder
from models.attendance.cadence import Ints
from models.attendance.candidates import BOOSTING, COMBINATION, PER_SERIES, PROPHET
from models.attendance.features import COLUMN, Seen, features
from models.attendance.grid import Floats, Grid, naive_scales
from models.attendance.offered import Elsewhere
from models.attendance.panel import Panel, encoded_steps, is_usable, training_panel
from models.attendance.selection import Folds, Selection, blend, select
from models.evaluation import rolling_origins

FOLDS = 8
FINE_FOLDS = 14
"""Of hours, half a week apart: seven weeks, each weekday several times."""
LEAST_SEASONS = 3
"""Seasons to learn from before the first origin; half the history where that is less."""
LEAST_STEPS = 8
BOOSTING_REFITS = 4
"""Fits among the folds; the folds between use the last fit before them, which knows less and never more."""
MAX_PROPHET_FITS = 300
"""About 0.1 s a fit; a partner with more series than this allows goes without, and the parameters say so."""


@dataclass(frozen=True)
class Plan:
    """What one grid's training does, decided before any model is fitted; `prophet_refits` of 0 leaves prophet out."""

    horizon: int
    first: int
    origins: tuple[int, ...]
    families: tuple[str, ...]
    prophet_refits: int


@dataclass(frozen=True)
class Fitted:
    """One grid after training. `judged` are the folds that the selection could be judged on, honestly.

    `forecasts` maps every candidate to its forecasts on the judged folds, units x folds x steps ahead.
    """

    grid: Grid
    plan: Plan
    encoder: Encoder
    folds: Folds
    judged: tuple[int, ...]
    forecasts: dict[str, Floats]
    selection: Selection
    boosting: Any | None
    prophet: dict[str, dict[str, Any]]
    rows: int


def plan_for(grid: Grid, wanted: Sequence[str], horizon: int | None, units: int) -> Plan:
    """Horizon (at most a third of the longest history) and origins; no origins where the history is too short.

    `horizon` in steps, the cadence's own when None; `units` is how many series share the allowance of prophet fits.
    """
    longest = int(grid.spans.max(initial=0))
    steps = max(1, min(horizon or grid.cadence.horizon, longest // 3))
    first = min(max(LEAST_SEASONS * int(grid.season.max(initial=1)), LEAST_STEPS), grid.length // 2)
    # Hours are judged half a week apart: on two days after two days one odd fortnight would decide it all.
    widest = steps if grid.cadence.short is None else max(steps, grid.cadence.season // 2)
    folds = FOLDS if grid.cadence.short is None else FINE_FOLDS
    between = int(np.clip((grid.length - steps - first) // (folds - 1), max(1, steps // 2), widest))
    origins = rolling_origins(grid.length, horizon=steps, folds=folds, minimum=max(1, first), step=between)
    # A fold in which nobody was open, as a holiday is for a horizon of one day, has nothing to be judged by.
    origins = [origin for origin in origins if np.isfinite(grid.people[:, origin : origin + steps]).any()]
    refits = min(len(origins), MAX_PROPHET_FITS // max(1, units) - 1) if PROPHET in wanted else 0
    families = tuple(name for name in wanted if name != PROPHET or refits > 0)
    return Plan(steps, first, tuple(origins), families, max(0, refits))


def fit_grid(grid: Grid, encoder: Encoder, plan: Plan, seed: int, elsewhere: Elsewhere | None = None) -> Fitted:
    """Backtest, choose and fit; the choice that a fold is judged on saw only what was over when the fold began.

    `elsewhere` forecasts for the family of its name, where the plan has it.
    """
    seen = Seen(grid, max(1, plan.horizon // 2))
    encoded = encoded_steps(grid, encoder)
    panel = training_panel(seen, encoded, plan.horizon, plan.first) if BOOSTING in plan.families else None
    folds = _folds(seen, encoded, encoder, panel, plan, seed, elsewhere)
    judged = tuple(fold for fold in range(len(plan.origins)) if folds.known_before(fold).any())
    forecasts = {name: folds.forecast[number][:, judged] for number, name in enumerate(plan.families)}
    chosen = [select(folds, folds.known_before(fold)) for fold in judged]
    shape = (len(grid.units), 0, plan.horizon)
    for name, weights in (
        (COMBINATION, [found.combination for found in chosen]),
        (PER_SERIES, [found.weights for found in chosen]),
    ):
        parts = [blend(folds.forecast[:, :, [fold]], weight) for fold, weight in zip(judged, weights, strict=True)]
        forecasts[name] = np.concatenate([np.empty(shape), *parts], axis=1)
    selection = select(folds, np.ones(folds.target.shape, dtype=bool))
    return Fitted(
        grid=grid,
        plan=plan,
        encoder=encoder,
        folds=folds,
        judged=judged,
        forecasts=forecasts,
        selection=selection,
        boosting=None if panel is None or not len(panel.people) else _boosting(panel, seed),
        prophet=_final_prophet(grid, encoded, encoder, plan, selection),
        rows=0 if panel is None else len(panel.people),
    )


def _folds(
    seen: Seen,
    encoded: Floats,
    encoder: Encoder,
    panel: Panel | None,
    plan: Plan,
    seed: int,
    elsewhere: Elsewhere | None,
) -> Folds:
    grid, count = seen.grid, len(plan.origins)
    origins = np.array(plan.origins, dtype=np.intp)
    target = origins[:, None] + np.arange(plan.horizon)
    matrix = features(seen, np.repeat(origins, plan.horizon), target.ravel(), grid.calendar.at(target.ravel()))
    shape = (len(grid.units), count, plan.horizon)
    matrix = matrix.reshape(*shape, -1)
    actual = np.where(is_usable(matrix), grid.people[:, target], np.nan)
    scale = np.stack([naive_scales(grid.people[:, :origin], grid.season) for origin in plan.origins], axis=1)
    forecast = np.full((len(plan.families), *shape), np.nan)
    boosting_at = _latest_fit(count, min(count, BOOSTING_REFITS))
    prophet_at = _latest_fit(count, plan.prophet_refits)
    boosting: Any | None = None
    fitted: list[dict[str, Any] | None] = []
    for fold, origin in enumerate(plan.origins):
        if panel is not None and boosting_at[fold] == fold:
            before = panel.before(origin)
            boosting = _boosting(before, seed) if len(before.people) else None
        if plan.prophet_refits and prophet_at[fold] == fold:
            fitted = [
                prophet_family.fit(grid, unit, origin, encoded, encoder.numeric) for unit in range(len(grid.units))
            ]
        rows = matrix[:, fold].reshape(-1, matrix.shape[-1])
        prophet = _prophet_forecast(grid, fitted, encoded, target[fold]) if fitted else np.full(len(rows), np.nan)
        details = encoded[:, target[fold]].reshape(len(rows), -1)
        given = {PROPHET: prophet.ravel()}
        if elsewhere is not None:
            given[elsewhere.name] = elsewhere.people(rows, details, encoder, grid.cadence.name)
        found = candidates.forecasts(plan.families, rows, details, boosting, given)
        for number, name in enumerate(plan.families):
            people = candidates.capped(found[name], rows[:, COLUMN["capacity"]])
            forecast[number, :, fold] = people.reshape(shape[0], plan.horizon)
    forecast = np.where(np.isfinite(actual)[None], forecast, np.nan)
    return Folds(plan.families, forecast, actual, scale, target, origins)


def _latest_fit(folds: int, fits: int) -> list[int]:
    """For each fold the fold whose fit it uses: `fits` of them, evenly spread from the first on."""
    starts = sorted({int(start) for start in np.linspace(0, folds, max(1, fits), endpoint=False)})
    return [max(start for start in starts if start <= fold) for fold in range(folds)]


def _prophet_forecast(grid: Grid, fitted: Sequence[dict[str, Any] | None], encoded: Floats, target: Ints) -> Floats:
    out = np.full((len(fitted), len(target)), np.nan)
    for unit, state in enumerate(fitted):
        if state is not None:
            names = [grid.holidays[code] for code in grid.calendar.holiday[unit, target]]
            when = grid.calendar.when[unit, target]
            out[unit] = prophet_family.parts(state, when, names, encoded[unit, target]).sum(axis=1)
    return out


def _boosting(panel: Panel, seed: int) -> Any:
    return candidates.fit_boosting(panel.rows, panel.encoded, panel.people, seed)


def _final_prophet(
    grid: Grid, encoded: Floats, encoder: Encoder, plan: Plan, selection: Selection
) -> dict[str, dict[str, Any]]:
    """The fits of those units whose choice needs one."""
    fitted: dict[str, dict[str, Any]] = {}
    if PROPHET not in plan.families:
        return fitted
    needed = selection.weights[plan.families.index(PROPHET)] > 0
    for unit in np.flatnonzero(needed):
        state = prophet_family.fit(grid, int(unit), grid.length, encoded, encoder.numeric)
        if state is not None:
            fitted[grid.units[unit]] = state
    return fitted
