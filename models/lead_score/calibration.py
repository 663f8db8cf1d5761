"""From log-odds to a probability to rely on: Platt scaling, an interval by bin, and a lead's place among others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, betabinom
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]

LEVEL = 0.8
GRADES = (("A", 0.90), ("B", 0.70), ("C", 0.40))
"""A grade's share of the leads it was calibrated on that score lower: A is the top tenth. The rest is D."""
_MAX_BINS = 10
_BIN_CONVERSIONS = 15
_DRIFT_BLOCKS = 5


def fit(log_odds: Floats, outcome: Floats, groups: NDArray[np.intp], drifts: float) -> dict[str, Any]:
    """Learn slope, intercept, bins and the reference leads from a slice later than the model's own training.

    Platt 1999, "Probabilistic outputs for support vector machines"; near-unpenalized, slope kept positive so
    that the order of leads stays. A bin counts persons, not snapshots: one person's snapshots are not independent.
    """
    model = LogisticRegression(C=1e4, max_iter=200).fit(log_odds[:, None], outcome)
    slope = max(float(model.coef_[0, 0]), 0.05)
    calibration: dict[str, Any] = {"slope": slope, "intercept": float(model.intercept_[0]), "drift": drifts}
    probability = apply(calibration, log_odds)
    bins = int(np.clip(outcome.sum() // _BIN_CONVERSIONS, 1, _MAX_BINS))
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    inside = np.searchsorted(edges, probability, side="right")
    full = [b for b in range(len(edges) + 1) if (inside == b).any()]
    # Tied probabilities can leave a bin empty; its edge goes with it.
    calibration["edges"] = np.array([edges[b - 1] for b in full[1:]])
    calibration["bins"] = [_bin(probability[inside == b], outcome[inside == b], groups[inside == b]) for b in full]
    calibration["reference"] = np.sort(np.round(probability, 6))
    return calibration


def apply(calibration: dict[str, Any], log_odds: Floats) -> Floats:
    """Calibrated probability."""
    return sigmoid(calibration["slope"] * log_odds + calibration["intercept"])


def interval(calibration: dict[str, Any], probability: Floats) -> tuple[Floats, Floats]:
    """The range for the share that converts among as many leads like this one as its bin was learned from.

    Jeffreys interval (Brown, Cai & DasGupta 2001) around the bin's rate, moved to the lead's own probability on the
    log-odds scale. Its size n has 1/n = 1/n_bin + 1/n_group: what is uncertain is the rate that was learned, how
    it drifts, and the group observed. It always holds the probability itself.
    """
    centre, known = _posterior(calibration, probability)
    size = known / 2
    tail = (1 - LEVEL) / 2
    low = beta.ppf(tail, centre * size + 0.5, (1 - centre) * size + 0.5)
    high = beta.ppf(1 - tail, centre * size + 0.5, (1 - centre) * size + 0.5)
    return np.minimum(low, probability), np.maximum(high, probability)


def judged_bins(outcome: Floats) -> int:
    """In how many bins coverage is judged: five conversions each, between 5 and 50."""
    return int(np.clip(outcome.sum() // 5, 5, 50))


def coverage(calibration: dict[str, Any], probability: Floats, outcome: Floats, groups: NDArray[np.intp]) -> float:
    """Share of equal test bins whose observed rate lies inside the interval for a group of their size.

    Small groups have few possible rates, so a group counts by the part of its count's probability span, F(k − 1) to
    F(k) of the beta-binomial, that lies in the middle 80 % (the non-randomized PIT of Czado, Gneiting & Held 2009):
    whole-number bounds alone would cover more than they promise.
    """
    bins = judged_bins(outcome)
    order = np.argsort(probability, kind="stable")
    hits = []
    for part in (part for part in np.array_split(order, bins) if len(part)):
        persons = len(np.unique(groups[part]))
        centre, known = (float(found.mean()) for found in _posterior(calibration, probability[part]))
        predictive = betabinom(persons, centre * known + 0.5, (1 - centre) * known + 0.5)
        count = round(float(outcome[part].mean()) * persons)
        below, upto = float(predictive.cdf(count - 1)), float(predictive.cdf(count))
        inside = min(upto, (1 + LEVEL) / 2) - max(below, (1 - LEVEL) / 2)
        hits.append(max(0.0, inside) / max(upto - below, 1e-12))
    return float(np.mean(hits))


def drift(outcome: Floats, moments: NDArray[np.int64], groups: NDArray[np.intp]) -> float:
    """How much the log-odds of the rate move from one fifth of the time to the next: mean squared step beyond chance.

    The moment estimate of a variance component (DerSimonian & Laird 1986), on successive differences.
    """
    steps = []
    before: tuple[float, float] | None = None
    for part in np.array_split(np.argsort(moments, kind="stable"), _DRIFT_BLOCKS):
        persons = len(np.unique(groups[part]))
        rate = (float(outcome[part].mean()) * persons + 0.5) / (persons + 1)
        now = (float(np.log(rate / (1 - rate))), 1 / (persons * rate * (1 - rate)))
        if before is not None:
            steps.append((now[0] - before[0]) ** 2 - now[1] - before[1])
        before = now
    return max(0.0, float(np.mean(steps)))


def jeffreys(conversions: float, size: float) -> tuple[float, float]:
    """The 80 % interval of a rate (Brown, Cai & DasGupta 2001); counts may be fractions."""
    tail = (1 - LEVEL) / 2
    low, high = beta.ppf([tail, 1 - tail], conversions + 0.5, size - conversions + 0.5)
    return float(low), float(high)


def persons_behind(calibration: dict[str, Any], probability: float) -> int:
    """How many persons the interval of this probability was learned from."""
    found: int = calibration["bins"][int(np.searchsorted(calibration["edges"], probability, side="right"))]["persons"]
    return found


def place(calibration: dict[str, Any], probability: float) -> dict[str, Any]:
    """`score` (1–99), `grade`, `rank` and `ranked_among`: the lead's place among the reference leads in the model.

    Fixed with the model, so a lead's place never depends on who happens to be scored beside it: rank is one
    plus the number of reference leads above it, among them and itself.
    """
    reference = calibration["reference"]
    below = int(np.searchsorted(reference, round(probability, 6), side="left"))
    not_above = int(np.searchsorted(reference, round(probability, 6), side="right"))
    share = (below + not_above) / 2 / len(reference)
    grade = next((name for name, least in GRADES if share >= least), "D")
    return {
        "score": int(min(99, max(1, 1 + int(share * 99)))),
        "grade": grade,
        "rank": len(reference) - not_above + 1,
        "ranked_among": len(reference) + 1,
    }


def sigmoid(value: Floats) -> Floats:
    """1 / (1 + e^−x), safe at both ends."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * value))
    return result


def logit(rate: Floats) -> Floats:
    """Log-odds, rates clipped to [1e-9, 1 − 1e-9]."""
    clipped = np.clip(rate, 1e-9, 1 - 1e-9)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def _posterior(calibration: dict[str, Any], probability: Floats) -> tuple[Floats, Floats]:
    """(rate expected of leads with this probability, on how many persons' worth of knowledge)."""
    inside = np.searchsorted(calibration["edges"], probability, side="right")
    persons = np.array([part["persons"] for part in calibration["bins"]], dtype=np.float64)
    rate = np.array([part["rate"] for part in calibration["bins"]])
    mean = np.array([part["mean"] for part in calibration["bins"]])
    shift = logit((rate * persons + 0.5) / (persons + 1)) - logit(mean)
    centre = sigmoid(logit(probability) + shift[inside])
    spread = centre * (1 - centre)
    return centre, 1 / (1 / persons[inside] + spread * calibration["drift"])


def _bin(probability: Floats, outcome: Floats, groups: NDArray[np.intp]) -> dict[str, Any]:
    return {"mean": float(probability.mean()), "rate": float(outcome.mean()), "persons": len(np.unique(groups))}
