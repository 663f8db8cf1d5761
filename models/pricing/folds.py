"""The backtest: the last weeks forecast one by one at the prices then taken, from what was known before each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Score
from models.evaluation import conformal_margins
from models.pricing import demand, forecast
from models.pricing.demand import Fit
from models.pricing.forecast import CONTROLLED, POOLED, RULE, SHRUNK, Curve
from models.pricing.panel import Panel

Floats = NDArray[np.float64]

CANDIDATES = (RULE, POOLED, SHRUNK, CONTROLLED)
METRIC = "poisson_deviance"
REFITS = 4
MANY_PRODUCTS = 3_000
"""Beyond so many products the coefficients are learned anew twice: they move little, and it takes minutes."""
_LEAST_TEST, _MOST_TEST = 4, 26
_SEGMENT_OBSERVATIONS = 100


@dataclass(frozen=True)
class Tested:
    """One candidate's test weeks, products × weeks: sold, forecast, its expected deviation, and which of them count."""

    actual: Floats
    said: Floats
    deviation: Floats
    counts: NDArray[np.bool_]

    @property
    def flat(self) -> tuple[Floats, Floats, Floats]:
        """(actual, forecast, deviation) of the weeks that count."""
        return self.actual[self.counts], self.said[self.counts], self.deviation[self.counts]

    def first(self, weeks: int) -> "Tested":
        """The first weeks alone."""
        return self._between(slice(0, weeks))

    def last(self, weeks: int) -> "Tested":
        """The last weeks alone."""
        return self._between(slice(self.actual.shape[1] - weeks, None))

    def _between(self, part: slice) -> "Tested":
        return Tested(self.actual[:, part], self.said[:, part], self.deviation[:, part], self.counts[:, part])

    def margins(self, level: float) -> tuple[float, float]:
        """Conformal margins of demand in units of its expected standard deviation."""
        actual, said, deviation = self.flat
        return conformal_margins(actual / deviation, said / deviation, level)

    def coverage(self, margins: tuple[float, float]) -> float:
        """Share of weeks inside forecast plus margins."""
        actual, said, deviation = self.flat
        low, high = np.maximum(said + margins[0] * deviation, 0.0), said + margins[1] * deviation
        return float(np.mean((actual >= low) & (actual <= high)))


def test_weeks(weeks: int) -> int:
    """How many of the last weeks are tested: a quarter, 4 to 26."""
    return min(max(weeks // 4, _LEAST_TEST), _MOST_TEST)


def run(panel: Panel, candidates: Sequence[str], horizon_weeks: int) -> dict[str, Tested]:
    """Every candidate's test weeks: coefficients learned anew `REFITS` times, levels at the start of each horizon.

    Weeks count in which the product was on sale and had a level. A week without a sale of what sold well in the weeks
    before counts for no candidate: it was without stock (see `demand.without_stock`).
    """
    total = test_weeks(panel.weeks)
    start = panel.length - total * panel.week
    refits = REFITS if len(panel.keys) <= MANY_PRODUCTS else REFITS // 2
    blocks = np.array_split(np.arange(total), min(refits, total))
    parts: dict[str, list[Tested]] = {name: [] for name in candidates}
    for block in blocks:
        origin = start + int(block[0]) * panel.week
        for name, tested in _block(panel, candidates, origin, len(block), horizon_weeks).items():
            parts[name].append(tested)
    joined = {name: _joined(found) for name, found in parts.items()}
    counts = np.logical_and.reduce([tested.counts for tested in joined.values()])
    return {name: replace(tested, counts=counts) for name, tested in joined.items()}


def fits(panel: Panel, candidates: Sequence[str]) -> dict[bool, Fit]:
    """The estimates the candidates need: with controls, without, or both."""
    wanted = {name == CONTROLLED for name in candidates}
    return {controls: demand.estimate(panel, controls=controls) for controls in sorted(wanted)}


def score(name: str, tested: Tested, groups: Sequence[str], level: float) -> Score:
    """A candidate's figures; its coverage is measured on the last half with margins learned on the first."""
    actual, said, _ = tested.flat
    half = tested.actual.shape[1] // 2
    later = tested.last(tested.actual.shape[1] - half)
    is_of = np.broadcast_to(np.array(groups)[:, None], tested.counts.shape)[tested.counts]
    segments = {
        f"group={group}": demand.deviance(actual[is_of == group], said[is_of == group])
        for group in np.unique(is_of)
        if group and (is_of == group).sum() >= _SEGMENT_OBSERVATIONS
    }
    enough = tested.first(half).counts.any() and later.counts.any()
    return Score(
        candidate=name,
        is_rule=name == RULE,
        metrics={
            METRIC: demand.deviance(actual, said),
            "wape": float(np.abs(actual - said).sum() / max(actual.sum(), 1e-9)),
            "bias": float((said - actual).sum() / max(actual.sum(), 1e-9)),
        },
        coverage=later.coverage(tested.first(half).margins(level)) if enough else None,
        coverage_cases=int(later.counts.sum()),
        segments=segments,
    )


def held_groups(tested: Tested, rule: Tested, groups: Sequence[str]) -> tuple[str, ...]:
    """Groups whose sales a candidate forecasts worse than the rule, where there are weeks enough to tell."""
    found = []
    for group in sorted(set(groups) - {""}):
        inside = tested.counts & (np.array(groups) == group)[:, None]
        if inside.sum() >= _SEGMENT_OBSERVATIONS:
            worse, usual = (demand.deviance(one.actual[inside], one.said[inside]) for one in (tested, rule))
            if worse > usual:
                found.append(group)
    return tuple(found)


def held(tested: Tested, rule: Tested, groups: Sequence[str], without: Sequence[str]) -> Tested:
    """A candidate that keeps to the rule in the groups `without`."""
    keeps = np.isin(np.array(groups), list(without))[:, None]
    return replace(
        tested,
        said=np.where(keeps, rule.said, tested.said),
        deviation=np.where(keeps, rule.deviation, tested.deviation),
    )


def by_product(tested: Mapping[str, Tested], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each product's own deviance under every candidate, with the number of its weeks; those with none are left out."""
    found: dict[str, dict[str, Any]] = {}
    for i, key in enumerate(keys):
        counts = next(iter(tested.values())).counts[i]
        if counts.any():
            found[key] = {
                "observations": int(counts.sum()),
                "scores": {
                    name: demand.deviance(one.actual[i, counts], one.said[i, counts]) for name, one in tested.items()
                },
            }
    return found


def _block(panel: Panel, candidates: Sequence[str], origin: int, weeks: int, horizon_weeks: int) -> dict[str, Tested]:
    """Weeks from `origin`, everything learned before it; rows are the panel's, those without a forecast do not count."""
    past = panel.until(origin)
    known = np.flatnonzero((past.quantity > 0).any(axis=1))
    before, whole = past.some(known), panel.some(known)
    found = {}
    estimates = fits(before, candidates)
    for name in candidates:
        curve = forecast.curve(before, estimates[name == CONTROLLED], name)
        said = _forecasts(whole, curve, origin, weeks, horizon_weeks)
        kappa = _week_kappa(before, curve)
        deviation = forecast.spread(said, kappa[:, None])
        ahead = slice(origin, origin + weeks * panel.week)
        actual = _weekly(whole.quantity[:, ahead], panel.week)
        on_sale = _weekly(whole.is_active[:, ahead].astype(np.float64), panel.week) > 0
        stocked = (actual > 0) | (-np.log1p(kappa[:, None] * said) / kappa[:, None] >= np.log(demand.STOCK_OUT))
        counts = on_sale & np.isfinite(said) & stocked
        rows = len(panel.keys)
        found[name] = Tested(
            _all_rows(actual, known, rows), _all_rows(said, known, rows), _all_rows(deviation, known, rows),
            _all_rows(counts, known, rows) > 0,
        )  # fmt: skip
    return found


def _forecasts(panel: Panel, curve: Curve, origin: int, weeks: int, horizon_weeks: int) -> Floats:
    effect = demand.effects(panel, curve.spec, curve.beta)
    parts = [
        forecast.weeks_ahead(panel, effect, curve.kappa, origin + start * panel.week, min(horizon_weeks, weeks - start))
        for start in range(0, weeks, horizon_weeks)
    ]
    return np.concatenate(parts, axis=1)


def _week_kappa(panel: Panel, curve: Curve) -> Floats:
    """How a week's quantity scatters around what the curve would have said of it at its level, by product."""
    effect = demand.effects(panel, curve.spec, curve.beta)
    return kappa_of_weeks(panel, effect, curve)


def kappa_of_weeks(panel: Panel, effect: Floats, curve: Curve) -> Floats:
    """Overdispersion of the weeks in reach of the level, by product of the panel."""
    weeks = min(panel.weeks, max(1, forecast.LEVEL_PERIODS // panel.week))
    part = slice(panel.length - weeks * panel.week, panel.length)
    active = panel.is_active[:, part]
    _, mean = forecast.level(panel.quantity[:, part], effect[:, part], active, curve.kappa)
    said = _weekly(np.nan_to_num(mean)[:, None] * np.exp(np.clip(effect[:, part], -30, 30)) * active, panel.week)
    actual = _weekly(panel.quantity[:, part], panel.week)
    log_zero = -np.log1p(curve.kappa[:, None] * said) / curve.kappa[:, None]
    known = (said > 0) & ((actual > 0) | (log_zero >= np.log(demand.STOCK_OUT)))
    return forecast.week_kappa(actual, said, known)


def _weekly(values: Floats, week: int) -> Floats:
    found: Floats = values.reshape(len(values), -1, week).sum(axis=2)
    return found


def _all_rows(part: NDArray[np.generic], known: NDArray[np.intp], rows: int) -> Floats:
    found = np.zeros((rows, part.shape[1]))
    found[known] = part
    return found


def _joined(parts: Sequence[Tested]) -> Tested:
    return Tested(
        np.concatenate([part.actual for part in parts], axis=1),
        np.concatenate([part.said for part in parts], axis=1),
        np.concatenate([part.deviation for part in parts], axis=1),
        np.concatenate([part.counts for part in parts], axis=1),
    )
