"""How long two thousand daily series of two years take from frame to explained forecasts, beside one prophet a series.

The series are synthetic, from a seeded generator: only their number and length matter to the time, nothing is said of errors.
"""

import os
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from benchmarks.figure import Figure
from benchmarks.model_quality.origins import prophet_defaults
from models.base import Context, TrainConfig
from models.registry import use_case

SERIES, DAYS, AHEAD = 2_000, 730, 14
PROPHET_SAMPLE = 12
PROPHET_FITS = 3
"""Two folds and the final fit."""
SECONDS, FASTER = 300.0, 8.0
START = date(2024, 1, 1)


def measure() -> list[Figure]:
    """Training with selection, rows and predictions with intervals and reasons; prophet on a sample, in the same run."""
    live = synthetic_series(SERIES, DAYS, seed=7)
    now = datetime.combine(START + timedelta(days=DAYS), datetime.min.time(), UTC)
    context = Context(partner="synthetic", timezone="UTC", currency="USD", region="XX", as_of=now)
    code = use_case("attendance")
    code.train(live.filter(pl.col("series_id") < "s0003"), TrainConfig(), context)  # imports are not the work
    began, used = time.perf_counter(), _processor_seconds()
    model = code.train(live, TrainConfig(), context).model
    rows = code.rows(live, context)
    said = model.predict(rows)
    ours, own = time.perf_counter() - began, _processor_seconds() - used
    if len(said) != SERIES * (AHEAD + 1) or any(one.value is None or one.interval is None for one in said):
        raise RuntimeError(f"{len(said)} predictions of {SERIES} series, not all with a value and an interval")
    each = _prophet_seconds(live)
    scaled = f"one prophet a series with two folds, scaled from {PROPHET_SAMPLE} series of this run"
    work = f"{SERIES:,} synthetic daily series of {DAYS} days: trained, selected, scored with intervals and reasons"
    return [
        Figure(work, ours, "s", f"at most {SECONDS:.0f}"),
        Figure(
            "times less processor time for that than prophet's", each * PROPHET_FITS * SERIES / own, "×",
            f"at least {FASTER:.0f}", f"{scaled} (1 by definition)", 1.0,
        ),
        Figure("processor seconds for that", own, "s", "", scaled, each * PROPHET_FITS * SERIES),
    ]  # fmt: skip


def synthetic_series(count: int, days: int, *, seed: int) -> pl.DataFrame:
    """Made-up series with a level, a week, a year, a trend and noise each, in the shape of features.attendance.

    The last fortnight is scheduled, without attendance.
    """
    random = np.random.default_rng(seed)
    step = np.arange(days + AHEAD)
    level = random.lognormal(5, 1, (count, 1))
    week = np.maximum(1 + 0.3 * random.standard_normal((count, 7)), 0.1)[:, step % 7]
    year = 1 + 0.2 * np.sin(2 * np.pi * step / 365.25 + random.uniform(0, 6, (count, 1)))
    trend = 1 + random.normal(0, 0.2, (count, 1)) * step / days
    people = np.maximum(level * week * year * trend * random.lognormal(0, 0.15, (count, len(step))), 0.0).round()
    frame = pl.DataFrame(
        {"unit": np.repeat(np.arange(count), len(step)), "step": np.tile(step, count), "people": people.ravel()}
    )
    is_past = pl.col("step") < days
    start = pl.lit(datetime.combine(START, datetime.min.time(), UTC)) + pl.duration(days=pl.col("step"), hours=19)
    series = pl.format("s{}", pl.col("unit").cast(pl.String).str.zfill(4))
    return frame.select(
        platform=pl.lit("synthetic"), event_id=pl.format("{}-{}", series, "step"), series_id=series,
        venue_name=pl.lit("v"), category=pl.lit("c"), region=pl.lit("XX"), starts_at=start, starts_on=start.dt.date(),
        timezone=pl.lit("UTC"), is_holiday=pl.lit(value=False), is_past=is_past,
        status=pl.when(is_past).then(pl.lit("completed")).otherwise(pl.lit("scheduled")),
        attendance=pl.when(is_past).then("people"), attributes=pl.lit("{}"),
    )  # fmt: skip


def _prophet_seconds(live: pl.DataFrame) -> float:
    """Mean processor seconds of one prophet, fit and forecast, on some of the series."""
    past = live.filter(pl.col("is_past")).select(
        "series_id", at=pl.col("starts_at").dt.replace_time_zone(None), value="attendance"
    )
    parts = past.partition_by("series_id", maintain_order=True)[:: SERIES // PROPHET_SAMPLE][:PROPHET_SAMPLE]
    ahead = [datetime.combine(START + timedelta(days=DAYS + n), datetime.min.time()) for n in range(AHEAD)]
    prophet_defaults(parts[0], ahead)  # its import is not the work
    used = _processor_seconds()
    for part in parts:
        prophet_defaults(part, ahead)
    return (_processor_seconds() - used) / len(parts)


def _processor_seconds() -> float:
    """Of this process and those it has waited for: prophet fits in one of its own. A wall clock would be the neighbours'."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system
