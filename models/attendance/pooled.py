"""The pooled attendance model: how units move with the calendar around their own level, learned from several partners.

The pattern is in pooled_pattern.py, the young units it is judged on in pooled_cases.py, predictions in pooled_model.py.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import NotReady
from integrator.contracts.insight import Subject
from models.attendance import pooled_pattern as pattern
from models.attendance.candidates import METRIC, RULE
from models.attendance.history import history
from models.attendance.intervals import LEVEL
from models.attendance.pooled_cases import LEAST, MOST_STEPS, Unit, Young, known_steps, units_of, young
from models.attendance.pooled_model import STATE_VERSION, PooledAttendance, speaks_for
from models.base import Context, FeatureRow, FittedModel, Trained
from models.evaluation import conformal_margins, coverage
from models.pooling.base import POOLED, HeldOut, Judgement, Limits, Member, PooledTraining
from models.pooling.sharing import CANDIDATE, backtest_of, fingerprint, row_weights
from models.pooling.words import say

Floats = NDArray[np.float64]
Units = Mapping[str, Sequence[Unit]]
Patterns = dict[str, pattern.Pattern]

LEAST_CASES = 30
NEWEST = 4
"""The newest known steps that a unit's level is taken from, in seasons, or in multiples of the least where these are few."""
_EACH = 300
"""Errors of one partner that margins are taken from: its quantiles, so that each partner counts the same."""


class PooledAttendanceUseCase:
    """See `models.pooling.base.PooledUseCase`."""

    def member(self, training: pl.DataFrame, context: Context) -> Member | None:
        """Units by cadence, without names; None where they are too few to be judged by when left out."""
        found = units_of(training, context)
        if _coming(_cases(found, list(found))) < LEAST_CASES:
            return None
        return Member(material=found, rows=sum(len(unit.steps.people) for units in found.values() for unit in units))

    def train(self, members: Sequence[Member], limits: Limits) -> PooledTraining:
        """Leave each partner out once, then fit on all; NotReady where no cadence has enough partners."""
        material: list[Units] = [member.material for member in members]
        shared = [name for name in pattern.FACTORS if sum(name in units for units in material) >= limits.least_partners]
        if not shared:
            raise NotReady(
                f"a pooled model needs at least {limits.least_partners} consenting partners with enough data"
            )
        every = [_cases(units, shared) for units in material]
        used = [n for n, own in enumerate(every) if any(own.values())]
        if len(used) < limits.least_partners:
            raise NotReady(say("readiness.too_few_partners", needed=limits.least_partners))
        material, cases = [material[n] for n in used], [every[n] for n in used]
        places = range(len(used))
        logs = []
        for n in places:
            rest = [units for m, units in enumerate(material) if m != n]
            logs.append(_logs(_fitted(rest, shared, limits, least=limits.least_partners - 1), cases[n]))
        errors = [_errors(cases[n], logs[n]) for n in places]
        known = [
            _held_out(cases[n], logs[n], _margins([entry for m, entry in enumerate(errors) if m != n], shared))
            for n in places
        ]
        held_out: list[HeldOut | None] = [None] * len(members)
        for n, entry in zip(used, known, strict=True):
            held_out[n] = entry
        marks = [unit.steps.people for units in material for own in units.values() for unit in own]
        backtest = backtest_of(
            known, metric=METRIC, rule=RULE, split=f"{fingerprint(marks)}:leave one partner out", level=LEVEL
        )
        margins = _margins(errors, shared)
        fitted = _fitted(material, shared, limits, least=limits.least_partners)
        state: dict[str, Any] = {
            "state_version": STATE_VERSION,
            "rung": POOLED,
            "cadences": {
                name: {"pattern": fitted[name], "margins": margins[name]} for name in fitted if name in margins
            },
            "coverage": backtest.score(CANDIDATE).coverage,
            "alternatives": {score.candidate: round(score.metrics[METRIC], 3) for score in backtest.scores},
        }
        trained = Trained(
            model=PooledAttendance(state),
            backtest=backtest,
            params={"cadences": sorted(state["cadences"]), "ridge": pattern.RIDGE},
            dropped={},
            data_hash=fingerprint(marks),
            sample=(),
            data={"known steps": sum(members[n].rows for n in used)},
            limits=[say(f"limit.{key}") for key in ("receivers", "attendance")],
        )
        return PooledTraining(trained=trained, held_out=tuple(held_out))

    def judge(self, model: FittedModel, training: pl.DataFrame, context: Context) -> Judgement:
        """By MASE on windows of the partner's own units, each as if the unit had just begun."""
        state = model.state()
        own = _cases(units_of(training, context), list(state["cadences"]))
        count = _coming(own)
        if count < LEAST_CASES:
            return Judgement(metric=METRIC, observations=count)
        patterns = {name: found["pattern"] for name, found in state["cadences"].items()}
        margins = {name: found["margins"] for name, found in state["cadences"].items()}
        found = _held_out(own, _logs(patterns, own), margins)
        return Judgement(metric=METRIC, observations=count, pooled=found.pooled, rule=found.rule)

    def rows(
        self, model: FittedModel, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """The use case's rows, each event's with its unit's own level and departure; those of unknown units as they are."""
        from models.attendance.spec import USE_CASE

        found = USE_CASE.rows(live, context, history, subjects)
        state = model.state()
        steps = _known_of(live, context)
        places: dict[str, pattern.Place] = {}

        def told(row: FeatureRow) -> FeatureRow:
            if row["unit"] not in steps or not speaks_for(state, row):
                return row
            shared, unit = state["cadences"][row["cadence"]]["pattern"], steps[row["unit"]]
            place = places.setdefault(row["unit"], pattern.place(row["cadence"], shared, unit))
            when = np.array([row["when"]], dtype="datetime64[m]")
            main = pattern.codes(row["cadence"], when, np.zeros(1, dtype=bool))[pattern.FACTORS[row["cadence"]][0]]
            own = {
                "level": round(place.level, 6),
                "own": round(float(place.own[main[0]]), 6),
                "known": len(unit.people),
            }
            return {**row, POOLED: own}

        return [
            {**row, "occurrences": [told(one) for one in row["occurrences"]]}
            if row["subject"]["kind"] == "series"
            else told(row)
            for row in found
        ]

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The pooled model that gave `state`."""
        return PooledAttendance(state)


def _known_of(live: pl.DataFrame, context: Context) -> dict[str, pattern.Steps]:
    """The newest known steps of every unit that is not often empty."""
    found: dict[str, pattern.Steps] = {}
    for grid in history(live, timezone=context.timezone).grids:
        if grid.cadence.name not in pattern.FACTORS:
            continue
        newest = min(MOST_STEPS, NEWEST * max(grid.cadence.season, LEAST[grid.cadence.name]))
        for row, unit in enumerate(grid.units):
            steps = known_steps(grid, row)
            if (steps.people == 0).mean() <= 0.1:
                found[unit] = pattern.Steps(steps.when[-newest:], steps.people[-newest:], steps.holiday[-newest:])
    return found


def _fitted(material: Sequence[Units], shared: Sequence[str], limits: Limits, *, least: int) -> Patterns:
    """The pattern of each cadence that at least `least` of the partners have."""
    found: Patterns = {}
    for name in shared:
        own = [units[name] for units in material if name in units]
        if len(own) < least:
            continue
        counts = [sum(len(unit.steps.people) for unit in units) for units in own]
        # Two partners, as a fold of three leaves them, can only share by halves.
        share = max(limits.largest_share, 1 / len(own))
        weights = row_weights(counts, Limits(least_partners=least, largest_share=share))
        found[name] = pattern.fit(name, [[unit.steps for unit in units] for units in own], weights)
    return found


def _cases(units: Units, shared: Sequence[str]) -> dict[str, list[Young]]:
    return {name: [case for unit in units.get(name, ()) for case in young(unit)] for name in shared}


def _coming(cases: Mapping[str, Sequence[Young]]) -> int:
    """How many steps the cases are judged on."""
    return sum(len(case.coming.people) for own in cases.values() for case in own)


def _logs(patterns: Patterns, cases: Mapping[str, Sequence[Young]]) -> dict[str, list[Floats]]:
    """Log people said of every case's coming steps; none of a cadence that was not fitted."""
    return {
        name: [_said(name, patterns[name], case) for case in own] for name, own in cases.items() if name in patterns
    }


def _said(name: str, shared: pattern.Pattern, case: Young) -> Floats:
    place = pattern.place(name, shared, case.known)
    return pattern.blended(pattern.forecast(name, shared, place, case.coming.when, case.coming.holiday), case.rule)


def _errors(cases: Mapping[str, Sequence[Young]], logs: Mapping[str, Sequence[Floats]]) -> dict[str, Floats]:
    """Errors in log people by cadence, as so many quantiles, so that no single one of them is kept."""
    found: dict[str, Floats] = {}
    for name, said in logs.items():
        if said:
            own = [np.log(case.coming.people + pattern.HALF) - log for case, log in zip(cases[name], said, strict=True)]
            found[name] = np.quantile(np.concatenate(own), (np.arange(_EACH) + 0.5) / _EACH)
    return found


def _margins(errors: Sequence[Mapping[str, Floats]], shared: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Conformal margins in log people by cadence, each partner counting once."""
    found: dict[str, tuple[float, float]] = {}
    for name in shared:
        own = [entry[name] for entry in errors if name in entry]
        if own:
            whole = np.concatenate(own)
            low, high = conformal_margins(whole, np.zeros(len(whole)), LEVEL)
            found[name] = (min(low, 0.0), max(high, 0.0))
    return found


def _held_out(
    cases: Mapping[str, Sequence[Young]],
    logs: Mapping[str, Sequence[Floats]],
    margins: Mapping[str, tuple[float, float]],
) -> HeldOut:
    """MASE of the pooled model and of the naive rule over a partner's young units, and what its intervals held."""
    pooled, rule, inside, steps = [], [], [], 0
    for name, said in logs.items():
        for case, log in zip(cases[name], said, strict=True):
            actual = case.coming.people
            forecast = np.maximum(np.exp(log) - pattern.HALF, 0.0)
            pooled.append(float(np.abs(actual - forecast).mean()) / case.scale)
            rule.append(float(np.abs(actual - case.rule).mean()) / case.scale)
            steps += len(actual)
            if name in margins:
                low, high = (np.maximum(np.exp(log + margin) - pattern.HALF, 0.0) for margin in margins[name])
                inside.append((coverage(actual, np.round(low), np.round(high)), len(actual)))
    return HeldOut(
        pooled=float(np.mean(pooled)) if pooled else float("nan"),
        rule=float(np.mean(rule)) if rule else float("nan"),
        cases=steps,
        covered=sum(share * n for share, n in inside) / sum(n for _, n in inside) if inside else None,
        intervals=len(inside),
    )


POOLED_USE_CASE = PooledAttendanceUseCase()
