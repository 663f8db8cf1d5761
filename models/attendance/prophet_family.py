"""Prophet, one model a series: fit, forecast in parts, and keep as JSON. Only importer of prophet here."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_OBSERVATIONS = 21
YEARLY_FROM_DAYS = 548
HOLIDAY = "holiday"


def fit(days: Sequence[date], people: Floats, holidays: Sequence[date]) -> Any:
    """Trend, weekly and (from 18 months on) yearly seasonality; one regional holiday effect. No uncertainty samples."""
    import pandas as pd

    _quiet()
    from prophet import Prophet

    known = np.isfinite(people)
    frame = pd.DataFrame({"ds": pd.to_datetime(list(days)), "y": people})[known]
    marked = sorted({day for day in holidays})
    calendar = pd.DataFrame({"holiday": HOLIDAY, "ds": pd.to_datetime(marked)}) if marked else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Prophet(
            holidays=calendar,
            yearly_seasonality=(days[-1] - days[0]).days >= YEARLY_FROM_DAYS,
            weekly_seasonality=True,
            daily_seasonality=False,
            uncertainty_samples=0,
        )
        _quiet()
        # Below 100 days prophet would take Newton's method, which is slower and gives the same forecast.
        return model.fit(frame, algorithm="LBFGS")


def _quiet() -> None:
    """Before the import: prophet logs that plotly is missing. After it: cmdstanpy sets its own level again."""
    for noisy in ("prophet", "prophet.plot", "cmdstanpy"):
        logger = logging.getLogger(noisy)
        logger.setLevel(logging.CRITICAL)
        logger.disabled = True


def parts(model: Any, days: Sequence[date], is_holiday: Floats) -> Floats:
    """days x (trend, weekly, yearly, holiday), in people; their sum is prophet's forecast.

    A holiday is known from the row, not from the calendar the model was fitted with, so that a stored row
    keeps its meaning.
    """
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = model.setup_dataframe(pd.DataFrame({"ds": pd.to_datetime(list(days))}))
        trend = np.asarray(model.predict_trend(frame), dtype=np.float64)
        seasonal = model.predict_seasonal_components(frame)
    none = np.zeros(len(days))
    yearly = seasonal["yearly"].to_numpy() if "yearly" in seasonal else none
    return np.column_stack([trend, seasonal["weekly"].to_numpy(), yearly, holiday_effect(model) * is_holiday])


def holiday_effect(model: Any) -> float:
    """People that a holiday adds; zero when none was in the history."""
    columns = model.train_component_cols
    if columns is None or HOLIDAY not in columns:
        return 0.0
    beta = np.asarray(model.params["beta"], dtype=np.float64).mean(axis=0)
    flags = columns[HOLIDAY].to_numpy().astype(bool)
    return float(beta[flags].sum() * model.y_scale)


def to_json(model: Any) -> str:
    """Prophet's own serialization."""
    from prophet.serialize import model_to_json

    return str(model_to_json(model))


def from_json(text: str) -> Any:
    """The model that gave `text`; it forecasts the same."""
    from prophet.serialize import model_from_json

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model_from_json(text)


def load_all(texts: Mapping[str, str]) -> dict[str, Any]:
    """All of a partner's prophet models by unit."""
    return {unit: from_json(text) for unit, text in texts.items()}
