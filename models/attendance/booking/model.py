"""The booking family as one fitted thing: fitted from a training frame, kept as a plain state, forecasting in arrays.

No insight is made here (predict.py does), and no row (rows.py does).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.attendance.booking import backtest, sell_out
from models.attendance.booking.backtest import BOOKING, Cases
from models.attendance.booking.buckets import BUCKETS, bucket
from models.attendance.booking.curves import MIN_EVENTS, Curves, Events, past_curves
from models.attendance.booking.explain import effects
from models.attendance.booking.final_sales import GROUPS, Ridge
from models.attendance.booking.margins import FEWEST, Margins, fit_margins, inside
from models.attendance.booking.panel import CANDIDATES, LEARNED, MEAN, PACE, PICKUP, Panel, past_panel, rows
from models.attendance.booking.similar import HALF_LIVES_DAYS, Query

Floats = NDArray[np.float64]
MIN_CASES = 40


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Arrays by event. `effects` are people by factor and sum to `middle` less `baseline`; NaN: no sell-out expected."""

    low: Floats
    middle: Floats
    high: Floats
    baseline: Floats
    effects: Mapping[str, Floats]
    tickets: Floats
    usual_sold: Floats
    show_up: Floats
    in_group: Floats
    sell_out_left: Floats
    is_limited: NDArray[np.bool_]
    """Whether the stated capacity is one."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """`chosen`, `is_better` (than the naive rule) and `coverage` are by bucket of days left."""

    past: Curves
    half_life: float
    ridge: Ridge
    chosen: Sequence[str]
    is_better: Sequence[bool]
    margins: Margins
    coverage: Sequence[float | None]
    covered: Sequence[int]
    """Past forecasts that the coverage is a share of: all, where a bucket has too few of its own."""
    cases: Sequence[int]
    errors: Mapping[str, Sequence[float | None]]
    """Backtest error by candidate and bucket, in units of the naive rule's before the backtest (MASE)."""

    def plain(self) -> dict[str, Any]:
        """As a model's state keeps it: builtins and numpy arrays."""
        return {
            "past": self.past.plain(),
            "half_life": self.half_life,
            "ridge": self.ridge.plain(),
            "chosen": list(self.chosen),
            "is_better": list(self.is_better),
            "margins": self.margins.plain(),
            "coverage": list(self.coverage),
            "covered": list(self.covered),
            "cases": list(self.cases),
            "errors": {name: list(values) for name, values in self.errors.items()},
        }

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> "Fitted":
        """The fit that gave `plain`."""
        return Fitted(
            past=Curves.restored(plain["past"]),
            half_life=plain["half_life"],
            ridge=Ridge(plain["ridge"]["coefficients"], plain["ridge"]["penalty"]),
            chosen=plain["chosen"],
            is_better=plain["is_better"],
            margins=Margins.restored(plain["margins"]),
            coverage=plain["coverage"],
            covered=plain["covered"],
            cases=plain["cases"],
            errors=plain["errors"],
        )

    @property
    def rate(self) -> float:
        """People that came for a ticket over all of the past, at most one."""
        return float(min(1.0, self.past.attendance.sum() / self.past.final.sum()))

    def forecast(self, asked: Query) -> Forecast:
        """Forecasts of events on sale; each depends on its own facts alone."""
        below_sales = asked.sold * self.rate > asked.events.capacity
        query = _with_capacity(asked, np.where(below_sales, np.nan, asked.events.capacity))
        panel = rows(query, self.past, np.full(len(query.left), -1), self.half_life)
        query = _with_capacity(query, np.where(np.isfinite(panel.limit), panel.limit, np.nan))
        index = bucket(query.left)
        names = [self.chosen[number] for number in index]
        parts = {name: effects(name, panel, self.ridge) for name in set(names)}
        total = {name: sum(found.values(), np.zeros(len(panel))) for name, found in parts.items()}
        people = _picked(names, {name: panel.usual_people + value for name, value in total.items()})
        low, middle, high = self.margins.bounds(query.left, people, query.sold, panel.limit)
        sales = {name: value for name, value in panel.sales(self.ridge).items() if name in parts}
        free = _picked(names, {name: value for name, value in panel.free(self.ridge).items() if name in parts})
        return Forecast(
            low=low,
            middle=middle,
            high=high,
            baseline=panel.usual_people,
            effects={
                factor: _picked(names, {name: found.get(factor, np.zeros(len(panel))) for name, found in parts.items()})
                for factor in (*GROUPS, "show_up", "capacity_limit")
            },
            tickets=_picked(names, sales),
            usual_sold=panel.usual_sold,
            show_up=panel.show_up,
            in_group=panel.in_group,
            is_limited=np.isfinite(panel.limit),
            sell_out_left=sell_out.days_left_at_sell_out(query, self.past, self.half_life, free),
        )


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A fit and what it rests on: its backtest, and every past event as it stood at each checkpoint, by half-life."""

    fitted: Fitted
    cases: Cases
    panels: Sequence[Panel]


def fit(full: pl.DataFrame) -> Learned | None:
    """The family fitted to a frame that `history.prepared` made; None where there is too little."""
    past = past_curves(full)
    if len(past) < MIN_EVENTS:
        return None
    return _learned(past, [past_panel(past, half_life) for half_life in HALF_LIVES_DAYS])


def fit_before(learned: Learned, day: float) -> Fitted | None:
    """The same from the events before a day (since 1970) alone; None where these were too few then."""
    past = learned.fitted.past
    earlier = past.take(past.events.day < day)  # oldest first, so that every event keeps its number
    panels = [panel.take(panel.event < len(earlier)) for panel in learned.panels]
    found = _learned(earlier, panels)
    return None if found is None else found.fitted


def _learned(past: Curves, panels: Sequence[Panel]) -> Learned | None:
    outcome = backtest.judged(past, panels) if len(panels[0]) else None
    if outcome is None or len(outcome[0]) < MIN_CASES:
        return None
    found, best, of_best = outcome
    panel = panels[best]
    buckets = found.panel.bucket
    hits = inside(found)
    own = [hits[buckets == number] for number in range(len(BUCKETS))]
    judged = [part if len(part) >= FEWEST else hits for part in own]
    fitted = Fitted(
        past=past,
        half_life=HALF_LIVES_DAYS[best],
        ridge=backtest.learned(past, panel, np.ones(len(panel), dtype=bool)),
        chosen=backtest.choose({name: of_best.errors(name) for name in CANDIDATES}, of_best.panel.bucket),
        is_better=backtest.better_than_rule(found),
        margins=fit_margins(found),
        coverage=[_mean(part) for part in judged],
        covered=[len(part) for part in judged],
        cases=[len(part) for part in own],
        errors={
            name: [_mean(found.errors(name)[buckets == number]) for number in range(len(BUCKETS))]
            for name in (*CANDIDATES, BOOKING)
        },
    )
    return Learned(fitted=fitted, cases=found, panels=panels)


def _with_capacity(query: Query, capacity: Floats) -> Query:
    """NaN where what is stated is no limit."""
    return Query(events=query.events.with_capacity(capacity), sold=query.sold, left=query.left)


def query_of(facts: Sequence[Mapping[str, Any]], events: Events) -> Query:
    """What is asked of `forecast`: `facts` with `sold` and `left` beside those of `events`."""
    return Query(
        events=events,
        sold=np.array([float(one["sold"]) for one in facts]),
        left=np.array([float(one["left"]) for one in facts]),
    )


def _picked(names: Sequence[str], values: Mapping[str, Floats]) -> Floats:
    """Of every row the value of its own candidate."""
    return np.array([values[name][number] for number, name in enumerate(names)], dtype=np.float64)


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


assert {PICKUP, PACE, LEARNED, MEAN} == set(CANDIDATES[1:])
