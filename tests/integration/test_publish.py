"""Publishing: versions, order, withdrawal, and everything that has to appear in one transaction."""

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotFound
from integrator.contracts.insight import Interval, parse
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import insights, webhooks
from tests.publishing import prediction, put_scored

HOUR = timedelta(hours=1)


@pytest.fixture
def alpha(services: Services) -> Services:
    """Nothing published, nothing scored, no endpoint."""
    tables = ("insights.version", "insights.current", "insights.publication_log", "ops.prediction_log", "ops.outbox",
              "ops.scored", "ops.scoring", "ops.event_log", "integrator.webhook_endpoint")  # fmt: skip
    with services.database.batch() as connection:
        for table in tables:
            connection.execute(text(f"delete from {table}"))
    return services


def current(services: Services, use_case: str = "attendance", partner: str = "alpha") -> dict[str, insights.Served]:
    with services.database.partner(partner) as connection:
        return {served.subject_id: served for served in insights.current(connection, partner, use_case)}


def test_never_scored_is_an_error(alpha: Services) -> None:
    with pytest.raises(NotFound, match="run the score step first"):
        publish(alpha, "alpha", "attendance", run_id="run-1")


def test_first_publication_and_its_columns(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala"), prediction("expo", 300.0)], position=10, at=now)
    report = publish(alpha, "alpha", "attendance", run_id="run-1")
    assert (report.rows, report.changed, report.unchanged, report.withdrawn) == (2, 2, 0, 0)
    with alpha.database.partner("alpha") as connection:
        row = connection.execute(
            text("select * from insights.attendance where partner = 'alpha' and subject_id = 'gala'")
        ).one()
        done = connection.execute(text("select run_id, use_case, rows from insights.publication")).all()
        logged = connection.execute(
            text("select outcome, feature_row ->> 'event_id' as event from ops.prediction_log where partner = 'alpha'")
        ).all()
    document = parse(row.document)
    assert (float(row.value), float(row.low), float(row.high), float(row.level)) == (900, 820, 965, 0.8)
    assert (row.status, row.confidence, row.rung, row.insight_version) == ("ready", "high", "partner", 1)
    assert (float(row.p10), float(row.p50), float(row.p90)) == (820, 900, 965)
    assert document.value == 900 and document.insight_version == 1 and row.insight_id == document.id
    assert document.model.name == "attendance.rule" and document.generated_at == "2026-03-16T12:00:00Z"
    assert row.stale_after - row.checked_at == timedelta(hours=48)
    assert [tuple(entry) for entry in done] == [("run-1", "attendance", 2)]
    assert sorted(tuple(entry) for entry in logged) == [("success", "expo"), ("success", "gala")]


def test_unchanged_keeps_its_bytes_and_moves_its_freshness(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    before = current(alpha)["gala"]
    more = prediction("gala", coverage=0.83, observations=50, records=140)
    put_scored(alpha, "alpha", [more], position=11, at=now + HOUR, run_id="run-2")
    report = publish(alpha, "alpha", "attendance", run_id="run-2")
    after = current(alpha)["gala"]
    assert (report.changed, report.unchanged, report.messages) == (0, 1, 0)
    assert after.document == before.document and after.published_seq == before.published_seq
    assert after.checked_at == now + HOUR and after.stale_after == now + HOUR + timedelta(hours=48)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": 901.0}, {"interval": Interval(0.8, 819.0, 965.0)}, {"confidence_label": "low"}, {"rung": "rule"},
        {"status": "fallback"}, {"summary": "Said otherwise."}, {"details": {"horizon": [{"at": "x", "p50": 1}]}},
    ],
)  # fmt: skip
def test_what_makes_a_new_version(alpha: Services, now: datetime, changes: dict[str, object]) -> None:
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    put_scored(alpha, "alpha", [prediction("gala", **changes)], position=11, at=now + HOUR)
    report = publish(alpha, "alpha", "attendance", run_id="run-2")
    assert (report.changed, report.unchanged) == (1, 0)
    assert current(alpha)["gala"].insight_version == 2


def test_older_input_is_discarded(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala", 950.0)], position=20, at=now)
    publish(alpha, "alpha", "attendance", run_id="stream")
    before = current(alpha)["gala"]
    put_scored(alpha, "alpha", [prediction("gala", 800.0)], position=19, at=now + HOUR)
    report = publish(alpha, "alpha", "attendance", run_id="long-batch")
    assert (report.rows, report.discarded) == (0, 1)
    assert current(alpha)["gala"] == before


def test_same_input_goes_by_the_champion_then_by_version(alpha: Services, now: datetime) -> None:
    """No champion is registered, so the rule is in force: a stray model may not replace it, the rule may come back."""
    put_scored(alpha, "alpha", [prediction("gala", 800.0)], position=20, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    stray = ("attendance.alpha", "3")
    put_scored(alpha, "alpha", [prediction("gala", 950.0)], position=20, at=now + HOUR, model=stray)
    assert publish(alpha, "alpha", "attendance", run_id="run-2").discarded == 1
    put_scored(alpha, "alpha", [prediction("gala", 950.0)], position=21, at=now + HOUR, model=stray)
    assert publish(alpha, "alpha", "attendance", run_id="run-3").changed == 1
    put_scored(alpha, "alpha", [prediction("gala", 940.0)], position=21, at=now + HOUR, model=("attendance.alpha", "2"))
    assert publish(alpha, "alpha", "attendance", run_id="run-4").discarded == 1
    put_scored(alpha, "alpha", [prediction("gala", 930.0)], position=21, at=now + HOUR, model=("attendance.alpha", "4"))
    assert publish(alpha, "alpha", "attendance", run_id="run-5").changed == 1
    put_scored(alpha, "alpha", [prediction("gala", 800.0)], position=21, at=now + HOUR)
    assert publish(alpha, "alpha", "attendance", run_id="run-6").changed == 1


def test_withdrawn_once_and_back(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala"), prediction("expo")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    put_scored(alpha, "alpha", [prediction("expo")], position=11, at=now + HOUR)
    assert publish(alpha, "alpha", "attendance", run_id="run-2").withdrawn == 1
    gone = current(alpha)["gala"]
    document = parse(gone.document)
    assert (gone.status, gone.insight_version) == ("withdrawn", 2)
    assert document.value is None and document.interval is None and document.explanation.contributions == []
    assert "over, cancelled or no longer known" in document.explanation.summary
    put_scored(alpha, "alpha", [prediction("expo")], position=12, at=now + 2 * HOUR)
    assert publish(alpha, "alpha", "attendance", run_id="run-3").withdrawn == 0
    assert current(alpha)["gala"].insight_version == 2
    put_scored(alpha, "alpha", [prediction("gala"), prediction("expo")], position=13, at=now + 3 * HOUR)
    assert publish(alpha, "alpha", "attendance", run_id="run-4").changed == 1
    assert (current(alpha)["gala"].status, current(alpha)["gala"].insight_version) == ("ready", 3)


def test_nothing_left_to_score_withdraws_all(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    put_scored(alpha, "alpha", [], position=11, at=now + HOUR)
    assert publish(alpha, "alpha", "attendance", run_id="run-2").withdrawn == 1


def test_a_failed_row_of_nobody_known_keeps_all_that_are_missing(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala"), prediction("expo")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    put_scored(alpha, "alpha", [prediction("expo")], position=11, at=now + HOUR, failures=1)
    assert publish(alpha, "alpha", "attendance", run_id="run-2").withdrawn == 0
    kept = current(alpha)["gala"]
    assert (kept.status, kept.checked_at) == ("ready", now)


def test_a_failed_row_keeps_its_own_insight_and_no_other(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction(name) for name in ("gala", "expo", "gone")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    gala = current(alpha)["gala"]
    put_scored(
        alpha, "alpha", [prediction("expo")], position=11, at=now + HOUR, failures=1, failed=[gala.insight_id]
    )  # fmt: skip
    assert publish(alpha, "alpha", "attendance", run_id="run-2").withdrawn == 1
    after = current(alpha)
    assert (after["gone"].status, after["expo"].status, after["gala"]) == ("withdrawn", "ready", gala)


def test_use_cases_and_partners_do_not_touch(alpha: Services, now: datetime) -> None:
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    put_scored(alpha, "beta", [prediction("gala", 5.0, interval=Interval(0.8, 1.0, 9.0))], position=10, at=now)
    publish(alpha, "beta", "attendance", run_id="run-1")
    put_scored(alpha, "alpha", [], position=12, at=now, use_case="pricing")
    publish(alpha, "alpha", "pricing", run_id="run-1")
    assert current(alpha)["gala"].status == "ready" and "900" in current(alpha)["gala"].document
    assert current(alpha, partner="beta")["gala"].insight_id != current(alpha)["gala"].insight_id


def test_outbox_has_the_documents_bytes(alpha: Services, now: datetime) -> None:
    wanted = webhooks.add(alpha.database, "alpha", "http://127.0.0.1:9/hook", now, allow_loopback=True)
    webhooks.add(alpha.database, "alpha", "https://example.com/", now, use_cases=("pricing",))
    webhooks.add(alpha.database, "alpha", "https://example.com/w", now, event_types=("insight.withdrawn",))
    webhooks.add(alpha.database, "beta", "https://example.com/b", now)
    put_scored(alpha, "alpha", [prediction("gälä ✓")], position=10, at=now)
    assert publish(alpha, "alpha", "attendance", run_id="run-1").messages == 1
    assert publish(alpha, "alpha", "attendance", run_id="run-1").messages == 0
    document = current(alpha)["gälä ✓"].document
    with alpha.database.partner("alpha") as connection:
        (row,) = connection.execute(text("select * from ops.outbox where partner = 'alpha'")).all()
    assert row.endpoint_id == wanted.endpoint_id and row.event_type == "insight.updated"
    assert row.body == f'{{"type":"insight.updated","timestamp":"2026-03-16T12:00:00Z","data":{document}}}'
    assert json.loads(row.body)["data"]["subject"]["id"] == "gälä ✓"
    put_scored(alpha, "alpha", [], position=11, at=now)
    assert publish(alpha, "alpha", "attendance", run_id="run-2").messages == 2


def test_all_or_nothing(alpha: Services, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the commit: nothing is there, and the second try publishes version 1."""
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("integrator.steps.publish.logs.event", die)
        with pytest.raises(KeyboardInterrupt):
            publish(alpha, "alpha", "attendance", run_id="run-1")
    assert current(alpha) == {}
    assert publish(alpha, "alpha", "attendance", run_id="run-1").changed == 1
    assert current(alpha)["gala"].insight_version == 1


def test_two_publishers_at_once(alpha: Services, now: datetime) -> None:
    """The lock lets one through at a time: no version twice, and sequence numbers in commit order."""
    put_scored(alpha, "alpha", [prediction(str(n)) for n in range(50)], position=10, at=now)
    reports = []
    threads = [
        threading.Thread(target=lambda n=n: reports.append(publish(alpha, "alpha", "attendance", run_id=f"run-{n}")))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.changed for report in reports) == [0, 0, 0, 50]
    assert {served.insight_version for served in current(alpha).values()} == {1}


def test_the_cache_has_the_same_bytes_and_never_goes_back(alpha: Services, now: datetime) -> None:
    from dataclasses import replace

    put_scored(alpha, "alpha", [prediction("a:b/c d")], position=10, at=now)
    publish(alpha, "alpha", "attendance", run_id="run-1")
    (entry,) = alpha.cache.get("alpha", "attendance", "a:b/c d")
    served = current(alpha)["a:b/c d"]
    assert entry.document.decode() == served.document
    assert (entry.platform, entry.kind, entry.insight_version) == ("pretix", "event", 1)
    assert (entry.checked_at, entry.stale_after) == (served.checked_at, served.stale_after)
    newer = replace(entry, insight_version=3, document=b'{"n":3}')
    older = replace(entry, insight_version=2, document=b'{"n":2}', checked_at=now + HOUR)
    assert alpha.cache.fill("alpha", "attendance", [("a:b/c d", newer), ("a:b/c d", older)]) == 1
    assert alpha.cache.get("alpha", "attendance", "a:b/c d") == [newer]


def test_without_redis_it_still_publishes(alpha: Services, now: datetime) -> None:
    lonely = Services(alpha.settings, alpha.database, "redis://127.0.0.1:1/0", alpha.clock)
    put_scored(alpha, "alpha", [prediction("gala")], position=10, at=now)
    assert publish(lonely, "alpha", "attendance", run_id="run-1").changed == 1
    with alpha.database.partner("alpha") as connection:
        kinds = connection.execute(text("select kind from ops.event_log where partner = 'alpha'")).scalars().all()
    assert "channel.unreached" in kinds and "insights.published" in kinds


def test_fifteen_hundred_at_once(
    alpha: Services, now: datetime, record_testsuite_property: Callable[[str, object], None]
) -> None:
    webhooks.add(alpha.database, "alpha", "http://127.0.0.1:9/hook", now, allow_loopback=True)
    many = [prediction(str(n), 500.0 + n) for n in range(1500)]
    put_scored(alpha, "alpha", many, position=10, at=now)
    started = time.perf_counter()
    report = publish(alpha, "alpha", "attendance", run_id="run-1")
    record_testsuite_property("publish_1500_seconds", time.perf_counter() - started)
    assert (report.changed, report.messages) == (1500, 1500)
    with alpha.database.partner("alpha") as connection:
        seqs = connection.execute(
            text("select published_seq from insights.current where partner = 'alpha' order by published_seq")
        ).scalars().all()  # fmt: skip
    assert len(set(seqs)) == 1500
