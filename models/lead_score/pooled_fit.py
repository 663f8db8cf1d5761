"""One logistic regression over several partners' leads, each with a rate of its own; and how far it goes wrong elsewhere.

Arrays in, arrays out. A partner's rate is no part of what is learned: only what raises or lowers a lead against it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.lead_score import calibration

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

RIDGE = 5.0
"""The penalty on the shared slopes, in weighted conversions' worth of information: words of few leads say little."""
PRIOR_LEADS = 20.0
_STEPS = 30
_BINS = 5
_BIN_CONVERSIONS = 10


def slopes(matrices: Sequence[Floats], outcomes: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Shared log-odds slopes under a ridge penalty, with a free intercept for each partner; by Newton's method.

    Penalized maximum likelihood (le Cessie & van Houwelingen 1992); a row counts by its partner's weight.
    """
    width, members = matrices[0].shape[1], len(matrices)
    design = np.vstack([np.hstack([m, _dummies(len(m), i, members)]) for i, m in enumerate(matrices)])
    outcome = np.concatenate(outcomes)
    weight = np.concatenate([np.full(len(m), w) for m, w in zip(matrices, weights, strict=True)])
    penalty = np.diag([RIDGE] * width + [1e-6] * members)
    found = np.zeros(width + members)
    for _ in range(_STEPS):
        chance = calibration.sigmoid(design @ found)
        gradient = design.T @ (weight * (outcome - chance)) - penalty @ found
        information = (design * (weight * chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.clip(np.linalg.solve(information, gradient), -2.0, 2.0)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(found[:width])


def shrunk_rate(conversions: float, leads: float, rate: float) -> float:
    """A partner's own rate, shrunk to that of all partners by the weight of `PRIOR_LEADS` leads."""
    return float((conversions + PRIOR_LEADS * rate) / (leads + PRIOR_LEADS))


def intercept(tilts: Floats, rate: float) -> float:
    """The intercept with which the mean probability over leads of these tilts (log-odds without it) is `rate`.

    The mean grows with the intercept, so that halving an interval finds it.
    """
    low, high = -30.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if calibration.sigmoid(tilts + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def known_from(probability: Floats, persons: float, variance: float) -> Floats:
    """How many persons' worth is known of the rate of leads like these: own persons, and how far partners differ.

    1/n = 1/persons + p(1 - p)·variance, the variance of a rate whose log-odds are off by `variance` (delta method).
    """
    return np.asarray(1 / (1 / max(persons, 1.0) + probability * (1 - probability) * variance))


def excess(probability: Floats, outcome: Floats, persons: Indices) -> float:
    """Mean squared distance, in log-odds and beyond chance, of observed rates from those said; may be negative.

    The moment estimate of a variance component (DerSimonian & Laird 1986), over bins of equal size.
    """
    bins = int(np.clip(outcome.sum() // _BIN_CONVERSIONS, 1, _BINS))
    found = []
    for part in np.array_split(np.argsort(probability, kind="stable"), bins):
        size = len(np.unique(persons[part]))
        rate = (float(outcome[part].mean()) * size + 0.5) / (size + 1)
        said = float(probability[part].mean())
        off = float(calibration.logit(np.array([rate]))[0] - calibration.logit(np.array([said]))[0])
        found.append(off**2 - 1 / (size * rate * (1 - rate)))
    return float(np.mean(found))


def covered(probability: Floats, outcome: Floats, persons: Indices, known: Floats) -> tuple[float, int]:
    """(how far the bins' observed rates lie in their intervals, in how many bins); see `calibration.hit`."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, calibration.judged_bins(outcome)) if len(part)]
    hits = [
        calibration.hit(float(probability[part].mean()), float(known[part].mean()), outcome[part], persons[part])
        for part in parts
    ]
    return float(np.mean(hits)), len(hits)


def tilt(state: Mapping[str, Any], matrix: Floats) -> Floats:
    """Log-odds without the intercept; summed column by column, so that no row depends on its batch."""
    total = np.zeros(len(matrix))
    for j, slope in enumerate(state["slopes"]):
        total = total + slope * matrix[:, j]
    return total


def _dummies(rows: int, member: int, members: int) -> Floats:
    found = np.zeros((rows, members))
    found[:, member] = 1.0
    return found
