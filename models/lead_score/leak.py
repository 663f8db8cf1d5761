"""The leak check: a field that tells the outcome by itself is dropped, and the training says so."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import auc

Floats = NDArray[np.float64]

ALONE = 0.95
"""AUC of one field alone above which it can only have been known afterwards."""
FILLED_RATE = 0.95
FILLED_ROWS = 20
SUSPECT = 0.85


def find(columns: Sequence[dict[str, Any]], matrix: Floats, outcome: Floats) -> tuple[dict[str, str], dict[str, float]]:
    """(attributes to drop with the reason, AUC of fields that are strong enough to be looked at but kept)."""
    drop: dict[str, str] = {}
    suspects: dict[str, float] = {}
    for j, column in enumerate(columns):
        # A span of two dates is judged through its dates; dropping one drops it too.
        reason, strength = _judge(matrix[:, j], outcome)
        owner = column["owner"]
        if reason is not None and column["kind"] != "span":
            drop[owner] = reason
        elif strength >= SUSPECT:
            suspects[owner] = round(strength, 3)
    return drop, {owner: strength for owner, strength in suspects.items() if owner not in drop}


def _judge(values: Floats, outcome: Floats) -> tuple[str | None, float]:
    known = np.isfinite(values)
    strength = _separation(values[known], outcome[known])
    if strength > ALONE:
        return f"it alone tells the outcome (AUC {strength:.3f}), as if it were filled in afterwards", strength
    if known.all() or not known.any():
        return None, strength
    filled = _separation(known.astype(float), outcome)
    if filled > ALONE:
        return f"whether it is filled in tells the outcome (AUC {filled:.3f})", filled
    for side, word in ((known, "filled in"), (~known, "empty")):
        rate = float(outcome[side].mean())
        if side.sum() >= FILLED_ROWS and rate >= FILLED_RATE and outcome.mean() < 0.5:
            return f"where it is {word}, {rate:.0%} converted: it is known only afterwards", strength
    return None, max(strength, filled)


def _separation(values: Floats, outcome: Floats) -> float:
    if len(values) < FILLED_ROWS:
        return 0.5
    found = auc(outcome, values)
    return max(found, 1 - found) if np.isfinite(found) else 0.5
