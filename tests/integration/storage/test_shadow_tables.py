"""What a challenger said and how inferences are counted: news alone is kept, old rows go, tenants see their own."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.storage import inferences, shadow
from integrator.storage.database import Database
from integrator.storage.inferences import Latency
from integrator.storage.partners import Partner, register
from integrator.storage.shadow import ShadowScoring
from tests.conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def registered(database: Database) -> None:
    for name in ("acme", "other"):
        register(database, Partner(partner=name, timezone="UTC", currency="EUR", region="DE"), NOW)


def scoring(**changes: Any) -> ShadowScoring:
    made = ShadowScoring(
        partner="acme", use_case="attendance", model_name="attendance.acme", model_version="2",
        champion_name="attendance.acme", champion_version="1", run_id="r1", at=NOW, as_of=NOW, input_position=5,
        row_count=2, failure_count=0, reason=None, agreement={"compared": 2},
    )  # fmt: skip
    return replace(made, **changes)


def row(subject: str, value: float | None, **details: Any) -> tuple[object, ...]:
    low, high = (None, None) if value is None else (value - 1, value + 1)
    outcome = "refusal" if value is None else "success"
    said = json.dumps({"value": value, "details": details})
    return (f"ins_{subject}", "event", subject, "pretix", outcome, "partner", value, low, high, 0.8, said)


def write(database: Database, rows: Sequence[tuple[object, ...]], **changes: Any) -> int:
    entry = scoring(**changes)
    named = [(f"{one[0]}_{entry.use_case}", *one[1:]) for one in rows]  # an insight's id is of one use case
    with database.partner(entry.partner) as connection:
        return shadow.write(connection, entry, named)


def kept(database: Database, use_case: str, partner: str = "acme") -> list[tuple[str, str, datetime, float | None]]:
    with database.partner(partner) as connection:
        found = connection.execute(
            text("""select subject_id, model_version, as_of, value from ops.shadow_prediction
              where partner = :partner and use_case = :use_case order by 1, 2, 3"""),
            {"partner": partner, "use_case": use_case},
        )
        return [(one.subject_id, one.model_version, one.as_of, one.value and float(one.value)) for one in found]


def test_only_what_a_challenger_says_anew_is_another_row(database: Database) -> None:
    facts = {"use_case": "attendance"}
    assert write(database, [row("a", 10.0), row("b", 20.0)], **facts) == 2
    assert write(database, [row("a", 10.0), row("b", 21.0)], as_of=NOW + DAY, run_id="r2", **facts) == 1
    assert write(database, [row("a", 10.0, x=1), row("b", 21.0)], as_of=NOW + 2 * DAY, run_id="r3", **facts) == 1
    assert kept(database, "attendance") == [
        ("a", "2", NOW, 10.0), ("a", "2", NOW + 2 * DAY, 10.0), ("b", "2", NOW, 20.0), ("b", "2", NOW + DAY, 21.0),
    ]  # fmt: skip


def test_the_same_moment_again_replaces_and_another_version_stands_apart(database: Database) -> None:
    facts = {"use_case": "pricing"}
    write(database, [row("p", 5.0)], **facts)
    assert write(database, [row("p", 6.0)], run_id="r2", **facts) == 1
    assert write(database, [row("p", 6.0)], model_version="3", **facts) == 1
    assert kept(database, "pricing") == [("p", "2", NOW, 6.0), ("p", "3", NOW, 6.0)]


def test_a_subject_twice_in_one_scoring_is_kept_once_and_a_refusal_has_no_value(database: Database) -> None:
    assert write(database, [row("x", 1.0), row("x", 1.0), row("y", None)], use_case="lead_score") == 2
    assert kept(database, "lead_score") == [("x", "2", NOW, 1.0), ("y", "2", NOW, None)]


def test_a_scoring_is_remembered_with_its_agreement_and_its_failure(database: Database) -> None:
    failed = {"use_case": "remembered", "failure_count": 2, "reason": "ValueError", "agreement": {}}
    write(database, [], at=NOW + DAY, run_id="r9", **failed)
    write(database, [row("a", 1.0)], use_case="remembered")
    with database.partner("acme") as connection:
        newest, oldest = shadow.scorings(connection, "acme", "remembered")
        assert [one.run_id for one in shadow.scorings(connection, "acme", "remembered", limit=1)] == ["r9"]
    assert (newest.reason, newest.failure_count, newest.agreement) == ("ValueError", 2, {})
    assert oldest == scoring(use_case="remembered")
    write(database, [], at=NOW + DAY, run_id="r9", **{**failed, "reason": None})
    with database.partner("acme") as connection:
        assert shadow.scorings(connection, "acme", "remembered")[0].reason is None, "the same run again replaces"


def test_old_rows_go_but_what_the_challenger_still_says(database: Database) -> None:
    facts = {"use_case": "swept"}
    for age, value in ((9, 1.0), (6, 2.0), (1, 3.0)):
        write(database, [row("a", value)], at=NOW - age * DAY, as_of=NOW - age * DAY, run_id=f"r{age}", **facts)
    write(database, [row("b", 7.0)], at=NOW - 9 * DAY, as_of=NOW - 9 * DAY, run_id="only", **facts)
    write(database, [row("c", 8.0)], at=NOW - 9 * DAY, as_of=NOW - 9 * DAY, model_version="1", **facts)
    with database.partner("acme") as connection:
        assert shadow.sweep(connection, "acme", "swept", ("attendance.acme", "2"), NOW - 5 * DAY) == 3
        assert {one.run_id for one in shadow.scorings(connection, "acme", "swept")} == {"r1"}
    assert kept(database, "swept") == [("a", "2", NOW - DAY, 3.0), ("b", "2", NOW - 9 * DAY, 7.0)]


def test_another_tenant_sees_and_sweeps_nothing(database: Database) -> None:
    write(database, [row("secret", 1.0)], use_case="apart")
    with database.partner("other") as connection:
        assert shadow.scorings(connection, "acme", "apart") == []
        assert shadow.sweep(connection, "acme", "apart", ("attendance.acme", "9"), NOW + DAY) == 0
        assert connection.execute(text("select count(*) from ops.shadow_prediction")).scalar_one() == 0
    assert kept(database, "apart") == [("secret", "2", NOW, 1.0)]
    with pytest.raises(Exception, match="row-level security"), database.partner("other") as connection:
        shadow.write(connection, scoring(use_case="apart"), [])


def count(database: Database, use_case: str, outcomes: dict[str, int], took: Latency | None, **facts: Any) -> None:
    given: dict[str, Any] = {"run_id": "r1", "at": NOW, "model": ("attendance.acme", "1"), **facts}
    with database.partner("acme") as connection:
        inferences.count(connection, "acme", use_case, outcomes=outcomes, latency=took, **given)


def test_inferences_are_counted_by_outcome_and_nothing_is_no_row(database: Database) -> None:
    count(database, "counted", {"success": 3, "failure": 0, "refusal": 1}, Latency(mean_ms=0.5, p95_ms=0.5, max_ms=0.5))
    count(database, "counted", {}, None)
    with database.partner("acme") as connection:
        rows = connection.execute(
            text("select outcome, inference_count from ops.inference_log where use_case = 'counted' order by outcome")
        ).all()
        assert [tuple(one) for one in rows] == [("refusal", 1), ("success", 3)]


def test_models_are_told_apart_with_counts_and_latencies_weighted_by_inferences(database: Database) -> None:
    quick, slow = Latency(mean_ms=1.0, p95_ms=2.0, max_ms=3.0), Latency(mean_ms=9.0, p95_ms=20.0, max_ms=30.0)
    count(database, "told", {"success": 80, "fallback": 10}, quick)
    count(database, "told", {"success": 10}, slow, run_id="r2", at=NOW + DAY)
    count(database, "told", {"failure": 4}, None, model=("attendance.acme", "2"), is_shadow=True)
    count(database, "told", {"success": 500}, slow, run_id="old", at=NOW - 40 * DAY)
    with database.partner("acme") as connection:
        serving, beside = inferences.since(connection, "acme", "told", NOW - 30 * DAY)
    assert serving.counts == {"success": 90, "failure": 0, "fallback": 10, "refusal": 0}
    assert (serving.model_version, serving.runs, serving.last_at, serving.is_shadow) == ("1", 2, NOW + DAY, False)
    assert (serving.mean_ms, serving.p50_ms, serving.p95_ms, serving.max_ms) == (pytest.approx(1.8), 1.0, 20.0, 30.0)
    assert (beside.model_version, beside.is_shadow, beside.counts["failure"]) == ("2", True, 4)
    assert (beside.mean_ms, beside.p50_ms, beside.p95_ms, beside.max_ms) == (None, None, None, None)


def test_one_tenant_s_inferences_are_not_another_s(database: Database) -> None:
    count(database, "own", {"success": 1}, None)
    with database.partner("other") as connection:
        assert inferences.since(connection, "acme", "own", NOW - DAY) == []
