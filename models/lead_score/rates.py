"""The naive rule: the recent conversion rate, by source where there are enough leads. Learns nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from integrator.contracts.insight import Contribution, Interval, Subject
from models.base import FeatureRow, Prediction
from models.lead_score import calibration
from models.lead_score.explain import shortened
from models.rounding import additive, rounded

Floats = NDArray[np.float64]

RECENT_SHARE = 0.25
LEAST_LEADS = 50
SOURCE_LEADS = 200
SOURCE_CONVERSIONS = 10
STATE_VERSION = 1
_DECIMALS = 4


def recent(rows: Sequence[FeatureRow], outcome: Floats, moments: NDArray[np.int64]) -> dict[str, Any]:
    """JSON-able counts over the latest quarter of labelled rows: `leads`, `conversions`, and the same `by_source`."""
    if not len(rows):
        return {"leads": 0, "conversions": 0, "by_source": {}}
    late = np.flatnonzero(moments >= np.quantile(moments, 1 - RECENT_SHARE))
    by_source: dict[str, list[int]] = {}
    for i in late.tolist():
        found = by_source.setdefault(str(rows[i].get("source") or ""), [0, 0])
        found[0] += 1
        found[1] += int(outcome[i])
    enough = {s: c for s, c in sorted(by_source.items()) if c[0] >= SOURCE_LEADS and c[1] >= SOURCE_CONVERSIONS}
    return {"leads": len(late), "conversions": int(outcome[late].sum()), "by_source": enough}


def probabilities(rates: Mapping[str, Any], rows: Sequence[FeatureRow]) -> Floats:
    """The rule's probability of each row: its source's rate, else the overall one."""
    return np.array([_counts(rates, row)[1] / _counts(rates, row)[0] for row in rows], dtype=np.float64)


class BaseRate:
    """The rule as a model. Without rates of its own it uses those a row carries, and refuses where there are none."""

    def __init__(self, rates: Mapping[str, Any] | None = None) -> None:
        """`rates` as `recent` counts them; None reads them from each row."""
        self.rates = rates

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        """One prediction per row: rung `rule`, status `fallback` or `refused`."""
        return [self._one(row) for row in rows]

    def state(self) -> dict[str, Any]:
        """See `FittedModel.state`."""
        return {
            "state_version": STATE_VERSION,
            "model": "base_rate",
            "rates": None if self.rates is None else dict(self.rates),
        }

    def _one(self, row: FeatureRow) -> Prediction:
        rates = row.get("rates") if self.rates is None else self.rates
        horizon = int(row["horizon_days"])
        details: dict[str, Any] = {
            "score": None,
            "grade": None,
            "rank": None,
            "trend": "not_enough_information",
            "horizon_days": horizon,
            "what_would_change_it": [],
        }
        subject = Subject("contact", str(row["contact_id"]), str(row["platform"]))
        if rates is None or rates["leads"] < LEAST_LEADS:
            known = 0 if rates is None else rates["leads"]
            return Prediction(
                subject=subject, status="refused", rung="rule", value=None, unit="probability", interval=None,
                confidence_label="low", coverage=None, observations=known, baseline=None, contributions=(),
                summary=f"No score: the outcome of {known} leads is known, a conversion rate needs {LEAST_LEADS}. "
                f"{LEAST_LEADS - known} more leads whose outcome is known would give one.",
                details=details, records=1,
            )  # fmt: skip
        leads, conversions, source = _counts(rates, row)
        value = rounded(conversions / leads, _DECIMALS)
        baseline = rounded(rates["conversions"] / rates["leads"], _DECIMALS)
        part = Contribution("source", f"Source: {shortened(source)}", value - baseline, False)
        low, high = calibration.jeffreys(conversions, leads)
        among = f"recent leads from {shortened(source)}" if source else "recent leads"
        return Prediction(
            subject=subject, status="fallback", rung="rule", value=value, unit="probability",
            interval=Interval(calibration.LEVEL, min(rounded(low, 4), value), max(rounded(high, 4), value)),
            confidence_label="low", coverage=None, observations=leads, baseline=baseline,
            contributions=additive(value, baseline, [part], decimals=_DECIMALS),
            summary=f"{conversions} of {leads} {among} converted within {horizon} days: {value:.1%} for each of them. "
            "A model of your own replaces this rate once it forecasts better.",
            details=details, records=1,
        )  # fmt: skip


def _counts(rates: Mapping[str, Any], row: FeatureRow) -> tuple[int, int, str]:
    source = str(row.get("source") or "")
    if source in rates["by_source"]:
        leads, conversions = rates["by_source"][source]
        return leads, conversions, source
    return rates["leads"], rates["conversions"], ""
