"""The pooled attendance model: the calendar of several partners' units, at each young unit's own level."""

import json
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from integrator.contracts.errors import Defect, NotReady
from integrator.steps.predictions import Failure, finished
from models import registry
from models.attendance import pooled_pattern as pattern
from models.attendance.pooled import POOLED_USE_CASE as CODE
from models.attendance.pooled_cases import units_of, young
from models.base import FittedModel, Prediction
from models.pooling.base import Limits, Member, PooledTraining
from models.pooling.sharing import verdict
from models.rounding import sums
from models.state import plain_pickle
from tests.attendance_frames import CONTEXT, TODAY, arena, event, frame, series, synthetic_people, training

SEEDS = (1, 2, 3)


def house(seed: int, days: int = 120, mark: str = "") -> pl.DataFrame:
    """A partner with two venues of its own sizes, open daily."""
    return frame(
        *(series(f"{mark}venue{n}", synthetic_people(days, level=level * seed, seed=10 * seed + n), venue_name=f"{mark}hall")
          for n, level in enumerate((70, 400)))
    )  # fmt: skip


def member(seed: int, **other: Any) -> Member:
    found = CODE.member(training(house(seed, **other)), CONTEXT)
    assert found is not None
    return found


@cache
def pooled() -> PooledTraining:
    return CODE.train([member(seed) for seed in SEEDS], Limits())


def model() -> FittedModel:
    return registry.restored("attendance", pooled().trained.model.state())


def predicted(live: pl.DataFrame) -> dict[str, Prediction]:
    rows = json.loads(json.dumps(CODE.rows(model(), live, CONTEXT, None)))
    return {f"{entry.subject.kind} {entry.subject.id}": entry for entry in model().predict(rows)}


def test_it_passes_the_gate_beats_every_left_out_rule_and_covers() -> None:
    found = verdict(pooled(), None)
    assert found.promote, found.reasons
    assert all(entry is not None and entry.pooled < entry.rule for entry in pooled().held_out)
    assert 0.6 <= (pooled().trained.backtest.score("pooled").coverage or 0) <= 0.97
    effects = pooled().trained.model.state()["cadences"]["daily"]["pattern"]["effects"]["weekday"]
    assert int(np.argmax(effects)) == 5 and effects[5] - effects[0] == pytest.approx(np.log(1.6 / 0.8), abs=0.1)


def test_no_name_and_no_size_of_a_unit_is_in_it() -> None:
    marked = [member(1, mark="canary_"), member(2, mark="canary_"), member(3, mark="canary_")]
    training_of = CODE.train(marked, Limits())
    state = training_of.trained.model.state()
    assert "canary" not in str(training_of.trained) + repr(plain_pickle(state)) + str(state)
    assert training_of.trained.sample == () and not training_of.trained.choices
    large = [CODE.member(training(house(seed)).with_columns(pl.col("attendance") * 1000), CONTEXT) for seed in SEEDS]
    again = CODE.train([found for found in large if found], Limits()).trained.model.state()
    mine, theirs = (one["cadences"]["daily"]["pattern"]["effects"]["weekday"] for one in (state, again))
    assert mine == pytest.approx(theirs, abs=0.02), "venues a thousand times as large have the same pattern"


def test_a_young_series_is_served_at_its_own_level() -> None:
    made = predicted(frame(series("young", synthetic_people(9, level=250, seed=5), capacity=None)))
    head = made["series young"]
    assert (head.rung, head.status, head.details["family"]) == ("pooled", "ready", "pooled")
    assert head.details["horizon"] and "partners who share" in head.summary and head.details["why"]
    saturday = TODAY + timedelta(days=5)
    entry = made[f"event young-{saturday}"]
    assert entry.value == pytest.approx(250 * 1.6 * 1.05, rel=0.12)
    for found in (entry for entry in made.values() if entry.rung == "pooled"):
        assert found.interval is not None and found.value is not None and found.baseline is not None
        assert found.interval.low <= found.value <= found.interval.high
        assert found.confidence_label in ("low", "medium") and found.observations == 9
        assert sums(found.value, found.baseline, found.contributions, decimals=0)
        assert not isinstance(finished(found, 0), Failure)


def test_a_row_s_prediction_is_its_own() -> None:
    live = frame(*(series(name, synthetic_people(days, level=90, seed=days)) for name, days in (("a", 8), ("b", 12))))
    rows = json.loads(json.dumps(CODE.rows(model(), live, CONTEXT, None)))
    together = model().predict(rows)
    assert [model().predict([row])[0] for row in rows] == together and model().predict([]) == []


def test_capacity_is_a_limit_and_its_cut_a_factor() -> None:
    made = predicted(frame(series("full", [160, 170, 180, 200, 260], gap=2, capacity=270)))
    saturday = made[f"event full-{TODAY + timedelta(days=5)}"]
    assert saturday.value == 270 and saturday.interval is not None and saturday.interval.high == 270
    assert {"capacity_cap"} <= {part.factor for part in saturday.contributions}


def test_its_own_weekdays_pull_a_unit_away_from_the_others() -> None:
    other_way = [2.0 if (TODAY - timedelta(days=21 - n)).weekday() == 0 else 1.0 for n in range(21)]
    shared = {"effects": {"weekday": np.zeros(7), "holiday": np.zeros(2)}, "noise": 0.02, "own": 0.2}
    when = np.array([np.datetime64(TODAY - timedelta(days=21 - n), "m") for n in range(21)])
    steps = pattern.Steps(when, 100 * np.array(other_way), np.zeros(21, dtype=bool))
    found = pattern.place("daily", shared, steps)
    stiff = pattern.place("daily", {**shared, "own": 0.001}, steps)
    assert found.own[0] > 0.4 > 0.1 > stiff.own[0] > 0 and abs(found.own[1:]).max() < 0.2


@pytest.mark.parametrize(
    "people",
    [[], [5], [7, 8, 9], [0] * 12, [0, 50] * 6, [None] * 8 + [4]],
    ids=["none", "one", "three", "zeros", "gaps", "old"],
)
def test_with_too_little_or_nothing_to_take_a_logarithm_of_the_rule_speaks(people: list[int | None]) -> None:
    made = predicted(frame(series("young", people)))
    assert made and {entry.rung for entry in made.values()} == {"rule"}


def test_a_silent_or_ended_unit_and_one_too_far_ahead_stay_with_the_rule() -> None:
    silent = predicted(frame(series("silent", synthetic_people(9, level=90, seed=1), gap=60)))
    assert {entry.rung for entry in silent.values()} == {"rule"}
    far = predicted(frame(series("young", synthetic_people(6, level=90, seed=1))))
    assert far[f"event young-{TODAY + timedelta(days=13)}"].status == "refused"


def test_young_units_are_windows_of_old_ones_and_see_nothing_of_what_comes() -> None:
    (unit,) = units_of(training(frame(series("one", list(range(100, 220))))), CONTEXT)["daily"]
    assert unit.grid.units == ("unit",)
    cases = list(young(unit))
    assert len(cases) >= 4
    for case in cases:
        assert case.known.when.max() < case.coming.when.min() and 4 <= len(case.known.people) <= 12
        assert case.rule.max() <= case.known.people.max() and len(case.rule) == len(case.coming.people) <= 14


def test_a_receiver_is_judged_on_its_own_units_where_there_are_enough() -> None:
    good = CODE.judge(model(), training(house(7)), CONTEXT)
    assert good.reason == "better" and good.observations > 100
    assert CODE.judge(model(), training(frame(series("young", [5] * 9))), CONTEXT).reason == "not_judged"
    assert CODE.judge(model(), training(arena()).clear(), CONTEXT).reason == "not_judged"
    flat = training(frame(*(series(f"f{n}", [100 + (day + n) % 2 for day in range(120)]) for n in range(2))))
    assert CODE.judge(model(), flat, CONTEXT).reason == "not_better", "a venue without weekdays is better off by itself"


def test_partners_with_nothing_in_common_are_not_pooled() -> None:
    with pytest.raises(NotReady, match="at least 3"):
        CODE.train([member(1), member(2)], Limits())
    assert CODE.member(training(frame(series("young", [5] * 6))), CONTEXT) is None
    monthly = frame([event("m", TODAY - timedelta(days=30 * n), 50 + n) for n in range(1, 40)])
    other = CODE.member(training(monthly), CONTEXT)
    assert other is not None and set(other.material) != {"daily"}
    with pytest.raises(NotReady):
        CODE.train([member(1), member(2), other], Limits())
    mixed = CODE.train([member(1), member(2), member(3), other], Limits())
    assert mixed.held_out[3] is None, "nothing of it was used, so nothing of it is said to have been"
    with pytest.raises(Defect, match="state_version"):
        registry.restored("attendance", {"rung": "pooled", "state_version": 99})


@pytest.mark.parametrize("name", sorted(pattern.FACTORS))
def test_every_cadence_has_its_factors_and_a_forecast(name: str) -> None:
    rng = np.random.default_rng(3)
    step = {"half_hourly": 30, "hourly": 60, "daily": 1440, "irregular": 4320, "weekly": 10_080}.get(name, 43_830)
    when = np.datetime64("2022-01-03T00:00", "m") + np.arange(400) * step
    holiday = np.zeros(400, dtype=bool)
    members = [[pattern.Steps(when, level * rng.lognormal(0, 0.1, 400), holiday)] for level in (30.0, 900.0, 5000.0)]
    shared = pattern.fit(name, members, [1.0, 1.0, 1.0])
    assert set(shared["effects"]) == set(pattern.FACTORS[name])
    found = pattern.place(name, shared, pattern.Steps(when[:60], members[0][0].people[:60], holiday[:60]))
    said = np.exp(pattern.forecast(name, shared, found, when[60:70], holiday[60:70]))
    assert said == pytest.approx(np.full(10, 30.0), rel=0.25)


def test_half_of_it_is_what_the_naive_rule_says() -> None:
    found = np.exp(pattern.blended(np.log(np.array([100.5, 100.5, 0.5])), np.array([100.0, 0.0, 0.0]))) - 0.5
    assert found == pytest.approx([100.0, np.sqrt(100.5 * 0.5) - 0.5, 0.0])
