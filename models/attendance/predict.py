"""Predictions from feature rows: the fitted model, with the naive rule below it. No frame, no training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, Subject
from models.attendance import candidates, prophet_family, sentences
from models.attendance.attributes import Encoder
from models.attendance.booking.predict import predict as booking
from models.attendance.booking.served import Served, speaks
from models.attendance.candidates import BOOSTING, FAMILIES, PROPHET, RULE
from models.attendance.explain import ACTIONABLE, Inputs, contributions, shapley
from models.attendance.features import COLUMN
from models.attendance.intervals import LEVEL, Margins, bounds
from models.attendance.offered import Elsewhere
from models.attendance.rule import (
    DECIMALS,
    STATE_VERSION,
    UNIT,
    by_rule,
    confidence,
    details,
    matrix_of,
    with_series,
)
from models.base import FeatureRow, Prediction
from models.outside.contract import Outside
from models.rounding import additive, rounded

Floats = NDArray[np.float64]


class AttendanceModel:
    """What was chosen for each of a partner's series, with its margins; those it does not know go by the rule."""

    def __init__(self, state: Mapping[str, Any], outside: Outside | None = None) -> None:
        """`state` as train.py makes it, around a model made elsewhere where it is one's.

        Defect when its `state_version` is unknown, or when it is around no model and one is given, or the other way.
        """
        if state.get("state_version") != STATE_VERSION:
            raise Defect(f"attendance state_version {state.get('state_version')!r} is unknown; known: {STATE_VERSION}")
        kinds = state.get("outside")
        if (kinds is None) != (outside is None):
            raise Defect(f"attendance state with columns for a model made elsewhere: {kinds}; the model: {outside!r}")
        self._elsewhere = None if outside is None or kinds is None else Elsewhere(outside, kinds)
        self._families = FAMILIES if self._elsewhere is None else (RULE, self._elsewhere.name)
        self._state = dict(state)
        self._units: Mapping[str, Any] = state["series"]["units"]
        self._grids: Mapping[str, Any] = state["series"]["grids"]
        self._booking = None if state["booking"] is None else Served.restored(state["booking"])

    def state(self) -> dict[str, Any]:
        """What `AttendanceModel(state)` was made from."""
        return dict(self._state)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction for each row, in order; all rows of a cadence go through the model in one batch."""
        return with_series(rows, self._events)

    def _events(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        found: dict[int, Prediction] = {}
        if self._booking is not None:
            own = [n for n, row in enumerate(rows) if speaks(self._booking, row, is_series=self._speaks_for(row))]
            found.update(zip(own, booking(self._booking, [rows[n] for n in own]), strict=True))
        for name in self._grids:
            own = [
                n for n, row in enumerate(rows) if n not in found and row["cadence"] == name and self._speaks_for(row)
            ]
            found.update(zip(own, self._modelled(name, [rows[n] for n in own]), strict=True))
        return [found[n] if n in found else self._ruled(row) for n, row in enumerate(rows)]

    def _speaks_for(self, row: FeatureRow) -> bool:
        facts, unit = row["history"], self._units.get(row["unit"])
        if facts is None or unit is None or unit["cadence"] != row["cadence"] or unit["family"] == RULE:
            return False
        reach = min(facts["reach"], self._grids[row["cadence"]]["horizon"])
        return not facts["is_silent"] and row["features"]["lead"] <= reach

    def _ruled(self, row: FeatureRow) -> Prediction:
        """The rule for a unit that the model does not speak for, with the reason where it has enough history."""
        unit = self._units.get(row["unit"])
        if not self._state["series"]["is_better"]:
            return by_rule(row, "only", unit)
        return by_rule(row, "new" if unit is None or unit["cadence"] != row["cadence"] else "better", unit)

    def _modelled(self, name: str, rows: Sequence[FeatureRow]) -> list[Prediction]:
        if not rows:
            return []
        grid = self._grids[name]
        encoder = Encoder(grid["encoder"]["kept"], grid["encoder"]["dropped"])
        given = self._inputs(encoder, rows)

        def point(inputs: Inputs) -> Floats:
            rows, encoded, weight = inputs.rows, inputs.encoded, dict(zip(self._families, inputs.weights, strict=True))
            boosting = grid["boosting"] if BOOSTING in weight and (weight[BOOSTING] > 0).any() else None
            ready = {PROPHET: inputs.parts.sum(axis=1)}
            if self._elsewhere is not None:
                ready[self._elsewhere.name] = self._elsewhere.people(rows, encoded, encoder, name)
            found = candidates.forecasts(self._families, rows, encoded, boosting, ready)
            return candidates.weighted([found[family] for family in self._families], inputs.weights)

        similar = np.array([row["similar"]["mean"] for row in rows])
        effects = shapley(point, given, similar)
        raw = point(given)
        capacity, lead = given.rows[:, COLUMN["capacity"]], given.rows[:, COLUMN["lead"]]
        scale = np.array([row["history"]["scale"] * self._units[row["unit"]]["ratio"] for row in rows])
        margins = Margins(**{key: tuple(values) for key, values in grid["margins"].items()})
        low, middle, high = bounds(margins, lead, candidates.capped(raw, capacity), scale)
        shift = margins.at(lead)[0] * scale
        quantiles = candidates.capped(np.column_stack([low, middle, high]), capacity[:, None])
        return [self._one(grid, row, effects[n], raw[n], shift[n], quantiles[n]) for n, row in enumerate(rows)]

    def _inputs(self, encoder: Encoder, rows: Sequence[FeatureRow]) -> Inputs:
        encoded = encoder.encode([row["attributes"] for row in rows])
        weights = np.array(
            [[self._units[row["unit"]]["weights"].get(family, 0.0) for row in rows] for family in self._families]
        )
        parts = np.zeros((len(rows), len(prophet_family.PARTS)))
        fits = self._state["series"]["prophet"]
        by_unit: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            if self._units[row["unit"]]["weights"].get(PROPHET, 0.0) > 0:
                by_unit.setdefault(row["unit"], []).append(number)
        for unit, numbers in by_unit.items():
            when = np.array([rows[number]["when"] for number in numbers], dtype="datetime64[m]")
            names = [rows[number]["holiday"] for number in numbers]
            parts[numbers] = prophet_family.parts(fits[unit], when, names, encoded[numbers])
        return Inputs(matrix_of(rows), encoded, parts, weights)

    def _one(
        self, grid: Mapping[str, Any], row: FeatureRow, effects: Floats, raw: float, shift: float, quantiles: Floats
    ) -> Prediction:
        say = sentences.words_of(row)
        low, value, high = (rounded(float(quantile), DECIMALS) for quantile in quantiles)
        baseline = rounded(row["similar"]["mean"], DECIMALS)
        parts = contributions(effects, float(shift), float(quantiles[1]) - float(raw) - float(shift))
        if self._elsewhere is not None:
            # Ours are made around similar steps; where one made elsewhere starts is news, and no remainder.
            parts["outside"] = float(raw) - float(effects.sum()) - row["similar"]["mean"]
        kept = additive(
            value,
            baseline,
            [
                sentences.contribution(say, factor, effect, actionable=factor in ACTIONABLE)
                for factor, effect in parts.items()
            ],
            decimals=DECIMALS,
            other_label=say("factor.other"),
        )
        unit = self._units[row["unit"]]
        alike = sentences.similar_name(say, row)
        return Prediction(
            subject=Subject(**row["subject"]),
            status="ready",
            rung="partner",
            value=value,
            unit=UNIT,
            interval=Interval(LEVEL, low, high),
            confidence_label=confidence(value, low, high),
            coverage=None if grid["coverage"] is None else round(grid["coverage"], 4),
            observations=grid["observations"],
            baseline=baseline,
            contributions=kept,
            summary=sentences.summary(say, value, baseline, alike, kept) + sentences.over(say, row, high),
            details=details(row, (low, value, high), unit["family"], unit["alternatives"], sentences.why(say, unit)),
            records=row["history"]["known"] + 1,
        )
