"""Fairness among the partners of a pooled model, and its gate. Pure functions over counts and figures."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import NotReady
from models.base import Backtest, Context, Score
from models.gate import SEGMENT_MARGIN, Verdict, gate
from models.pooling.base import HeldOut, Limits, PooledTraining
from models.pooling.words import say

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

MUCH_WORSE = SEGMENT_MARGIN
"""How much worse than its own rule a left-out partner may be served before the pooled model is refused to all."""
CONSENT_COLUMN = "pooling_allowed"
CANDIDATE = "pooled"


def consented(training: "pl.DataFrame") -> "pl.DataFrame":
    """The rows that may train a shared model: where a row tells of a person, only with that person's explicit yes."""
    import polars as pl

    if CONSENT_COLUMN not in training.columns:
        return training
    return training.filter(pl.col(CONSENT_COLUMN).fill_null(False))


def nameless(context: Context, as_of: datetime) -> Context:
    """The context without the partner's name, at the moment of its rows."""
    return replace(context, partner="member", as_of=as_of)


def row_weights(counts: Sequence[int], limits: Limits) -> list[float]:
    """A weight for each row of each member, 1 at most, so that no member's rows weigh above the largest share.

    The largest cap c with min(n, c) ≤ share · Σ min(n, c) for every member; a member's rows weigh min(1, c / n).
    NotReady where there are too few members, or too few for the share to hold at all.
    """
    found = [count for count in counts if count > 0]
    if len(found) < limits.least_partners or len(found) * limits.largest_share < 1:
        raise NotReady(say("readiness.too_few_partners", needed=limits.least_partners))
    low, high = 0.0, float(max(found))
    if _largest_share(found, high) > limits.largest_share:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _largest_share(found, middle) <= limits.largest_share else (low, middle)
        # Below the smallest member every cap gives equal shares, which the share allows.
        high = max(low, float(min(found)))
    return [min(1.0, high / count) if count > 0 else 0.0 for count in counts]


def common_levels(
    of_members: Sequence[Mapping[str, Counter[str]]], *, least_partners: int, least_rows: int
) -> dict[str, list[str]]:
    """Per field the texts that at least so many members have, each in at least so many rows; fields without any are left out.

    A text that one partner alone uses could be anything of that partner's: it never enters a pooled model.
    """
    holders: dict[str, Counter[str]] = {}
    for fields in of_members:
        for name, levels in fields.items():
            enough = [level for level, rows in levels.items() if rows >= least_rows]
            holders.setdefault(name, Counter()).update(enough)
    shared = {
        name: sorted(level for level, members in found.items() if members >= least_partners)
        for name, found in sorted(holders.items())
    }
    return {name: levels for name, levels in shared.items() if levels}


def backtest_of(held_out: Sequence[HeldOut], *, metric: str, rule: str, split: str, level: float) -> Backtest:
    """The leave-one-partner-out backtest: means over partners, each counting once, whatever its size."""
    names = sorted({name for entry in held_out for name in entry.metrics})

    def metrics(side: int) -> dict[str, float]:
        own = {metric: _mean([(entry.pooled, entry.rule)[side] for entry in held_out])}
        return own | {name: _mean([entry.metrics[name][side] for entry in held_out]) for name in names}

    covered = [(entry.covered, entry.intervals) for entry in held_out if entry.covered is not None]
    return Backtest(
        gate_metric=metric,
        chosen=CANDIDATE,
        scores=(
            Score(candidate=rule, is_rule=True, metrics=metrics(1), coverage=None),
            Score(
                candidate=CANDIDATE,
                is_rule=False,
                metrics=metrics(0),
                coverage=_mean([share for share, _ in covered]) if covered else None,
                coverage_cases=sum(cases for _, cases in covered) or None,
            ),
        ),
        observations=sum(entry.cases for entry in held_out),
        split=split,
        level=level,
    )


def verdict(training: PooledTraining, champion: Backtest | None) -> Verdict:
    """The promotion gate, and one rule more: no left-out partner may be served much worse than by its own rule.

    The sentence says whether there is one, and neither who nor how much: that would be a figure of one partner.
    """
    found = gate(training.trained.backtest, champion)
    harmed = any(
        not entry.pooled <= entry.rule * (1 + MUCH_WORSE) or not math.isfinite(entry.pooled)
        for entry in training.held_out
        if entry is not None
    )
    if harmed:
        reason = f"Not every left-out partner is served within {MUCH_WORSE:.0%} of its own rule."
        return Verdict(promote=False, reasons=(reason, *found.reasons))
    reason = f"Every left-out partner is served better than, or within {MUCH_WORSE:.0%} of, its own rule."
    return Verdict(promote=found.promote, reasons=(*found.reasons, reason))


def fingerprint(arrays: Sequence["NDArray[Any]"]) -> str:
    """SHA-256 over the members' arrays, in an order that does not tell who came first."""
    parts = sorted(hashlib.sha256(array.tobytes()).digest() for array in arrays)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _largest_share(counts: Sequence[int], cap: float) -> float:
    capped = [min(count, cap) for count in counts]
    return max(capped) / sum(capped) if cap > 0 else 1 / len(counts)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
