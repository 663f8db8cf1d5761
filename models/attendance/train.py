"""Training: every grid backtested and fitted, the whole judged for the gate, and put together as a state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from integrator.contracts.errors import NotReady, invalid
from models.attendance import sentences
from models.attendance.attributes import Encoder, fit_encoder, flat_attributes
from models.attendance.backtest import backtest_of, residuals, spreads
from models.attendance.booking import model as booking_model
from models.attendance.booking import training as booking
from models.attendance.booking.backtest import BOOKING
from models.attendance.booking.readiness import requirement
from models.attendance.cadence import Cadence
from models.attendance.candidates import COMBINATION, FAMILIES, PER_SERIES, PROPHET, RULE
from models.attendance.fitting import MAX_PROPHET_FITS, Fitted, Plan, fit_grid, plan_for
from models.attendance.grid import Grid
from models.attendance.history import COUNTED, History, history_of, prepared
from models.attendance.intervals import Margins, fit_margins, realized_coverage
from models.attendance.offered import Elsewhere, family_of, kinds_of
from models.attendance.predict import AttendanceModel
from models.attendance.readiness import readiness
from models.attendance.rule import STATE_VERSION, matrix_of
from models.base import Choice, Context, FeatureRow, TrainConfig, Trained
from models.messages import Catalogue, catalogue
from models.outside.contract import Outside

RULE_ALONE = (RULE,)
FLOOR = 1.25
"""Times the rule's error on a series' own past tests, from which on the one family for all leaves it to the rule."""
MAX_CHOICES = 5_000
"""Series whose choice is told one by one; a partner with more reads them from the model's state."""


def train(training: pl.DataFrame, config: TrainConfig, context: Context, model: Outside | None = None) -> Trained:
    """Compare the candidates for every series, choose, and fit what was chosen on all of the frame.

    A `model` made elsewhere takes the place of our own families beside the rule, on the same folds.
    Raises `NotReady` with the counts when the history is too short, `InvalidInput` for an unknown candidate.
    """
    wanted = _wanted(config)
    if model is not None:
        wanted = (RULE, family_of(model))
    full = prepared(training, context.timezone)
    found = history_of(full, window_days=config.window_days)
    ready = readiness(found, context.language, requirement(full, context.language))
    if not ready.ready:
        raise NotReady(f"attendance of {context.partner} is not ready for a model of its own: {ready}")
    say = catalogue("attendance", context.language)
    learned = booking_model.fit(full) if not config.candidates or BOOKING in config.candidates else None
    grids = planned(found, full, wanted, config, context.language)
    elsewhere = None if model is None else Elsewhere(model, kinds_of([encoder for _, encoder, _ in grids]))
    fitted = _fitted(grids, context, elsewhere)
    if not fitted and (learned is None or model is not None):
        longest = max((int(grid.spans.max(initial=0)) for grid in found.grids), default=0)
        raise NotReady(f"a history of {longest} steps leaves no backtest on two origins for {context.partner}")
    series = backtest_of(fitted, found.digest()) if fitted else None
    chosen = RULE if series is None else series.chosen
    table, served = booking.joined(series, fitted, learned, full)
    units = {unit: facts for one in fitted for unit, facts in _units(one, chosen).items()}
    state: dict[str, Any] = {
        "state_version": STATE_VERSION,
        "series": {
            "is_better": chosen != RULE,
            "grids": {one.grid.cadence.name: _grid_state(one, chosen) for one in fitted},
            "units": units,
            "prophet": {unit: fit for one in fitted for unit, fit in one.prophet.items()},
        },
        "booking": None if served is None else served.plain(),
    }
    sample = _sample(training, context)
    if elsewhere is not None:
        state["outside"] = elsewhere.kinds
        _probe(elsewhere, grids, sample)
    dropped = {name: reason for one in fitted for name, reason in one.encoder.dropped.items()}
    return Trained(
        model=AttendanceModel(state, model),
        backtest=table,
        params={
            **_params(found, fitted, units, wanted, config, context),
            **({} if elsewhere is None else {"candidate": elsewhere.name, "inputs": elsewhere.wants()}),
            **booking.params(served),
        },
        dropped=dropped,
        data_hash=booking.digest(found.digest(), served),
        sample=sample,
        choices=(*booking.choices(served, say), *_choices(units, say)),
        data=_data(found, fitted),
        limits=(
            *(() if elsewhere is None else (say("limit.outside"),)),
            *booking.limits(served, say),
            *(_limits(fitted, say) if fitted else ()),
        ),
    )


def _wanted(config: TrainConfig) -> tuple[str, ...]:
    """The families to try, the rule always first; asking for the combination or the choice alone asks for all."""
    allowed = (*FAMILIES, COMBINATION, PER_SERIES, BOOKING)
    asked = tuple(config.candidates or FAMILIES)
    for name in asked:
        if name not in allowed:
            raise invalid("candidate", name, allowed)
    if config.horizon_days is not None and config.horizon_days < 1:
        raise invalid("horizon_days", config.horizon_days, "a whole number from 1")
    named = [name for name in asked if name in FAMILIES]
    every = () if set(asked) <= {BOOKING} else FAMILIES
    return tuple(dict.fromkeys((RULE, *(named or every))))


def planned(
    found: History, full: pl.DataFrame, wanted: Sequence[str], config: TrainConfig, language: str
) -> list[tuple[Grid, Encoder, Plan]]:
    """Every grid that can be judged, with what its training reads and does; `full` is the whole frame, prepared.

    Why it does not read some attributes is told in `language`.
    """
    out = []
    for grid in found.grids:
        steps = None if config.horizon_days is None else _steps(config.horizon_days, grid.cadence)
        plan = plan_for(grid, wanted, steps, len(found.units))
        if len(plan.origins) < 2 or not (grid.known >= grid.cadence.known).any():
            continue  # its units go by the rule: a choice cannot be judged on one fold
        out.append((grid, _encoder(grid, full, config, language), plan))
    return out


def _fitted(grids: Sequence[tuple[Grid, Encoder, Plan]], context: Context, elsewhere: Elsewhere | None) -> list[Fitted]:
    fitted = (fit_grid(grid, encoder, plan, context.seed, elsewhere) for grid, encoder, plan in grids)
    return [one for one in fitted if one.judged]


def _probe(elsewhere: Elsewhere, grids: Sequence[tuple[Grid, Encoder, Plan]], sample: Sequence[FeatureRow]) -> None:
    for grid, encoder, _ in grids:
        own = [row for row in sample if row["history"] is not None and row["cadence"] == grid.cadence.name]
        elsewhere.probe(matrix_of(own), encoder, grid.cadence.name)


def _steps(days: int, cadence: Cadence) -> int:
    return max(1, int(np.ceil(days / cadence.days)))


def _encoder(grid: Grid, full: pl.DataFrame, config: TrainConfig, language: str) -> Encoder:
    own = full.filter(~pl.col("is_past").fill_null(True) & pl.col("status").is_in(COUNTED))
    own = own.filter(pl.col("unit").is_in(list(grid.units)))
    coming = [flat_attributes(cell) for cell in own["attributes"].to_list()]
    past = [grid.attributes[place] for place in sorted(grid.attributes)]
    empty = int(grid.known.sum()) - len(past)
    known = [*past, *({} for _ in range(empty))] if past else []
    return fit_encoder(known, config.excluded_attributes, coming, language)


def _grid_state(one: Fitted, chosen: str) -> dict[str, Any]:
    cases = residuals(one, PER_SERIES if chosen == RULE else chosen)
    return {
        "horizon": one.plan.horizon,
        "encoder": {"kept": dict(one.encoder.kept), "dropped": dict(one.encoder.dropped)},
        "margins": _margins_state(fit_margins(cases)),
        "coverage": realized_coverage(cases),
        "observations": len(cases.actual),
        "boosting": one.boosting,
    }


def _units(one: Fitted, chosen: str) -> dict[str, dict[str, Any]]:
    """Every unit with enough history: its family and weights, the alternatives' errors, and what its choice rests on."""
    ratio = spreads(one, PER_SERIES if chosen == RULE else chosen)[:, -1]
    selection = one.selection
    out: dict[str, dict[str, Any]] = {}
    for number in np.flatnonzero(one.grid.known >= one.grid.cadence.known):
        unit = one.grid.units[number]
        family, weights = _served(one, chosen, int(number))
        scores = {name: float(own[number]) for name, own in selection.own.items() if np.isfinite(own[number])}
        others = {name: score for name, score in scores.items() if name != RULE}
        out[unit] = {
            "cadence": one.grid.cadence.name,
            "family": family,
            "weights": weights,
            "alternatives": {name: round(score, 4) for name, score in scores.items()},
            "runner_up": min(others, key=lambda name: others[name]) if others else RULE,
            "folds": int(np.ceil(selection.folds[number])),
            "ratio": float(ratio[number]),
            "why": _why(family, scores, chosen, float(np.ptp(_known(one.grid, int(number))))),
        }
    return out


def _served(one: Fitted, chosen: str, number: int) -> tuple[str, dict[str, float]]:
    """The family that serves a unit, with its weights: the unit's own choice, or the one for all but where it is far off."""
    selection = one.selection
    if chosen == RULE or (chosen != PER_SERIES and chosen not in one.plan.families):
        return RULE, {RULE: 1.0}
    if chosen != PER_SERIES:
        mine, rule = selection.own[chosen][number], selection.own[RULE][number]
        return (RULE, {RULE: 1.0}) if mine > FLOOR * rule else (chosen, {chosen: 1.0})
    weights = {name: float(w) for name, w in zip(one.plan.families, selection.weights[:, number], strict=True) if w > 0}
    if one.grid.units[number] not in one.prophet:
        weights.pop(PROPHET, None)
    weights = {name: weight / sum(weights.values()) for name, weight in weights.items()} or {RULE: 1.0}
    family = selection.names[number]
    if family != RULE and len(weights) == 1:
        family = next(iter(weights))
    return family, weights if family != RULE else {RULE: 1.0}


def _known(grid: Grid, unit: int) -> Any:
    people = grid.people[unit]
    return people[np.isfinite(people)]


def _why(family: str, scores: Mapping[str, float], chosen: str, spread: float) -> str:
    if spread == 0:
        return "constant"
    if chosen == RULE:
        return "no_model"
    if not scores:
        return "untested"
    if chosen != PER_SERIES and family == chosen:
        return "shared"
    return family if family == COMBINATION else "rule" if family == RULE else "family"


def _margins_state(margins: Margins) -> dict[str, list[float]]:
    return {
        "shift": list(margins.shift),
        "low": list(margins.low),
        "high": list(margins.high),
        "edges": list(margins.edges),
    }


def _params(
    found: History,
    fitted: Sequence[Fitted],
    units: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[str],
    config: TrainConfig,
    context: Context,
) -> dict[str, Any]:
    families = [facts["family"] for facts in units.values()]
    params: dict[str, Any] = {
        "horizon": {one.grid.cadence.name: one.plan.horizon for one in fitted},
        "window_days": config.window_days,
        "folds": {one.grid.cadence.name: len(one.plan.origins) for one in fitted},
        "units": len(found.units),
        "steps": {one.grid.cadence.name: one.grid.length for one in fitted},
        "training_rows": sum(one.rows for one in fitted),
        "attributes": sorted({name for one in fitted for name in one.encoder.kept}),
        "families": {name: families.count(name) for name in dict.fromkeys(families)},
        "seed": context.seed,
    }
    capped = [
        one
        for one in fitted
        if config.horizon_days and _steps(config.horizon_days, one.grid.cadence) > one.plan.horizon
    ]
    if capped:
        params["horizon_capped"] = f"{config.horizon_days} days were asked for; a third of the history is " + ", ".join(
            f"{one.plan.horizon} {one.grid.cadence.name} steps" for one in capped
        )
    if PROPHET in wanted and not all(PROPHET in one.plan.families for one in fitted):
        params["prophet"] = f"left out: {len(found.units)} series need more than {MAX_PROPHET_FITS} fits"
    return params


def _choices(units: Mapping[str, Mapping[str, Any]], say: Catalogue) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            subject=unit.split("|", 2)[2],
            family=facts["family"],
            scores=facts["alternatives"],
            why=sentences.why(say, facts),
            observations=facts["folds"],
        )
        for unit, facts in sorted(units.items())[:MAX_CHOICES]
    )


def _data(found: History, fitted: Sequence[Fitted]) -> dict[str, Any]:
    """For the model card: counts and dates alone."""
    known = sum(int(grid.known.sum()) for grid in found.grids)
    cells = sum(int(grid.spans[grid.known > 0].sum()) for grid in found.grids)
    days = [
        grid.calendar.when[np.isfinite(grid.people)].astype("datetime64[D]") for grid in found.grids if grid.known.any()
    ]
    return {
        "rows": known,
        "subjects": len(found.units),
        "from": str(min(part.min() for part in days)),
        "to": str(max(part.max() for part in days)),
        "missing_share": round(1 - known / cells, 4) if cells else 0.0,
        "cadences": {grid.cadence.name: len(grid.units) for grid in found.grids},
        "judged_folds": {one.grid.cadence.name: len(one.judged) for one in fitted},
    }


def _limits(fitted: Sequence[Fitted], say: Catalogue) -> tuple[str, ...]:
    horizons = ", ".join(f"{say.number(one.plan.horizon)} {say(f'ahead.{one.grid.cadence.name}')}" for one in fitted)
    known = ", ".join(f"{say.number(one.grid.cadence.known)}" for one in fitted)
    return (
        say("limit.horizon", horizons=horizons), say("limit.new", known=known), say("limit.cause"), say("limit.people"),
    )  # fmt: skip


def _sample(training: pl.DataFrame, context: Context) -> list[FeatureRow]:
    """Feature rows of the newest past events, as if they were still to come: example input without any live frame."""
    from models.attendance.rows import example_rows

    return example_rows(training, context)
