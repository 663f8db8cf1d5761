"""Predictions from feature rows: the fitted model, the naive rule below it, and refusals. No frame, no training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Interval, Subject
from models.attendance import candidates, prophet_family
from models.attendance.candidates import PROPHET, RULE, Encoder
from models.attendance.explain import contributions, people, shapley, summary
from models.attendance.features import COLUMN, FEATURES
from models.attendance.intervals import LEVEL, Margins, bounds
from models.attendance.messages_en import FACTORS, MESSAGES, WEEKDAYS
from models.attendance.readiness import MIN_OBSERVATIONS
from models.attendance.rows import ENDED_DAYS, HORIZON_DAYS, SILENT_DAYS
from models.base import FeatureRow, Prediction
from models.rounding import additive, rounded

Floats = NDArray[np.float64]
STATE_VERSION = 1
UNIT = "people"
DECIMALS = 0
HIGH_WIDTH, MEDIUM_WIDTH = 0.15, 0.35
"""Half the interval's width relative to the value, up to which confidence is called high or medium."""


class AttendanceModel:
    """The point model chosen for a partner, with its margins; units it does not know fall back to the rule."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """`state` as train.py makes it; Defect when its `state_version` is unknown."""
        if state.get("state_version") != STATE_VERSION:
            raise Defect(f"attendance state_version {state.get('state_version')!r} is unknown; known: {STATE_VERSION}")
        self._state = dict(state)
        self._units = frozenset(state["units"])
        self._floored = frozenset(state["floored"])
        self._encoder = Encoder(state["encoder"]["kept"], state["encoder"]["dropped"])
        self._margins = Margins(**{key: tuple(values) for key, values in state["margins"].items()})
        self._prophets: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What `AttendanceModel(state)` was made from."""
        return dict(self._state)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction for each row, in order; all rows of a call go through the model in one batch."""
        return _with_series(rows, self._events)

    def _events(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        own = [number for number, row in enumerate(rows) if self._speaks_for(row)]
        chosen = set(own)
        found = dict(zip(own, self._modelled([rows[number] for number in own]), strict=True))
        return [found[n] if n in chosen else by_rule(row, self._why_not(row)) for n, row in enumerate(rows)]

    def _speaks_for(self, row: FeatureRow) -> bool:
        facts = row["history"]
        return (
            row["unit"] in self._units
            and row["unit"] not in self._floored
            and facts is not None
            and facts["silent_days"] <= SILENT_DAYS
            and self._state["family"] != RULE
        )

    def _why_not(self, row: FeatureRow) -> str:
        """The sentence for a unit with enough history that the model does not speak for."""
        if self._state["family"] == RULE:
            return "rule_only"
        return "rule_better" if row["unit"] in self._floored else "rule_new"

    def _modelled(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        if not rows:
            return []
        matrix = _matrix(rows)
        encoded = self._encoder.encode([row["attributes"] for row in rows])
        parts, usual = self._prophet_parts(rows, matrix)
        similar = np.array([row["similar"]["mean"] for row in rows])
        effects = shapley(self._point, matrix, encoded, parts, usual, similar)
        raw = self._point(matrix, encoded, parts)
        capacity = matrix[:, COLUMN["capacity"]]
        scale = np.array([row["history"]["scale"] for row in rows])
        lead = matrix[:, COLUMN["lead_days"]]
        low, middle, high = bounds(self._margins, lead, candidates.capped(raw, capacity), scale)
        shift = self._margins.at(lead)[0] * scale
        quantiles = candidates.capped(np.column_stack([low, middle, high]), capacity[:, None])
        return [self._one(row, effects[n], raw[n], shift[n], quantiles[n]) for n, row in enumerate(rows)]

    def _one(self, row: FeatureRow, effects: Floats, raw: float, shift: float, quantiles: Floats) -> Prediction:
        low, value, high = (rounded(float(q), DECIMALS) for q in quantiles)
        baseline = rounded(row["similar"]["mean"], DECIMALS)
        cut = float(quantiles[1]) - raw - shift
        kept = additive(
            value,
            baseline,
            contributions(effects, float(shift), cut),
            decimals=DECIMALS,
            other_label=FACTORS["other"],
        )
        state = self._state
        errors = state["unit_alternatives"].get(row["unit"], state["alternatives"])
        return Prediction(
            subject=Subject(**row["subject"]),
            status="ready",
            rung="partner",
            value=value,
            unit=UNIT,
            interval=Interval(LEVEL, low, high),
            confidence_label=_confidence(value, low, high),
            coverage=None if state["coverage"] is None else round(state["coverage"], 4),
            observations=state["observations"],
            baseline=baseline,
            contributions=kept,
            summary=summary(value, baseline, row["similar"]["weekday"], kept) + _over(row, high),
            details=_details(row, (low, value, high), state["family"], errors),
            records=row["history"]["known_days"] + 1,
        )

    def _point(self, matrix: Floats, encoded: Floats, parts: Floats) -> Floats:
        if self._state["family"] == PROPHET:
            return np.asarray(parts.sum(axis=1))
        return candidates.combined(self._state["family"], matrix, encoded, self._state["boosting"])

    def _prophet_parts(self, rows: Sequence[FeatureRow], matrix: Floats) -> tuple[Floats, Floats]:
        """Prophet's parts of every row and the usual trend of its unit; zeros for other families."""
        parts, usual = np.zeros((len(rows), 4)), np.zeros(len(rows))
        fitted = self._state["prophet"]
        by_unit: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            by_unit.setdefault(row["unit"], []).append(number)
        for unit, numbers in by_unit.items():
            if unit not in fitted:
                continue
            if unit not in self._prophets:
                self._prophets[unit] = prophet_family.from_json(fitted[unit]["json"])
            days = [date.fromisoformat(rows[number]["date"]) for number in numbers]
            holiday = matrix[numbers, COLUMN["is_holiday"]]
            parts[numbers] = prophet_family.parts(self._prophets[unit], days, holiday)
            usual[numbers] = fitted[unit]["trend"]
        return parts, usual


@dataclass(frozen=True)
class RuleModel:
    """As many people as on the last known same weekday: what a partner could do without us."""

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction for each row, in order: `fallback`, or `refused` where nothing is known."""
        return _with_series(rows, lambda events: [by_rule(row) for row in events])

    def state(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {"state_version": STATE_VERSION, "family": RULE}


def by_rule(row: FeatureRow, why: str = "rule_only") -> Prediction:
    """The naive rule for one event row; the interval comes from the rule's own past errors, if there are enough.

    `why` names the sentence for a unit that lacks neither days nor recent ones.
    """
    facts = row["history"]
    if facts is None:
        return _refused(row, MESSAGES["no_history"])
    if facts["silent_days"] > ENDED_DAYS:
        return _refused(row, MESSAGES["ended"].format(days=facts["silent_days"]))
    matrix = _matrix([row])
    capacity = matrix[:, COLUMN["capacity"]]
    raw = candidates.seasonal_naive(matrix)
    value = rounded(float(candidates.capped(raw, capacity)[0]), DECIMALS)
    interval = _rule_interval(facts, raw, capacity, value)
    similar = row["similar"]
    baseline = rounded(similar["mean"], DECIMALS)
    effects = np.array([float(raw[0]) - similar["mean"], 0.0, 0.0, 0.0, 0.0, 0.0])
    kept = additive(
        value,
        baseline,
        contributions(effects, 0.0, value - float(raw[0])),
        decimals=DECIMALS,
        other_label=FACTORS["other"],
    )
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Prediction(
        subject=Subject(**row["subject"]),
        status="fallback",
        rung="rule",
        value=value,
        unit=UNIT,
        interval=interval,
        confidence_label="low",
        coverage=None,
        observations=facts["known_days"],
        baseline=baseline,
        contributions=kept,
        summary=_rule_sentence(facts, value, similar["weekday"], why) + _over(row, value if high is None else high),
        details=_details(row, (low, value, high), RULE, {}),
        records=facts["known_days"] + 1,
    )


def _rule_interval(facts: Mapping[str, Any], raw: Floats, capacity: Floats, value: float) -> Interval | None:
    if facts["rule_low"] is None:
        return None
    ends = candidates.capped(raw + np.array([facts["rule_low"], facts["rule_high"]]), capacity)
    low, high = (rounded(float(end), DECIMALS) for end in ends)
    return Interval(LEVEL, min(low, value), max(high, value))


def _rule_sentence(facts: Mapping[str, Any], value: float, weekday: int | None, why: str) -> str:
    known = facts["known_days"]
    words = {
        "value": people(value),
        "weekday": MESSAGES["day"] if weekday is None else WEEKDAYS[weekday - 1].removesuffix("s"),
    }
    if facts["silent_days"] > SILENT_DAYS:
        return MESSAGES["rule_silent"].format(**words, days=facts["silent_days"])
    if known < MIN_OBSERVATIONS:
        days = MESSAGES["day_is" if known == 1 else "days_are"]
        return MESSAGES["rule"].format(**words, observations=known, needed=MIN_OBSERVATIONS, days=days)
    return MESSAGES[why].format(**words)


def _over(row: FeatureRow, high: float) -> str:
    """What to say of a forecast above the stated capacity, which features.py has found not to be a limit."""
    capacity = row.get("capacity")
    return MESSAGES["over"].format(capacity=people(capacity)) if capacity and high > capacity else ""


def _with_series(rows: Sequence[FeatureRow], events: Any) -> list[Prediction]:
    """Event rows and the occurrences inside series rows in one batch, then each row's own prediction."""
    flat: list[FeatureRow] = []
    for row in rows:
        flat.extend(row["occurrences"] if row["subject"]["kind"] == "series" else [row])
    found = iter(events(flat))
    return [
        _series(row, [next(found) for _ in row["occurrences"]]) if row["subject"]["kind"] == "series" else next(found)
        for row in rows
    ]


def _series(row: FeatureRow, occurrences: Sequence[Prediction]) -> Prediction:
    """The next occurrence that has a value speaks for the series; `horizon` lists them all."""
    if not occurrences:
        refused = _refused(row, MESSAGES["no_occurrence"].format(days=HORIZON_DAYS))
        return replace(refused, details={**refused.details, "horizon": []})
    horizon = [
        {"at": source["at"], **{key: found.details[key] for key in ("p10", "p50", "p90")}}
        for source, found in zip(row["occurrences"], occurrences, strict=True)
        if found.value is not None
    ]
    number = next((n for n, found in enumerate(occurrences) if found.value is not None), 0)
    first, source = occurrences[number], row["occurrences"][number]
    sentence = first.summary
    if first.value is not None:
        sentence = MESSAGES["next"].format(date=source["date"], sentence=sentence[0].lower() + sentence[1:])
    return replace(
        first, subject=Subject(**row["subject"]), summary=sentence, details={**first.details, "horizon": horizon}
    )


def _refused(row: FeatureRow, reason: str) -> Prediction:
    return Prediction(
        subject=Subject(**row["subject"]),
        status="refused",
        rung="rule",
        value=None,
        unit=UNIT,
        interval=None,
        confidence_label="low",
        coverage=None,
        observations=0,
        baseline=None,
        contributions=(),
        summary=reason,
        details=_details(row, (None, None, None), None, {}),
        records=0,
    )


def _details(
    row: FeatureRow,
    quantiles: tuple[float | None, float | None, float | None],
    family: str | None,
    errors: Mapping[str, float],
) -> dict[str, Any]:
    """`alternatives` are the candidates with their backtest MASE on this unit, best first."""
    ranked = sorted(errors.items(), key=lambda item: (item[1], item[0]))
    return {
        "p10": quantiles[0],
        "p50": quantiles[1],
        "p90": quantiles[2],
        "capacity": row.get("capacity"),
        "sell_out_at": None,
        "family": family,
        "alternatives": [{"candidate": name, "mase": round(error, 3)} for name, error in ranked if np.isfinite(error)],
    }


def _matrix(rows: Sequence[FeatureRow]) -> Floats:
    return np.array(
        [[np.nan if row["features"][name] is None else row["features"][name] for name in FEATURES] for row in rows],
        dtype=np.float64,
    )


def _confidence(value: float, low: float, high: float) -> str:
    width = (high - low) / 2 / value if value > 0 else float("inf")
    if width <= HIGH_WIDTH:
        return "high"
    return "medium" if width <= MEDIUM_WIDTH else "low"
