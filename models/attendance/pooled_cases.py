"""Young units made from old ones: a few known steps, and those that followed, of every partner's unit. Arrays only.

What a pooled model is for can be judged nowhere else: whoever has labelled rows in plenty is not young any more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.attendance import pooled_pattern as pattern
from models.attendance.features import same_steps
from models.attendance.grid import NO_HOLIDAY, Grid, naive_scales, seasons
from models.attendance.history import history
from models.attendance.pooled_pattern import Steps
from models.base import Context

Floats = NDArray[np.float64]

LEAST = {"half_hourly": 48, "hourly": 24, "daily": 4, "irregular": 4, "weekly": 4, "monthly": 4, "quarterly": 4}
"""Known steps a young unit needs before the pooled model speaks for it."""
MOST_UNITS = 60
MOST_STEPS = 1200
EMPTY_SHARE = 0.1
"""Units that are empty more often are closed or counted otherwise; a level in logarithms says nothing of them."""
_WINDOWS = 6
_SIZES = (1.0, 1.75, 3.0)
"""Known steps of the young units, in multiples of the least."""


@dataclass(frozen=True)
class Unit:
    """One unit's history: its own grid of one row, and its known steps."""

    grid: Grid
    steps: Steps


@dataclass(frozen=True)
class Young:
    """A few known steps of a unit, and what came after: what the naive rule said, and how much is usual (for MASE)."""

    known: Steps
    coming: Steps
    rule: Floats
    scale: float


def units_of(training: pl.DataFrame, context: Context) -> dict[str, list[Unit]]:
    """The units of a partner by cadence that can teach or judge: with as many known steps as a model of one's own needs.

    Those with most of them, seldom empty; the newest steps of each.
    """
    found: dict[str, list[Unit]] = {}
    for grid in history(training, timezone=context.timezone).grids:
        name = grid.cadence.name
        if name not in pattern.FACTORS:
            continue
        rows = [
            u for u in np.argsort(-grid.known, kind="stable").tolist() if _is_usable(grid.people[u], 2 * LEAST[name])
        ]
        if rows:
            found[name] = [_unit(grid, u) for u in rows[:MOST_UNITS]]
    return found


def known_steps(grid: Grid, row: int) -> Steps:
    """A unit's known steps."""
    known = np.flatnonzero(np.isfinite(grid.people[row]))
    return Steps(
        grid.calendar.when[row, known], grid.people[row, known], grid.calendar.holiday[row, known] != NO_HOLIDAY
    )


def young(unit: Unit) -> Iterator[Young]:
    """Windows over a unit's history, each as if the unit had begun with it; where MASE has no scale there are none."""
    grid = unit.grid
    least, horizon = LEAST[grid.cadence.name], grid.cadence.horizon
    scale = float(naive_scales(grid.people, grid.season)[0])
    if not np.isfinite(scale):
        return
    known = np.flatnonzero(np.isfinite(grid.people[0]))
    sizes = [int(size * least) for size in _SIZES]
    starts = np.unique(np.linspace(0, max(0, len(known) - 2 * least), _WINDOWS).astype(int))
    for number, start in enumerate(starts):
        size = min(sizes[number % len(sizes)], len(known) - start - 1)
        if size < least:
            continue
        first, end = int(known[start]), int(known[start + size - 1]) + 1
        after = known[(known >= end) & (known < end + horizon)]
        if len(after):
            yield _window(grid, first, end, after, scale)


def _window(grid: Grid, first: int, end: int, after: NDArray[np.intp], scale: float) -> Young:
    people = grid.people[:, first:end]
    columns = np.arange(first, end)
    own = _part(grid, people, columns, first)
    target = after - first
    same = same_steps(own, np.full(len(target), end - first), target, lead=target - (end - first) + 1)[0, :, 0]
    recent = people[0][np.isfinite(people[0])][-grid.cadence.windows[2] :]
    return Young(
        known=known_steps(own, 0),
        coming=Steps(
            grid.calendar.when[0, after], grid.people[0, after], grid.calendar.holiday[0, after] != NO_HOLIDAY
        ),
        rule=np.where(np.isfinite(same), same, recent.mean()),
        scale=scale,
    )


def _unit(grid: Grid, row: int) -> Unit:
    known = np.flatnonzero(np.isfinite(grid.people[row]))
    first = max(int(known[0]), int(known[-1]) + 1 - MOST_STEPS)
    columns = np.arange(first, int(known[-1]) + 1)
    own = _part(grid, grid.people[[row]][:, columns], columns, first, row)
    return Unit(own, known_steps(own, 0))


def _part(grid: Grid, people: Floats, columns: NDArray[np.intp], first: int, row: int = 0) -> Grid:
    """The same cadence with one unit without its name, and these columns of it."""
    at = grid.calendar.at(columns)
    rows: Mapping[str, Any] = {name: value[[row]] for name, value in at.__dict__.items()}
    return Grid(
        cadence=grid.cadence, units=("unit",), first=grid.first + first, people=people, calendar=type(at)(**rows),
        holidays=("", *("holiday" for _ in grid.holidays[1:])), capacity=np.array([np.nan]),
        season=seasons(grid.cadence, people), attributes={},
    )  # fmt: skip


def _is_usable(people: Floats, least: int) -> bool:
    known = people[np.isfinite(people)]
    return len(known) >= least and float((known == 0).mean()) <= EMPTY_SHARE
