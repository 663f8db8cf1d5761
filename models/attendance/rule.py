"""The naive rule as a model, and the refusals below it: what a partner could do without us. Nothing is fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.insight import Interval, Subject
from models.alternatives import alternatives
from models.attendance import candidates, sentences
from models.attendance.booking.rows import not_yet
from models.attendance.cadence import BY_NAME, DAILY
from models.attendance.candidates import METRIC, RULE
from models.attendance.explain import contributions
from models.attendance.features import COLUMN, FEATURES
from models.attendance.intervals import LEVEL
from models.base import FeatureRow, Prediction
from models.rounding import additive, rounded

Floats = NDArray[np.float64]
STATE_VERSION = 2
UNIT = "people"
DECIMALS = 0
HIGH_WIDTH, MEDIUM_WIDTH = 0.15, 0.35
"""Half the interval's width relative to the value, up to which confidence is called high or medium."""


@dataclass(frozen=True)
class RuleModel:
    """As many people as at the last known same step."""

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction for each row, in order: `fallback`, or `refused` where nothing is known."""
        return with_series(rows, lambda events: [by_rule(row) for row in events])

    def state(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {"state_version": STATE_VERSION, "family": RULE}


def by_rule(row: FeatureRow, why: str = "only", unit: Mapping[str, Any] | None = None) -> Prediction:
    """The naive rule for one event row; the interval comes from the rule's own past errors, if there are enough.

    `why` names the sentence for a unit that lacks neither steps nor recent ones; `unit` is its part of a model's
    state, where there is one, with the alternatives that were tested.
    """
    say = sentences.words_of(row)
    facts = row["history"]
    if facts is None:
        is_far = row.get("booking") is not None and row["booking"]["is_far"]
        return refused(row, not_yet(row) if is_far else sentences.refusal(say, "no_history", row))
    if facts["has_ended"]:
        return refused(row, sentences.refusal(say, "ended", row, days=say.number(facts["silent_days"])))
    if (lead := row["features"]["lead"]) > facts["reach"]:
        words = {"lead": lead, "span": facts["span"], "reach": facts["reach"]}
        return refused(row, sentences.refusal(say, "too_far", row, **{k: say.number(v) for k, v in words.items()}))
    matrix = matrix_of([row])
    capacity = matrix[:, COLUMN["capacity"]]
    raw = candidates.seasonal_naive(matrix)
    value = rounded(float(candidates.capped(raw, capacity)[0]), DECIMALS)
    interval = _interval(facts, raw, capacity, value)
    baseline = rounded(row["similar"]["mean"], DECIMALS)
    effects = np.array([float(raw[0]) - row["similar"]["mean"], 0.0, 0.0, 0.0, 0.0, 0.0])
    parts = contributions(effects, 0.0, value - float(raw[0]))
    kept = additive(
        value,
        baseline,
        [sentences.contribution(say, factor, effect) for factor, effect in parts.items()],
        decimals=DECIMALS,
        other_label=say("factor.other"),
    )
    low, high = (interval.low, interval.high) if interval else (None, None)
    needed = BY_NAME[row["cadence"]].known
    key = "silent" if facts["is_silent"] else "few" if facts["known"] < needed else why
    sentence = sentences.by_rule(say, row, value, key, needed)
    return Prediction(
        subject=Subject(**row["subject"]),
        status="fallback",
        rung="rule",
        value=value,
        unit=UNIT,
        interval=interval,
        confidence_label="low",
        coverage=None if facts["rule_coverage"] is None else round(facts["rule_coverage"], 4),
        observations=facts["known"],
        baseline=baseline,
        contributions=kept,
        summary=sentence + sentences.over(say, row, value if high is None else high),
        details=details(
            row, (low, value, high), RULE, {} if unit is None else unit["alternatives"],
            say("why.untrained") if unit is None else sentences.why(say, unit),
        ),
        records=facts["known"] + 1,
    )  # fmt: skip


def with_series(rows: Sequence[FeatureRow], events: Callable[[list[FeatureRow]], list[Prediction]]) -> list[Prediction]:
    """Event rows and the occurrences inside series rows in one batch, then each row's own prediction.

    An occurrence that stands in the batch as an event too is the same row, and predicted once.
    """
    flat: list[FeatureRow] = []
    place: dict[int, int] = {}
    for row in rows:
        for one in row["occurrences"] if row["subject"]["kind"] == "series" else [row]:
            if id(one) not in place:
                place[id(one)] = len(flat)
                flat.append(one)
    found = events(flat)
    return [
        _series(row, [found[place[id(one)]] for one in row["occurrences"]])
        if row["subject"]["kind"] == "series"
        else found[place[id(row)]]
        for row in rows
    ]


def refused(row: FeatureRow, reason: str) -> Prediction:
    """No value, with the sentence that says why and what would mend it."""
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
        details=details(row, (None, None, None), None, {}, reason),
        records=0,
    )


def details(
    row: FeatureRow,
    quantiles: tuple[float | None, float | None, float | None],
    family: str | None,
    errors: Mapping[str, float],
    why: str,
) -> dict[str, Any]:
    """What every attendance insight carries; `alternatives` are candidates with their MASE on this series.

    An event that is expected to fill its capacity sells out by its start; when exactly, only its sales can tell.
    """
    capacity, middle = row.get("capacity"), quantiles[1]
    is_full = bool(capacity and middle is not None and middle >= capacity and row["features"].get("capacity"))
    return {
        "p10": quantiles[0],
        "p50": middle,
        "p90": quantiles[2],
        "capacity": capacity,
        "sell_out_at": row["at"] if is_full else None,
        "family": family,
        "alternatives": alternatives(METRIC, errors),
        "why": why,
    }


def matrix_of(rows: Sequence[FeatureRow]) -> Floats:
    """The rows' features as a matrix, NaN where unknown."""
    return np.array(
        [[np.nan if row["features"][name] is None else row["features"][name] for name in FEATURES] for row in rows],
        dtype=np.float64,
    ).reshape(len(rows), len(FEATURES))


def confidence(value: float, low: float, high: float) -> str:
    """How sure an interval is, by its width relative to the value."""
    width = (high - low) / 2 / value if value > 0 else float("inf")
    if width <= HIGH_WIDTH:
        return "high"
    return "medium" if width <= MEDIUM_WIDTH else "low"


def _interval(facts: Mapping[str, Any], raw: Floats, capacity: Floats, value: float) -> Interval | None:
    if facts["rule_low"] is None:
        return None
    ends = candidates.capped(raw + np.array([facts["rule_low"], facts["rule_high"]]), capacity)
    low, high = (rounded(float(end), DECIMALS) for end in ends)
    return Interval(LEVEL, min(low, value), max(high, value))


def _series(row: FeatureRow, occurrences: Sequence[Prediction]) -> Prediction:
    """The next occurrence that has a value speaks for the series; `horizon` lists them all."""
    say = sentences.words_of(row)
    if not occurrences:
        found = refused({**row, "features": {}, "at": None}, "")
        reason = sentences.refusal(say, "no_occurrence", row, horizon=say.number(DAILY.horizon))
        return replace(found, summary=reason, details={**found.details, "why": reason, "horizon": []})
    known = [
        (source, found)
        for source, found in zip(row["occurrences"], occurrences, strict=True)
        if found.value is not None
    ]
    source, first = known[0] if known else (row["occurrences"][0], occurrences[0])
    horizon = [{"at": one["at"], **{key: found.details[key] for key in ("p10", "p50", "p90")}} for one, found in known]
    full = [found.details["sell_out_at"] for _, found in known if found.details["sell_out_at"]]
    return replace(
        first,
        subject=Subject(**row["subject"]),
        summary=sentences.upcoming(say, source, first.summary) if first.value is not None else first.summary,
        details={**first.details, "sell_out_at": full[0] if full else None, "horizon": horizon},
    )
