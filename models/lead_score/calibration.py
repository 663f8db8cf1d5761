"""From log-odds to a probability to rely on: Venn–Abers, an interval by bin, and a lead's place among others.

Kept as plain arrays: for each level of log-odds the pair of isotonic rates of Venn–Abers (`low`, `high`), and the points
(`at`, `rate`) that the calibrated rate is read between. How a scorer is fitted, and on which leads it is calibrated, is
in train.py and fitting.py.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, betabinom

Floats = NDArray[np.float64]

LEVEL = 0.8
GRADES = (("A", 0.90), ("B", 0.70), ("C", 0.40))
"""A grade's share of the leads it was calibrated on that score lower: A is the top tenth. The rest is D."""
_MAX_BINS = 10
_BIN_CONVERSIONS = 15
_DRIFT_BLOCKS = 5
_MAX_LEVELS = 200
_LEVEL_CONVERSIONS = 10
"""A level holds so many on average: the merged rate of a level is drawn to a half as by one lead of either outcome."""


def fit(log_odds: Floats, outcome: Floats, groups: NDArray[np.intp], drifts: float) -> dict[str, Any]:
    """Learn the calibrated rate, bins and the reference leads from log-odds of leads the scorer was not fitted to.

    Venn–Abers (Vovk, Petej & Fedorova 2015, "Large-scale probabilistic predictors with and without guarantees of
    validity"): two isotonic regressions, one for each outcome the lead might have, merged as high / (1 − low + high).
    A bin counts persons, not snapshots: one person's snapshots are not independent.
    """
    rarer = min(outcome.sum(), len(outcome) - outcome.sum())
    levels = int(np.clip(rarer // _LEVEL_CONVERSIONS, 2, _MAX_LEVELS))
    upto = np.unique(np.quantile(log_odds, np.linspace(0, 1, levels + 1)[1:], method="inverted_cdf"))
    level = np.searchsorted(upto, log_odds)
    low, high = _venn_abers(upto[level], outcome)
    calibration: dict[str, Any] = {"levels": upto, "low": low, "high": high, "drift": drifts}
    calibration |= _joined(log_odds, level, low, high)
    probability = apply(calibration, log_odds)
    bins = int(np.clip(outcome.sum() // _BIN_CONVERSIONS, 1, _MAX_BINS))
    edges = np.unique(np.quantile(log_odds, np.linspace(0, 1, bins + 1)[1:-1]))
    inside = np.searchsorted(edges, log_odds, side="right")
    full = [b for b in range(len(edges) + 1) if (inside == b).any()]
    # Tied log-odds can leave a bin empty; its edge goes with it.
    calibration["edges"] = np.array([edges[b - 1] for b in full[1:]])
    calibration["bins"] = [_bin(probability[inside == b], outcome[inside == b], groups[inside == b]) for b in full]
    calibration["reference"] = np.sort(np.round(log_odds, 9))
    return calibration


def apply(calibration: dict[str, Any], log_odds: Floats) -> Floats:
    """Calibrated probability: between the two nearest points by a straight line, beyond the ends theirs.

    Written out and not `np.interp`, which computes otherwise for many values than for one.
    """
    at, rate = calibration["at"], calibration["rate"]
    right = np.clip(np.searchsorted(at, log_odds, side="right"), 1, max(1, len(at) - 1))
    left = right - 1
    right = np.minimum(right, len(at) - 1)
    width = at[right] - at[left]
    share = np.clip((log_odds - at[left]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    found: Floats = rate[left] + share * (rate[right] - rate[left])
    return found


def pair(calibration: dict[str, Any], log_odds: Floats) -> tuple[Floats, Floats]:
    """The two rates of Venn–Abers, (if it were no conversion, if it were one), at the level of each lead."""
    level = np.minimum(np.searchsorted(calibration["levels"], log_odds), len(calibration["levels"]) - 1)
    return calibration["low"][level], calibration["high"][level]


def interval(calibration: dict[str, Any], log_odds: Floats) -> tuple[Floats, Floats]:
    """The range for the share that converts among as many leads like this one as its bin was learned from.

    Jeffreys interval (Brown, Cai & DasGupta 2001) around the bin's rate, moved to the lead's own probability on the
    log-odds scale. Its size n has 1/n = 1/n_bin + 1/n_group: what is uncertain is the rate that was learned, how
    it drifts, and the group observed. It always holds the probability itself.
    """
    probability = apply(calibration, log_odds)
    centre, known = _posterior(calibration, log_odds, probability)
    size = known / 2
    low, high = jeffreys(centre * size, size)
    return np.minimum(low, probability), np.maximum(high, probability)


def judged_bins(outcome: Floats) -> int:
    """In how many bins coverage is judged: five conversions each, between 5 and 50."""
    return int(np.clip(outcome.sum() // 5, 5, 50))


def coverage(calibration: dict[str, Any], log_odds: Floats, outcome: Floats, groups: NDArray[np.intp]) -> float:
    """Share of equal test bins whose observed rate lies inside the interval for a group of their size; see `hit`."""
    probability = apply(calibration, log_odds)
    order = np.argsort(log_odds, kind="stable")
    hits = []
    for part in (part for part in np.array_split(order, judged_bins(outcome)) if len(part)):
        centre, known = _posterior(calibration, log_odds[part], probability[part])
        hits.append(hit(float(centre.mean()), float(known.mean()), outcome[part], groups[part]))
    return float(np.mean(hits))


def hit(centre: float, known: float, outcome: Floats, groups: NDArray[np.intp]) -> float:
    """How far a group's observed rate lies inside the interval of a rate `centre` known from `known` persons: 0 to 1.

    Small groups have few possible rates, so a group counts by the part of its count's probability span, F(k − 1) to
    F(k) of the beta-binomial, that lies in the middle 80 % (the non-randomized PIT of Czado, Gneiting & Held 2009):
    whole-number bounds alone would cover more than they promise.
    """
    persons = len(np.unique(groups))
    predictive = betabinom(persons, centre * known + 0.5, (1 - centre) * known + 0.5)
    count = round(float(outcome.mean()) * persons)
    below, upto = float(predictive.cdf(count - 1)), float(predictive.cdf(count))
    inside = min(upto, (1 + LEVEL) / 2) - max(below, (1 - LEVEL) / 2)
    return min(1.0, max(0.0, inside) / max(upto - below, 1e-12))


def drift(outcome: Floats, moments: NDArray[np.int64], groups: NDArray[np.intp]) -> float:
    """How much the log-odds of the rate move from one fifth of the time to the next: mean squared step beyond chance.

    The moment estimate of a variance component (DerSimonian & Laird 1986), on successive differences.
    """
    steps: list[float] = []
    before: tuple[float, float] | None = None
    for part in np.array_split(np.argsort(moments, kind="stable"), _DRIFT_BLOCKS):
        if not len(part):
            continue
        persons = len(np.unique(groups[part]))
        rate = (float(outcome[part].mean()) * persons + 0.5) / (persons + 1)
        now = (float(np.log(rate / (1 - rate))), 1 / (persons * rate * (1 - rate)))
        if before is not None:
            steps.append((now[0] - before[0]) ** 2 - now[1] - before[1])
        before = now
    return max(0.0, float(np.mean(steps))) if steps else 0.0


def jeffreys(conversions: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The 80 % interval of rates (Brown, Cai & DasGupta 2001); counts may be fractions."""
    tail = (1 - LEVEL) / 2
    ends = beta.ppf([[tail], [1 - tail]], conversions + 0.5, size - conversions + 0.5)
    return ends[0], ends[1]


def known_persons(persons: Floats, rate: Floats, drifts: float) -> Floats:
    """How many persons' worth of knowledge a rate learned from `persons` is later, when its log-odds have drifted."""
    result: Floats = 1 / (1 / persons + rate * (1 - rate) * drifts)
    return result


def persons_behind(calibration: dict[str, Any], log_odds: Floats) -> NDArray[np.intp]:
    """How many persons the interval of each lead was learned from."""
    persons = np.array([part["persons"] for part in calibration["bins"]], dtype=np.intp)
    return persons[np.searchsorted(calibration["edges"], log_odds, side="right")]


def places(calibration: dict[str, Any], log_odds: Floats) -> list[dict[str, Any]]:
    """`score` (1–99), `grade`, `rank` and `ranked_among` of each lead: its place among the reference leads in the model.

    By log-odds, which order leads whose calibrated rate is one too. Fixed with the model, so a lead's place never
    depends on who happens to be scored beside it: rank is one plus the number of reference leads above it, among them
    and itself.
    """
    reference = calibration["reference"]
    value = np.round(log_odds, 9)
    below = np.searchsorted(reference, value, side="left")
    not_above = np.searchsorted(reference, value, side="right")
    share = (below + not_above) / 2 / len(reference)
    score = np.clip(1 + (share * 99).astype(np.intp), 1, 99)
    names = np.array(["D", *[name for name, _ in reversed(GRADES)]])
    grade = names[np.searchsorted([least for _, least in reversed(GRADES)], share, side="right")]
    ranked = zip(score.tolist(), grade.tolist(), (len(reference) - not_above + 1).tolist(), strict=True)
    return [{"score": s, "grade": g, "rank": r, "ranked_among": len(reference) + 1} for s, g, r in ranked]


def sigmoid(value: Floats) -> Floats:
    """1 / (1 + e^−x), safe at both ends."""
    result: Floats = 0.5 * (1 + np.tanh(0.5 * value))
    return result


def logit(rate: Floats) -> Floats:
    """Log-odds, rates clipped to [1e-9, 1 − 1e-9]."""
    clipped = np.clip(rate, 1e-9, 1 - 1e-9)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def _posterior(calibration: dict[str, Any], log_odds: Floats, probability: Floats) -> tuple[Floats, Floats]:
    """(rate expected of leads with this probability, on how many persons' worth of knowledge)."""
    inside = np.searchsorted(calibration["edges"], log_odds, side="right")
    persons = np.array([part["persons"] for part in calibration["bins"]], dtype=np.float64)
    rate = np.array([part["rate"] for part in calibration["bins"]])
    mean = np.array([part["mean"] for part in calibration["bins"]])
    shift = logit((rate * persons + 0.5) / (persons + 1)) - logit(mean)
    centre = sigmoid(logit(probability) + shift[inside])
    return centre, known_persons(persons[inside], centre, calibration["drift"])


def _bin(probability: Floats, outcome: Floats, groups: NDArray[np.intp]) -> dict[str, Any]:
    return {"mean": float(probability.mean()), "rate": float(outcome.mean()), "persons": len(np.unique(groups))}


def _venn_abers(levels: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """(rates if a lead of the level were no conversion, if it were one), one for each distinct level in order."""
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        from venn_abers.venn_abers import calc_p0p1

        found_low, found_high, _ = calc_p0p1(np.column_stack([levels, levels]), outcome)
    # Importing it switches numpy's own warnings off for the whole process.
    np.seterr(**before)
    return np.array(found_low[1:, 1], dtype=np.float64), np.array(found_high[:-1, 1], dtype=np.float64)


def _joined(log_odds: Floats, level: NDArray[np.intp], low: Floats, high: Floats) -> dict[str, Any]:
    """The merged rate at the middle of every flat stretch, to be joined by straight lines: the order of leads stays.

    Centred isotonic regression (Oron & Flournoy 2017): steps are an artefact, and between them it errs less.
    """
    rate = high / (1 - low + high)
    stretch = np.concatenate([[0], np.cumsum(np.diff(high) > 1e-12)])[level]
    leads = np.bincount(stretch)
    return {
        "at": np.bincount(stretch, log_odds) / leads,
        "rate": np.maximum.accumulate(np.bincount(stretch, rate[level]) / leads),
    }
