"""Tracking against a real MLflow schema in a real Postgres: versions, the alias, loading back, refusals."""

import json
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrator.contracts.errors import Conflict, Defect, NotFound
from models.base import Backtest, Score, TrainConfig, Trained
from models.gate import Verdict, gate
from models.registry import use_case
from models.tracking import Tracking
from models.versions import CHAMPION, registered_name
from tests.attendance_frames import CONTEXT, arena, training

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
YES = Verdict(promote=True, reasons=("It is better.",))
NO = Verdict(promote=False, reasons=("It is worse: 2 against 1.",))


@pytest.fixture(scope="module")
def tracking(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    uri = database.text_url("integrator_batch", driver="psycopg2", schema="mlflow")
    return Tracking(uri, str(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="module")
def trained() -> Trained:
    config = TrainConfig(candidates=("gradient_boosting", "seasonal_mean"), excluded_attributes=("colour",))
    return use_case("attendance").train(training(arena()), config, CONTEXT)


def test_nothing_is_there_before_the_first_log(tracking: Tracking) -> None:
    assert tracking.champion("attendance", "nobody") is None
    assert tracking.champion_version("attendance", "nobody") is None
    assert tracking.versions("attendance", "nobody") == []


def test_a_promoted_version_loads_back_and_predicts_the_same(tracking: Tracking, trained: Trained) -> None:
    live = arena()
    rows = use_case("attendance").rows(live, CONTEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        version = tracking.log("attendance", "arena", trained, verdict=gate(trained.backtest, None), now=NOW)
        tracking.promote("attendance", "arena", version, verdict=YES)
        champion = tracking.champion("attendance", "arena")
    assert champion is not None
    assert (champion.name, champion.version) == ("attendance.arena", version)
    assert champion.model.predict(rows) == trained.model.predict(rows)
    assert champion.data_hash == trained.data_hash
    assert champion.params["chosen"] == trained.backtest.chosen
    assert champion.backtest.score(champion.backtest.chosen) == trained.backtest.score(trained.backtest.chosen)
    assert champion.backtest.split == trained.backtest.split


def test_the_logged_model_is_a_pyfunc(tracking: Tracking, trained: Trained) -> None:
    import mlflow
    import pandas as pd

    version = tracking.log("attendance", "pyfunc", trained, verdict=YES, now=NOW)
    rows = use_case("attendance").rows(arena(), CONTEXT)[:5]
    model = mlflow.pyfunc.load_model(f"models:/{registered_name('attendance', 'pyfunc')}/{version}")
    answered = model.predict(pd.DataFrame({"row": [json.dumps(row) for row in rows]}))
    expected = trained.model.predict(rows)
    assert answered["value"].tolist() == [prediction.value for prediction in expected]
    assert answered["status"].tolist() == [prediction.status for prediction in expected]
    assert model.metadata.signature.inputs.input_names() == ["row"]


def test_run_holds_metrics_of_all_candidates_params_plot_and_verdict(tracking: Tracking, trained: Trained) -> None:
    import mlflow

    tracking.log("attendance", "run", trained, verdict=NO, now=NOW)
    client = mlflow.MlflowClient(tracking.uri, tracking.uri)
    [version] = client.search_model_versions("name='attendance.run'")
    run = client.get_run(version.run_id)
    for score in trained.backtest.scores:
        assert run.data.metrics[f"{score.candidate}.mase"] == pytest.approx(score.metrics["mase"])
    assert json.loads(run.data.params["horizon"]) == {"daily": 14}
    assert run.data.tags["promoted"] == "false"
    assert json.loads(run.data.tags["gate_reasons"]) == list(NO.reasons)
    files = {entry.path for entry in client.list_artifacts(version.run_id)}
    assert {"backtest.png", "dropped_attributes.json", "verdict.json"} <= files


def test_a_refused_challenger_leaves_the_champion(tracking: Tracking, trained: Trained) -> None:
    first = tracking.log("attendance", "keep", trained, verdict=YES, now=NOW)
    second = tracking.log("attendance", "keep", trained, verdict=NO, now=NOW)
    assert tracking.champion_version("attendance", "keep") == first
    with pytest.raises(Conflict, match="2 against 1"):
        tracking.promote("attendance", "keep", second, verdict=NO)
    newest, oldest = tracking.versions("attendance", "keep")
    assert (newest.version, newest.champion, newest.promoted, newest.reasons) == (second, False, False, NO.reasons)
    assert (oldest.version, oldest.champion, oldest.promoted) == (first, True, True)
    assert oldest.metrics["mase"] > 0


def test_rollback_goes_to_the_promoted_version_before(tracking: Tracking, trained: Trained) -> None:
    first = tracking.log("attendance", "back", trained, verdict=YES, now=NOW)
    refused = tracking.log("attendance", "back", trained, verdict=NO, now=NOW)
    last = tracking.log("attendance", "back", trained, verdict=YES, now=NOW)
    assert tracking.champion_version("attendance", "back") == last
    with pytest.raises(Conflict, match="never passed the gate"):
        tracking.rollback("attendance", "back", refused)
    assert tracking.rollback("attendance", "back") == first
    assert tracking.champion_version("attendance", "back") == first
    with pytest.raises(NotFound, match="before the champion"):
        tracking.rollback("attendance", "back")


def test_an_unknown_version_names_those_there_are(tracking: Tracking, trained: Trained) -> None:
    version = tracking.log("attendance", "known", trained, verdict=NO, now=NOW)
    with pytest.raises(NotFound, match=rf"no version '99' of attendance.known; there are \['{version}'\]"):
        tracking.load("attendance", "known", "99")


class _Foreign:
    """A class of ours, which no state may hold."""


class _Careless:
    def predict(self, rows: Any) -> list[Any]:
        return []

    def state(self) -> dict[str, Any]:
        return {"state_version": 1, "thing": _Foreign()}


def test_a_state_with_a_class_of_ours_is_refused(tracking: Tracking) -> None:
    score = Score(candidate="rule", is_rule=True, metrics={"mase": 1.0}, coverage=None)
    careless = Trained(
        model=_Careless(),
        backtest=Backtest(gate_metric="mase", chosen="rule", scores=(score,), observations=1),
        params={},
        dropped={},
        data_hash="x",
        sample=[],
    )
    with pytest.raises(Defect, match="_Foreign"):
        tracking.log("attendance", "careless", careless, verdict=NO, now=NOW)


def test_artifacts_lie_under_the_given_root(tracking: Tracking, trained: Trained) -> None:
    tracking.log("attendance", "place", trained, verdict=YES, now=NOW)
    assert list(Path(tracking.artifact_root, "attendance.place").rglob("state.pkl"))
    assert CHAMPION == "champion"


def test_threads_that_begin_with_mlflow_together_all_get_the_whole_of_it(tmp_path: Path) -> None:
    """A service's first request comes while its models are still being made ready. In a process of its own: here it is imported."""
    code = f"""
import sys, threading
sys.setswitchinterval(1e-6)
from models.tracking import Tracking
tracking = Tracking("sqlite:///{tmp_path}/runs.db", "{(tmp_path / "artifacts").as_uri()}")
found = []

def ask(work):
    try:
        found.append(work())
    except BaseException as error:
        found.append(f"{{type(error).__name__}}: {{error}}")

asked = [lambda: tracking.champion_version("pricing", "alpha"), lambda: tracking.versions("pricing", "alpha") or None]
works = [tracking.preload, *asked, *asked]
threads = [threading.Thread(target=ask, args=[work]) for work in works]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "[None, None, None, None, None]"
