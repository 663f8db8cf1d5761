"""Prophet, one model a series: fit, keep as plain numbers, forecast in parts from them. Only importer of prophet here.

A fitted model is a dict of numbers (`state_of`), and `parts` repeats prophet's own arithmetic on it (Taylor & Letham
2018, "Forecasting at scale"), so that scoring neither imports prophet nor depends on which rows stand side by side.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.attendance.cadence import DAY, Moments
from models.attendance.grid import NO_HOLIDAY, Grid

Floats = NDArray[np.float64]
MIN_OBSERVATIONS = 21
YEARLY_FROM_DAYS = 548
MAX_POINTS = 1_500
"""The newest known steps that are fitted: four years of days, two months of hours."""
SATURATED_SHARE = 0.5
"""Of the capacity that the fullest step has reached, for growth to be logistic towards it."""
PARTS = ("trend", "season", "yearly", "holiday", "attributes")
_YEARLY_ORDER = {"weekly": 6, "monthly": 4, "quarterly": 2, "yearly": 0}


def fit(grid: Grid, unit: int, origin: int, encoded: Floats, numeric: Sequence[int]) -> dict[str, Any] | None:
    """The model of one unit on what was known at `origin`; None with too few steps or where prophet gives up.

    `encoded` is units x steps x attributes, of which the columns `numeric` are extra regressors.
    """
    people = grid.people[unit, :origin]
    known = np.flatnonzero(np.isfinite(people))[-MAX_POINTS:]
    if len(known) < MIN_OBSERVATIONS or people[known].max() == people[known].min():
        return None
    import pandas as pd

    _quiet()
    frame = pd.DataFrame({"ds": grid.calendar.when[unit, known].astype("datetime64[ns]"), "y": people[known]})
    regressors = _regressors(encoded[unit, known], numeric)
    for column, values in regressors.items():
        frame[f"x{column}"] = values
    capacity = _saturation(people[known], float(grid.capacity[unit]))
    if capacity is not None:
        frame["cap"] = capacity
    model = _model(grid, frame, _holidays(grid, unit, known), list(regressors), capacity)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Below 100 steps prophet would take Newton's method, which is slower and gives the same forecast.
            model.fit(frame, algorithm="LBFGS")
    except (RuntimeError, ValueError, FloatingPointError):  # one unit that its optimizer cannot handle
        return None
    return state_of(model, capacity)


def parts(state: Mapping[str, Any], when: Moments, holiday: Sequence[str], encoded: Floats) -> Floats:
    """Steps x `PARTS`, in people; their sum is prophet's forecast. `holiday` names each step's, "" for none."""
    days = when.astype("datetime64[s]").astype(np.int64) / 86_400.0
    out = np.zeros((len(days), len(PARTS)))
    out[:, 0] = _trend(state, (days - state["start"]) / state["span"])
    for name, (period, weights) in state["seasons"].items():
        column = 2 if name == "yearly" else 1
        for order in range(len(weights) // 2):
            angle = 2.0 * np.pi * (order + 1) * days / period
            out[:, column] += weights[2 * order] * np.sin(angle) + weights[2 * order + 1] * np.cos(angle)
    out[:, 3] = [state["holidays"].get(name, 0.0) for name in holiday]
    for attribute, (mean, spread, weight) in state["regressors"].items():
        values = encoded[:, int(attribute)]
        out[:, 4] += np.where(np.isfinite(values), (values - mean) / spread * weight, 0.0)
    out[:, 1:] *= state["scale"]
    return out


def state_of(model: Any, capacity: float | None) -> dict[str, Any]:
    """A fitted prophet as plain numbers; days since 1970, effects relative to `scale` people."""
    weights = np.asarray(model.params["beta"], dtype=np.float64).mean(axis=0)
    columns = model.train_component_cols

    def of(name: str) -> list[float]:
        return [float(w) for w in weights[columns[name].to_numpy().astype(bool)]] if name in columns else []

    names = [] if model.holidays is None else sorted(set(model.holidays["holiday"]))
    return {
        "start": model.start.timestamp() / 86_400.0,
        "span": model.t_scale.total_seconds() / 86_400.0,
        "scale": float(model.y_scale),
        "capacity": None if capacity is None else float(capacity) / float(model.y_scale),
        "rate": float(np.mean(model.params["k"])),
        "offset": float(np.mean(model.params["m"])),
        "changes": [float(delta) for delta in np.asarray(model.params["delta"]).mean(axis=0)],
        "change_at": [float(at) for at in np.atleast_1d(model.changepoints_t)],
        "seasons": {name: [float(one["period"]), of(name)] for name, one in model.seasonalities.items()},
        "holidays": {name: sum(of(name)) for name in names},
        "regressors": {
            name[1:]: [float(one["mu"]), float(one["std"]), sum(of(name))] for name, one in model.extra_regressors.items()
        },
    }  # fmt: skip


def _trend(state: Mapping[str, Any], time: Floats) -> Floats:
    rate, offset = np.full(len(time), state["rate"]), np.full(len(time), state["offset"])
    slope, shift = state["rate"], state["offset"]
    for at, change in zip(state["change_at"], state["changes"], strict=True):
        if state["capacity"] is None:
            moved = -at * change
        else:  # keeps the logistic curve continuous: Taylor & Letham 2018, section 3.1.1
            moved = (at - shift) * (1.0 - slope / (slope + change)) if slope + change else 0.0
            shift += moved
            slope += change
        rate += np.where(time >= at, change, 0.0)
        offset += np.where(time >= at, moved, 0.0)
    if state["capacity"] is None:
        return np.asarray((rate * time + offset) * state["scale"])
    with np.errstate(over="ignore"):
        return np.asarray(state["capacity"] / (1.0 + np.exp(-rate * (time - offset))) * state["scale"])


def _model(grid: Grid, frame: Any, holidays: Any, regressors: Sequence[int], capacity: float | None) -> Any:
    from prophet import Prophet

    cadence, is_regular = grid.cadence, grid.is_regular
    span = (frame["ds"].iloc[-1] - frame["ds"].iloc[0]).days
    yearly = _YEARLY_ORDER.get(cadence.name, 10) if span >= YEARLY_FROM_DAYS else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Prophet(
            growth="linear" if capacity is None else "logistic",
            holidays=holidays,
            yearly_seasonality=yearly or False,
            weekly_seasonality=cadence.minutes <= DAY or not is_regular,
            daily_seasonality=cadence.minutes < DAY,
            uncertainty_samples=0,
        )
        for column in regressors:
            model.add_regressor(f"x{column}")
    _quiet()
    return model


def _holidays(grid: Grid, unit: int, known: NDArray[np.intp]) -> Any:
    import pandas as pd

    codes = grid.calendar.holiday[unit, known]
    marked = codes != NO_HOLIDAY
    if not marked.any():
        return None
    days = grid.calendar.when[unit, known[marked]].astype("datetime64[D]")
    named = {(day, grid.holidays[code]) for day, code in zip(days.tolist(), codes[marked].tolist(), strict=True)}
    ordered = sorted(named)
    return pd.DataFrame({"holiday": [name for _, name in ordered], "ds": pd.to_datetime([day for day, _ in ordered])})


def _regressors(encoded: Floats, numeric: Sequence[int]) -> dict[int, Floats]:
    """The numeric attributes that vary among the fitted steps; unknown values count as the mean of the known."""
    found: dict[int, Floats] = {}
    for column in numeric:
        values = encoded[:, column]
        known = np.isfinite(values)
        if known.sum() >= MIN_OBSERVATIONS and values[known].max() > values[known].min():
            found[column] = np.where(known, values, values[known].mean())
    return found


def _saturation(people: Floats, capacity: float) -> float | None:
    """The capacity that growth runs into, None where it is unknown, was exceeded, or is far away."""
    top = float(people.max())
    return capacity if np.isfinite(capacity) and SATURATED_SHARE * capacity <= top < capacity else None


def _quiet() -> None:
    """Before the import: prophet logs that plotly is missing. After it: cmdstanpy sets its own level again."""
    for noisy in ("prophet", "prophet.plot", "cmdstanpy"):
        logger = logging.getLogger(noisy)
        logger.setLevel(logging.CRITICAL)
        logger.disabled = True
