"""dbt's own words, read: statuses, moments, and which failures may pass."""

from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.contracts.errors import PermanentError, Unavailable
from integrator_dagster.assets.harmonize import _blocks
from integrator_dagster.dbt.build import UNREACHABLE, _error, _node
from integrator_dagster.dbt.manifest import command, environment


@pytest.mark.parametrize("words", UNREACHABLE)
def test_a_database_that_does_not_answer_may_answer_later(words: str) -> None:
    assert isinstance(_error(f"Database Error: {words.title()} on 127.0.0.1"), Unavailable)


@pytest.mark.parametrize("words", ["relation does not exist", "syntax error at or near", "division by zero", ""])
def test_wrong_sql_stays_wrong(words: str) -> None:
    assert type(_error(words)) is PermanentError


def entry(**more: Any) -> dict[str, Any]:
    return {"unique_id": "model.integrator.sale", "status": "success", "execution_time": 0.25, "timing": [], **more}


def test_a_node_is_read_with_and_without_what_dbt_may_leave_out() -> None:
    bare = _node(entry())
    assert (bare.status, bare.seconds, bare.started_at, bare.failures, bare.message) == (
        "success",
        0.25,
        None,
        None,
        "",
    )
    timing = [
        {"name": "compile", "started_at": "2026-03-16T01:00:00Z", "completed_at": "2026-03-16T01:00:01Z"},
        {"name": "execute", "started_at": "2026-03-16T02:00:00Z", "completed_at": "2026-03-16T02:00:03Z"},
    ]
    full = _node(entry(timing=timing, failures=3, message="Got 3 results", compiled_code="select 1"))
    assert full.started_at == datetime(2026, 3, 16, 2, tzinfo=UTC)
    assert full.finished_at == datetime(2026, 3, 16, 2, 0, 3, tzinfo=UTC)
    assert (full.failures, full.message, full.compiled) == (3, "Got 3 results", "select 1")
    started = _node(entry(timing=[{"name": "execute", "started_at": "2026-03-16T02:00:00Z", "completed_at": None}]))
    assert started.started_at is not None and started.finished_at is None


def test_dbt_runs_as_a_process_of_this_environment_and_tells_nobody() -> None:
    assert (command("parse")[-1] == "parse" and command("parse")[0].endswith("python")) or "python" in command("parse")[
        0
    ]
    assert environment(X="1")["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false" and environment(X="1")["X"] == "1"


@pytest.mark.parametrize(
    ("config", "meta", "blocking"),
    [({}, {}, True), ({"meta": {"excludes_partner": False}}, {}, False), ({}, {"excludes_partner": False}, False),
     ({"meta": {"excludes_partner": False}}, {"excludes_partner": True}, True)],
)  # fmt: skip
def test_a_test_excludes_unless_its_meta_says_otherwise(
    config: dict[str, Any], meta: dict[str, Any], blocking: bool
) -> None:
    assert _blocks({"config": config, "meta": meta}) is blocking
