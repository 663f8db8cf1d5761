"""`details.alternatives`: what else was tried for a subject, told in one shape by every use case."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from models.rounding import rounded

_DECIMALS = 4


def alternatives(metric: str, scores: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Every candidate with its score in `metric`, lower being better, the best first; without one that has no score."""
    return [dict(one) for one in _ranked(metric, tuple(scores.items()))]


@lru_cache(maxsize=1024)  # a hundred thousand leads are told the same
def _ranked(metric: str, scores: tuple[tuple[str, float | None], ...]) -> tuple[dict[str, Any], ...]:
    known = [(score, name) for name, score in scores if score is not None and math.isfinite(score)]
    return tuple(
        {"candidate": name, "metric": metric, "score": rounded(score, _DECIMALS)} for score, name in sorted(known)
    )
