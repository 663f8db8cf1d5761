"""The pooled rung through the steps: trained from those who consented, served to a young partner, taken down with consent."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import polars as pl
import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, NotFound
from integrator.contracts.insight import parse
from integrator.contracts.readiness import Readiness
from integrator.security import clients
from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.pooling import PooledReport, pool
from integrator.steps.publish import publish
from integrator.steps.readiness import reached
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.serving import serving
from integrator.storage import insights, pooling, quality
from integrator.storage.frames import read_features
from integrator.storage.partners import Partner, register
from integrator.storage.pooling import set_consent
from integrator_dagster.assets.pooled import facts
from integrator_realtime.app import create_app
from integrator_realtime.openapi_schemas import SCHEMAS
from models import registry
from models.registry import use_case
from tests.asgi import Direct
from tests.attendance_frames import CONTEXT, frame, series, synthetic_people, training
from tests.feature_tables import put
from tests.lead_frames import leads
from tests.pricing_frames import shop

MOMENT = datetime(2026, 3, 16, 6, tzinfo=UTC)
SHARERS = ("ann", "bob", "cyd")
CANARY = "canary9f3"
USE_CASE = "attendance"


def partner(name: str, *, pooled: bool) -> Partner:
    return Partner(partner=name, timezone="Europe/London", currency="GBP", region="GB-ENG", pooling=pooled)


def house(name: str, seed: int) -> pl.DataFrame:
    """A venue's four months; everything that could tell one partner from another carries its name."""
    words: dict[str, Any] = {
        "venue_name": f"{name} hall",
        "category": f"{name} nights",
        "attributes": f'{{"{name}_field": "{name}_value"}}',
    }
    return frame(
        *(series(f"{name}-{n}", synthetic_people(120, level=level, seed=10 * seed + n), **words)
          for n, level in enumerate((70 * seed, 400)))
    )  # fmt: skip


def put_partner(services: Services, name: str, live: pl.DataFrame, position: int = 100) -> None:
    put(services.database, "attendance", name, live, at=MOMENT, position=position)
    put(services.database, "attendance_training", name, training(live), at=MOMENT, position=position)


@pytest.fixture(scope="module")
def shared(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Three partners with a history who consent, a young one who consents, a young one who does not."""
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: MOMENT)
    for name in (*SHARERS, "young"):
        register(database, partner(name, pooled=True), MOMENT)
    register(database, partner("alone", pooled=False), MOMENT)
    for seed, name in enumerate(SHARERS, start=1):
        put_partner(made, name, house(CANARY if name == "bob" else name, seed))
    for name in ("young", "alone"):
        put_partner(made, name, frame(series(f"{name}-stage", synthetic_people(9, level=250, seed=5))))
    return made


@pytest.fixture(scope="module")
def trained(shared: Services) -> PooledReport:
    """The first night's pooled model."""
    assert standing(shared, "young") == ("rule", "no_model") and standing(shared, "alone") == (
        "rule",
        "consent_missing",
    )
    with shared.database.partner("young") as connection:
        quality.remember_readiness(connection, "young", own_report(shared, "young"), MOMENT)
    return pool(shared, USE_CASE, run_id="run-1", only_missing=True)


def own_report(services: Services, name: str) -> Readiness:
    code = use_case(USE_CASE)
    return code.readiness(read_features(services.database, "attendance_training", name), CONTEXT)


def standing(services: Services, name: str) -> tuple[str, str]:
    """The rung reached and where the pooled one stands."""
    found = reached(services, name, own_report(services, name))
    assert found.pooled is not None
    return found.rung, found.pooled.state


def published(services: Services, name: str, run_id: str) -> list[insights.Served]:
    score(services, name, USE_CASE, run_id=run_id)
    publish(services, name, USE_CASE, run_id=run_id)
    with services.database.partner(name) as connection:
        return insights.current(connection, name, USE_CASE)


def test_it_is_trained_from_consenting_partners_alone_and_passes_its_gate(
    shared: Services, trained: PooledReport
) -> None:
    assert (trained.outcome, trained.promoted, trained.has_failures) == ("trained", True, False), trained
    with shared.database.batch() as connection:
        assert pooling.contributors(connection, USE_CASE, trained.version or "") == set(SHARERS)
    with shared.database.partner("ann") as connection:
        seen: Any = connection.execute(text("select partner from ops.pooled_contribution")).scalars().all()
    assert seen == ["ann"], "a partner sees its own line alone"
    again = pool(shared, USE_CASE, run_id="run-2", only_missing=True)
    assert (again.outcome, again.version) == ("kept", trained.version)


def test_a_young_partner_is_served_with_it_and_explained_to_the_byte(shared: Services, trained: PooledReport) -> None:
    found = published(shared, "young", "run-1")
    documents = [parse(served.document) for served in found]
    assert {entry.model.name for entry in documents} == {"attendance.pooled"}
    assert {entry.model.version for entry in documents} == {trained.version}
    assert {"pooled"} <= {entry.rung for entry in documents} <= {"pooled", "rule"}
    head = next(entry for entry in documents if entry.subject.kind == "series")
    assert (head.rung, head.status) == ("pooled", "ready") and "partners who share" in head.explanation.summary
    for served in found:
        again = explain(shared, served.insight_id)
        assert again.identical, (again.document, again.again)
    assert publish(shared, "young", USE_CASE, run_id="run-1").changed == 0
    assert standing(shared, "young") == ("pooled", "serving")
    with shared.database.partner("young") as connection:
        (stored,) = quality.readiness_of(connection, "young")
        counted = connection.execute(
            text("select distinct model_name, model_version from ops.inference_log where partner = 'young'")
        ).all()
    assert stored.rung == "pooled" and stored.pooled is not None and stored.pooled.state == "serving"
    assert [tuple(row) for row in counted] == [("attendance.pooled", trained.version)]


def test_the_partner_reads_where_it_stands_over_http(shared: Services, trained: PooledReport) -> None:
    http = Direct(create_app(shared))
    client = clients.create(shared.database, "young", "quality:read", MOMENT)
    token = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client.client_id, client.client_secret)
    ).json()["access_token"]
    answer = http.get("/v1/readiness", headers={"Authorization": f"Bearer {token}"})
    (found,) = answer.json()["readiness"]
    assert (found["use_case"], found["rung"], found["pooled"]["state"]) == (USE_CASE, "pooled", "serving")
    assert found["requirements"][0]["days_left"] > 0 and "until your own data suffices" in found["pooled"]["reason"]
    jsonschema.validate(answer.json(), SCHEMAS["Readiness"])


def test_who_does_not_consent_neither_gives_nor_gets(shared: Services, trained: PooledReport) -> None:
    found = published(shared, "alone", "run-1")
    assert {parse(served.document).model.name for served in found} == {"attendance.rule"}
    assert standing(shared, "alone") == ("rule", "consent_missing")
    with shared.database.partner("alone") as connection:
        assert pooling.standing(connection, "alone", USE_CASE) is None


def test_nothing_of_one_partner_reaches_the_model_the_registry_the_page_or_another(
    shared: Services, trained: PooledReport
) -> None:
    published(shared, "young", "run-3")
    assert CANARY in str(read_features(shared.database, "attendance", "bob")["venue_name"].to_list()), "it was planted"
    told = [str(facts(trained)), str(trained)]
    told += [path.read_bytes().decode("latin-1") for path in _files(shared)]
    with shared.database.batch() as connection:
        tables = connection.exec_driver_sql(
            """select table_schema || '.' || table_name, bool_or(column_name = 'partner') from information_schema.columns
            where table_schema in ('mlflow', 'ops', 'insights', 'metrics') group by 1"""
        ).all()
        for table, is_tenants in tables:
            others = "where partner <> 'bob'" if is_tenants else ""
            told += [str(row) for row in connection.exec_driver_sql(f"select * from {table} {others}")]
    assert {"mlflow.params", "mlflow.model_version_tags", "ops.prediction_log"} <= {name for name, _ in tables}
    assert len(_files(shared)) > 3 and len(told) > 30
    for text_of in told:
        assert CANARY not in text_of and "ann-0" not in text_of and "cyd hall" not in text_of
    own = [entry for entry in told if "bob" in entry]
    assert not own, "nor does anything say who took part"


def _files(services: Services) -> list[Path]:
    return [path for path in (services.settings.root / "artifacts").rglob("*") if path.is_file()]


def test_people_who_said_no_are_in_no_shared_model_and_leads_of_a_young_partner_are_scored(shared: Services) -> None:
    for seed, name in enumerate(SHARERS, start=2):
        own = leads(900, seed=seed).with_columns(pooling_allowed=pl.int_range(900) % 3 > 0)
        put(shared.database, "lead_score_training", name, own, at=MOMENT, position=100)
    young = leads(70, seed=9).with_columns(pooling_allowed=pl.lit(None, pl.Boolean))
    put(shared.database, "lead_score_training", "young", young, at=MOMENT, position=100)
    put(shared.database, "lead_score", "young", leads(12, seed=77).drop("converted"), at=MOMENT, position=100)
    assert pool(shared, "lead_score", run_id="run-1").promoted
    with shared.database.batch() as connection:
        rows = connection.execute(
            text("select distinct row_count from ops.pooled_contribution where use_case = 'lead_score'")
        ).scalars()
        assert list(rows) == [600], "two of three said yes"
    served(shared, "lead_score", 12)


def test_a_small_shop_is_priced(shared: Services) -> None:
    for seed, name in enumerate(SHARERS, start=1):
        put(shared.database, "pricing_training", name, shop(5, 119, seed=seed), at=MOMENT, position=100)
    for relation in ("pricing", "pricing_training"):
        until_now = shop(2, 84, seed=8).with_columns(pl.col("sold_on").dt.offset_by("49d"))
        put(shared.database, relation, "young", until_now, at=MOMENT, position=100)
    assert pool(shared, "pricing", run_id="run-1").promoted
    served(shared, "pricing", 2)


def served(services: Services, use_case_name: str, count: int) -> None:
    """The young partner's insights are the pooled model's, and come out the same when they are explained."""
    score(services, "young", use_case_name, run_id="run-1")
    publish(services, "young", use_case_name, run_id="run-1")
    with services.database.partner("young") as connection:
        found = insights.current(connection, "young", use_case_name)
    documents = [parse(entry.document) for entry in found]
    assert [(entry.rung, entry.status) for entry in documents] == [("pooled", "ready")] * count
    assert {entry.model.name for entry in documents} == {f"{use_case_name}.pooled"}
    for entry in found:
        again = explain(services, entry.insight_id)
        assert again.identical, (again.document, again.again)


def test_a_partner_that_its_own_rule_serves_better_keeps_it_and_is_told(
    shared: Services, trained: PooledReport
) -> None:
    register(shared.database, partner("flat", pooled=True), MOMENT)
    even = frame(*(series(f"flat-{n}", [100 + (day + n) % 2 for day in range(120)]) for n in range(2)))
    put_partner(shared, "flat", even)
    assert standing(shared, "flat") == ("rule", "not_judged_yet")
    assert not pool(shared, USE_CASE, run_id="run-4", only_missing=True).has_failures
    assert standing(shared, "flat") == ("rule", "not_better")
    found = published(shared, "flat", "run-4")
    documents = [parse(served.document) for served in found]
    assert {entry.model.name for entry in documents} == {"attendance.rule"}
    assert all("is no better on your own data" in entry.explanation.summary for entry in documents if entry.value)
    assert all(explain(shared, served.insight_id).identical for served in found)
    with shared.database.partner("flat") as connection:
        kept = pooling.standing(connection, "flat", USE_CASE)
    assert kept is not None and kept.pooled_value is not None and kept.rule_value is not None
    assert kept.pooled_value >= kept.rule_value and kept.observations > 100


def test_a_partner_whose_rows_break_is_left_out_alone(
    shared: Services, trained: PooledReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    code: Any = registry.pooled(USE_CASE)
    original = type(code).judge

    def broken(self: Any, model: Any, frame_of: pl.DataFrame, context: Any) -> Any:
        if context.partner == "flat":
            raise ZeroDivisionError("a value that must not be repeated")
        return original(self, model, frame_of, context)

    monkeypatch.setattr(type(code), "judge", broken)
    report = pool(shared, USE_CASE, run_id="run-5", only_missing=True)
    assert report.has_failures and "flat" not in str(report)
    assert standing(shared, "flat") == ("rule", "failed") and standing(shared, "young") == ("pooled", "serving")
    with shared.database.partner("flat") as connection:
        noted: Any = connection.execute(
            text("select data from ops.event_log where partner = 'flat' and kind = 'pooled.not_judged'")
        ).scalar_one()
    assert noted["reason"] == "ZeroDivisionError" and "value" not in str(noted)


def test_code_that_does_not_load_is_told_and_stops_nobody(
    shared: Services, trained: PooledReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Any:
        raise SyntaxError("half an edit")

    with monkeypatch.context() as patched:
        patched.setattr(registry, "pooled", broken)
        report = pool(shared, USE_CASE, run_id="run-5")
        assert (report.outcome, report.reason, report.has_failures) == ("failed", "SyntaxError", True)
        assert {parse(one.document).rung for one in published(shared, "alone", "run-5")} == {"rule"}
        assert standing(shared, "young") == ("pooled", "serving")
    assert not pool(shared, USE_CASE, run_id="run-5", only_missing=True).has_failures


def test_consent_taken_back_takes_the_model_down_whatever_comes_of_the_next_training(
    shared: Services, trained: PooledReport
) -> None:
    before = {served.insight_id: served for served in published(shared, "young", "run-6")}
    set_consent(shared.database, "flat", pooling=False, now=MOMENT)
    assert set_consent(shared.database, "bob", pooling=False, now=MOMENT) is True
    assert set_consent(shared.database, "bob", pooling=False, now=MOMENT) is False
    assert serving(shared, "bob", USE_CASE).rung == "rule", "who withdrew gets nothing from then on"
    assert serving(shared, "young", USE_CASE).rung == "pooled", "the others keep it until the next night"
    report = pool(shared, USE_CASE, run_id="run-6", only_missing=True)
    assert (report.outcome, report.retired) == ("too_few_partners", True)
    assert shared.tracking.champion_version(USE_CASE, "pooled") is None
    with pytest.raises(NotFound):
        shared.tracking.rollback(USE_CASE, "pooled")
    assert standing(shared, "young")[0] == "rule"
    for served in published(shared, "young", "run-6"):
        assert parse(served.document).model.name == "attendance.rule"
        assert served.insight_version == before[served.insight_id].insight_version + 1, "published on the same input"
        assert explain(shared, served.insight_id, version=before[served.insight_id].insight_version).identical
    with shared.database.partner("bob") as connection:
        kinds: Any = connection.execute(text("select kind from ops.event_log where partner = 'bob'")).scalars().all()
        noted: Any = (
            connection.execute(text("select reason from ops.touched_log where partner = 'bob'")).scalars().all()
        )
    assert "pooled.retired" in kinds and set(noted) == {"pooling"}


def test_consent_given_again_trains_again(shared: Services, trained: PooledReport) -> None:
    set_consent(shared.database, "bob", pooling=True, now=MOMENT)
    assert standing(shared, "young") == ("rule", "no_model")
    report = pool(shared, USE_CASE, run_id="run-7", only_missing=True)
    assert report.promoted and report.version != trained.version and not report.retired
    assert standing(shared, "young") == ("pooled", "serving") and standing(shared, "ann") == ("pooled", "serving")


def test_consent_withdrawn_while_it_trains_is_not_passed_over(
    shared: Services, trained: PooledReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    code: Any = registry.pooled(USE_CASE)
    original = type(code).train

    def slow(self: Any, members: Any, limits: Any) -> Any:
        set_consent(shared.database, "cyd", pooling=False, now=MOMENT)
        return original(self, members, limits)

    monkeypatch.setattr(type(code), "train", slow)
    report = pool(shared, USE_CASE, run_id="run-8")
    assert report.verdict is not None and not report.promoted
    assert report.verdict.reasons[0] == "Consent was withdrawn while it was trained."
    monkeypatch.undo()
    assert pool(shared, USE_CASE, run_id="run-9", only_missing=True).retired


def test_the_command_gives_and_takes_consent_and_keeps_a_record(
    shared: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from integrator.cli import partners as command

    monkeypatch.setattr(command, "open_session", lambda: shared)
    command.pooling("alone", "yes", as_json=True)
    command.pooling("alone", "yes", as_json=True)
    told = capsys.readouterr()
    assert told.out.count('"pooling": "yes"') == 2 and "already" in told.err
    with pytest.raises(InvalidInput, match="perhaps"):
        command.pooling("alone", "perhaps")
    with pytest.raises(NotFound, match="nobody"):
        command.pooling("nobody", "yes")
    with shared.database.partner("alone") as connection:
        audited = connection.execute(
            text("select data from integrator.audit_log where partner = 'alone' and action = 'partner.pooling'")
        ).all()
    assert [row.data for row in audited] == [{"pooling": "yes"}]
