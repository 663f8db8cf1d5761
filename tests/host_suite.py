"""What holds for a host's own database whatever server it is: the same tests over PostgreSQL, SQLite and MariaDB."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from integrator.contracts.errors import Conflict, InvalidInput, NotFound
from integrator.steps import host_databases as steps
from integrator.steps.connections import Actor
from integrator.steps.host_sync import sync, sync_due
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import host_databases, insights
from tests.publishing import prediction, put_scored

ALPHA, BETA = Actor("alpha", "tester"), Actor("beta", "tester")
COLUMNS = {
    "subject_id": "event", "platform": "shop", "value": "expected", "low": "least", "high": "most", "status": "state",
    "insight_version": "version", "generated_at": "made at", "document": "doc", "p10": "p10",
}  # fmt: skip
ONLY = {"key": ("subject_id", "platform"), "use_cases": ("attendance",), "subject_kinds": ("event",)}


@dataclass
class Host:
    """A host's database as its owner sees it, and the address that we are given."""

    admin: Engine
    address: str
    types: dict[str, str]
    """`text`, `number`, `moment` and `document` in this server's SQL, and its `quote`."""

    def do(self, *statements: str) -> None:
        """Run the owner's own SQL."""
        with self.admin.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def rows(self, table: str = "forecast") -> dict[str, Any]:
        """What stands in a table, by event."""
        with self.admin.begin() as connection:
            return {row["event"]: dict(row) for row in connection.execute(text(f"select * from {table}")).mappings()}

    def make(self, name: str = "forecast", more: str = "", key: str = "primary key (event, shop)") -> None:
        """The table that `COLUMNS` fits, made anew."""
        t, q = self.types, self.types["quote"]
        self.do(
            f"drop table if exists {q}{name}{q}",
            f"create table {q}{name}{q} (event {t['text']} not null, shop {t['text']} not null, expected {t['number']}, "
            f"least {t['number']}, most {t['number']}, state {t['text']}, version integer, {q}made at{q} {t['moment']}, "
            f"doc {t['document']}, p10 {t['number']}, note {t['text']}{more}, {key})",
        )


def put_out(services: Services, *subjects: str, position: int, value: float = 900.0, partner: str = "alpha") -> None:
    put_scored(services, partner, [prediction(s, value) for s in subjects], position=position, at=services.clock())
    publish(services, partner, "attendance", run_id=f"run-{position}")


def documents(services: Services, partner: str = "alpha") -> dict[str, str]:
    with services.database.partner(partner) as connection:
        return {s.subject_id: s.document for s in insights.current(connection, partner, "attendance")}


@pytest.fixture
def clean(services: Services, host: Host) -> Services:
    with services.database.batch() as connection:
        for table in ("integrator.host_database", "insights.version", "insights.current", "ops.event_log",
                      "ops.prediction_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    host.make()
    return services


def add(services: Services, host: Host, **more: Any) -> None:
    wanted = {"address": host.address, "tls": "off", "table": "forecast", "columns": COLUMNS, **ONLY, "name": "host"}
    steps.save(services, ALPHA, steps.Wanted(**{**wanted, **more}))


def status(services: Services, name: str = "host") -> dict[str, Any]:
    return steps.detail(services, "alpha", name)


class HostDatabaseSuite:
    """Every test takes `clean` (services) and `host`; a subclass's module gives the two fixtures."""

    def test_upserted_with_the_same_version_and_bytes(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "gälä ✓ '; --", position=10)
        add(clean, host, constants={"note": "from us"})
        assert status(clean)["behind"]
        assert sync(clean, "alpha", "host").written == 2
        for subject, document in documents(clean).items():
            row = host.rows()[subject]
            assert row["doc"] == document and row["version"] == json.loads(document)["insight_version"] == 1
            assert (float(row["expected"]), float(row["p10"]), row["state"]) == (900.0, 820.0, "ready")
            assert (row["shop"], row["note"]) == ("pretix", "from us")
            assert str(row["made at"]).startswith("2026-03-16 12:00:00")
        assert not status(clean)["behind"]

    def test_again_changes_nothing_and_news_replace(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "expo", position=10)
        add(clean, host)
        sync(clean, "alpha", "host")
        before = host.rows()
        assert sync(clean, "alpha", "host").written == 0
        assert sync(clean, "alpha", "host", whole=True).written == 2
        assert host.rows() == before
        put_out(clean, "gala", "expo", position=11, value=700.0)
        assert [report.written for report in sync_due(clean, "alpha")] == [2]
        assert {(float(row["expected"]), row["version"]) for row in host.rows().values()} == {(700.0, 2)}
        assert host.rows()["gala"]["doc"] == documents(clean)["gala"]

    def test_an_older_version_never_replaces_a_newer_one(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "expo", position=10)
        add(clean, host)
        host.do("insert into forecast (event, shop, expected, version) values ('gala', 'pretix', 5, 9)",
                "insert into forecast (event, shop, expected) values ('expo', 'pretix', 5)")  # fmt: skip
        found = steps.difference(clean, "alpha", "host")
        assert (found.add, found.change, found.newer) == (0, 1, 1)
        sync(clean, "alpha", "host")
        rows = host.rows()
        assert (float(rows["gala"]["expected"]), rows["gala"]["version"], rows["gala"]["doc"]) == (5.0, 9, None)
        assert (float(rows["expo"]["expected"]), rows["expo"]["version"]) == (900.0, 1)

    def test_the_difference_changes_nothing(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "expo", position=10)
        add(clean, host)
        found = steps.difference(clean, "alpha", "host")
        assert (found.add, found.change, found.same) == (2, 0, 0) and host.rows() == {}
        sync(clean, "alpha", "host")
        assert steps.difference(clean, "alpha", "host").same == 2
        put_out(clean, "gala", "expo", position=11, value=700.0)
        found = steps.difference(clean, "alpha", "host")
        assert (found.add, found.change) == (0, 2)
        assert found.sample[0]["key"]["platform"] == "pretix"
        assert found.sample[0]["columns"]["expected"] == {"old": 900, "new": 700}
        assert float(host.rows()["gala"]["expected"]) == 900.0

    def test_withdrawn_marks_or_deletes(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "expo", position=10)
        add(clean, host)
        host.make("other")
        add(clean, host, name="deleting", table="other", withdrawn="delete")
        sync_due(clean, "alpha")
        put_out(clean, "gala", position=11)
        sync_due(clean, "alpha")
        expo = host.rows()["expo"]
        assert (expo["state"], expo["expected"], expo["version"]) == ("withdrawn", None, 2)
        assert set(host.rows("other")) == {"gala"}
        assert steps.difference(clean, "alpha", "deleting").same == 2

    def test_what_is_published_while_it_is_away_comes_later(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", position=10)
        add(clean, host)
        host.do("drop table forecast")
        with pytest.raises(NotFound, match="forecast"):
            sync(clean, "alpha", "host")
        assert status(clean)["status"] == "failed" and "no table" in status(clean)["status_reason"]
        put_out(clean, "gala", "expo", position=11, value=700.0)
        assert sync_due(clean, "alpha") == []
        with pytest.raises(Conflict, match="failed"):
            sync(clean, "alpha", "host")
        host.make()
        steps.resume(clean, ALPHA, "host")
        assert [report.written for report in sync_due(clean, "alpha")] == [2]
        assert {name: row["version"] for name, row in host.rows().items()} == {"gala": 2, "expo": 1}

    def test_paused_is_left_alone(self, clean: Services, host: Host) -> None:
        add(clean, host)
        steps.pause(clean, ALPHA, "host")
        put_out(clean, "gala", position=10)
        assert sync_due(clean, "alpha") == [] and host.rows() == {}
        steps.resume(clean, ALPHA, "host")
        assert len(sync_due(clean, "alpha")) == 1 and set(host.rows()) == {"gala"}

    @pytest.mark.parametrize(
        "name", ["x; drop", 'x"; drop table forecast; --', "x`; drop table forecast; --", "a%s b.c", "x'y"]
    )
    def test_names_are_quoted_whatever_they_hold(self, clean: Services, host: Host, name: str) -> None:
        q = host.types["quote"]
        quoted = f"{q}{name.replace(q, q * 2)}{q}".replace("%", "%%" if host.admin.dialect.name != "sqlite" else "%")
        host.do(f"drop table if exists {quoted}", f"create table {quoted} (id {host.types['text']} primary key, "
                f"{quoted[:-1]}v{q} integer)")  # fmt: skip
        put_out(clean, "gala", "expo", position=10)
        columns = {"insight_id": "id", "insight_version": f"{name}v"}
        if q == "`" and ("`" in name or "%" in name):
            with pytest.raises(InvalidInput, match="names without ` and %"):
                add(clean, host, table=name, columns=columns, key=("insight_id",), withdrawn="delete", name="odd")
            host.do(f"drop table {quoted}")
            return
        add(clean, host, table=name, columns=columns, key=("insight_id",), withdrawn="delete", name="odd")
        assert sync(clean, "alpha", "odd").written == 2
        put_out(clean, position=11)
        assert sync(clean, "alpha", "odd").written == 2
        with host.admin.begin() as connection:
            assert connection.exec_driver_sql(f"select count(*) from {quoted}").scalar_one() == 0
        assert host.rows() == {}, "the other table is still there"
        host.do(f"drop table {quoted}")

    def test_a_table_that_does_not_fit_is_said_all_at_once(self, clean: Services, host: Host) -> None:
        t = host.types
        host.do("drop table forecast", f"create table forecast (event {t['text']}, shop {t['text']} not null, state {t['moment']}, "
                f"version {t['text']}, must integer not null)")  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            add(clean, host)
        said = str(refused.value)
        for fault in ("'expected' is missing", "'version' is", "no unique key over exactly event, shop",
                      "'must' needs a value"):  # fmt: skip
            assert fault in said, said
        with pytest.raises(NotFound, match="nowhere"):
            add(clean, host, table="nowhere")
        assert steps.listed(clean, "alpha") == []

    def test_a_value_that_does_not_fit_stops_and_names_the_insight(self, clean: Services, host: Host) -> None:
        put_out(clean, "gala", "expo", "a-very-long-name-of-an-event-that-nobody-expected", position=10)
        host.make(key="primary key (event, shop)")
        if host.admin.dialect.name == "sqlite":
            host.do("drop table forecast", "create table forecast (event varchar(20) not null, shop text not null, version integer, "
                    "state text, primary key (event, shop))")  # fmt: skip
        else:
            host.do("drop table forecast", "create table forecast (event varchar(20) not null, shop varchar(20) not null, "
                    "version integer, state varchar(20), primary key (event, shop))")  # fmt: skip
        columns = {name: COLUMNS[name] for name in ("subject_id", "platform", "insight_version", "status")}
        add(clean, host, columns=columns)
        with pytest.raises(InvalidInput, match="ins_.*49 characters"):
            sync(clean, "alpha", "host")
        assert status(clean)["status"] == "failed"

    def test_columns_of_the_fields_names_need_no_mapping(self, clean: Services, host: Host) -> None:
        t = host.types
        host.do("drop table if exists plain", f"create table plain (insight_id {t['text']} primary key, insight_version integer, "
                f"status {t['text']}, value {t['number']}, document {t['document']}, own {t['text']})")  # fmt: skip
        put_out(clean, "gala", position=10)
        add(clean, host, table="plain", columns={}, key=("insight_id",))
        assert status(clean)["layout"]["columns"].keys() == {
            "insight_id",
            "insight_version",
            "status",
            "value",
            "document",
        }
        sync(clean, "alpha", "host")
        with host.admin.begin() as connection:
            assert connection.exec_driver_sql("select document from plain").scalars().all() == [
                documents(clean)["gala"]
            ]

    def test_another_partner_sees_and_writes_nothing(self, clean: Services, host: Host) -> None:
        put_out(clean, "secret", position=10, partner="beta")
        put_out(clean, "gala", position=10)
        add(clean, host)
        for act in (steps.pause, steps.resume, steps.remove):
            with pytest.raises(NotFound, match="there are: none"):
                act(clean, BETA, "host")
        with pytest.raises(NotFound):
            sync(clean, "beta", "host")
        assert sync_due(clean, "beta") == [] and steps.listed(clean, "beta") == []
        sync_due(clean, "alpha")
        assert set(host.rows()) == {"gala"}

    def test_the_address_is_sealed_and_never_shown(self, clean: Services, host: Host) -> None:
        add(clean, host)
        with clean.database.batch() as connection:
            sealed = bytes(connection.execute(text("select address from integrator.host_database")).scalar_one())
            audited = connection.execute(text("select data::text from integrator.audit_log")).scalars().all()
        password = host.admin.url.password
        assert host.address.encode() not in sealed
        shown = [repr(steps.get(clean, "alpha", "host")), str(steps.listed(clean, "alpha")), *audited]
        assert not password or not any(str(password) in one or "host-secret" in one for one in shown)
        assert steps.get(clean, "alpha", "host").address == host.address


def moved(services: Services, by: timedelta) -> Callable[[], Any]:
    """A clock that much later."""
    at = services.clock() + by
    return lambda: at


def names(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Of host databases as they are listed."""
    return (row["name"] for row in rows)


__all__ = ["HostDatabaseSuite", "add", "clean", "host_databases", "moved", "names", "put_out", "status"]
