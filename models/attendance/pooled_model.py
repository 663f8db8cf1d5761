"""The pooled attendance model: rows that carry their unit's own level in, predictions with contributions out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Contribution, Interval, Subject
from models.attendance import pooled_pattern as pattern
from models.attendance import sentences
from models.attendance.cadence import BY_NAME
from models.attendance.intervals import LEVEL
from models.attendance.pooled_cases import LEAST
from models.attendance.rule import DECIMALS, UNIT, by_rule, confidence, details, with_series
from models.base import FeatureRow, Prediction
from models.pooling.base import POOLED
from models.pooling.sharing import CANDIDATE
from models.pooling.words import say
from models.rounding import additive, rounded

Floats = NDArray[np.float64]
STATE_VERSION = 1


class PooledAttendance:
    """Shared calendar effects by cadence; the level is each row's own unit's, which stands in the row."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """`state` as pooled.py makes it; Defect when its `state_version` is unknown."""
        if state.get("state_version") != STATE_VERSION:
            raise Defect(
                f"pooled attendance state_version {state.get('state_version')!r} is unknown; known: {STATE_VERSION}"
            )
        self._state = dict(state)

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return dict(self._state)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction for each row, in order; where the unit has too little or nothing recent, the rule's."""
        return with_series(rows, lambda events: [self._event(row) for row in events])

    def _event(self, row: FeatureRow) -> Prediction:
        own, facts = row.get(POOLED), row["history"]
        if own is None or facts is None or facts["is_silent"] or facts["has_ended"]:
            return by_rule(row)
        if row["features"]["lead"] > facts["borrowed_reach"]:
            return by_rule(row)
        return self._one(row, own, self._state["cadences"][row["cadence"]])

    def _one(self, row: FeatureRow, own: Mapping[str, Any], found: Mapping[str, Any]) -> Prediction:
        when = np.array([row["when"]], dtype="datetime64[m]")
        parts = self._parts(row, own, found, when)
        said = own["level"] + sum(parts.values())
        log = float(pattern.blended(np.array([said]), np.array([row["features"]["same_1"]]))[0])
        parts["last"] = log - said
        limit = row["features"].get("capacity")
        ends = [_people(log + margin, limit) for margin in (found["margins"][0], 0.0, found["margins"][1])]
        low, value, high = (rounded(end, DECIMALS) for end in ends)
        usual = float(np.expm1(own["level"]) + 1 - pattern.HALF)
        baseline = rounded(max(usual, 0.0), DECIMALS)
        language = str(row["language"])
        return Prediction(
            subject=Subject(**row["subject"]),
            status="ready",
            rung="pooled",
            value=value,
            unit=UNIT,
            interval=Interval(LEVEL, low, high),
            # What other partners' units do says how this one may move, and not that it does: never high.
            confidence_label="low" if confidence(value, low, high) == "low" else "medium",
            coverage=None if self._state["coverage"] is None else round(self._state["coverage"], 4),
            observations=int(own["known"]),
            baseline=baseline,
            contributions=_contributions(parts, value, baseline, _people(log, None), ends[1], language),
            summary=_summary(row, value, baseline) + sentences.over(sentences.words_of(row), row, high),
            details=details(
                row, (low, value, high), CANDIDATE, self._state["alternatives"],
                say("attendance.why", language, **_errors(row, self._state["alternatives"])),
            ),
            records=row["history"]["known"] + 1,
        )  # fmt: skip

    def _parts(self, row: FeatureRow, own: Mapping[str, Any], found: Mapping[str, Any], when: Any) -> dict[str, float]:
        """Each factor's part in log people: the shared ones, and the unit's own departure."""
        code = pattern.codes(row["cadence"], when, np.array([bool(row["holiday"])]))
        shared = {name: float(found["pattern"]["effects"][name][at[0]]) for name, at in code.items()}
        return {**shared, "own": float(own["own"])}


def speaks_for(state: Mapping[str, Any], row: FeatureRow) -> bool:
    """Whether the model knows the row's cadence and the unit has enough known steps."""
    facts = row["history"]
    return row["cadence"] in state["cadences"] and facts is not None and facts["known"] >= LEAST[row["cadence"]]


def _people(log: float, limit: float | None) -> float:
    people = max(float(np.exp(log)) - pattern.HALF, 0.0)
    return people if limit is None else min(people, float(limit))


def _contributions(
    parts: Mapping[str, float], value: float, baseline: float, people: float, capped: float, language: str
) -> tuple[Contribution, ...]:
    """Parts of the logarithm rescaled to people, effect = part · (people - baseline) / Σ parts; then what capacity cuts."""
    total = sum(parts.values())
    scale = (people - baseline) / total if abs(total) > 1e-9 else 0.0
    made = [
        Contribution(f"pooled_{name}", say(f"attendance.factor.{name}", language), part * scale, False)
        for name, part in parts.items()
    ]
    made.append(Contribution("capacity_cap", say("attendance.factor.capacity", language), capped - people, False))
    return additive(value, baseline, made, decimals=DECIMALS, other_label=say("attendance.factor.other", language))


def _summary(row: FeatureRow, value: float, baseline: float) -> str:
    words, language = sentences.words_of(row), str(row["language"])
    percent = round(100 * (value - baseline) / baseline) if baseline > 0 else 0
    key = "above" if percent > 0 else "below" if percent < 0 else "level"
    comparison = say(f"attendance.{key}", language, percent=words.percent(abs(percent) / 100))
    needed = BY_NAME[row["cadence"]].known
    return say(
        "attendance.summary", language, value=words.number(value), comparison=comparison,
        known=row[POOLED]["known"], needed=needed,
    )  # fmt: skip


def _errors(row: FeatureRow, alternatives: Mapping[str, float]) -> dict[str, str]:
    words = sentences.words_of(row)
    rule = next(name for name in alternatives if name != CANDIDATE)
    return {"pooled": words.number(alternatives[CANDIDATE], 2), "rule": words.number(alternatives[rule], 2)}
