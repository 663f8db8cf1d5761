"""The registry of models under use: order, rollback, tampering, two trainings at once. Real MLflow, real Postgres."""

import json
import pickle
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from integrator.contracts.errors import Conflict, Defect, NotFound
from models.base import Trained
from models.gate import Verdict
from models.registry import use_case
from models.tracking import BACKTEST_FILE, STATE_FILE, Tracking
from tests.attendance_frames import CONTEXT, arena, training

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
YES = Verdict(promote=True, reasons=("It is better.",))
NO = Verdict(promote=False, reasons=("It is worse: 2 against 1.",))


@pytest.fixture(scope="module")
def tracking(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    uri = database.text_url("integrator_batch", driver="psycopg2", schema="mlflow")
    made = Tracking(uri, str(tmp_path_factory.mktemp("artifacts")) + "/")
    made.preload()
    return made


@pytest.fixture(scope="module")
def trained() -> Trained:
    from models.base import TrainConfig

    return use_case("attendance").train(
        training(arena(days=49)), TrainConfig(candidates=("exponential_smoothing",)), CONTEXT
    )


def log(tracking: Tracking, name: str, trained: Trained, *verdicts: Verdict) -> list[str]:
    return [
        tracking.log("attendance", name, trained, verdict=verdict, now=NOW + timedelta(hours=hour))
        for hour, verdict in enumerate(verdicts)
    ]


def test_versions_are_newest_first_past_nine_and_one_is_champion(tracking: Tracking, trained: Trained) -> None:
    made = log(tracking, "order", trained, *[YES, NO] * 5, YES)
    found = tracking.versions("attendance", "order")
    assert [info.version for info in found] == made[::-1] == [str(n) for n in range(11, 0, -1)]
    assert [info.version for info in found if info.champion] == ["11"]
    assert [info.logged_at for info in found] == sorted((info.logged_at for info in found), reverse=True)
    assert {info.candidate for info in found} == {trained.backtest.chosen}


def test_a_rollback_from_ten_goes_to_nine_by_number_not_by_letter(tracking: Tracking, trained: Trained) -> None:
    log(tracking, "ten", trained, *[NO] * 7, YES, YES, YES)
    assert tracking.rollback("attendance", "ten") == "9"
    assert tracking.rollback("attendance", "ten") == "8"
    with pytest.raises(NotFound, match="before the champion"):
        tracking.rollback("attendance", "ten")
    assert tracking.rollback("attendance", "ten", "10") == "10", "forward again, for it passed the gate once"
    assert tracking.champion_version("attendance", "ten") == "10"


def test_what_never_passed_the_gate_is_promoted_by_a_verdict_alone(tracking: Tracking, trained: Trained) -> None:
    (version,) = log(tracking, "gate", trained, NO)
    assert tracking.champion("attendance", "gate") is None
    with pytest.raises(Conflict, match="2 against 1"):
        tracking.promote("attendance", "gate", version, verdict=NO)
    with pytest.raises(Conflict, match="never passed the gate"):
        tracking.rollback("attendance", "gate", version)
    with pytest.raises(NotFound, match="'7'"):
        tracking.promote("attendance", "gate", "7", verdict=YES)
    tracking.promote("attendance", "gate", version, verdict=YES)
    assert tracking.versions("attendance", "gate")[0].promoted
    assert tracking.champion_version("attendance", "gate") == version


def test_rollback_of_nothing_names_what_there_is(tracking: Tracking, trained: Trained) -> None:
    with pytest.raises(NotFound, match=r"there are \[\]"):
        tracking.rollback("attendance", "stranger")
    log(tracking, "one", trained, YES)
    with pytest.raises(NotFound, match=r"no version 5 of attendance.one; there are \['1'\]"):
        tracking.rollback("attendance", "one", "5")


def test_partners_and_use_cases_have_versions_of_their_own(tracking: Tracking, trained: Trained) -> None:
    log(tracking, "north", trained, YES, YES)
    log(tracking, "south", trained, YES)
    assert tracking.champion_version("attendance", "south") == "1"
    assert tracking.champion_version("pricing", "north") is None and tracking.versions("pricing", "north") == []


def files(tracking: Tracking, name: str, file: str) -> list[Path]:
    return sorted(Path(tracking.artifact_root, f"attendance.{name}").rglob(file))


class _Runs:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_a_tampered_state_is_refused_before_it_runs(tracking: Tracking, trained: Trained, tmp_path: Path) -> None:
    (version,) = log(tracking, "tampered", trained, YES)
    (path,) = files(tracking, "tampered", STATE_FILE)
    path.write_bytes(pickle.dumps({"state_version": 1, "x": _Runs(tmp_path / "ran")}))
    with pytest.raises(Defect, match="a model's state holds"):
        tracking.load("attendance", "tampered", version)
    assert not (tmp_path / "ran").exists()
    path.write_bytes(b"")
    with pytest.raises(Defect, match="cannot be read"):
        tracking.champion("attendance", "tampered")
    path.write_bytes(pickle.dumps({"state_version": 99}))
    with pytest.raises(Defect, match="state_version 99"):
        tracking.champion("attendance", "tampered")


def test_a_stored_backtest_is_what_the_next_challenger_meets(tracking: Tracking, trained: Trained) -> None:
    log(tracking, "facts", trained, YES)
    champion = tracking.champion("attendance", "facts")
    assert champion is not None
    assert champion.backtest.scores == trained.backtest.scores and champion.backtest.level == trained.backtest.level
    assert champion.backtest.observations == trained.backtest.observations and champion.backtest.plot_png is None
    (path,) = files(tracking, "facts", BACKTEST_FILE)
    assert json.loads(path.read_text())["split"] == trained.backtest.split


def test_two_trainings_at_once_make_two_versions_and_one_champion(tracking: Tracking, trained: Trained) -> None:
    made: dict[str, str] = {}
    barrier = threading.Barrier(2)

    def train(partner: str) -> None:
        barrier.wait()
        made[partner] = tracking.log("attendance", partner, trained, verdict=YES, now=NOW)

    threads = [threading.Thread(target=train, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == {"left": "1", "right": "1"}
    rows = use_case("attendance").rows(arena(days=49), CONTEXT)
    for name in made:
        champion = tracking.champion("attendance", name)
        assert champion is not None and champion.model.predict(rows) == trained.model.predict(rows)


def test_a_champion_read_while_another_is_promoted_is_one_of_the_two(tracking: Tracking, trained: Trained) -> None:
    first, second = log(tracking, "swap", trained, YES, NO)
    seen: set[str | None] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(tracking.champion_version("attendance", "swap"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        tracking.promote("attendance", "swap", second, verdict=YES)
        tracking.rollback("attendance", "swap", first)
    done.set()
    reader.join(30)
    assert seen <= {first, second} and tracking.champion_version("attendance", "swap") == first
