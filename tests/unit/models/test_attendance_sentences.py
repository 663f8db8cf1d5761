"""Every sentence of attendance insights can be said for every cadence, and attributes known only afterwards are left out."""

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from models.attendance import sentences
from models.attendance.attributes import fit_encoder
from models.attendance.cadence import CADENCES
from models.attendance.candidates import COMBINATION, FAMILIES
from models.attendance.explain import GROUPS
from models.base import TrainConfig
from models.messages import catalogue, languages
from models.registry import use_case
from tests.attendance_frames import CONTEXT, TODAY, event, frame, synthetic_people

ATTENDANCE = use_case("attendance")
KINDS: dict[str, list[tuple[str, int | None]]] = {
    "half_hourly": [("weekday_hour", 3), ("hour", None)],
    "hourly": [("weekday_hour", 7), ("hour", None)],
    "daily": [("weekday", day) for day in range(1, 8)],
    "weekly": [("week", None)],
    "monthly": [("month", month) for month in range(1, 13)],
    "quarterly": [("quarter", quarter) for quarter in range(1, 5)],
    "yearly": [],
    "irregular": [("weekday", 6)],
}


def row(cadence: str, kind: str, number: int | None, *, known: int = 30) -> dict[str, Any]:
    return {
        "cadence": cadence, "date": "2026-03-16", "capacity": None, "language": "en",
        "similar": {"kind": kind, "number": number, "time": "18:30", "mean": 5.0, "count": 3},
        "history": {"known": known, "silent_days": 40},
    }  # fmt: skip


@pytest.mark.parametrize("language", languages("attendance"))
@pytest.mark.parametrize("cadence", [cadence.name for cadence in CADENCES])
def test_every_cadence_has_words_for_its_similar_steps_and_for_the_rule(cadence: str, language: str) -> None:
    say = catalogue("attendance", language)
    for kind, number in [*KINDS[cadence], ("recent", None)]:
        one = row(cadence, kind, number)
        said = [sentences.similar_name(say, one), say(f"readiness.{cadence}_span"), say(f"readiness.{cadence}_known")]
        for why in ("few", "silent", "better", "new", "only"):
            said += [
                sentences.by_rule(say, {**one, "history": {"known": n, "silent_days": 9}}, 1234.0, why, 21)
                for n in (1, 7)
            ]
        said += [sentences.refusal(say, "too_far", one, lead="9", span="12", reach="4")]
        said += [sentences.refusal(say, "no_occurrence", one, horizon="8")]
        assert all(text and "{" not in text for text in said)


@pytest.mark.parametrize("why", ["family", "combination", "rule", "untested", "constant", "no_model", "shared"])
def test_every_choice_says_why_with_its_numbers(why: str) -> None:
    unit = {
        "family": "seasonal_naive" if why == "rule" else COMBINATION if why == "combination" else "prophet",
        "why": why, "weights": {"prophet": 0.6, "seasonal_naive": 0.4}, "folds": 8, "runner_up": "prophet",
        "alternatives": {"seasonal_naive": 1.234, "prophet": 0.987, COMBINATION: 0.9},
    }  # fmt: skip
    said = sentences.why(catalogue("attendance"), unit)
    assert said[0].isupper() and said.endswith(".") and "{" not in said
    if why in ("family", "combination", "rule"):
        assert "1.23" in said and "8 past tests" in said
    if why == "combination":
        assert "prophet 60 %" in said and "0.90" in said


def test_every_family_and_factor_has_a_name() -> None:
    say = catalogue("attendance")
    assert all(say.has(f"family.{name}") for name in (*FAMILIES, COMBINATION))
    assert all(
        say.has(f"factor.{name}") and say.has(f"driver.{name}") for name in (*GROUPS, "interval_shift", "capacity_cap")
    )


def test_what_coming_events_never_carry_is_only_known_afterwards() -> None:
    past = [{"rain": n % 5, "promotion": n % 2, "act": "xyz"[n % 3]} for n in range(60)]
    coming = [{"promotion": n % 2, "act": "x"} for n in range(10)]
    kept = fit_encoder(past, (), coming)
    assert set(kept.kept) == {"promotion", "act"}
    assert kept.dropped["rain"] == "known of 100 % of past events and of 0 of 10 coming ones: only known afterwards"
    assert set(fit_encoder(past, ()).kept) == {"rain", "promotion", "act"}, "nothing is known of what is coming"


@pytest.fixture(scope="module")
def games() -> Any:
    """A venue whose home games double its attendance, known ahead, and whose rain is only told afterwards."""
    random = np.random.default_rng(5)
    people = synthetic_people(120, level=300, seed=4)
    rows = []
    for n in range(-120, 14):
        day, game = TODAY + timedelta(days=n), bool(random.random() < 0.3)
        details = {"home_game": game, **({"rain": float(random.random())} if n < 0 else {})}
        count = None if n >= 0 else people[n + 120] * (2 if game else 1)
        rows.append(event("hall", day, count, capacity=None, attributes=json.dumps(details)))
    live = frame(rows)
    found = ATTENDANCE.train(live, TrainConfig(candidates=("gradient_boosting", "prophet")), CONTEXT)
    return found, ATTENDANCE.rows(live, CONTEXT), live


def test_details_known_ahead_move_the_forecast_and_are_told_as_a_factor(games: Any) -> None:
    found, rows, _ = games
    assert found.params["attributes"] == ["home_game"] and "only known afterwards" in found.dropped["rain"]
    said = [
        (row, one)
        for row, one in zip(rows, found.model.predict(rows), strict=True)
        if row["subject"]["kind"] == "event"
    ]
    with_game = [one for row, one in said if row["attributes"]["home_game"]]
    without = [one for row, one in said if not row["attributes"]["home_game"]]
    assert with_game and without
    assert np.mean([one.value for one in with_game]) > 1.4 * np.mean([one.value for one in without])
    effects = [part for one in with_game for part in one.contributions if part.factor == "attributes"]
    assert len(effects) == len(with_game) and all(part.effect > 0 and part.actionable for part in effects)


def test_a_coming_event_without_its_details_is_still_forecast(games: Any) -> None:
    found, rows, _ = games
    bare = [{**row, "attributes": {}} for row in rows if row["subject"]["kind"] == "event"]
    usual = np.mean([one.value for one in found.model.predict(bare)])
    full = [
        one.value for row, one in zip(rows, found.model.predict(rows), strict=True) if row["subject"]["kind"] == "event"
    ]
    assert min(full) < usual < max(full)
