"""Explaining what no longer comes out the same: it must say so, and never pass off another number as the published one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotFound, PermanentError
from integrator.contracts.insight import parse
from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.predictions import RULE_VERSION, decimals_of, encode, predict_all, restored, rule_name, stored
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights, scored
from models.base import Prediction
from models.registry import use_case
from tests.attendance_frames import CONTEXT, arena

MOMENT = datetime(2026, 3, 16, 6, tzinfo=UTC)


@pytest.fixture
def night(services: Services, tmp_path: Any) -> Services:
    """Alpha's attendance by the real rule on real feature rows, published once."""
    made = Services(Settings(home=tmp_path), services.database, services.redis_url, lambda: MOMENT)
    with made.database.batch() as connection:
        for table in ("insights.version", "insights.current", "ops.prediction_log", "ops.scored", "ops.scoring"):
            connection.execute(text(f"delete from {table}"))
    code = use_case("attendance")
    rows = [restored(stored(row)) for row in code.rows(arena(), CONTEXT, None)]
    found = predict_all(code.rule(), rows, decimals_of(code.spec, "EUR"))
    kept = [(n, p, row) for n, (p, row) in enumerate(zip(found, rows, strict=True)) if isinstance(p, Prediction)]
    assert kept
    scoring = scored.Scoring(
        partner="alpha", use_case="attendance", run_id="run", scored_at=MOMENT, input_position=10, as_of=CONTEXT.as_of,
        model_name=rule_name("attendance"), model_version=RULE_VERSION, row_count=len(kept), failure_count=0,
    )  # fmt: skip
    with made.database.partner("alpha") as connection:
        scored.replace(connection, scoring, ((n, encode(p), stored(row)) for n, p, row in kept))
    publish(made, "alpha", "attendance", run_id="run")
    return made


def first(night: Services) -> insights.Served:
    with night.database.partner("alpha") as connection:
        return next(
            s for s in insights.current(connection, "alpha", "attendance") if parse(s.document).value is not None
        )


def change(night: Services, insight_id: str, column: str, value: object) -> None:
    with night.database.partner("alpha") as connection:
        changed = connection.execute(
            text(f"update ops.prediction_log set {column} = :value where partner = 'alpha' and insight_id = :id"),
            {"value": value, "id": insight_id},
        )
        assert changed.rowcount == 1


def test_what_was_kept_gives_the_same_bytes(night: Services) -> None:
    found = explain(night, first(night).insight_id)
    assert found.identical and found.again == found.document and found.input_position == 10


def test_a_feature_row_that_was_altered_is_noticed(night: Services) -> None:
    served = first(night)
    row = {**explain(night, served.insight_id).feature_row}
    numbers = {
        key: value for key, value in row.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    halved = {**row, **{key: value * 3 + 7 for key, value in numbers.items()}}
    with night.database.partner("alpha") as connection:
        connection.execute(
            text("update ops.prediction_log set feature_row = cast(:row as jsonb) where insight_id = :id"),
            {"row": json.dumps(halved), "id": served.insight_id},
        )
    found = explain(night, served.insight_id)
    assert not found.identical and found.document == served.document != found.again
    assert found.recomputed is not None


def test_a_document_that_was_altered_is_noticed(night: Services) -> None:
    served = first(night)
    value = parse(served.document).value
    assert value is not None
    with night.database.batch() as connection:
        connection.execute(
            text("update insights.version set document = replace(document, :old, :new) where insight_id = :id"),
            {"old": f'"value":{value:g}', "new": f'"value":{value + 1:g}', "id": served.insight_id},
        )
    found = explain(night, served.insight_id)
    assert not found.identical and parse(found.again).value == value, "what comes out is what really was said"


def test_another_moment_in_the_log_is_noticed(night: Services) -> None:
    served = first(night)
    change(night, served.insight_id, "as_of", datetime(2020, 1, 1, tzinfo=UTC))
    assert not explain(night, served.insight_id).identical


def test_a_row_the_model_can_no_longer_read_is_an_error_and_no_value(night: Services) -> None:
    served = first(night)
    with night.database.partner("alpha") as connection:
        connection.execute(
            text("update ops.prediction_log set feature_row = '{}' where insight_id = :id"), {"id": served.insight_id}
        )
    with pytest.raises(PermanentError, match=f"{served.insight_id} version 1 cannot be made again: "):
        explain(night, served.insight_id)


def test_a_model_that_is_gone_is_named(night: Services) -> None:
    served = first(night)
    change(night, served.insight_id, "model_name", "attendance.alpha")
    change(night, served.insight_id, "model_version", "77")
    with pytest.raises(NotFound, match="77"):
        explain(night, served.insight_id)


def test_a_log_that_was_emptied_says_so(night: Services) -> None:
    served = first(night)
    with night.database.partner("alpha") as connection:
        connection.execute(text("delete from ops.prediction_log where insight_id = :id"), {"id": served.insight_id})
    with pytest.raises(NotFound, match="the prediction log holds nothing"):
        explain(night, served.insight_id)


@pytest.mark.parametrize("version", [0, -1, 2, 10**9])
def test_versions_there_never_were(night: Services, version: int) -> None:
    with pytest.raises(NotFound, match="there are 1 to 1"):
        explain(night, first(night).insight_id, version=version)


def test_nobody_explains_anothers_insight(night: Services) -> None:
    with pytest.raises(NotFound, match="'beta' has no insight"):
        explain(night, first(night).insight_id, partner="beta")
