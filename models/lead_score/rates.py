"""The naive rule: the recent conversion rate, by source where there are enough leads. Learns nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.insight import Contribution, Interval, Rung, Subject
from models.alternatives import alternatives
from models.base import FeatureRow, Prediction
from models.lead_score import calibration, explain

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

RULE = "base_rate"
METRIC = "log_loss"
RECENT_SHARE = 0.25
LEAST_LEADS = 50
SOURCE_LEADS = 200
SOURCE_CONVERSIONS = 10
STATE_VERSION = 2
_BLOCKS = 8
"""Into how many parts of the time the past is cut to see how often the rule's intervals held."""


def recent(
    rows: Sequence[FeatureRow],
    outcome: Floats,
    moments: NDArray[np.int64],
    persons: Indices | None = None,
    horizon_seconds: int = 0,
) -> dict[str, Any]:
    """JSON-able counts over the latest quarter of labelled rows: `leads`, `conversions`, `persons`, and by source.

    With `drift`, how the rate moves, and `coverage`: how often in the past the interval made the same way, of what was
    known then, held the rate that followed. Without `persons` every row is one.
    """
    if not len(rows):
        return {"leads": 0, "conversions": 0, "persons": 0, "by_source": {}, "drift": 0.0, "coverage": None}
    who = np.arange(len(rows)) if persons is None else persons
    sources = np.array([str(row.get("source") or "") for row in rows])
    drifts = calibration.drift(outcome, moments, who)
    found = _counted(sources, outcome, who, _latest(moments, np.arange(len(rows))))
    hits = list(_past_hits(sources, outcome, moments, who, drifts, horizon_seconds))
    return {**found, "drift": drifts, "coverage": round(float(np.mean(hits)), 4) if hits else None}


def probabilities(rates: Mapping[str, Any], rows: Sequence[FeatureRow]) -> Floats:
    """The rule's probability of each row: its source's rate, else the overall one."""
    counts = [_counts(rates, str(row.get("source") or "")) for row in rows]
    return np.array([conversions / leads for leads, conversions, _, _ in counts], dtype=np.float64)


class BaseRate:
    """The rule as a model. Without rates of its own it uses those a row carries, and refuses where there are none."""

    def __init__(self, rates: Mapping[str, Any] | None = None, scores: Mapping[str, float] | None = None) -> None:
        """`rates` as `recent` counts them; None reads them from each row. `scores` are its backtest's, by candidate."""
        self.rates = rates
        self.scores = dict(scores or {})

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row: rung `rule`, status `fallback` or `refused`."""
        return [self._one(row) for row in rows]

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {
            "state_version": STATE_VERSION,
            "model": "base_rate",
            "rates": None if self.rates is None else dict(self.rates),
            "scores": self.scores,
        }

    def _one(self, row: FeatureRow) -> Prediction:
        rates = row.get("rates") if self.rates is None else self.rates
        words = explain.language_of(row)
        within = explain.within(row["horizon_days"], words)
        known = 0 if rates is None else int(rates["leads"])
        if rates is None or known < LEAST_LEADS:
            lacking = {"leads": known, "needed": LEAST_LEADS, "lacking": LEAST_LEADS - known}
            return unscored(row, words("rule.too_few", **lacking), known, self.scores)
        if not rates["conversions"]:
            # No rate at all is a platform that tells no conversions far more often than leads that are all worthless.
            return unscored(row, words("rule.none_converted", leads=known, within=within), known, self.scores)
        leads, conversions, persons, source = _counts(rates, str(row.get("source") or ""))
        units = round(conversions / leads * explain.UNIT)
        baseline = round(rates["conversions"] / rates["leads"] * explain.UNIT)
        shown = explain.shortened(source)
        low, high = _interval(conversions / leads, persons, rates.get("drift", 0.0))
        told: dict[str, Any] = {
            "conversions": conversions, "leads": leads, "source": shown, "within": within,
            "probability": words.percent(units / explain.UNIT, 1), "next": words("rule.next"),
        }  # fmt: skip
        label = words("label.valued", name=words("label.source"), value=shown)
        effect = (units - baseline) / explain.UNIT
        return Prediction(
            subject=_subject(row), status="fallback", rung="rule", value=units / explain.UNIT, unit="probability",
            interval=Interval(
                calibration.LEVEL,
                min(round(low * explain.UNIT), units) / explain.UNIT,
                max(round(high * explain.UNIT), units) / explain.UNIT,
            ),
            confidence_label="low", coverage=rates.get("coverage"), observations=leads,
            baseline=baseline / explain.UNIT,
            contributions=(Contribution("source", label, effect, False),) if effect else (),
            summary=words("rule.rate_of_source" if source else "rule.rate", **told),
            details=_details(row, self.scores), records=1,
        )  # fmt: skip


def unscored(
    row: FeatureRow, reason: str, known: int, scores: Mapping[str, float] | None = None, rung: Rung = "rule"
) -> Prediction:
    """A refusal with its reason; `known` is of how many leads the outcome is known."""
    return Prediction(
        subject=_subject(row), status="refused", rung=rung, value=None, unit="probability", interval=None,
        confidence_label="low", coverage=None, observations=known, baseline=None, contributions=(), summary=reason,
        details=_details(row, scores or {}), records=1,
    )  # fmt: skip


def _subject(row: FeatureRow) -> Subject:
    return Subject("contact", str(row["contact_id"]), str(row["platform"]))


def _details(row: FeatureRow, scores: Mapping[str, float]) -> dict[str, Any]:
    return {
        "score": None,
        "grade": None,
        "rank": None,
        "trend": "not_enough_information",
        "horizon_days": row["horizon_days"],
        "what_would_change_it": [],
        "family": RULE,
        "alternatives": alternatives(METRIC, scores),
        "why": explain.why(RULE, scores, explain.language_of(row)),
    }


def _latest(moments: NDArray[np.int64], index: Indices) -> Indices:
    """The latest quarter of some rows."""
    return index[moments[index] >= np.quantile(moments[index], 1 - RECENT_SHARE)]


def _counted(sources: NDArray[Any], outcome: Floats, persons: Indices, index: Indices) -> dict[str, Any]:
    """Counts of some rows: [leads, conversions, persons] by source where there are enough, and of all."""
    by_source: dict[str, list[int]] = {}
    for source in np.unique(sources[index]).tolist():
        own = index[sources[index] == source]
        leads, conversions = len(own), int(outcome[own].sum())
        if leads >= SOURCE_LEADS and conversions >= SOURCE_CONVERSIONS:
            by_source[str(source)] = [leads, conversions, len(np.unique(persons[own]))]
    return {
        "leads": len(index),
        "conversions": int(outcome[index].sum()),
        "persons": len(np.unique(persons[index])),
        "by_source": by_source,
    }


def _counts(rates: Mapping[str, Any], source: str) -> tuple[int, int, int, str]:
    """(leads, conversions, persons, source) that the rule goes by; without a rate of its own a source has the overall."""
    if source in rates["by_source"]:
        leads, conversions, *persons = rates["by_source"][source]
        return leads, conversions, persons[0] if persons else leads, source
    return rates["leads"], rates["conversions"], rates.get("persons", rates["leads"]), ""


def _interval(rate: float, persons: int, drifts: float) -> tuple[float, float]:
    """For the share that converts among as many persons as it was learned from, as `calibration.interval` has it."""
    known = calibration.known_persons(np.array([float(persons)]), np.array([rate]), drifts) / 2
    low, high = calibration.jeffreys(rate * known, known)
    return float(low[0]), float(high[0])


def _past_hits(
    sources: NDArray[Any],
    outcome: Floats,
    moments: NDArray[np.int64],
    persons: Indices,
    drifts: float,
    horizon_seconds: int,
) -> Iterator[float]:
    """For each part of the past and each rate in use there, how far the rate that followed lies in its interval."""
    starts = np.unique(np.quantile(moments, np.linspace(0, 1, _BLOCKS + 1)[1:-1], method="nearest"))
    for start, end in zip(starts, [*starts[1:], moments.max() + 1], strict=True):
        before = np.flatnonzero((moments + horizon_seconds <= start) & (moments < start))
        block = np.flatnonzero((moments >= start) & (moments < end))
        if len(before) < LEAST_LEADS or len(block) < LEAST_LEADS:
            continue
        then = _counted(sources, outcome, persons, _latest(moments, before))
        groups = np.where(np.isin(sources[block], list(then["by_source"])), sources[block], "")
        for source in np.unique(groups).tolist():
            leads, conversions, people, _ = _counts(then, str(source))
            rate = conversions / leads
            known = calibration.known_persons(np.array([float(people)]), np.array([rate]), drifts)
            own = block[groups == source]
            yield calibration.hit(rate, float(known[0]), outcome[own], persons[own])
