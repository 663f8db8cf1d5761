"""Attendance on public series: car parks, a station of the Chicago L, and two dozen data sets of every cadence.

Every figure stands beside the naive rule's and prophet's defaults on the same steps.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import holidays
import numpy as np
import polars as pl

from benchmarks.model_quality import data
from benchmarks.model_quality.origins import EVERY, Result, Steps, forecast
from benchmarks.model_quality.section import Reached, Section
from models.attendance.cadence import BY_NAME
from models.base import TrainConfig

CHICAGO_ORIGINS, CHICAGO_DAYS = 8, 14
CHICAGO_WINDOW = 1460
"""Days: the four years that the known results for this station were measured with."""
SET_ORIGINS = 8
SET_WINDOW = {"hourly": 365, "daily": 1460}
"""Days of history given; other cadences get all of it."""
WORSE = 1.02
LOW, HIGH = 0.75, 0.85


def measure() -> Section:
    """Everything on attendance: figures against their aims and tables."""
    filled, recorded = car_parks(fill=True), car_parks(fill=False)
    station = chicago()
    sets = {one.name: (one.cadence, _of_set(one.cadence, one.frame)) for one in data.series_sets()}
    every = [*recorded, *station, *(result for _, results in sets.values() for result in results)]
    ratios = {name: _mean(results, "ours") / _mean(results, "naive") for name, (_, results) in sets.items()}
    worst = max(ratios, key=lambda name: ratios[name])
    covered = float(np.mean([_covered(part) for part in (recorded, station, *(r for _, r in sets.values()))]))
    singles = _singles(every)
    return Section(
        title="Attendance",
        text=TEXT.format(worse=f"{np.mean([ours > naive for ours, naive in singles]):.0%}", series=len(singles)),
        reached=(
            _mase("car parks, gaps filled", filled, 1.00),
            _mase("car parks, as recorded", recorded, 1.00),
            _mase("Chicago L, Clark/Lake", station, 0.45),
            Reached(
                data=f"each of {len(sets)} data sets of series",
                measure=f"mean MASE over the naive rule's, the worst ({worst})",
                value=ratios[worst],
                aim=f"at most {WORSE}",
                is_met=ratios[worst] <= WORSE,
                peers={"naive rule": 1.0},
            ),
            Reached(
                data="all of these",
                measure="share inside intervals at 80 %, mean over data sets",
                value=covered,
                aim=f"{LOW} to {HIGH}",
                is_met=LOW <= covered <= HIGH,
            ),
        ),
        tables={
            "Errors by data set (MASE; lower is better)": _table(
                [("car parks, gaps filled", "daily", filled), ("car parks, as recorded", "daily", recorded)]
                + [("Chicago L, Clark/Lake", "daily", station)]
                + [(name, cadence, results) for name, (cadence, results) in sets.items()]
            )
        },
    )


TEXT = (
    "Training and prediction are a partner's own: frames in, the choice for each series and its interval out. MASE is "
    "the mean absolute error over the in-sample mean |y(t) - y(t - season)|. The naive rule repeats the last known same "
    "step (hourly: of a day or a week ago, whichever was closer before); prophet runs with its defaults, at the station "
    "with the holidays of the USA. No weather is used, for it is not known ahead; home games and holidays are. Car parks "
    "stand once with days without a reading interpolated, as the known results have them, and once as recorded. {worse} "
    "of {series} single series are worse than the naive rule over their origins. That one family may serve all series was "
    "prompted by a short history of these car parks; weights and margins of the choice were set over all of these sets together."
)


def car_parks(*, fill: bool) -> list[Result]:
    """Daily peaks of 28 sites, the last 14 days, from one origin."""
    frame = data.car_parks().select(
        unit="site",
        at=pl.col("day").cast(pl.Datetime("us")),
        value=pl.col("peak").cast(pl.Float64),
        capacity="capacity",
    )
    if fill:
        parts = [
            part.sort("at")
            .upsample("at", every="1d")
            .with_columns(pl.col("unit", "capacity").forward_fill(), pl.col("value").interpolate())
            for part in frame.partition_by("unit")
        ]
        frame = pl.concat(parts)
    last: datetime = frame["at"].max()  # type: ignore[assignment]
    return forecast(Steps(cadence="daily", frame=frame), last - timedelta(days=13), 14, TrainConfig())


def chicago() -> list[Result]:
    """Eight origins of 14 days; home games and the lagged neighbour stations are attributes, holidays those of Illinois."""
    found = data.chicago()
    games = [name for name in found.columns if name.endswith("_Home")]
    days = found["date"].to_list()
    calendar = holidays.country_holidays("US", subdiv="IL", years=range(days[0].year, days[-1].year + 1))
    others = set(found.columns[found.columns.index("temp_min") : found.columns.index("weather_storm") + 1])
    stations = [
        n for n in found.columns if n not in {*others, *games, "ridership", "date", "rownames"} and "_Away" not in n
    ]
    frame = pl.DataFrame(
        {
            "unit": ["Clark/Lake"] * len(days),
            "at": pl.Series(days).cast(pl.Datetime("us")),
            "value": found["ridership"] * 1000,
            "holiday": pl.Series([calendar.get(day) for day in days], dtype=pl.String),
            "attributes": [json.dumps(row) for row in found.select(*games, *stations).iter_rows(named=True)],
        }
    )
    steps = Steps(cadence="daily", frame=frame, region="US-IL", country="US")
    origins = [
        datetime.combine(days[-1], datetime.min.time()) - timedelta(days=CHICAGO_DAYS * n - 1)
        for n in range(CHICAGO_ORIGINS, 0, -1)
    ]
    config = TrainConfig(window_days=CHICAGO_WINDOW)
    return [one for origin in origins for one in forecast(steps, origin, CHICAGO_DAYS, config)]


def _of_set(cadence: str, frame: pl.DataFrame) -> list[Result]:
    """Eight origins over the last third of the history, the last of them a horizon before its end; fewer of a short one.

    Spread, so that no data set is judged by the one fortnight before New Year that its end happens to be.
    """
    step = EVERY[cadence]
    last: datetime = frame["at"].max()  # type: ignore[assignment]
    count = frame.filter(pl.col("unit") == frame["unit"][0]).height
    horizon = min(BY_NAME[cadence].horizon, count // 4)
    config = TrainConfig(window_days=SET_WINDOW.get(cadence))
    unit = step.lstrip("0123456789")
    each = int(step.removesuffix(unit))
    apart = max(horizon, count // 3 // SET_ORIGINS)
    origins = [
        pl.Series([last]).dt.offset_by(f"-{each * (horizon - 1 + apart * number)}{unit}")[0]
        for number in reversed(range(min(SET_ORIGINS, max(1, count // (3 * horizon)))))
    ]
    return [one for origin in origins for one in forecast(Steps(cadence=cadence, frame=frame), origin, horizon, config)]


def _mase(name: str, results: Sequence[Result], aim: float) -> Reached:
    value = _mean(results, "ours")
    return Reached(
        data=name,
        measure=f"MASE, mean over {len(results)} forecasts",
        value=value,
        aim=f"at most {aim:.2f}",
        is_met=value <= aim,
        peers={"naive rule": _mean(results, "naive"), "prophet": _mean(results, "prophet")},
    )


def _mean(results: Sequence[Result], of: str) -> float:
    return float(np.mean([getattr(one, of) for one in results]))


def _covered(results: Sequence[Result]) -> float:
    """Share of steps inside their interval."""
    known = [one for one in results if np.isfinite(one.covered)]
    return float(np.average([one.covered for one in known], weights=[one.steps for one in known]))


def _singles(results: Sequence[Result]) -> list[tuple[float, float]]:
    """Each series' own error and the naive rule's, over its origins."""
    by_unit: dict[str, list[Result]] = {}
    for one in results:
        by_unit.setdefault(one.unit, []).append(one)
    return [(_mean(own, "ours"), _mean(own, "naive")) for own in by_unit.values()]


def _table(parts: Sequence[tuple[str, str, Sequence[Result]]]) -> str:
    lines = [
        "| data | cadence | series | forecasts | ours | naive rule | prophet | inside 80 % | series worse than naive |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cadence, results in parts:
        singles = _singles(results)
        lines.append(
            f"| {name} | {cadence} | {len(singles)} | {len(results)} | {_mean(results, 'ours'):.3f} | "
            f"{_mean(results, 'naive'):.3f} | {_mean(results, 'prophet'):.3f} | {_covered(results):.0%} | "
            f"{sum(ours > naive for ours, naive in singles)} |"
        )
    return "\n".join(lines)
