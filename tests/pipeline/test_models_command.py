"""`integrator models` as people call it: compare, promote through the gate, roll back, health; moves end in published insights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from integrator.contracts.errors import EXIT_PERMANENT
from integrator.contracts.insight import parse
from integrator.embedded.endpoints import Endpoints
from integrator.settings import Settings
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import train
from integrator.storage import insights, verdicts
from integrator.storage.partners import Partner, register
from integrator_dagster.launch import instance_of
from integrator_dagster.work import Work
from models.base import TrainConfig
from tests.command_line import Answer, called
from tests.integration.attendance_features import make_relations, put_features
from tests.pipeline.commands import environment
from tests.pipeline.installation import NOW

pytestmark = pytest.mark.timeout(300)
OF = ("--partner", "arena", "--use-case", "attendance")


@dataclass(frozen=True)
class Arena:
    """One partner with a champion, version 1, a refused version 2, and what its installation is called with."""

    services: Services
    environment: dict[str, str]

    def integrator(self, *words: str) -> Answer:
        return called(self.environment, *words)

    def serving(self) -> set[str]:
        with self.services.database.partner("arena") as connection:
            return {parse(one.document).model.version for one in insights.current(connection, "arena", "attendance")}


@pytest.fixture(scope="module")
def arena(make_database: Callable[[], Any], server: Any, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Trained and published once. The test that moves the champion comes last: it leaves version 2 as one that passed."""
    home, database = tmp_path_factory.mktemp("home"), make_database()
    services = Services(Settings(home=home), database, server.redis_url, lambda: NOW)
    for name in ("arena", "empty"):
        register(database, Partner(partner=name, timezone="Europe/London", currency="GBP", region="GB"), NOW)
    make_relations(services)
    put_features(services, 100, partner="arena")
    config = TrainConfig(candidates=("exponential_smoothing",))
    for run_id in ("first", "second"):
        train(services, "arena", "attendance", config, run_id=run_id)
    score(services, "arena", "attendance", run_id="night")
    publish(services, "arena", "attendance", run_id="night")
    _judged(services)
    made = Arena(services, environment(home, database.address, server.redis_url))
    assert made.serving() == {"1"}
    return made


def _judged(services: Services) -> None:
    """What the night after outcomes came leaves behind: the challenger came closer, one check fails, one field moved."""
    shared = {name: None for name in (*verdicts.QUALITY, *verdicts.DRIFT)} | {
        "subject_kind": "event", "model_name": "attendance.arena", "window_days": 90, "prediction_count": 40,
        "outcome_count": 40, "pending_count": 0, "interval_count": 40, "reliability": [], "level": 0.8,
        "n_reference": 500, "n_current": 90, "threshold": 0.1, "about": "feature", "statistic": "jensenshannon",
    }  # fmt: skip
    quality = [
        {**shared, "role": role, "model_version": version, "lead_bucket": bucket, "mae": mae, "coverage": 0.7}
        for role, version, mae in (("champion", "1", 12.0), ("challenger", "2", 9.0))
        for bucket in ("all", "7d")
    ]
    check = {"name": "coverage", "passed": False, "observed": "70 % of 40 inside 80 %", "n": 40, "needed": 30}
    moved = [
        {**shared, "feature": name, "value": value, "drifted": value > 0.1} for name, value in (("a", 0.4), ("b", 0.0))
    ]
    with services.database.partner("arena") as connection:
        verdicts.replace_quality(connection, "arena", "attendance", quality, NOW)
        verdicts.replace_checks(connection, "arena", "attendance", [check], NOW)
        verdicts.add_drift(connection, "arena", "attendance", moved, NOW)


def test_the_list_shows_champion_and_challenger(arena: Arena) -> None:
    answer = arena.integrator("models", "list", *OF, "--json")
    assert answer.code == 0, answer.err
    newest, oldest = answer.documents
    assert (newest["version"], newest["challenger"], newest["champion"]) == ("2", True, False)
    assert (oldest["version"], oldest["challenger"], oldest["champion"]) == ("1", False, True)
    table = arena.integrator("models", "list", *OF).out
    assert "champion" in table and "challenger" in table and "does not beat the champion" in table


def test_compare_says_figures_verdict_choices_and_shadow(arena: Arena) -> None:
    answer = arena.integrator("models", "compare", *OF, "--json")
    assert answer.code == 0, answer.err
    (found,) = answer.documents
    assert (found["champion"], found["challenger"], found["promote"], found["same_split"]) == ("1", "2", False, True)
    assert "does not beat the champion on the same split" in found["reasons"][0]
    assert found["metrics"]["champion"] == found["metrics"]["challenger"] and "rule" in found["metrics"]
    assert not found["differing"]
    assert [(row["role"], row["mae"], row["lead_bucket"]) for row in found["realized"]] == [
        ("challenger", 9.0, "all"), ("champion", 12.0, "all"),
    ]  # fmt: skip
    assert found["shadow"]["mean_absolute_difference"] == 0.0 and found["shadow"]["failures"] == 0
    shown = arena.integrator("models", "compare", *OF).out
    assert "version 2 does not pass the gate now" in shown and "in the shadow" in shown and "realized" in shown


def test_the_way_to_mlflow_is_an_address_while_it_is_served(arena: Arena) -> None:
    def page() -> str:
        return Work().run_page(arena.services, "arena", "attendance", "1")

    place = page()
    assert place.startswith("#/experiments/") and "/runs/" in place
    endpoints = Endpoints(arena.services.settings.root)
    endpoints.put("mlflow", url="http://127.0.0.1:5000", port=5000, pid=1)
    assert page() == f"http://127.0.0.1:5000/{place}"
    endpoints.drop("mlflow")
    assert page() == place


def test_compare_of_nothing_and_of_what_is_not_there_say_so(arena: Arena) -> None:
    for words, said in (
        (("compare", "--partner", "empty", "--use-case", "attendance"), "nothing challenges"),
        (("compare", *OF, "7"), "no version '7' of attendance.arena; there are ['1', '2']"),
        (("promote", *OF, "7"), "no version '7'"),
        (("rollback", *OF), "before the champion"),
        (("rollback", *OF, "2"), "never passed the gate"),
        (("health", "--partner", "arena", "--use-case", "churn"), "allowed: attendance"),
        (("promote", "--partner", "nobody", "--use-case", "attendance", "1"), "nobody"),
    ):
        answer = arena.integrator("models", *words)
        assert answer.code == EXIT_PERMANENT and said in answer.err, (words, answer.err)
    assert arena.serving() == {"1"}


def test_health_says_what_serves_what_it_did_and_what_to_do(arena: Arena) -> None:
    answer = arena.integrator("models", "health", *OF, "--json")
    assert answer.code == 0, answer.err
    (found,) = answer.documents
    assert found["serving"]["version"] == "1" and found["serving"]["rung"] == "partner" and found["age_days"] == 0
    assert found["challenger"] == "2" and found["trained"]["version"] == "2" and found["unreadable"] is None
    assert set(found["backtest"]) == {"champion", "rule"} and len(found["realized"]) == 2
    serving = next(one for one in found["inferences"] if not one["is_shadow"] and one["model_version"] == "1")
    assert serving["counts"]["success"] > 0 and serving["counts"]["failure"] == 0
    assert 0 < serving["p50_ms"] <= serving["max_ms"]
    assert found["last_scoring"]["failure_count"] == 0
    told = " ".join(found["advice"])
    for words in (
        "The check coverage fails: 70 % of 40 inside 80 %.", "1 of 2 features moved away", "integrator retrain --partner arena",
        "version 2 came closer over 90 days: mean absolute error 9 on 40 predictions against 12 on 40",
    ):  # fmt: skip
        assert words in told, told
    shown = arena.integrator("models", "health", "--partner", "arena")
    assert shown.code == 0, shown.err
    for words in (
        "attendance.arena 1",
        "pricing.rule",
        "lead_score.rule",
        "what to do",
        "backtest",
        "shadow",
        "jensenshannon",
    ):
        assert words in shown.out


def test_promotion_is_refused_forced_published_and_rolled_back(arena: Arena) -> None:
    refused = arena.integrator("models", "promote", "2", *OF)
    assert refused.code == EXIT_PERMANENT and "does not beat the champion" in refused.err
    assert arena.serving() == {"1"}

    forced = arena.integrator("models", "promote", "2", *OF, "--force", "new seats", "--json")
    assert forced.code == 0, forced.err
    (moved,) = forced.documents
    assert (moved["version"], moved["before"], moved["moved"]) == ("2", "1", True)
    assert moved["reasons"][0] == "Forced past the gate: new seats"
    assert arena.serving() == {"2"}, "the command ends when the insights are out"
    _is_observed(arena)

    again = arena.integrator("models", "promote", "2", *OF)
    assert again.code == 0 and "serves already" in again.err
    back = arena.integrator("models", "rollback", *OF, "--reason", "a mistake", "--json")
    assert back.code == 0, back.err
    assert back.documents[0]["version"] == "1" and arena.serving() == {"1"}


def _is_observed(arena: Arena) -> None:
    """The move stands on the model's page in Dagster, and launched one rescoring of that partition."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in arena.environment.items():
            patch.setenv(name, value)
        with instance_of(arena.services.settings) as instance:
            seen = _observations(instance)
            (run,) = instance.get_runs()
    assert seen[-1] == {"champion": "2", "before": "1"}
    assert run.job_name == "rescore" and run.tags["dagster/partition"] == "arena" and run.is_success


def _observations(instance: DagsterInstance) -> list[dict[str, Any]]:
    key = AssetKey(["model", "attendance"])
    records = instance.fetch_observations(
        AssetRecordsFilter(asset_key=key, asset_partitions=["arena"]), limit=5
    ).records
    events = [record.asset_observation for record in reversed(records)]
    return [
        {name: event.metadata[name].value for name in ("champion", "before")} for event in events if event is not None
    ]
