"""Publishing at its edges: twice in one scoring, other currencies, what hosts read, channels that fail, freshness."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import IntegratorError, Unavailable
from integrator.contracts.insight import Interval, Subject, parse
from integrator.delivery.cache import channel as cache_channel
from integrator.steps.publish import fill_cache, publish
from integrator.steps.services import Services
from integrator.storage import insights, logs
from tests.publishing import one_published, prediction, put_scored


@pytest.fixture
def alpha(services: Services) -> Iterator[Services]:
    with services.database.batch() as connection:
        for table in ("insights.version", "insights.current", "insights.publication_log", "ops.prediction_log", "ops.scored",
                      "ops.scoring", "ops.event_log", "ops.outbox"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    services.cache.client.flushdb()
    yield services


def out(
    services: Services, *found: Any, position: int = 10, run: str = "r", at: datetime | None = None, **more: Any
) -> Any:
    put_scored(services, "alpha", found, position=position, at=at or services.clock(), **more)
    return publish(services, "alpha", more.get("use_case", "attendance"), run_id=run)


def current(services: Services, use_case: str = "attendance") -> dict[str, insights.Served]:
    with services.database.partner("alpha") as connection:
        return {served.subject_id: served for served in insights.current(connection, "alpha", use_case)}


def refused(subject_id: str) -> Any:
    return replace(
        prediction(subject_id), status="refused", rung="rule", value=None, interval=None, baseline=None, contributions=(),
        details={}, summary="Refused.",
    )  # fmt: skip


def test_a_subject_scored_twice_is_published_once(alpha: Services) -> None:
    report = out(alpha, prediction("gala", 900.0), prediction("gala", 100.0), prediction("expo"))
    assert (report.changed, report.discarded) == (2, 1)
    assert parse(current(alpha)["gala"].document).value == 900


def test_two_publications_in_one_transaction_are_each_of_their_own(alpha: Services) -> None:
    """What was staged for the first is neither published nor logged with the second."""
    with alpha.database.partner("alpha") as connection:
        insights.lock(connection, "alpha")
        first = one_published(alpha, connection, "alpha", "attendance", prediction("gala"), position=10)
        second = one_published(alpha, connection, "alpha", "attendance", prediction("expo"), position=11)
        again = one_published(alpha, connection, "alpha", "attendance", prediction("gala", 950.0), position=12)
    assert [one.report.changed for one in (first, second, again)] == [1, 1, 1]
    assert {name: one.insight_version for name, one in current(alpha).items()} == {"gala": 2, "expo": 1}
    with alpha.database.partner("alpha") as connection:
        logged = connection.execute(
            text("select run_id, subject_id from ops.prediction_log order by input_position")
        ).all()
    assert [tuple(row) for row in logged] == [("stream-10", "gala"), ("stream-11", "expo"), ("stream-12", "gala")]


def test_the_cache_is_filled_a_subject_at_a_time(alpha: Services) -> None:
    def steps() -> int:
        stats: Any = alpha.cache.client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])

    elsewhere = [prediction(name, subject=Subject("event", name, "eventbrite")) for name in ("gala", "expo")]
    out(alpha, prediction("gala"), prediction("expo"), *elsewhere)
    alpha.cache.client.flushdb()
    before = steps()
    assert fill_cache(alpha, "alpha", "attendance") == 4 and steps() == before + 2


def test_no_scored_rows_at_all_and_nothing_standing(alpha: Services) -> None:
    report = out(alpha)
    assert (report.rows, report.changed, report.withdrawn, report.messages) == (0, 0, 0, 0)


def test_an_unknown_use_case_is_an_error(alpha: Services) -> None:
    with pytest.raises(IntegratorError, match="weather"):
        publish(alpha, "alpha", "weather", run_id="r")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (216.0, "216"), (0.1, "0.1"), (1e15, "1000000000000000"), (0.000001, "0.000001"), (12.34, "12.34")],
)
def test_numbers_in_the_tables_are_those_of_the_document(alpha: Services, value: float, shown: str) -> None:
    interval = Interval(0.8, value, value)
    out(alpha, prediction("gala", value, interval=interval, baseline=None, contributions=(), details={}))
    with alpha.database.partner("alpha") as connection:
        row = connection.execute(text("select value, low, high, level, document from insights.attendance")).one()
    assert Decimal(row.value) == row.low == row.high == Decimal(shown) and row.level == Decimal("0.8")
    assert json.loads(row.document)["value"] == value


def test_details_become_columns(alpha: Services) -> None:
    out(alpha, prediction("gala", details={"p10": 1, "p50": 2.5, "p90": 3, "capacity": 900, "family": "mean",
                                           "sell_out_at": "2026-04-01T00:00:00Z", "alternatives": [{"a": 1}]}))  # fmt: skip
    with alpha.database.partner("alpha") as connection:
        row = connection.execute(text("select * from insights.attendance")).one()
    assert (row.p10, row.p50, row.p90, row.capacity, row.family) == (1, Decimal("2.5"), 3, 900, "mean")
    assert row.alternatives == [{"a": 1}] and row.horizon is None and row.sell_out_at.year == 2026


def test_a_refusal_and_back_are_versions(alpha: Services) -> None:
    out(alpha, prediction("gala"))
    out(alpha, refused("gala"), position=11)
    row = current(alpha)["gala"]
    assert (row.insight_version, row.status) == (2, "refused")
    out(alpha, refused("gala"), position=12)
    assert current(alpha)["gala"].insight_version == 2
    out(alpha, prediction("gala"), position=13)
    assert (current(alpha)["gala"].insight_version, current(alpha)["gala"].status) == (3, "ready")


def test_freshness_is_the_scorings_and_never_goes_back(alpha: Services, now: datetime) -> None:
    out(alpha, prediction("gala"), at=now)
    first = current(alpha)["gala"]
    out(alpha, prediction("gala"), at=now - timedelta(hours=5))
    assert current(alpha)["gala"].checked_at == first.checked_at == now
    out(alpha, prediction("gala"), at=now + timedelta(hours=5), position=11)
    later = current(alpha)["gala"]
    assert (later.checked_at, later.document) == (now + timedelta(hours=5), first.document)
    assert later.stale_after - later.checked_at == first.stale_after - first.checked_at
    with alpha.database.partner("alpha") as connection:
        (version,) = insights.history(connection, "alpha", first.insight_id)
    assert version.checked_at == later.checked_at


def test_stale_ones_are_counted_and_withdrawn_ones_are_not(alpha: Services, now: datetime) -> None:
    out(alpha, prediction("gala"), prediction("expo"), at=now)
    limit = current(alpha)["gala"].stale_after
    with alpha.database.batch() as connection:
        assert insights.stale_counts(connection, limit) == {}
        assert insights.stale_counts(connection, limit + timedelta(seconds=1)) == {"alpha": 2}
    out(alpha, prediction("gala"), position=11, at=now)
    with alpha.database.batch() as connection:
        assert insights.stale_counts(connection, limit + timedelta(seconds=1)) == {"alpha": 1}


def test_the_same_run_said_twice_is_one_line_that_adds_up(alpha: Services) -> None:
    out(alpha, prediction("gala"), prediction("expo"), run="night")
    publish(alpha, "alpha", "attendance", run_id="night")
    out(alpha, prediction("gala", 1.0), prediction("expo"), position=11, run="night")
    with alpha.database.partner("alpha") as connection:
        row = connection.execute(text("select run_id, use_case, rows, changed from insights.publication")).one()
    assert tuple(row) == ("night", "attendance", 2, 3)


def test_hosts_read_what_is_new_by_the_sequence(alpha: Services) -> None:
    out(alpha, *(prediction(f"e{n}") for n in range(5)))
    with alpha.database.partner("alpha") as connection:
        seen = connection.execute(text("select max(published_seq) from insights.attendance")).scalar_one()
    out(alpha, *(prediction(f"e{n}", 900.0 + (n == 3)) for n in range(5)), position=11)
    with alpha.database.partner("alpha") as connection:
        fresh = connection.execute(
            text("select subject_id, insight_version from insights.attendance where published_seq > :seen"),
            {"seen": seen},
        ).all()
        pages = insights.page(connection, "alpha", use_case="attendance", after=seen, limit=10, status="ready")
        none = insights.page(connection, "alpha", use_case="attendance", after=0, limit=10, status="withdrawn")
    assert [tuple(row) for row in fresh] == [("e3", 2)] and [p.subject_id for p in pages] == ["e3"] and none == []


def test_one_id_in_two_use_cases_and_kinds_is_several_insights(alpha: Services) -> None:
    out(alpha, prediction("day"), prediction("day", subject=Subject("series", "day", "pretix")))
    out(alpha, prediction("day", subject=Subject("product", "day", "pretix")), use_case="pricing")
    with alpha.database.partner("alpha") as connection:
        both = insights.of_subject(connection, "alpha", "attendance", "day")
        price = insights.of_subject(connection, "alpha", "pricing", "day")
        theirs = insights.of_subject(connection, "beta", "attendance", "day")
    assert [entry.subject_kind for entry in both] == ["event", "series"] and len(price) == 1 and theirs == []
    assert len({entry.insight_id for entry in (*both, *price)}) == 3


def test_a_channel_that_is_away_is_told_and_made_good(alpha: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise Unavailable("Redis did not take the insights of alpha: ConnectionError")

    with monkeypatch.context() as patch:
        patch.setattr(cache_channel, "fill", away)
        assert out(alpha, prediction("gala")).changed == 1
    assert "gala" in current(alpha) and alpha.cache.get("alpha", "attendance", "gala") == []
    with alpha.database.partner("alpha") as connection:
        kinds = [entry["kind"] for entry in logs.events(connection, "alpha")]
    assert kinds[0] == "channel.unreached" and "insights.published" in kinds
    assert fill_cache(alpha, "alpha", "attendance") == 1
    (held,) = alpha.cache.get("alpha", "attendance", "gala")
    assert held.document == current(alpha)["gala"].document.encode()
    assert fill_cache(alpha, "beta", "attendance") == 0


def test_a_withdrawn_insight_stays_readable_and_is_not_withdrawn_again(alpha: Services) -> None:
    out(alpha, prediction("gala"), prediction("expo"))
    assert out(alpha, prediction("expo"), position=11).withdrawn == 1
    report = out(alpha, prediction("expo"), position=12)
    assert (report.withdrawn, report.changed) == (0, 0)
    document = parse(current(alpha)["gala"].document)
    assert (document.status, document.value, document.interval, document.insight_version) == (
        "withdrawn",
        None,
        None,
        2,
    )
    assert document.explanation.contributions == [] and "Withdrawn" in document.explanation.summary


def test_an_older_scoring_withdraws_nothing(alpha: Services) -> None:
    out(alpha, prediction("gala"), prediction("expo"), position=20)
    report = out(alpha, prediction("expo", 5.0), position=19)
    assert (report.changed, report.withdrawn, report.discarded) == (0, 0, 1)
    assert {entry.status for entry in current(alpha).values()} == {"ready"}
