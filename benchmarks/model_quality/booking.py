"""Booking curves on real data that stands in for tickets: how Expedia's searches and bookings fill up before arrival.

No public data of ticket sales by day before an event is to be had. Here an "event" is a day (or week) of arrival on a
continent, a "ticket" a search for it or a booking of it, sold on the day it was made; everybody "comes". What is real is
how demand builds up before a date; there is no capacity, no price and no show-up in it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.model_quality import data
from benchmarks.model_quality.section import Reached, Section
from models.attendance.booking.backtest import BOOKING, Cases
from models.attendance.booking.buckets import BUCKETS, bucket_name
from models.attendance.booking.curves import Curves
from models.attendance.booking.margins import coverage
from models.attendance.booking.model import fit
from models.attendance.booking.panel import CANDIDATES, LAST_SIMILAR, RULE
from models.attendance.history import prepared
from models.base import Context, TrainConfig
from models.plots import backtest_plot
from models.registry import use_case

Floats = NDArray[np.float64]
LONGEST = 180
"""Days before arrival that are looked at; the data starts as long before the first arrival."""
LAST = date(2014, 12, 28)
CONTINENTS = 3
NAIVE_PICKUP, NAIVE_PACE = "naive pickup", "naive pace"


def measure() -> Section:
    """Both stand-ins, each through the fit and the backtest that a partner's events go through."""
    searches = data.expedia()
    continents = searches["hotel_continent"].value_counts(sort=True).head(CONTINENTS)["hotel_continent"]
    some = searches.filter(pl.col("hotel_continent").is_in(continents.to_list()))
    sets = {
        "searches by day of arrival": frame(some, "1d"),
        "bookings by week of arrival": frame(searches.filter(pl.col("is_booking") == 1), "1w", one_group=True),
    }
    reached: list[Reached] = []
    tables: dict[str, str] = {}
    plots: dict[str, bytes] = {}
    for name, events in sets.items():
        learned = fit(prepared(events))
        if learned is None:
            raise ValueError(f"{name}: {events.height} events gave no backtest")
        past, cases = learned.fitted.past, learned.cases
        errors = {**{one: cases.errors(one) for one in (BOOKING, *CANDIDATES)}, **naive(past, cases)}
        reached += _reached(f"Expedia {name}, {len(past)}", cases, errors)
        tables[f"Expedia {name}: MASE by days before arrival"] = _table(errors, cases)
        plots[f"booking-{name.split()[0]}"] = _plot(errors, cases)
    reached.append(_beside_series(sets["searches by day of arrival"]))
    return Section(
        title="Attendance: booking curves",
        text=(
            "There is no public data of ticket sales by day before an event. What stands in for it is real and says so: "
            "Expedia's searches of 2013 and 2014, where an event is a day of arrival on one of the three continents most "
            "asked for (or, bookings alone being few, a week of arrival anywhere) and a ticket is a search (a booking), "
            "sold when it was made; the newest 1,000 events are kept, as a partner's are. Nobody is missing on the day, and "
            "nothing sells out: show-up rates, capacity and "
            "sell-out dates are not measured here but tested on made-up sales. MASE is the mean absolute error in units of the "
            "naive rule's before the first fold; the naive rule is the mean of the last eight similar events. Naive pickup "
            "adds what these eight still sold from the same day on; naive pace divides by the share they had sold. No "
            "library's default forecasts booking curves; the last figure has prophet, which knows no sales, beside them."
        ),
        reached=reached,
        tables=tables,
        plots=plots,
    )


def frame(searches: pl.DataFrame, every: str, *, one_group: bool = False) -> pl.DataFrame:
    """Arrivals as past events in the shape of the dbt relation; `every` is how long an event's dates are put together."""
    group = pl.lit("all") if one_group else pl.col("hotel_continent").cast(pl.String)
    sold = (
        searches.filter(pl.col("srch_ci").is_not_null())
        .with_columns(group.alias("group"), pl.col("srch_ci").dt.truncate(every).alias("day"))
        .with_columns((pl.col("day") - pl.col("date_time").dt.date()).dt.total_days().clip(0).alias("days_out"))
        .filter(pl.col("days_out") <= LONGEST)
    )
    first = searches["date_time"].dt.date().min()
    if not isinstance(first, date):
        raise ValueError("there are no searches")
    sold = sold.filter(pl.col("day").is_between(first + timedelta(days=LONGEST), LAST - timedelta(days=6)))
    daily = (
        sold.group_by("group", "day", "days_out")
        .len()
        .sort("group", "day", "days_out", descending=[False, False, True])
    )
    rows = []
    for (name, day), part in daily.group_by("group", "day", maintain_order=True):
        total = np.cumsum(part["len"].to_numpy()).tolist()
        rows.append(_event(str(name), day, every, list(zip(part["days_out"].to_list(), total, strict=True))))
    return pl.DataFrame(rows)


def _event(group: str, day: object, every: str, points: list[tuple[int, int]]) -> dict[str, object]:
    if not isinstance(day, date):
        raise ValueError(f"a day of arrival is {day!r}")
    return {
        "platform": "expedia",
        "event_id": f"{group}-{day}",
        "venue_name": group,
        "category": every,
        "starts_at": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "starts_on": day,
        "timezone": "UTC",
        "status": "completed",
        "is_past": True,
        "attendance": float(points[-1][1]),
        "bookings": json.dumps(points),
    }


def naive(past: Curves, cases: Cases) -> Mapping[str, Floats]:
    """Errors of naive pickup and naive pace: of the group's last eight events over by the moment."""
    pickup, pace = np.empty(len(cases)), np.empty(len(cases))
    for number, (event, left, moment) in enumerate(
        zip(cases.panel.event, cases.panel.left.astype(int), cases.panel.moment, strict=True)
    ):
        own = (past.events.unit == past.events.unit[event]) & (past.events.day < moment)
        last = np.flatnonzero(own)[-LAST_SIMILAR:]
        sold, final = past.sold[last, left].mean(), past.final[last].mean()
        pickup[number] = cases.panel.sold[number] + final - sold
        pace[number] = cases.panel.sold[number] * final / sold if sold > 0 else final
    found = {NAIVE_PICKUP: pickup, NAIVE_PACE: pace}
    return {name: np.abs(cases.actual - people) / cases.scale for name, people in found.items()}


def _reached(name: str, cases: Cases, errors: Mapping[str, Floats]) -> list[Reached]:
    mine = float(errors[BOOKING].mean())
    peers = {
        "naive rule": float(errors[RULE].mean()),
        NAIVE_PICKUP: float(errors[NAIVE_PICKUP].mean()),
        NAIVE_PACE: float(errors[NAIVE_PACE].mean()),
    }
    realized = coverage(cases)
    covered = realized if realized is not None else float("nan")
    return [
        Reached(
            data=name,
            measure=f"MASE, 0 to {LONGEST} days before, {len(cases)} forecasts",
            value=mine,
            aim="below all three naive forecasts",
            is_met=mine < min(peers.values()),
            peers=peers,
        ),
        Reached(
            data=name,
            measure="realized coverage of 80 % intervals",
            value=covered,
            aim="0.75 to 0.85",
            is_met=0.75 <= covered <= 0.85,
        ),
    ]


def _beside_series(events: pl.DataFrame) -> Reached:
    """What the gate sees: the whole training, series and booking curves, judged at the series' own origins."""
    as_of = datetime.combine(LAST, time(), UTC) + timedelta(days=1)
    context = Context(partner="expedia", timezone="UTC", currency="USD", region="US", as_of=as_of)
    table = use_case("attendance").train(events, TrainConfig(), context).backtest
    found = {score.candidate: score.metrics["mase"] for score in table.scores}
    others = {name: value for name, value in found.items() if name != BOOKING}
    return Reached(
        data="Expedia searches by day of arrival, as daily series",
        measure="MASE up to 14 days ahead, whole training",
        value=found[BOOKING],
        aim="chosen by training, below every series candidate",
        is_met=table.chosen == BOOKING and found[BOOKING] < min(others.values()),
        peers={name: others[name] for name in ("seasonal_naive", "prophet", "per_series")},
    )


def _table(errors: Mapping[str, Floats], cases: Cases) -> str:
    names = [BOOKING, RULE, NAIVE_PICKUP, NAIVE_PACE, *CANDIDATES[1:]]
    lines = [f"| days before | forecasts | {' | '.join(names)} |", f"| --- | ---: |{' ---: |' * len(names)}"]
    for number in range(len(BUCKETS)):
        own = cases.panel.bucket == number
        if own.any():
            cells = " | ".join(f"{errors[name][own].mean():.3f}" for name in names)
            lines.append(f"| {bucket_name(number)} | {own.sum()} | {cells} |")
    return "\n".join(lines)


def _plot(errors: Mapping[str, Floats], cases: Cases) -> bytes:
    """Candidates by MASE; beside them mean actual and forecast from far to near."""
    days = np.unique(cases.panel.left)
    at = [cases.panel.left == day for day in days]
    return backtest_plot(
        {name: float(values.mean()) for name, values in errors.items()},
        BOOKING,
        np.array([cases.actual[own].mean() for own in at]),
        np.array([cases.forecast[BOOKING][own].mean() for own in at]),
        metric="MASE",
        unit="people, mean over events",
        axis="days before, " + ", ".join(f"{day:.0f}" for day in days),
    )
