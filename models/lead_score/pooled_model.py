"""The pooled lead model: feature rows that carry their partner's own rate in, predictions with reasons out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.errors import Defect
from integrator.contracts.insight import Contribution, Interval, Subject
from models.alternatives import alternatives
from models.base import FeatureRow, Prediction
from models.lead_score import calibration, explain, rates
from models.lead_score import pooled_design as shape
from models.lead_score import pooled_fit as fit
from models.pooling.base import POOLED
from models.pooling.sharing import CANDIDATE
from models.pooling.words import say

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

STATE_VERSION = 1
LEAST_LEADS = 20
"""Leads with a known outcome that a partner needs before its own rate means anything; the rule asks for more."""
RECENT_LEADS = 200


def facts_of(
    state: Mapping[str, Any],
    rows: Sequence[FeatureRow],
    outcome: Floats,
    moments: NDArray[np.int64],
    persons: Indices,
) -> dict[str, Any] | None:
    """A partner's own recent rate, shrunk, and the intercept that gives it on those leads; None where too few are known.

    The same recent leads as the rule's, or more of them where these are few. A partner none of whose leads converted
    tells no conversions: None as well.
    """
    if not len(rows):
        return None
    late = np.flatnonzero(moments >= np.quantile(moments, 1 - rates.RECENT_SHARE))
    if len(late) < RECENT_LEADS:
        late = np.argsort(moments, kind="stable")[-RECENT_LEADS:]
    conversions = int(outcome[late].sum())
    if len(late) < LEAST_LEADS or not outcome.any():
        return None
    rate = fit.shrunk_rate(conversions, len(late), state["rate"])
    tilts = fit.tilt(state, shape.matrix(state["columns"], [rows[i] for i in late.tolist()]))
    return {
        "leads": len(late),
        "conversions": conversions,
        "persons": len(np.unique(persons[late])),
        "rate": round(rate, 6),
        "intercept": round(fit.intercept(tilts, rate), 6),
    }


class PooledLeads:
    """Shared slopes over comparable fields; the level is each row's own partner's, which stands in the row."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """`state` as pooled.py makes it; Defect when its `state_version` is unknown."""
        if state.get("state_version") != STATE_VERSION:
            raise Defect(
                f"pooled lead_score state_version {state.get('state_version')!r} is unknown; known: {STATE_VERSION}"
            )
        self._state = dict(state)
        owners = [str(column["owner"]) for column in state["columns"]]
        self._owners = [
            {"owner": owner, "kind": next(c["kind"] for c in state["columns"] if c["owner"] == owner)}
            for owner in sorted(set(owners))
        ]
        self._place = np.array([sorted(set(owners)).index(owner) for owner in owners], dtype=np.intp)

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return dict(self._state)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row, in order; a row without its partner's own rate is the rule's."""
        if not rows:
            return []
        matrix = shape.matrix(self._state["columns"], rows)
        parts = matrix * np.asarray(self._state["slopes"])
        tilts = fit.tilt(self._state, matrix)
        rule = rates.BaseRate()
        return [
            self._one(row, parts[i], float(tilts[i])) if row.get(POOLED) else rule.predict([row])[0]
            for i, row in enumerate(rows)
        ]

    def _one(self, row: FeatureRow, parts: Floats, tilt: float) -> Prediction:
        own = row[POOLED]
        words = explain.language_of(row)
        odds = np.array([own["intercept"] + tilt])
        probability = float(calibration.sigmoid(odds)[0])
        units, base = (round(value * explain.UNIT) for value in (probability, own["rate"]))
        value, baseline = units / explain.UNIT, base / explain.UNIT
        contributions, reasons = self._reasons(row, parts, float(odds[0]), units - base)
        low, high = self._bounds(probability, own["persons"], units)
        return Prediction(
            subject=Subject("contact", str(row["contact_id"]), str(row["platform"])),
            status="ready",
            rung="pooled",
            value=value,
            unit="probability",
            interval=Interval(calibration.LEVEL, low, high),
            # How much another partner's leads say of one's own is not known well: never high.
            confidence_label="low" if low <= baseline <= high else "medium",
            coverage=None if self._state["coverage"] is None else round(self._state["coverage"], 4),
            observations=int(own["persons"]),
            baseline=baseline,
            contributions=contributions,
            summary=_summary(row, value, baseline, reasons),
            details={
                **self._standing(tilt),
                "trend": explain.trend(probability, row.get("earlier_probability")),
                "horizon_days": row["horizon_days"],
                "what_would_change_it": [],
                "family": CANDIDATE,
                "alternatives": alternatives(rates.METRIC, self._state["alternatives"]),
                "why": say(
                    "lead_score.why", words.language,
                    pooled=words.number(self._state["alternatives"][CANDIDATE], 4),
                    rule=words.number(self._state["alternatives"][rates.RULE], 4),
                ),
            },
            records=1 + int(row.get("purchases") or 0),
        )  # fmt: skip

    def _reasons(
        self, row: FeatureRow, parts: Floats, odds: float, difference: int
    ) -> tuple[tuple[Contribution, ...], list[tuple[str, str]]]:
        """Contributions by field that sum to `difference` units, and name and value of the strongest on that side."""
        words = explain.language_of(row)
        phi = np.zeros(len(self._owners))
        np.add.at(phi, self._place, parts)
        base = float(calibration.logit(np.array([row[POOLED]["rate"]]))[0])
        distance = odds - base
        flat = abs(distance) < 1e-9
        rate = row[POOLED]["rate"]
        scale = rate * (1 - rate) if flat else difference / explain.UNIT / distance
        found, kept = explain.parts(self._owners, phi.tolist(), scale, row, words, difference)
        return found, explain.strongest(self._owners, kept, found, difference > 0, row, words)

    def _bounds(self, probability: float, persons: int, units: int) -> tuple[float, float]:
        size = fit.known_from(np.array([probability]), persons, self._state["variance"])
        low, high = calibration.jeffreys(np.array([probability]) * size, size)
        return (
            min(round(float(low[0]) * explain.UNIT), units) / explain.UNIT,
            max(round(float(high[0]) * explain.UNIT), units) / explain.UNIT,
        )

    def _standing(self, tilt: float) -> dict[str, Any]:
        """Where the lead stands among all partners' leads, each against its own rate; there is no rank among strangers."""
        centiles = np.asarray(self._state["centiles"])
        share = (np.searchsorted(centiles, tilt, "left") + np.searchsorted(centiles, tilt, "right")) / 2 / len(centiles)
        grade = next((name for name, least in calibration.GRADES if share >= least), "D")
        return {"score": int(min(99, max(1, 1 + int(share * 99)))), "grade": grade, "rank": None}


def _summary(row: FeatureRow, value: float, baseline: float, reasons: Sequence[tuple[str, str]]) -> str:
    words = explain.language_of(row)
    told = [words("summary.reason", name=f"{name[:1].lower()}{name[1:]}", value=shown) for name, shown in reasons]
    both = say("lead_score.both", words.language, first=told[0], second=told[1]) if len(told) == 2 else "".join(told)
    horizon = row["horizon_days"]
    return say(
        "lead_score.summary", words.language,
        probability=words.percent(value, 1), baseline=words.percent(baseline, 1),
        within="" if horizon is None else say("lead_score.within", words.language, horizon=horizon),
        because=say("lead_score.because", words.language, reasons=both) if told else "",
    )  # fmt: skip
