"""A model's life through the steps: trained with its card, challenged in the shadow, promoted, rolled back, lost."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Conflict, Defect, InvalidInput, NotFound
from integrator.contracts.insight import parse
from integrator.settings import Settings
from integrator.steps import challenge
from integrator.steps.challenge import RUN_TAG
from integrator.steps.connections import Actor
from integrator.steps.model_advice import advice
from integrator.steps.model_compare import compare
from integrator.steps.model_health import health
from integrator.steps.models import Move, judge, promote, rollback
from integrator.steps.publish import publish
from integrator.steps.score import ScoreReport, score
from integrator.steps.services import Services
from integrator.steps.train import TrainReport, train
from integrator.storage import insights, logs, shadow
from integrator.storage.partners import Partner, register
from models.base import TrainConfig
from models.gate import Verdict
from models.tracking import CARD_FILE, STATE_FILE
from tests.attendance_frames import arena
from tests.integration.attendance_features import MOMENT, make_relations, put_features

USE_CASE = "attendance"
CONFIG = TrainConfig(candidates=("exponential_smoothing",))


@dataclass(frozen=True)
class Tenant:
    """One partner of the shared installation; each test has its own."""

    services: Services
    name: str

    @property
    def actor(self) -> Actor:
        return Actor(self.name, "tester")

    def trained(self, *, run_id: str = "run-train", only_missing: bool = False, **config: Any) -> TrainReport:
        given = TrainConfig(candidates=CONFIG.candidates, **config)
        return train(self.services, self.name, USE_CASE, given, run_id=run_id, only_missing=only_missing)

    def night(self, run_id: str) -> ScoreReport:
        report = score(self.services, self.name, USE_CASE, run_id=run_id)
        publish(self.services, self.name, USE_CASE, run_id=run_id)
        return report

    def serving(self) -> set[str]:
        with self.services.database.partner(self.name) as connection:
            return {parse(one.document).model.version for one in insights.current(connection, self.name, USE_CASE)}

    def rows(self, sql: str) -> list[Any]:
        with self.services.database.partner(self.name) as connection:
            return list(connection.execute(text(sql)).all())

    def events(self, kind: str) -> list[dict[str, Any]]:
        with self.services.database.partner(self.name) as connection:
            return [one["data"] for one in logs.events(connection, self.name, kind=kind)]

    def aliased(self, alias: str) -> str | None:
        tracking = self.services.tracking
        asked = tracking.champion_version if alias == "champion" else tracking.challenger_version
        return asked(USE_CASE, self.name)

    def tamper(self, version: str) -> None:
        """The state of the nth version logged is overwritten."""
        paths = (self.services.settings.root / "artifacts" / f"{USE_CASE}.{self.name}").rglob(STATE_FILE)
        sorted(paths, key=lambda path: path.stat().st_mtime)[int(version) - 1].write_bytes(b"broken")


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: MOMENT)
    make_relations(made)
    return made


@pytest.fixture
def tenant(installation: Services, request: pytest.FixtureRequest) -> Tenant:
    """A partner named after the test, with synthetic features."""
    name = request.node.name.removeprefix("test_")[:30]
    register(installation.database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), MOMENT)
    put_features(installation, 100, partner=name)
    return Tenant(installation, name)


def test_a_life_from_training_to_rollback(tenant: Tenant) -> None:
    first = tenant.trained(run_id="run-1")
    assert first.promoted and first.version == "1" and first.card is not None
    _has_its_card(tenant, first)
    assert tenant.night("night-1").shadow is None, "nothing challenges yet"

    second = tenant.trained(run_id="run-2")
    assert not second.promoted and second.verdict is not None
    assert "does not beat the champion on the same split" in second.verdict.reasons[0]
    assert tenant.aliased("challenger") == "2"
    _scores_in_the_shadow(tenant)
    _is_refused_then_forced(tenant)
    _goes_back(tenant)


def _has_its_card(tenant: Tenant, report: TrainReport) -> None:
    import mlflow

    assert report.card is not None and report.version is not None and report.trained is not None
    assert report.card.startswith(f"# Model card: attendance.{tenant.name}, version {report.version}\n")
    assert tenant.services.tracking.card(USE_CASE, tenant.name, report.version) == report.card
    assert tenant.services.tracking.choices(USE_CASE, tenant.name, report.version) == list(report.trained.choices)
    client = mlflow.MlflowClient(tenant.services.tracking.uri, tenant.services.tracking.uri)
    version = client.get_model_version(f"attendance.{tenant.name}", report.version)
    assert report.card.startswith(version.description[:1000]) and len(version.description) <= 5000
    run = client.get_run(version.run_id)
    assert run.data.tags[RUN_TAG] == version.tags[RUN_TAG] == "run-1"
    assert CARD_FILE in {entry.path for entry in client.list_artifacts(version.run_id)}
    page = tenant.services.tracking.page(USE_CASE, tenant.name, report.version)
    assert page == f"#/experiments/{run.info.experiment_id}/runs/{version.run_id}"


def _scores_in_the_shadow(tenant: Tenant) -> None:
    report = tenant.night("night-2")
    assert report.shadow is not None and report.shadow.model_version == "2" and report.shadow.reason is None
    assert report.shadow.by_outcome == report.by_outcome
    assert report.shadow.agreement["compared"] == report.by_outcome["success"] > 0
    assert report.shadow.agreement["mean_absolute_difference"] == 0.0, "the same model on the same rows"
    assert tenant.serving() == {"1"}, "a shadow publishes nothing"
    published = tenant.rows(
        """select s.insight_id from ops.shadow_prediction s join insights.current c using (partner, insight_id)
        where s.value = c.value and s.low = c.low and s.high = c.high""",
    )
    assert len(published) == report.by_outcome["success"]
    counted = tenant.rows(
        """select is_shadow, model_version, sum(inference_count), min(latency_ms), min(latency_p95_ms)
        from ops.inference_log where run_id = 'night-2' group by 1, 2 order by 1""",
    )
    assert [(one[0], one[1], one[2]) for one in counted] == [(False, "1", report.rows), (True, "2", report.rows)]
    assert all(one[3] > 0 and one[4] > 0 for one in counted)
    tenant.night("night-3")
    assert len(tenant.rows("select from ops.shadow_prediction")) == report.rows, "the same again is no news"
    with tenant.services.database.partner(tenant.name) as connection:
        scorings = shadow.scorings(connection, tenant.name, USE_CASE)
    assert {(one.run_id, one.champion_version) for one in scorings} == {("night-3", "1"), ("night-2", "1")}


def _is_refused_then_forced(tenant: Tenant) -> None:
    with pytest.raises(Conflict, match="does not beat the champion on the same split"):
        promote(tenant.services, tenant.actor, USE_CASE, "2")
    assert tenant.aliased("champion") == "1"
    refused = tenant.events("model.refused")[0]
    assert (refused["version"], refused["by"]) == ("2", "tester")
    with pytest.raises(InvalidInput, match="words that say why"):
        promote(tenant.services, tenant.actor, USE_CASE, "2", force="  ")
    moved = promote(tenant.services, tenant.actor, USE_CASE, "2", force="the hall has new seats")
    assert moved.moved and (moved.before, moved.version) == ("1", "2")
    assert moved.reasons[0] == "Forced past the gate: the hall has new seats"
    said = tenant.events("model.promoted")[0]
    assert (said["forced"], said["before"]) == ("the hall has new seats", "1")
    assert tenant.aliased("challenger") is None, "it serves now, and nothing is beside it"
    assert promote(tenant.services, tenant.actor, USE_CASE, "2") == Move(use_case=USE_CASE, version="2", before="2")
    assert tenant.night("night-4").shadow is None and tenant.serving() == {"2"}
    newest = tenant.services.tracking.versions(USE_CASE, tenant.name)[0]
    assert newest.promoted and newest.reasons == moved.reasons


def _goes_back(tenant: Tenant) -> None:
    moved = rollback(tenant.services, tenant.actor, USE_CASE, reason="a mistake")
    assert (moved.version, moved.before, moved.reasons) == ("1", "2", ("a mistake",))
    tenant.night("night-5")
    assert tenant.serving() == {"1"}, "on the same input, the champion of now stands"
    assert not rollback(tenant.services, tenant.actor, USE_CASE, "1").moved
    with pytest.raises(NotFound, match="before the champion"):
        rollback(tenant.services, tenant.actor, USE_CASE)
    with pytest.raises(NotFound, match="'9'"):
        judge(tenant.services, tenant.name, USE_CASE, "9")
    audited = tenant.rows("select action, subject, actor from integrator.audit_log order by audit_id")
    assert [tuple(one) for one in audited] == [
        ("model.promoted", f"attendance.{tenant.name} 2", "tester"), ("model.rolled_back", f"attendance.{tenant.name} 1", "tester"),
    ]  # fmt: skip


def test_a_challenger_that_breaks_harms_nobody(tenant: Tenant) -> None:
    tenant.trained()
    tenant.trained(promote=False)
    tenant.tamper("2")
    report = tenant.night("night-1")
    assert report.by_outcome["success"] > 0 and tenant.serving() == {"1"}
    assert report.shadow is not None and report.shadow.reason is not None
    assert report.shadow.reason.startswith("Defect: a model's state cannot be read")
    assert report.shadow.by_outcome["failure"] == report.rows and report.shadow.agreement == {}
    with tenant.services.database.partner(tenant.name) as connection:
        (kept,) = shadow.scorings(connection, tenant.name, USE_CASE)
    assert (kept.reason, kept.failure_count, kept.model_version) == (report.shadow.reason, report.rows, "2")
    assert tenant.events("shadow.failed")[0]["version"] == "2"
    failed = tenant.rows("select inference_count from ops.inference_log where is_shadow and outcome = 'failure'")
    assert [one[0] for one in failed] == [report.rows]


def test_a_champion_that_cannot_be_read_fails_loudly_and_is_trained_anew(tenant: Tenant) -> None:
    tenant.trained()
    report = tenant.night("night-1")
    tenant.tamper("1")
    with pytest.raises(Defect, match="cannot be read"):
        score(tenant.services, tenant.name, USE_CASE, run_id="night-2")
    failed = tenant.rows("select outcome, inference_count from ops.inference_log where run_id = 'night-2'")
    assert [tuple(one) for one in failed] == [("failure", report.rows)]
    assert tenant.serving() == {"1"}, "its last insights stay"

    (found,) = compare(tenant.services, tenant.name, USE_CASE, ["1"])
    assert "champion" not in found.metrics and tenant.events("model.unreadable") == [], "who looks leaves no trace"
    seen = health(tenant.services, tenant.name, USE_CASE)
    assert seen.unreadable is not None and "cannot be read" in advice(seen, tenant.name, MOMENT)[0]
    again = tenant.trained(run_id="night-3", only_missing=True)
    assert again.promoted and again.version == "2", "there is a champion, but nobody it could serve"
    assert tenant.events("model.unreadable")[0]["version"] == "1"
    tenant.night("night-3")
    assert tenant.serving() == {"2"}
    with pytest.raises(Defect, match="cannot be read"):
        rollback(tenant.services, tenant.actor, USE_CASE)
    assert tenant.aliased("champion") == "2", "what cannot serve is no way back"
    kept = tenant.trained(run_id="night-4", only_missing=True)
    assert kept.kept == "2"


def test_beside_the_rule_a_refused_model_shows_what_it_would_have_said(tenant: Tenant) -> None:
    """No champion yet: the rule is published, and the version that may not serve runs in its shadow."""
    tenant.trained(promote=False)
    report = tenant.night("night-1")
    assert report.model_name == "attendance.rule" and tenant.serving() == {"1"}
    assert report.shadow is not None and report.shadow.reason is None and report.shadow.model_version == "1"
    (kept,) = tenant.rows("select champion_name, model_name from ops.shadow_scoring")
    assert tuple(kept) == ("attendance.rule", f"attendance.{tenant.name}")
    said = tenant.rows("select distinct rung, outcome from ops.shadow_prediction")
    assert ("partner", "success") in [tuple(one) for one in said]


def test_what_the_gate_refused_rests_until_there_is_more_to_learn(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty partners whose models do not pass would cost every night the time of twenty trainings."""
    refuse = Verdict(promote=False, reasons=("It says nothing.",))
    monkeypatch.setattr(challenge, "gate", lambda *_: refuse)
    assert tenant.trained(promote=False).version == "1", "registered by hand, the gate not asked"
    assert tenant.trained(only_missing=True).version == "2"
    again = tenant.trained(only_missing=True)
    assert (again.version, again.trained, again.kept, again.promoted) == (None, None, None, False)
    assert again.outcome.startswith(
        "refused by the gate on 2026-03-16 and not trained again: 0 new outcomes since, 50 are"
    )
    assert again.outcome.endswith("otherwise on 2026-03-23") and again.rows == 189
    assert tenant.trained().version == "3", "people and the schedule do not wait"

    put_features(tenant.services, 101, arena(days=79), partner=tenant.name)
    assert tenant.trained(only_missing=True).outcome.count("48 new outcomes since") == 1
    put_features(tenant.services, 102, arena(days=80), partner=tenant.name)
    assert tenant.trained(only_missing=True).version == "4", "51 more"
    week = replace(tenant.services, clock=lambda: MOMENT + timedelta(days=7))
    assert tenant.trained(only_missing=True).version is None
    assert Tenant(week, tenant.name).trained(only_missing=True).version == "5"

    monkeypatch.undo()
    assert tenant.trained().promoted
    monkeypatch.setattr(challenge, "gate", lambda *_: refuse)
    assert not tenant.trained().promoted
    tenant.tamper("6")
    assert tenant.trained(only_missing=True).version == "8", "a champion that cannot be read waits for nothing"
