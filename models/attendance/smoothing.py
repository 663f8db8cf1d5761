"""Exponential smoothing of all units at once: level, damped trend and season, the parameters of each unit its own.

Additive innovations form (Hyndman, Koehler, Ord & Snyder 2008, "Forecasting with Exponential Smoothing", ch. 2.5),
on people and on their logarithm. A small set of parameters runs over the history once; at an origin every unit takes
their mean, weighted by how well each forecast it up to there: one best set would be picked by luck from few steps.
The first two seasons give plain means, so that no start looks ahead.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
NO_SEASON = 0.3
"""Weight, before anything is known, of parameters without a season relative to those with one."""
DAMPING = 0.98
WARM_SEASONS = 2
"""Known steps, in seasons, over which level and season are plain means, and no trend is learned."""
WARM_STEPS = 10
MEMORY = 800
"""Steps before the first origin that are read, or twelve seasons where those are longer."""
MAX_RATIO = 10.0
"""A forecast lies within this many times the highest value ever known."""


@dataclass(frozen=True)
class Gains:
    """The parameters tried, each with each: a season's gain of None means no season, a trend's is a share of the level's."""

    level: tuple[float, ...]
    season: tuple[float | None, ...]
    trend: tuple[float, ...]


COARSE = Gains(level=(0.05, 0.15, 0.4, 0.8), season=(0.05, 0.2, None), trend=(0.0, 0.2))
FINE = Gains(level=(0.001, 0.01, 0.1, 0.8), season=(0.2, 0.5, 0.9, None), trend=(0.0,))
"""For steps within a day: the level of an hour moves over days, and the same hour of a week ago is worth more."""


@dataclass(frozen=True)
class States:
    """Every unit's state at each origin: origins x 2 x units (people, then logarithms), `season` with the phases behind.

    `share` is the logarithms' weight and `top` the highest sensible forecast, origins x units.
    """

    origins: Ints
    level: Floats
    trend: Floats
    season: Floats
    share: Floats
    top: Floats

    def forecast(self, origin: Ints, lead: Ints, phase: Ints) -> Floats:
        """People for every unit at pairs (origin, lead): units x pairs; `phase` is units x pairs."""
        at = np.searchsorted(self.origins, origin)
        run = DAMPING * (1 - DAMPING**lead) / (1 - DAMPING)
        units = np.arange(self.top.shape[1])[:, None]
        plain, logs = (
            self.level[at, kind].T + self.trend[at, kind].T * run + self.season[at[None, :], kind, units, phase]
            for kind in (0, 1)
        )
        share = self.share[at].T
        people = (1 - share) * plain + share * np.expm1(np.clip(logs, 0.0, 50.0))
        return np.asarray(np.clip(people, 0.0, self.top[at].T))


def smooth(people: Floats, phase: Ints, phases: int, origins: Ints, lead: int, gains: Gains = COARSE) -> States:
    """Run over `people` (units x steps) and keep the states at `origins`, sorted: what is known before each.

    `phase` is each step's place in the season, of `phases`; parameters are judged on forecasts `lead` steps ahead.
    """
    run = _Run(people, phase, phases, lead, gains)
    begin = max(0, int(origins.min()) - max(MEMORY, 12 * phases))
    kept: list[tuple[Floats, ...]] = []
    wanted = set(origins.tolist())
    for step in range(begin, int(origins.max()) + 1):
        if step in wanted:
            kept.append(run.state())
        if step < people.shape[1]:
            run.update(step)
    return States(origins, *(np.stack(parts) for parts in zip(*kept, strict=True)))


class _Run:
    """All variants (first axis) of all units (second axis) side by side."""

    def __init__(self, people: Floats, phase: Ints, phases: int, lead: int, gains: Gains) -> None:
        variants = list(product(gains.season, gains.trend, (False, True), gains.level))
        self.season_gain = np.array([[0.0 if gain is None else gain] for gain, _, _, _ in variants])
        self.has_season = np.array([[gain is not None] for gain, _, _, _ in variants])
        self.trend_gain = np.array([[trend] for _, trend, _, _ in variants])
        self.is_log = np.array([is_log for _, _, is_log, _ in variants])
        self.level_gain = np.array([[gain] for _, _, _, gain in variants])
        count, units = len(variants), len(people)
        self.people, self.phase, self.lead = people, phase, lead
        with np.errstate(invalid="ignore"):
            self.logs = np.log1p(people)
        self.each = np.arange(units)
        self.level, self.trend = np.zeros((count, units)), np.zeros((count, units))
        self.season = np.zeros((count, units, phases))
        self.errors, self.judged = np.zeros((count, units)), np.zeros(units)
        self.seen, self.seen_phase = np.zeros(units), np.zeros((units, phases))
        self.sums = np.zeros((2, units, phases))
        self.warm_steps = max(WARM_STEPS, WARM_SEASONS * phases)
        self.top = np.zeros(units)
        self.ahead: list[Floats | None] = [None] * (lead + 1)

    def state(self) -> tuple[Floats, ...]:
        """Level, trend and season of each unit on people and on logarithms, the logarithms' weight, the highest value."""
        weights = self._weights()
        kinds = [weights * (self.is_log == kind)[:, None] for kind in (False, True)]
        shares = [_added(weight) for weight in kinds]
        parts = [weight / np.maximum(share, 1e-12) for weight, share in zip(kinds, shares, strict=True)]
        return (
            np.stack([_added(part * self.level) for part in parts]),
            np.stack([_added(part * self.trend) for part in parts]),
            np.stack([_added(part[:, :, None] * self.season) for part in parts]),
            shares[1],
            self.top * MAX_RATIO,
        )

    def _weights(self) -> Floats:
        """Every set's share in each unit: the likelihood of its past errors under Laplace's law, units adding to 1.

        Forecasts `lead` steps ahead made one after another err together, so `lead` of them count as one.
        """
        mean = self.errors / np.maximum(self.judged, 1.0)
        floor = 1e-6 * np.maximum(self.top, 1e-3)
        fit = -(self.judged / self.lead) * np.log(mean + floor) + np.where(self.has_season, 0.0, np.log(NO_SEASON))
        raw = np.exp(fit - fit.max(axis=0))
        return np.asarray(raw / _added(raw))

    def update(self, step: int) -> None:
        """Judge what was forecast for this step, learn from it, and forecast `lead` steps ahead."""
        actual, phase = self.people[:, step], self.phase[:, step]
        known = np.isfinite(actual)
        if known.any():
            self._judge(step, actual, known)
            self._learn(actual, self.logs[:, step], phase, known)
        else:
            self.level += DAMPING * self.trend
            self.trend *= DAMPING
        later = step + self.lead
        if later < self.people.shape[1]:
            season = self.season[:, self.each, self.phase[:, later]]
            run = DAMPING * (1 - DAMPING**self.lead) / (1 - DAMPING)
            raw = self.level + run * self.trend + season
            logs = self.is_log
            raw[logs] = np.expm1(np.clip(raw[logs], 0.0, 50.0))
            self.ahead[later % (self.lead + 1)] = np.where(self.seen > 0, raw, np.nan)

    def _judge(self, step: int, actual: Floats, known: NDArray[np.bool_]) -> None:
        forecast = self.ahead[step % (self.lead + 1)]
        if forecast is None:
            return
        error = np.abs(np.minimum(forecast, MAX_RATIO * self.top) - actual)
        both = known & np.isfinite(error[0])
        self.errors += np.where(both, error, 0.0)
        self.judged += both

    def _learn(self, actual: Floats, logs: Floats, phase: Ints, known: NDArray[np.bool_]) -> None:
        value = np.where(self.is_log[:, None], logs, actual)
        season = self.season[:, self.each, phase]
        expected = self.level + DAMPING * self.trend
        error = np.where(known, value - expected - season, 0.0)
        own = np.maximum(self.season_gain, 1.0 / (self.seen_phase[self.each, phase] + 1.0)) * self.has_season
        self.level = expected + self.level_gain * error
        self.trend = DAMPING * self.trend + self.trend_gain * self.level_gain * error
        self.season[:, self.each, phase] = season + own * (1.0 - self.level_gain) * error
        self.seen += known
        self.seen_phase[self.each, phase] += known
        self.top = np.where(known, np.maximum(self.top, actual), self.top)
        warm = np.flatnonzero(self.seen <= self.warm_steps)
        if len(warm):
            self._warm(warm, actual, logs, phase, known)

    def _warm(self, warm: Ints, actual: Floats, logs: Floats, phase: Ints, known: NDArray[np.bool_]) -> None:
        """Level and season of units that have just begun: means of what is known, by phase."""
        fresh = warm[known[warm]]
        self.sums[0, fresh, phase[fresh]] += actual[fresh]
        self.sums[1, fresh, phase[fresh]] += logs[fresh]
        count = self.seen_phase[warm]
        means = self.sums[:, warm] / np.maximum(count, 1.0)
        visited = np.maximum((count > 0).sum(axis=1), 1)
        level = np.where(count > 0, means, 0.0).sum(axis=2) / visited
        season = np.where(count > 0, means - level[:, :, None], 0.0)
        kind = self.is_log.astype(np.intp)
        self.level[:, warm] = level[kind]
        self.trend[:, warm] = 0.0
        self.season[:, warm] = season[kind] * self.has_season[:, :, None]


def _added(values: Floats) -> Floats:
    """The sum over the first axis, one after the other: a plain sum's order depends on how many units stand beside."""
    return np.asarray(np.cumsum(values, axis=0)[-1])
