"""How well each candidate forecast past events, by days before the start, with nothing known of the future.

Folds are stretches of time: a fold's rows have their moment in it, and what is learned for it stands on events that
were over before it began. The procedure itself, which candidate speaks at which days before the start and how fast the past
loses weight, is judged as a candidate of its own: chosen on the folds before, applied to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.attendance.booking import final_sales
from models.attendance.booking.buckets import BUCKETS
from models.attendance.booking.curves import Curves
from models.attendance.booking.final_sales import Ridge
from models.attendance.booking.panel import CANDIDATES, MEAN, RULE, Panel

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
BOOKING = "booking_curve"
FIRST_SHARE = 0.4
"""Of the rows, by moment, that lie before the first fold."""
FOLDS = 4
FEWEST_OVER = 8
"""Events that have to be over before the first fold begins."""
SHRINKAGE = 40.0
"""Rows of a bucket at which its own error and that over all buckets count alike."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Rows of all folds, aligned: `fold`, the panel's row, people that came, and every candidate's forecast.

    `scale` is the mean error of the naive rule before the first fold, the unit errors are given in.
    """

    fold: Ints
    row: Ints
    panel: Panel
    actual: Floats
    forecast: Mapping[str, Floats]
    scale: float

    def __len__(self) -> int:
        """How many."""
        return len(self.fold)

    def errors(self, name: str) -> Floats:
        """Absolute errors of a candidate, in units of `scale`."""
        return np.abs(self.actual - self.forecast[name]) / self.scale


def cases(past: Curves, panel: Panel) -> Cases | None:
    """The backtest of all candidates and of the procedure; None where the past is too short for one."""
    edges = fold_edges(past, panel)
    if not len(edges):
        return None
    ended = past.events.day[panel.event]
    found: dict[str, list[Floats]] = {name: [] for name in (*CANDIDATES, BOOKING)}
    index: list[Ints] = []
    for number, edge in enumerate(edges):
        later = edges[number + 1] if number + 1 < len(edges) else np.inf
        own = np.flatnonzero((panel.moment >= edge) & (panel.moment < later))
        people = panel.take(own).people(learned(past, panel, ended < edge))
        chosen = _chosen_before(past, panel, index, found)
        for name, value in people.items():
            found[name].append(value)
        bucket = panel.bucket[own]
        found[BOOKING].append(np.select([bucket == n for n in range(len(BUCKETS))], [people[name] for name in chosen]))
        index.append(own)
    row = np.concatenate(index)
    before = panel.moment < edges[0]
    naive = np.abs(past.attendance[panel.event[before]] - panel.rule[before])
    scale = float(naive.mean()) if before.any() and naive.mean() > 0 else max(float(past.attendance.mean()), 1.0)
    return Cases(
        fold=np.concatenate([np.full(len(own), n) for n, own in enumerate(index)]),
        row=row,
        panel=panel.take(row),
        actual=past.attendance[panel.event[row]],
        forecast={name: np.concatenate(values) for name, values in found.items()},
        scale=scale,
    )


def judged(past: Curves, panels: Sequence[Panel]) -> tuple[Cases, int, Cases] | None:
    """The backtest where each panel (one a half-life) may speak; the number of the best one over all, and its own.

    Which panel a fold's forecasts are of is learned on the folds before; of the first fold it is the first panel.
    """
    found = [one for panel in panels if (one := cases(past, panel)) is not None]
    if not found:
        return None
    whole = [float(one.errors(BOOKING).mean()) for one in found]
    picked = np.zeros(len(found[0]), dtype=np.intp)
    for fold in np.unique(found[0].fold)[1:]:
        before = found[0].fold < fold
        so_far = [float(one.errors(BOOKING)[before].mean()) for one in found]
        picked[found[0].fold == fold] = int(np.argmin(so_far))
    forecast = {name: np.choose(picked, [one.forecast[name] for one in found]) for name in found[0].forecast}
    best = int(np.argmin(whole))
    return replace(found[0], forecast=forecast), best, found[best]


def learned(past: Curves, panel: Panel, known: NDArray[np.bool_]) -> Ridge:
    """The final-sales model from the rows that `known` marks."""
    own = np.flatnonzero(known)
    rows = panel.take(own)
    target = np.log1p(past.final[rows.event]) - rows.middle
    return final_sales.fit(rows.design, target, rows.bucket, rows.moment)


def fold_edges(past: Curves, panel: Panel) -> Floats:
    """First days of the folds, oldest first; empty where no fold would have rows and enough events before it."""
    if len(past) <= FEWEST_OVER:
        return np.empty(0)
    earliest = past.events.day[FEWEST_OVER - 1] + 1
    shares = np.linspace(FIRST_SHARE, 1.0, FOLDS + 1)[:-1]
    edges = np.unique(np.maximum(np.ceil(np.quantile(panel.moment, shares)), earliest))
    counts = np.histogram(panel.moment, np.append(edges, np.inf))[0]
    return np.asarray(edges[counts > 0], dtype=np.float64)


def choose(errors: Mapping[str, Floats], bucket: Ints) -> list[str]:
    """The candidate of every bucket: least mean error, held towards the mean over all buckets where rows are few."""
    scores = {name: shrunk(values, bucket) for name, values in errors.items() if name != BOOKING}
    return [min(CANDIDATES[1:], key=lambda name: (scores[name][number], name)) for number in range(len(BUCKETS))]


def shrunk(errors: Floats, bucket: Ints) -> Floats:
    """Mean error by bucket, with the mean over all as `SHRINKAGE` further rows."""
    whole = float(errors.mean())
    out = np.empty(len(BUCKETS))
    for number in range(len(BUCKETS)):
        own = errors[bucket == number]
        out[number] = (own.sum() + SHRINKAGE * whole) / (len(own) + SHRINKAGE)
    return out


def better_than_rule(found: Cases) -> list[bool]:
    """For every bucket whether the procedure was better than the naive rule there."""
    mine = shrunk(found.errors(BOOKING), found.panel.bucket)
    rule = shrunk(found.errors(RULE), found.panel.bucket)
    return [bool(value) for value in mine < rule]


def _chosen_before(
    past: Curves, panel: Panel, index: Sequence[Ints], found: Mapping[str, Sequence[Floats]]
) -> Sequence[str]:
    """Chosen on the folds so far; the mean of the three before there is any."""
    if not index:
        return [MEAN] * len(BUCKETS)
    rows = np.concatenate(index)
    actual = past.attendance[panel.event[rows]]
    errors = {name: np.abs(actual - np.concatenate(values)) for name, values in found.items()}
    return choose(errors, panel.bucket[rows])
