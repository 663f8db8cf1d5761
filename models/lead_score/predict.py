"""The fitted lead model: encoder, scorecard and calibration in, predictions with reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, Subject
from models.alternatives import alternatives
from models.base import FeatureRow, FittedModel, Prediction
from models.lead_score import attributes, calibration, explain, scorecard
from models.lead_score.explain import UNIT
from models.lead_score.rates import METRIC, STATE_VERSION, BaseRate, unscored
from models.messages import Catalogue

Floats = NDArray[np.float64]
_MOST_STAGES = 20
_PERSONS = 100
_NARROW = 0.5
"""Half an interval's width, relative to the probability, up to which it is called narrow."""
_STATE = ("encoder", "card", "calibrated", "coverage", "candidate", "horizon_days", "scores")


@dataclass(frozen=True)
class Seen:
    """What a scorer makes of some rows: log-odds, their parts by owner (rows x owners), and what would change them."""

    raw: Floats
    parts: Floats
    changes: list[list[dict[str, Any]]]


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
        horizon_days: int | None = None,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """As `train` makes them: `coverage` and `scores` (log-loss by candidate) are those of the backtest.

        `horizon_days` is what the labels meant; None, for labels without a horizon, scores whatever row comes.
        """
        self.encoder = encoder
        self.card = card
        self.calibrated = calibrated
        self.coverage = coverage
        self.candidate = candidate
        self.horizon_days = horizon_days
        self.scores = dict(scores or {})
        first: dict[str, dict[str, Any]] = {}
        for column in encoder["columns"]:
            first.setdefault(column["owner"], column)
        self.owners = [first[owner] for owner in sorted(first)]
        self._place = {column["owner"]: number for number, column in enumerate(self.owners)}

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {"state_version": STATE_VERSION, "model": "lead"} | {name: getattr(self, name) for name in _STATE}

    def raw(self, matrix: Floats) -> Floats:
        """Uncalibrated log-odds, of rows that `attributes.transform` encoded."""
        return scorecard.log_odds(self.card, scorecard.effects(self.card, matrix))

    def probabilities(self, matrix: Floats) -> Floats:
        """Calibrated probabilities, unrounded, of the same."""
        return calibration.apply(self.calibrated, self.raw(matrix))

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order; nothing of a row's prediction depends on the rows beside it.

        A lead asked about within another horizon than the model learned is refused.
        """
        asked = [row for row in rows if self._answers(row)]
        scored = iter(self._scored(asked) if asked else [])
        return [next(scored) if self._answers(row) else self._other_horizon(row) for row in rows]

    def _answers(self, row: FeatureRow) -> bool:
        return self.horizon_days is None or row["horizon_days"] == self.horizon_days

    def _scored(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        seen = self._seen(rows)
        raw, reference = seen.raw, self.reference
        probability = calibration.apply(self.calibrated, raw)
        typical = float(calibration.apply(self.calibrated, np.array([reference]))[0])
        low, high = (np.round(bound * UNIT).astype(int) for bound in calibration.interval(self.calibrated, raw))
        total = raw - reference
        flat = np.abs(total) < 1e-9
        scale = np.where(flat, typical * (1 - typical), (probability - typical) / np.where(flat, 1.0, total))
        persons = calibration.persons_behind(self.calibrated, raw)
        columns = (
            rows, probability.tolist(), low.tolist(), high.tolist(), seen.parts.tolist(), scale.tolist(),
            calibration.places(self.calibrated, raw), persons.tolist(), seen.changes,
        )  # fmt: skip
        return [self._one(typical, *lead) for lead in zip(*columns, strict=True)]

    @property
    def reference(self) -> float:
        """The log-odds of the typical lead that the parts are told against."""
        return float(self.card["intercept"])

    def _seen(self, rows: Sequence[FeatureRow]) -> "Seen":
        matrix = attributes.transform(self.encoder, rows)
        found = scorecard.effects(self.card, matrix)
        raw = scorecard.log_odds(self.card, found)
        probability = calibration.apply(self.calibrated, raw)
        return Seen(raw, self._by_owner(found), self._changes(rows, matrix, raw, probability))

    def _by_owner(self, found: Floats) -> Floats:
        phi = np.zeros((len(found), len(self.owners)))
        for j, column in enumerate(self.encoder["columns"]):
            phi[:, self._place[column["owner"]]] += found[:, j]
        return phi

    def _one(
        self,
        typical: float,
        row: FeatureRow,
        probability: float,
        low: int,
        high: int,
        phi: list[float],
        scale: float,
        place: dict[str, Any],
        persons: int,
        changes: list[dict[str, Any]],
    ) -> Prediction:
        words = explain.language_of(row)
        units, typical_units = round(probability * UNIT), round(typical * UNIT)
        value, baseline = units / UNIT, typical_units / UNIT
        contributions, kept = explain.parts(self.owners, phi, scale, row, words, units - typical_units)
        reasons = explain.strongest(self.owners, kept, contributions, units > typical_units, row, words)
        horizon = row["horizon_days"]
        least, most = min(low, units) / UNIT, max(high, units) / UNIT
        return Prediction(
            subject=Subject("contact", str(row["contact_id"]), str(row["platform"])),
            status="ready",
            rung="partner",
            value=value,
            unit="probability",
            interval=Interval(calibration.LEVEL, least, most),
            confidence_label=confidence(value, baseline, least, most, persons),
            coverage=self.coverage,
            observations=persons,
            baseline=baseline,
            contributions=contributions,
            summary=explain.summary(value, baseline, horizon, place["grade"], reasons, words),
            details={
                **place,
                "trend": explain.trend(probability, row.get("earlier_probability")),
                "horizon_days": horizon,
                "what_would_change_it": [_worded(step, words) for step in changes],
                "family": self.candidate,
                "alternatives": alternatives(METRIC, self.scores),
                "why": explain.why(self.candidate, self.scores, words),
            },
            records=1 + int(row.get("purchases") or 0),
        )

    def _other_horizon(self, row: FeatureRow) -> Prediction:
        told = {"trained": self.horizon_days, "asked": row["horizon_days"]}
        return unscored(row, explain.language_of(row)("rule.other_horizon", **told), 0, rung="partner")

    def _changes(
        self, rows: Sequence[FeatureRow], matrix: Floats, raw: Floats, now: Floats
    ) -> list[list[dict[str, Any]]]:
        """For what the host can act on: the one change that raises the probability most, where any does."""
        found: list[list[dict[str, Any]]] = [[] for _ in rows]
        for owner in explain.ACTIONABLE:
            best, chosen = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.intp)
            options = [
                (column, value, encoded)
                for column, j in ((c, j) for j, c in enumerate(self.encoder["columns"]) if c["owner"] == owner)
                for value, encoded in self._alternatives(column, j, matrix)
            ]
            for number, (column, _, encoded) in enumerate(options):
                place = self.encoder["columns"].index(column)
                gain = scorecard.gain(self.card, matrix, place, encoded)
                raised = np.round((calibration.apply(self.calibrated, raw + gain) - now) * UNIT)
                better = raised > best
                best[better], chosen[better] = raised[better], number
            for i in np.flatnonzero(best > 0).tolist():
                found[i].append({"factor": owner, "to": options[chosen[i]][1], "effect": int(best[i]) / UNIT})
        return [sorted(steps, key=lambda step: (-step["effect"], step["factor"])) for steps in found]

    def _alternatives(self, column: dict[str, Any], place: int, matrix: Floats) -> list[tuple[str | None, Floats]]:
        """(what it becomes, None for one more; the column's values then)."""
        values = matrix[:, place]
        if column["kind"] == "number":
            return [(None, np.where(np.isfinite(values), values, 0.0) + 1)]
        if column["kind"] == "category" and column["owner"] == "stage":
            levels = sorted(column["levels"].items(), key=lambda level: (-level[1], level[0]))[:_MOST_STAGES]
            return [(name, np.full(len(values), encoded)) for name, encoded in sorted(levels)]
        return []


def restore(state: Mapping[str, Any]) -> FittedModel:
    """The model that gave `state`; Defect when its version or its kind is unknown."""
    if state.get("state_version") != STATE_VERSION:
        raise Defect(f"lead_score state_version {state.get('state_version')!r} is not known; known: {STATE_VERSION}")
    if state["model"] == "base_rate":
        return BaseRate(state["rates"], state["scores"])
    if state["model"] != "lead":
        raise Defect(f"lead_score model {state['model']!r} is not known; known: lead, base_rate")
    return LeadModel(**{name: state[name] for name in _STATE})


def confidence(value: float, baseline: float, low: float, high: float, persons: int) -> str:
    """By how narrow the interval is, and whether all of it lies on one side of the typical lead."""
    is_apart = not low <= baseline <= high
    is_narrow = (high - low) / 2 <= _NARROW * value
    if is_apart and is_narrow and persons >= _PERSONS:
        return "high"
    return "medium" if (is_apart or is_narrow) and persons >= _PERSONS else "low"


def _worded(step: dict[str, Any], words: Catalogue) -> dict[str, Any]:
    value = words("value.one_more") if step["to"] is None else step["to"]
    told = words("label.valued", name=words(f"label.{step['factor']}"), value=value)
    return {"factor": step["factor"], "label": told, "direction": "up", "effect": step["effect"]}
