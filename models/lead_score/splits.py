"""Which rows are fitted to and which are judged: by time where rows have one, by persons always. Indices only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.evaluation import time_ordered

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def person_folds(outcome: Floats, persons: Indices, count: int, seed: int) -> Indices:
    """The fold (0, 1, …) of each row: a person's rows are in one, and folds have nearly as many who converted."""
    hits = np.bincount(persons, outcome, minlength=int(persons.max()) + 1) > 0 if len(persons) else np.empty(0, bool)
    order = np.random.default_rng(seed).permutation(len(hits))
    fold = np.zeros(len(hits), dtype=np.intp)
    for kind in (hits, ~hits):
        own = order[kind[order]]
        fold[own] = np.arange(len(own)) % count
    return fold[persons]


def cross_validation(outcome: Floats, persons: Indices, count: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """(train, test) for each fold; fewer folds where a class has fewer rows than there would be folds."""
    rarer = int(min(outcome.sum(), len(outcome) - outcome.sum()))
    fold = person_folds(outcome, persons, max(2, min(count, rarer)), seed)
    for number in range(int(fold.max()) + 1):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def by_time(
    moments: NDArray[np.int64], persons: Indices, horizon_seconds: int, test_share: float
) -> tuple[Indices, Indices]:
    """(train, test): the test rows are the latest; every training label was known before the first of them.

    Purging by the horizon and keeping a person on one side: López de Prado 2018, "Advances in Financial Machine
    Learning", 7.4.
    """
    _, late = time_ordered(moments, test_share)
    start = moments[late].min()
    known = (moments + horizon_seconds <= start) & (moments < start)
    return np.flatnonzero(known & ~np.isin(persons, persons[late])), late
