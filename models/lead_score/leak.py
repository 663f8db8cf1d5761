"""The leak check: a field that tells the outcome as nothing known beforehand does is dropped, and the training says so.

Three kinds are looked for: a field that tells it alone; one that is filled in (or emptied) once the outcome is known;
and one that beside all others takes away half of what they leave unsure, as the length of a sales call does that is
known only when it is over. The last can be honest: it is told with its figure and can be allowed by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.evaluation import auc
from models.lead_score.splits import cross_validation
from models.messages import ENGLISH, Catalogue, catalogue

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Columns = Sequence[dict[str, Any]]

ALONE = 0.95
"""AUC of one field alone above which it can only have been known afterwards."""
FILLED_RATE = 0.95
FILLED_ROWS = 20
SUSPECT = 0.85
TOGETHER = 0.92
"""AUC of all fields together from which one that halves what the others leave unsure is taken for a leak."""
BEYOND_SUM = 0.88
"""The same for a field that tells more beside the others than they and it tell apart: it explains their misses."""
SUPERADDITIVE = 1.2
HALF = 0.5
_LEAST_OF_A_CLASS = 50
_MOST_ROWS = 20_000
_ALIKE = 0.8
_TRIED = 6
_ROUNDS = 5
_WORTH_TRYING = 0.02


@dataclass(frozen=True)
class Found:
    """Attributes to drop with the reason, and AUCs of fields that are strong enough to be looked at but kept."""

    dropped: dict[str, str]
    suspects: dict[str, float]


def find(
    columns: Columns,
    matrix: Floats,
    outcome: Floats,
    persons: Indices,
    allowed: Sequence[str] = (),
    seed: int = 0,
    language: str = ENGLISH,
) -> Found:
    """Look at every column alone, at spans through their dates, then at all together; `allowed` are never dropped.

    Reasons are told in `language`.
    """
    words = catalogue("lead_score", language)
    dropped, suspects = _alone(columns, matrix, outcome, allowed, words)
    says = [len(np.unique(matrix[np.isfinite(matrix[:, j]), j])) > 1 for j in range(len(columns))]
    left = [j for j, column in enumerate(columns) if says[j] and not _names(column) & set(dropped)]
    for owner, told, strength in _together(columns, matrix, outcome, persons, left, seed):
        if owner in allowed:
            suspects[owner] = strength
        else:
            dropped[owner] = words("leak.lift", **told)
    return Found(dropped, {owner: strength for owner, strength in suspects.items() if owner not in dropped})


def _alone(
    columns: Columns, matrix: Floats, outcome: Floats, allowed: Sequence[str], words: Catalogue
) -> tuple[dict[str, str], dict[str, float]]:
    dropped: dict[str, str] = {}
    suspects: dict[str, float] = {}
    strength_of: dict[str, float] = {}
    for j, column in sorted(enumerate(columns), key=lambda pair: pair[1]["kind"] == "span"):
        if _names(column) & set(dropped):
            continue
        reason, strength = _judge(matrix[:, j], outcome, words)
        owner = column["owner"]
        strength_of[owner] = max(strength, strength_of.get(owner, 0.0))
        if reason is not None and column["kind"] == "span":
            # Of two dates the one that tells more by itself is the one filled in afterwards.
            first, second = sorted(_names(column), key=lambda name: (-strength_of.get(name, 0.0), name))
            owner, told = first, {"other": second, "auc": f"{strength:.3f}"}
            reason = words("leak.span", **told)
        if reason is not None and owner not in allowed:
            dropped[owner] = reason
        elif strength >= SUSPECT:
            suspects[owner] = round(strength, 3)
    return dropped, suspects


def _names(column: dict[str, Any]) -> set[str]:
    """The attributes that a column is made of."""
    return set(column["name"].split("|")) if column["kind"] == "span" else {column["owner"]}


def _judge(values: Floats, outcome: Floats, words: Catalogue) -> tuple[str | None, float]:
    known = np.isfinite(values)
    strength = _separation(values[known], outcome[known])
    if strength > ALONE:
        return words("leak.alone", auc=f"{strength:.3f}"), strength
    if known.all() or not known.any():
        return None, strength
    filled = _separation(known.astype(float), outcome)
    if filled > ALONE:
        return words("leak.filled", auc=f"{filled:.3f}"), filled
    for side, key in ((known, "leak.filled_converted"), (~known, "leak.empty_converted")):
        rate = float(outcome[side].mean())
        if side.sum() >= FILLED_ROWS and rate >= FILLED_RATE and outcome.mean() < 0.5:
            return words(key, rate=words.percent(rate)), strength
    return None, max(strength, filled)


def _separation(values: Floats, outcome: Floats) -> float:
    if len(values) < FILLED_ROWS:
        return 0.5
    found = auc(outcome, values)
    return max(found, 1 - found) if np.isfinite(found) else 0.5


def _together(
    columns: Columns, matrix: Floats, outcome: Floats, persons: Indices, left: list[int], seed: int
) -> list[tuple[str, dict[str, str], float]]:
    """(owner, words of its reason, AUC with it) of fields that halve what all others leave unsure, the strongest first."""
    index = _some(outcome, seed)
    if min(outcome[index].sum(), len(index) - outcome[index].sum()) < _LEAST_OF_A_CLASS:
        return []
    judged = _Judged(matrix[index], outcome[index], persons[index], seed)
    found: list[tuple[str, dict[str, str], float]] = []
    for _ in range(_ROUNDS):
        if not left:
            break
        with_it, drops = judged.with_drops(left)
        if with_it < BEYOND_SUM:
            break
        leaking = _strongest(columns, judged, left, with_it, drops)
        if leaking is None:
            break
        group, without = leaking
        told = {"with_it": f"{with_it:.3f}", "without": f"{without:.3f}"}
        names = sorted({name for j in group for name in _names(columns[j])})
        found += [(name, told, round(with_it, 3)) for name in names]
        left = [j for j in left if not _names(columns[j]) & set(names)]
    return found


def _strongest(
    columns: Columns, judged: "_Judged", left: list[int], with_it: float, drops: Floats
) -> tuple[list[int], float] | None:
    """(columns of the field that leaks most, AUC without them), or None where none does."""
    worst: tuple[float, list[int], float] | None = None
    tried: set[int] = set()
    for place in np.argsort(-drops, kind="stable")[:_TRIED].tolist():
        if drops[place] < _WORTH_TRYING or left[place] in tried:
            continue
        group = judged.alike(left, left[place], columns)
        tried |= set(group)
        rest = [j for j in left if j not in group]
        without = judged.auc(rest) if rest else 0.5
        share = (1 - with_it) / max(1 - without, 1e-9)
        apart = _information(without) + _information(judged.auc(group))
        is_beyond = _information(with_it) >= SUPERADDITIVE * apart
        if share <= HALF and (with_it >= TOGETHER or is_beyond) and (worst is None or share < worst[0]):
            worst = (share, group, without)
    return None if worst is None else worst[1:]


def _information(found: float) -> float:
    """Squared distance d′² of two normal distributions of that AUC; it adds up over independent fields."""
    distance = norm.ppf(np.clip(found, 0.5, 1 - 1e-9)) * np.sqrt(2)
    return float(distance**2)


def _some(outcome: Floats, seed: int) -> Indices:
    """All rows, or of many as many as are enough to judge by."""
    if len(outcome) <= _MOST_ROWS:
        return np.arange(len(outcome))
    rng = np.random.default_rng(seed)
    return np.sort(rng.permutation(len(outcome))[:_MOST_ROWS])


class _Judged:
    """How well columns together tell the outcome, judged on folds of persons that a small boosting was not fitted to."""

    def __init__(self, matrix: Floats, outcome: Floats, persons: Indices, seed: int) -> None:
        self.matrix, self.outcome, self.seed = matrix, outcome, seed
        self.folds = list(cross_validation(outcome, persons, 2, seed))
        self._ranks: dict[int, Floats] = {}

    def auc(self, columns: Sequence[int]) -> float:
        """Mean AUC over the folds."""
        return self.with_drops(columns, shuffled=False)[0]

    def with_drops(self, columns: Sequence[int], *, shuffled: bool = True) -> tuple[float, Floats]:
        """(mean AUC, by how much it drops when a column is shuffled): permutation importance, Breiman 2001."""
        rng = np.random.default_rng(self.seed)
        base, drops = [], np.zeros(len(columns))
        for train, test in self.folds:
            inside = self.matrix[:, list(columns)]
            model = HistGradientBoostingClassifier(
                max_iter=60, max_leaf_nodes=12, early_stopping=False, random_state=self.seed
            )
            with threadpool_limits(limits=1):
                model.fit(inside[train], self.outcome[train])
                base.append(auc(self.outcome[test], model.decision_function(inside[test])))
                for place in range(len(columns)) if shuffled and base[-1] >= BEYOND_SUM else ():
                    changed = inside[test].copy()
                    changed[:, place] = rng.permutation(changed[:, place])
                    drops[place] += base[-1] - auc(self.outcome[test], model.decision_function(changed))
        return float(np.mean(base)), drops / len(self.folds)

    def alike(self, left: list[int], column: int, columns: Columns) -> list[int]:
        """The column, its attribute's others, and those that rank leads nearly as it does: one fact told twice."""
        own = _names(columns[column])
        return [
            j
            for j in left
            if j == column or (columns[j]["kind"] != "span" and _names(columns[j]) == own) or self._alike(column, j)
        ]

    def _alike(self, one: int, other: int) -> bool:
        first, second = self._rank(one), self._rank(other)
        spread = first.std() * second.std()
        return (
            bool(spread > 0)
            and abs(float(((first - first.mean()) * (second - second.mean())).mean())) >= _ALIKE * spread
        )

    def _rank(self, column: int) -> Floats:
        if column not in self._ranks:
            values = self.matrix[:, column]
            known = np.isfinite(values)
            self._ranks[column] = rankdata(np.where(known, values, np.nanmin(values) - 1 if known.any() else 0.0))
        return self._ranks[column]
