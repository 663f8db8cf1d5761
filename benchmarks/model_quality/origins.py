"""One forecast from one origin, made as a partner's would be: frame in, training, rows, predictions, errors out.

The naive rule and prophet's defaults are made here on the same steps, from the same numbers.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.base import Context, Prediction, TrainConfig
from models.registry import use_case

Floats = NDArray[np.float64]
SEASONS: Mapping[str, tuple[int, ...]] = {
    "hourly": (24, 168),
    "daily": (7,),
    "weekly": (52,),
    "monthly": (12,),
    "quarterly": (4,),
}
EVERY = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "1mo", "quarterly": "3mo"}


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Series of one cadence: `frame` has unit, at (naive), value, and if known capacity, holiday and attributes."""

    cadence: str
    frame: pl.DataFrame
    region: str = "XX"
    country: str | None = None
    """Whose holidays prophet is given too, by its own calendar."""


@dataclass(frozen=True)
class Result:
    """One unit from one origin: errors in units of the in-sample seasonal-naive error, and the share inside P10 to P90."""

    unit: str
    ours: float
    naive: float
    prophet: float
    covered: float
    steps: int
    family: str
    actual: Floats = field(repr=False)
    forecast: Floats = field(repr=False)


def forecast(steps: Steps, origin: datetime, horizon: int, config: TrainConfig) -> list[Result]:
    """Train on what lies before `origin`, forecast up to `horizon` steps from it; one result a unit that has any.

    A refusal or a fallback counts with the value it gave; steps without a value are left out for everyone.
    """
    stop = pl.Series([origin]).dt.offset_by(
        f"{horizon * int(EVERY[steps.cadence][: -len(_unit(steps))])}{_unit(steps)}"
    )[0]
    frame = steps.frame.filter(pl.col("at") < stop)
    if config.window_days is not None:
        frame = frame.filter(pl.col("at") >= origin - timedelta(days=config.window_days))
    live = as_features(frame, origin, steps.region)
    context = Context(
        partner="public", timezone="UTC", currency="USD", region=steps.region, as_of=origin.replace(tzinfo=UTC)
    )
    code = use_case("attendance")
    model = code.train(live, config, context).model
    rows = [row for row in code.rows(live, context) if row["subject"]["kind"] == "event"]
    said = {(row["series_id"], row["at"]): found for row, found in zip(rows, model.predict(rows), strict=True)}
    results = []
    for (unit,), own in frame.partition_by("unit", as_dict=True).items():
        found = _result(str(unit), own.sort("at"), origin, steps, said)
        if found is not None:
            results.append(found)
    return results


def as_features(frame: pl.DataFrame, origin: datetime, region: str) -> pl.DataFrame:
    """The frame as features.attendance would have it at `origin`: attendance of what is over, the rest scheduled."""
    holiday = pl.col("holiday") if "holiday" in frame.columns else pl.lit(None, dtype=pl.String)
    is_past = pl.col("at") < origin
    return frame.select(
        platform=pl.lit("public"),
        event_id=pl.format("{}-{}", "unit", pl.col("at").dt.to_string("%Y%m%d%H%M")),
        series_id=pl.col("unit"),
        venue_name=pl.lit("v"),
        category=pl.lit("c"),
        region=pl.lit(region),
        starts_at=pl.col("at").dt.replace_time_zone("UTC"),
        starts_on=pl.col("at").dt.date(),
        timezone=pl.lit("UTC"),
        capacity=pl.col("capacity") if "capacity" in frame.columns else pl.lit(None, dtype=pl.Int64),
        status=pl.when(is_past).then(pl.lit("completed")).otherwise(pl.lit("scheduled")),
        is_holiday=holiday.is_not_null(),
        holiday_name=holiday,
        is_past=is_past,
        attendance=pl.when(is_past).then(pl.col("value")),
        attributes=pl.col("attributes") if "attributes" in frame.columns else pl.lit("{}"),
    )


def _unit(steps: Steps) -> str:
    return EVERY[steps.cadence].lstrip("0123456789")


def _result(
    unit: str, own: pl.DataFrame, origin: datetime, steps: Steps, said: Mapping[tuple[str, str], Prediction]
) -> Result | None:
    cadence = steps.cadence
    before, after = own.filter(pl.col("at") < origin), own.filter(pl.col("at") >= origin)
    pairs = [
        (at, value, found)
        for at, value in after.select("at", "value").iter_rows()
        if (found := said.get((unit, at.replace(tzinfo=UTC).isoformat()))) is not None and found.value is not None
    ]
    scale = naive_scale(before, cadence)
    if not pairs or not scale > 0:
        return None
    moments, actual = [at for at, _, _ in pairs], np.array([value for _, value, _ in pairs])
    ours = np.array([found.value for _, _, found in pairs])
    inside = [
        found.interval.low <= value <= found.interval.high for _, value, found in pairs if found.interval is not None
    ]
    peer = prophet_defaults(before, moments, steps.country)
    return Result(
        unit=unit,
        ours=float(np.abs(actual - ours).mean() / scale),
        naive=float(np.abs(actual - naive_forecast(before, moments, cadence)).mean() / scale),
        prophet=float(np.abs(actual - peer).mean() / scale),
        covered=float(np.mean(inside)) if inside else float("nan"),
        steps=len(actual),
        family=str(pairs[0][2].details["family"]),
        actual=actual,
        forecast=ours,
    )


def naive_scale(before: pl.DataFrame, cadence: str) -> float:
    """In-sample mean |y_t - y_(t - season)| over known pairs, of the cadence's longest season."""
    return _naive_error(_regular(before, cadence), SEASONS[cadence][-1])


def naive_forecast(before: pl.DataFrame, moments: Sequence[datetime], cadence: str) -> Floats:
    """The last known value at the same place in the season, the last value where there is none.

    Of several seasons it is the one that has repeated better up to there.
    """
    values = _regular(before, cadence)
    season = min(SEASONS[cadence], key=lambda length: _naive_error(values, length))
    first = before["at"].min()
    last = values[np.isfinite(values)][-1]
    found = []
    for at in moments:
        same = values[_steps_between(first, at, cadence) % season :: season] if season < len(values) else values
        known = same[np.isfinite(same)]
        found.append(known[-1] if len(known) else last)
    return np.array(found)


def _naive_error(values: Floats, season: int) -> float:
    """With a lag of one where no season was seen twice."""
    lag = season if len(values) > season else 1
    steps = np.abs(values[lag:] - values[:-lag])
    steps = steps[np.isfinite(steps)]
    return float(steps.mean()) if len(steps) else float("nan")


def prophet_defaults(before: pl.DataFrame, moments: Sequence[datetime], country: str | None = None) -> Floats:
    """Prophet as it comes, with a country's holidays if one is given: what the obvious library would say."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for noisy in ("prophet", "prophet.plot", "cmdstanpy"):
            logging.getLogger(noisy).disabled = True
        from prophet import Prophet

        model = Prophet(uncertainty_samples=0)
        if country is not None:
            model.add_country_holidays(country)
        logging.getLogger("cmdstanpy").disabled = True
        model.fit(pd.DataFrame({"ds": before["at"].to_list(), "y": before["value"].to_list()}))
        return np.asarray(model.predict(pd.DataFrame({"ds": list(moments)}))["yhat"], dtype=np.float64)


def _regular(before: pl.DataFrame, cadence: str) -> Floats:
    """Values by step from the first to the last, NaN where there is none."""
    first = before["at"].min()
    index = np.array([_steps_between(first, at, cadence) for at in before["at"]])
    out = np.full(int(index.max()) + 1, np.nan)
    out[index] = before["value"].to_numpy()
    return out


def _steps_between(first: object, at: object, cadence: str) -> int:
    counted: Mapping[str, Callable[[datetime, datetime], int]] = {
        "hourly": lambda a, b: round((b - a).total_seconds() / 3600),
        "daily": lambda a, b: (b.date() - a.date()).days,
        "weekly": lambda a, b: round((b - a).days / 7),
        "monthly": lambda a, b: _months(b.date()) - _months(a.date()),
        "quarterly": lambda a, b: (_months(b.date()) - _months(a.date())) // 3,
    }
    return counted[cadence](first, at)  # type: ignore[arg-type]


def _months(day: date) -> int:
    return day.year * 12 + day.month
