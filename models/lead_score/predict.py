"""The fitted lead model: encoder, scorecard and calibration in, predictions with reasons out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, Subject
from models.base import FeatureRow, FittedModel, Prediction
from models.lead_score import attributes, calibration, explain, scorecard
from models.lead_score.rates import STATE_VERSION, BaseRate
from models.rounding import additive, rounded

Floats = NDArray[np.float64]
DECIMALS = 4
_MOST_STAGES = 20
_PERSONS = 100
_NARROW = 0.5
"""Half an interval's width, relative to the probability, up to which it is called narrow."""


class LeadModel:
    """A scorecard with its encoder and its calibration, all plain dicts of numbers and arrays."""

    def __init__(
        self,
        *,
        encoder: dict[str, Any],
        card: dict[str, Any],
        calibrated: dict[str, Any],
        coverage: float | None,
        candidate: str,
    ) -> None:
        """As `train` makes them; `coverage` is that of the backtest, `candidate` the name that won it."""
        self.encoder = encoder
        self.card = card
        self.calibrated = calibrated
        self.coverage = coverage
        self.candidate = candidate
        first: dict[str, dict[str, Any]] = {}
        for column in encoder["columns"]:
            first.setdefault(column["owner"], column)
        self.owners = [first[owner] for owner in sorted(first)]
        self._place = {column["owner"]: number for number, column in enumerate(self.owners)}

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {
            "state_version": STATE_VERSION,
            "model": "lead",
            "encoder": self.encoder,
            "card": self.card,
            "calibrated": self.calibrated,
            "coverage": self.coverage,
            "candidate": self.candidate,
        }

    def probabilities(self, matrix: Floats) -> Floats:
        """Calibrated probabilities, unrounded, of rows that `attributes.transform` encoded."""
        found = scorecard.effects(self.card, matrix)
        return calibration.apply(self.calibrated, scorecard.log_odds(self.card, found))

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order; nothing of a row's prediction depends on the rows beside it."""
        if not rows:
            return []
        matrix = attributes.transform(self.encoder, rows)
        found = scorecard.effects(self.card, matrix)
        raw = scorecard.log_odds(self.card, found)
        probability = calibration.apply(self.calibrated, raw)
        typical = float(calibration.apply(self.calibrated, np.array([self.card["intercept"]]))[0])
        low, high = calibration.interval(self.calibrated, probability)
        phi = self._by_owner(found)
        total = self.calibrated["slope"] * (raw - self.card["intercept"])
        flat = np.abs(total) < 1e-9
        scale = np.where(flat, typical * (1 - typical), (probability - typical) / np.where(flat, 1.0, total))
        changes = self._changes(rows, matrix, raw)
        return [
            self._one(
                row,
                float(probability[i]),
                typical,
                (float(low[i]), float(high[i])),
                phi[i].tolist(),
                float(scale[i]),
                changes[i],
            )
            for i, row in enumerate(rows)
        ]

    def _by_owner(self, found: Floats) -> Floats:
        phi = np.zeros((len(found), len(self.owners)))
        for j, column in enumerate(self.encoder["columns"]):
            phi[:, self._place[column["owner"]]] += self.calibrated["slope"] * found[:, j]
        return phi

    def _one(
        self,
        row: FeatureRow,
        probability: float,
        typical: float,
        bounds: tuple[float, float],
        phi: list[float],
        scale: float,
        changes: list[dict[str, Any]],
    ) -> Prediction:
        value, baseline = rounded(probability, DECIMALS), rounded(typical, DECIMALS)
        parts = explain.parts(self.owners, phi, scale, row)
        contributions = additive(value, baseline, parts, decimals=DECIMALS, keep=len(parts))
        place = calibration.place(self.calibrated, probability)
        horizon = int(row["horizon_days"])
        persons = calibration.persons_behind(self.calibrated, probability)
        low, high = min(rounded(bounds[0], DECIMALS), value), max(rounded(bounds[1], DECIMALS), value)
        return Prediction(
            subject=Subject("contact", str(row["contact_id"]), str(row["platform"])),
            status="ready",
            rung="partner",
            value=value,
            unit="probability",
            interval=Interval(calibration.LEVEL, low, high),
            confidence_label=confidence(value, baseline, low, high, persons),
            coverage=self.coverage,
            observations=persons,
            baseline=baseline,
            contributions=contributions,
            summary=explain.summary(value, baseline, horizon, place, contributions, explain.kinds(self.owners, row)),
            details={
                **place,
                "trend": explain.trend(probability, row.get("earlier_probability")),
                "horizon_days": horizon,
                "what_would_change_it": changes,
            },
            records=1 + int(row.get("purchases") or 0),
        )

    def _changes(self, rows: Sequence[FeatureRow], matrix: Floats, raw: Floats) -> list[list[dict[str, Any]]]:
        """For what the host can act on: the one change that raises the probability most, where any does."""
        found: list[list[dict[str, Any]]] = [[] for _ in rows]
        now = calibration.apply(self.calibrated, raw)
        for j, column in enumerate(self.encoder["columns"]):
            if column["owner"] not in explain.ACTIONABLE:
                continue
            for value, encoded in self._alternatives(column, matrix[:, j]):
                gain = scorecard.effect(self.card["columns"][j], encoded) - scorecard.effect(
                    self.card["columns"][j], matrix[:, j]
                )
                then = calibration.apply(self.calibrated, raw + gain)
                for i in np.flatnonzero(np.round(then - now, DECIMALS) > 0):
                    step = {
                        "factor": column["owner"],
                        "label": f"{explain.humanized(column['owner'])}: {value}",
                        "direction": "up",
                        "effect": rounded(float(then[i] - now[i]), DECIMALS),
                    }
                    found[i].append(step)
        return [_best(steps) for steps in found]

    def _alternatives(self, column: dict[str, Any], values: Floats) -> list[tuple[str, Floats]]:
        if column["kind"] == "number":
            return [("one more", np.where(np.isfinite(values), values, 0.0) + 1)]
        if column["kind"] == "category" and column["owner"] == "stage":
            levels = sorted(column["levels"].items(), key=lambda level: (-level[1], level[0]))[:_MOST_STAGES]
            return [(name, np.full(len(values), encoded)) for name, encoded in levels]
        return []


def restore(state: Mapping[str, Any]) -> FittedModel:
    """The model that gave `state`; Defect when its version or its kind is unknown."""
    if state.get("state_version") != STATE_VERSION:
        raise Defect(f"lead_score state_version {state.get('state_version')!r} is not known; known: {STATE_VERSION}")
    if state["model"] == "base_rate":
        return BaseRate(state["rates"])
    if state["model"] != "lead":
        raise Defect(f"lead_score model {state['model']!r} is not known; known: lead, base_rate")
    return LeadModel(**{name: state[name] for name in ("encoder", "card", "calibrated", "coverage", "candidate")})


def confidence(value: float, baseline: float, low: float, high: float, persons: int) -> str:
    """By how narrow the interval is, and whether all of it lies on one side of the typical lead."""
    is_apart = not low <= baseline <= high
    is_narrow = (high - low) / 2 <= _NARROW * value
    if is_apart and is_narrow and persons >= _PERSONS:
        return "high"
    return "medium" if (is_apart or is_narrow) and persons >= _PERSONS else "low"


def _best(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best step of each factor, largest first."""
    ranked = sorted(steps, key=lambda step: (-step["effect"], step["factor"], step["label"]))
    return list({step["factor"]: step for step in reversed(ranked)}.values())[::-1]
