"""Labelled rows for the pooled models: every unit's steps, each seen from several origins. Arrays only, no model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.attendance.attributes import Encoder
from models.attendance.cadence import Ints
from models.attendance.features import COLUMN, Seen, features
from models.attendance.grid import Floats, Grid

MAX_ORIGINS = 600
MAX_ROWS = 80_000


@dataclass(frozen=True)
class Panel:
    """Aligned rows: whose step (`unit`), which (`target`), how it looked before (`rows`), how many came (`people`)."""

    unit: Ints
    target: Ints
    rows: Floats
    encoded: Floats
    people: Floats

    def before(self, origin: int) -> "Panel":
        """Only what was known at `origin`."""
        keep = self.target < origin
        return Panel(self.unit[keep], self.target[keep], self.rows[keep], self.encoded[keep], self.people[keep])


def encoded_steps(grid: Grid, encoder: Encoder) -> Floats:
    """The encoded attributes of every step: units x steps x attributes, NaN where none."""
    out = np.full((len(grid.units), grid.length, len(encoder.kept)), np.nan)
    places = list(grid.attributes)
    if encoder.kept and places:
        unit, step = np.array(places).T
        out[unit, step] = encoder.encode([grid.attributes[place] for place in places])
    return out


def training_panel(seen: Seen, encoded: Floats, horizon: int, first: int) -> Panel:
    """Rows from origins spread evenly over the history from `first` on; about `MAX_ROWS` at most."""
    grid = seen.grid
    affordable = max(3, MAX_ROWS // max(1, len(grid.units) * horizon))
    count = max(1, min(grid.length - first, MAX_ORIGINS, affordable))
    origins = np.unique(np.linspace(first, grid.length - 1, count).astype(np.intp))
    lead = np.arange(horizon)
    origin, target = np.repeat(origins, horizon), (origins[:, None] + lead[None, :]).ravel()
    inside = target < grid.length
    return known_rows(seen, encoded, origin[inside], target[inside])


def known_rows(seen: Seen, encoded: Floats, origin: Ints, target: Ints) -> Panel:
    """The known steps among pairs (origin, target), as seen from the origin; units never seen before are left out."""
    grid = seen.grid
    matrix = features(seen, origin, target, grid.calendar.at(target))
    people = grid.people[:, target]
    unit, pair = np.nonzero(is_usable(matrix) & np.isfinite(people))
    return Panel(unit, target[pair], matrix[unit, pair], encoded[unit, target[pair]], people[unit, pair])


def is_usable(matrix: Floats) -> NDArray[np.bool_]:
    """Whether anything was known of the unit before."""
    return np.asarray(np.isfinite(matrix[..., COLUMN["same_1"]]))
