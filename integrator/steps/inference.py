"""A model over many rows: the predictions of `predict_all`, counted by outcome, and how long one of them took."""

import math
import time
from collections import Counter
from collections.abc import Sequence

from integrator.steps.predictions import OUTCOME_OF_STATUS, Failure, predict_all
from integrator.storage.inferences import OUTCOMES, Latency
from models.base import FeatureRow, FittedModel, Prediction

Results = Sequence[Prediction | Failure]
BATCH = 2000
"""Rows a model is given at once: enough that the calls cost nothing, few enough that a slow part of a night shows."""


def predict_timed(
    model: FittedModel, rows: Sequence[FeatureRow], decimals: int, *, prepared_ms: float = 0.0
) -> tuple[list[Prediction | Failure], Latency | None]:
    """One prediction or failure for each row, in order; no latency without rows.

    `prepared_ms` is what one feature row took to make and is part of each inference. A row's own time is its batch's mean.
    """
    results: list[Prediction | Failure] = []
    times: list[tuple[float, int]] = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        began = time.perf_counter()
        results += predict_all(model, part, decimals)
        times.append(((time.perf_counter() - began) * 1000 / len(part) + prepared_ms, len(part)))
    return results, latency_of(times)


def latency_of(times: Sequence[tuple[float, int]]) -> Latency | None:
    """Mean, 95th percentile and longest of (milliseconds of one inference, how many took that long)."""
    total = sum(count for _, count in times)
    if not total:
        return None
    needed, seen, p95 = math.ceil(0.95 * total), 0, 0.0
    for took, count in sorted(times):
        seen, p95 = seen + count, took
        if seen >= needed:
            break
    mean = sum(took * count for took, count in times) / total
    return Latency(mean_ms=mean, p95_ms=p95, max_ms=max(took for took, _ in times))


def outcomes(results: Results) -> dict[str, int]:
    """How many were a success, a failure, a fallback, a refusal."""
    counts = dict.fromkeys(OUTCOMES, 0)
    for result in results:
        counts["failure" if isinstance(result, Failure) else OUTCOME_OF_STATUS[result.status]] += 1
    return counts


def reasons(results: Results) -> dict[str, int]:
    """Why rows failed, and how many for each reason."""
    return dict(Counter(result.reason for result in results if isinstance(result, Failure)))
