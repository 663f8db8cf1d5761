"""From features in the database to a published insight, and back: scored by the real rule and a real champion, then
explained to the byte."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotFound, PermanentError
from integrator.contracts.insight import parse
from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.storage import frames, insights, scored
from models.base import TrainConfig
from models.gate import Verdict
from models.registry import use_case
from tests.attendance_frames import CONTEXT, arena, training
from tests.integration.attendance_features import MOMENT, make_relations, put_features


@pytest.fixture(scope="module")
def night(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """`features.attendance` as dbt leaves it, holding alpha's rows, and a model registry of the module's own."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    made = Services(settings, services.database, services.redis_url, lambda: MOMENT)
    make_relations(made)
    put_features(made, 100)
    return made


def current(services: Services) -> list[insights.Served]:
    with services.database.partner("alpha") as connection:
        return insights.current(connection, "alpha", "attendance")


def test_frames_have_the_same_dtypes_full_and_empty(night: Services) -> None:
    full = frames.read_features(night.database, "attendance", "alpha")
    empty = frames.read_features(night.database, "features.attendance", "beta")
    assert full.height == arena().height and empty.height == 0
    assert full.schema == empty.schema
    assert full.schema["starts_at"] == pl.Datetime("us", "UTC") and full.schema["is_past"] == pl.Boolean
    assert set(full["partner"]) == {"alpha"}
    same = full.sort("event_id").select("event_id", "starts_at", "starts_on", "attendance", "is_past")
    ours = arena().sort("event_id").select("event_id", "starts_at", "starts_on", "attendance", "is_past")
    assert same.rows() == ours.rows()
    assert frames.input_position(night.database, "attendance", full) == 100
    assert frames.input_position(night.database, "attendance", empty) == 100
    with pytest.raises(NotFound, match=r"features\.weather"):
        frames.read_features(night.database, "weather", "alpha")


def test_nulls_empty_texts_and_odd_characters_survive(night: Services) -> None:
    with night.database.batch() as connection:
        connection.exec_driver_sql("""create table features.odd (partner text, label text, amount numeric, flag boolean,
            day date, at timestamptz, attributes jsonb, n integer)""")
        connection.execute(
            text("""insert into features.odd values ('alpha', '', 1.5, true, '2026-01-31', '1969-07-20T20:17:40.25Z',
              '{"a": "x, \\"y\\""}', 7), ('alpha', null, null, null, null, null, null, null),
              ('alpha', :odd, -0.1, false, '9999-12-31', 'epoch', '[]', -1)"""),
            {"odd": 'a,"b"\n\\N ✓'},
        )
    frame = frames.read_features(night.database, "odd", "alpha").sort("n", nulls_last=True)
    assert frame["label"].to_list() == ['a,"b"\n\\N ✓', "", None]
    assert frame["amount"].to_list() == [-0.1, 1.5, None]
    assert frame["flag"].to_list() == [False, True, None]
    assert frame["at"].to_list()[1] == datetime(1969, 7, 20, 20, 17, 40, 250_000, tzinfo=UTC)
    assert frame["attributes"].to_list()[1] == '{"a": "x, \\"y\\""}'


def test_by_the_rule_then_explained(night: Services) -> None:
    report = score(night, "alpha", "attendance", run_id="run-1")
    assert report.model_name == "attendance.rule" and report.input_position == 100
    assert report.rows > 0 and report.by_outcome["failure"] == 0
    assert sum(report.by_outcome.values()) == report.rows
    published = publish(night, "alpha", "attendance", run_id="run-1")
    assert published.changed == report.rows
    for served in current(night):
        found = explain(night, served.insight_id)
        assert found.identical, (found.document, found.again)
        assert found.document == served.document and found.input_position == 100
        assert found.recomputed is not None and found.feature_row
    assert {parse(served.document).rung for served in current(night)} == {"rule"}
    with night.database.partner("alpha") as connection:
        counted = connection.execute(
            text("select sum(inference_count) from ops.inference_log where partner = 'alpha' and run_id = 'run-1'")
        ).scalar_one()
    assert counted == report.rows


def test_scored_again_nothing_changes(night: Services) -> None:
    put_features(night, 101)
    score(night, "alpha", "attendance", run_id="run-2")
    report = publish(night, "alpha", "attendance", run_id="run-2")
    assert report.changed == 0 and report.unchanged == report.rows > 0


def test_by_a_champion_then_explained(night: Services) -> None:
    config = TrainConfig(candidates=("gradient_boosting", "seasonal_mean"))
    trained = use_case("attendance").train(training(arena()), config, CONTEXT)
    verdict = Verdict(promote=True, reasons=("For this test.",))
    version = night.tracking.log("attendance", "alpha", trained, verdict=verdict, now=MOMENT)
    report = score(night, "alpha", "attendance", run_id="run-3")
    assert (report.model_name, report.model_version) == ("attendance.alpha", version)
    published = publish(night, "alpha", "attendance", run_id="run-3")
    assert published.changed == report.rows, "another model is news"
    for served in current(night):
        assert served.insight_version == 2
        again = explain(night, served.insight_id)
        assert again.identical, (again.document, again.again)
        first = explain(night, served.insight_id, version=1)
        assert first.identical and first.model.name == "attendance.rule"


def test_withdrawn_is_explained_too(night: Services) -> None:
    put_features(night, 102, arena().clear())
    report = score(night, "alpha", "attendance", run_id="run-4")
    assert (report.rows, report.input_position > 0) == (0, True)
    with night.database.partner("alpha") as connection:
        connection.exec_driver_sql("update ops.scoring set input_position = 103 where partner = 'alpha'")
    assert publish(night, "alpha", "attendance", run_id="run-4").withdrawn > 0
    for served in current(night):
        found = explain(night, served.insight_id)
        assert served.status == "withdrawn" and found.recomputed is None and found.identical


def test_unknown_ids_and_versions(night: Services) -> None:
    served = current(night)[0]
    with pytest.raises(NotFound, match="ins_nothing"):
        explain(night, "ins_nothing")
    with pytest.raises(NotFound, match="no version 9; there are 1 to 3"):
        explain(night, served.insight_id, version=9)
    with pytest.raises(NotFound, match="'beta' has no insight"):
        explain(night, served.insight_id, partner="beta")


def test_failures_are_counted_and_never_low_values(night: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that breaks on some rows: they fail alone. On all rows: the step fails, the last scoring stays."""
    from models.attendance import rule

    put_features(night, 110)
    code = use_case("attendance").rule()
    original = type(code).predict
    broken: set[str] = set()

    def fragile(self: Any, rows: Any) -> Any:
        found = original(self, rows)
        if any(entry.subject.id in broken for entry in found):
            raise ZeroDivisionError("a value that must not be repeated")
        return found

    monkeypatch.setattr(rule.RuleModel, "predict", fragile)
    monkeypatch.setattr(type(night.tracking), "champion_version", lambda *_: None)
    subjects = [entry.subject.id for entry in original(code, use_case("attendance").rows(arena(), CONTEXT))]
    broken.add(subjects[0])
    report = score(night, "alpha", "attendance", run_id="run-5")
    assert report.by_outcome["failure"] >= 1 and report.rows == len(subjects)
    with night.database.partner("alpha") as connection:
        kept = [entry for _, entry in scored.predictions(connection, "alpha", "attendance")]
        reasons = connection.execute(
            text("select data from ops.event_log where partner = 'alpha' and kind = 'inference.failed'")
        ).scalar_one()
    assert len(kept) == report.rows - report.by_outcome["failure"]
    assert reasons["reasons"] == {"ZeroDivisionError": report.by_outcome["failure"]}
    broken.update(subjects)
    with pytest.raises(PermanentError, match="rows failed with attendance.rule"):
        score(night, "alpha", "attendance", run_id="run-6")
    with night.database.partner("alpha") as connection:
        assert len(list(scored.predictions(connection, "alpha", "attendance"))) == len(kept)
        last = scored.last(connection, "alpha", "attendance")
    assert last is not None and last.run_id == "run-5" and last.scored_at == MOMENT
    assert last.as_of == MOMENT + timedelta(0)
