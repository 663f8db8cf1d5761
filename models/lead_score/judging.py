"""How the candidates did on rows they were not fitted to: scores, by segment too, and what a model card says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Choice, Score
from models.evaluation import auc, brier, calibration_error, log_loss
from models.lead_score import attributes, calibration, rates
from models.lead_score.columns import BUILT_IN
from models.lead_score.fitting import Fitted, Labelled
from models.lead_score.rates import RULE
from models.messages import Catalogue

Floats = NDArray[np.float64]

EVERYBODY = "all leads"
_SEGMENT_ROWS = 300
_SEGMENT_CONVERSIONS = 15


@dataclass
class Said:
    """What each candidate said of the test rows of each split, and how often its intervals held there."""

    outcomes: list[Floats] = field(default_factory=list)
    sources: list[NDArray[Any]] = field(default_factory=list)
    probabilities: dict[str, list[Floats]] = field(default_factory=dict)
    uncalibrated: dict[str, list[Floats]] = field(default_factory=dict)
    coverages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, train_part: Labelled, test_part: Labelled, fitted: Fitted) -> None:
        """One split's: the rule learned from the training rows, the candidates as fitted to them."""
        known = rates.recent(
            train_part.rows, train_part.outcome, train_part.moments, train_part.persons, train_part.horizon_seconds
        )
        self.outcomes.append(test_part.outcome)
        self.sources.append(np.array([str(row.get("source") or "") for row in test_part.rows]))
        self.probabilities.setdefault(RULE, []).append(rates.probabilities(known, test_part.rows))
        if known["coverage"] is not None:
            self.coverages.setdefault(RULE, []).append(known["coverage"])
        for name, model in fitted.models.items():
            self.heard(
                name, model.raw(attributes.transform(model.encoder, test_part.table)), model.calibrated, test_part
            )

    def heard(self, name: str, raw: Floats, calibrated: dict[str, Any], test_part: Labelled) -> None:
        """One candidate's log-odds of a split's test rows, and how it was calibrated without them."""
        held = calibration.coverage(calibrated, raw, test_part.outcome, test_part.persons)
        self.probabilities.setdefault(name, []).append(calibration.apply(calibrated, raw))
        self.uncalibrated.setdefault(name, []).append(calibration.sigmoid(raw))
        self.coverages.setdefault(name, []).append(held)

    def together(self) -> tuple[Floats, dict[str, Floats]]:
        """Outcomes of all splits' test rows, and every candidate's probabilities of them."""
        return np.concatenate(self.outcomes), {
            name: np.concatenate(found)
            for name, found in self.probabilities.items()
            if len(found) == len(self.outcomes)  # a candidate that one split gave nothing to learn from is out
        }


def scores(said: Said) -> tuple[Score, ...]:
    """One score for each candidate, the rule first."""
    outcome, probabilities = said.together()
    cases = sum(calibration.judged_bins(part) for part in said.outcomes)
    found = []
    for name, probability in probabilities.items():
        metrics = metrics_of(outcome, probability)
        if name in said.uncalibrated:
            metrics["log_loss_uncalibrated"] = log_loss(outcome, np.concatenate(said.uncalibrated[name]))
        held = said.coverages.get(name)
        found.append(
            Score(
                candidate=name,
                is_rule=name == RULE,
                metrics=metrics,
                coverage=float(np.mean(held)) if held else None,
                coverage_cases=None if name == RULE else cases,
                segments=_segments(said, probability),
            )
        )
    return tuple(found)


def metrics_of(outcome: Floats, probability: Floats) -> dict[str, float]:
    """Log-loss, AUC, expected calibration error, Brier, and how many conversions the top fifth holds."""
    top = np.argsort(-probability, kind="stable")[: max(1, len(outcome) // 5)]
    return {
        "log_loss": log_loss(outcome, probability),
        "auc": auc(outcome, probability),
        "ece": calibration_error(outcome, probability),
        "brier": brier(outcome, probability),
        "lift_top_fifth": float(outcome[top].mean() / outcome.mean()),
        "recall_top_fifth": float(outcome[top].sum() / outcome.sum()),
    }


def choices(found: Sequence[Score], chosen: Score, said: Said, words: Catalogue) -> list[Choice]:
    """What was taken for all leads and, beside what would have been best there, for each source with rows enough."""
    losses = {score.candidate: score.metrics["log_loss"] for score in found}
    rule, mine = words.number(losses[RULE], 4), words.number(losses[chosen.candidate], 4)
    key = "why.rule_best" if chosen.is_rule else "why.best"
    why = words(key, family=chosen.candidate, score=mine, rule=rule)
    outcome = np.concatenate(said.outcomes)
    sources = np.concatenate(said.sources)
    listed = [Choice(subject=EVERYBODY, family=chosen.candidate, scores=losses, why=why, observations=len(outcome))]
    for segment in sorted(chosen.segments):
        here = {score.candidate: score.segments[segment] for score in found}
        best = min(here, key=lambda name: here[name])
        told = {"family": chosen.candidate, "score": words.number(here[chosen.candidate], 4), "best": best}
        key = "why.segment_best" if best == chosen.candidate else "why.segment_other"
        rows = int((sources == segment.removeprefix("source=")).sum())
        why = words(key, lowest=words.number(here[best], 4), **told)
        listed.append(Choice(subject=segment, family=chosen.candidate, scores=here, why=why, observations=rows))
    return listed


def described(data: Labelled) -> dict[str, Any]:
    """What the training rows are, for the model card: counts, span of time, and how much of each field is missing."""
    missing = {name: data.table.text(name).null_count() for name in attributes.names(data.rows)}
    found: dict[str, Any] = {
        "rows": len(data.rows),
        "persons": len(np.unique(data.persons)),
        "conversions": int(data.outcome.sum()),
        "rate": round(float(data.outcome.mean()), 4),
        "horizon_days": data.horizon_days,
        "fields": len(missing) - len(BUILT_IN),
        "share_missing": {name: round(count / len(data.rows), 3) for name, count in missing.items() if count},
    }
    if data.is_dated:
        first, last = (datetime.fromtimestamp(int(at), UTC) for at in (data.moments.min(), data.moments.max()))
        found |= {"from": first.date().isoformat(), "to": last.date().isoformat()}
    return found


def _segments(said: Said, probability: Floats) -> dict[str, float]:
    """Log-loss by source, where a source has enough rows and conversions to say anything."""
    outcome, sources = np.concatenate(said.outcomes), np.concatenate(said.sources)
    found = {}
    for source in np.unique(sources).tolist():
        inside = sources == source
        if source and inside.sum() >= _SEGMENT_ROWS and outcome[inside].sum() >= _SEGMENT_CONVERSIONS:
            found[f"source={source}"] = log_loss(outcome[inside], probability[inside])
    return found
