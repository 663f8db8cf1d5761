"""Backfills: after what is new, within bounds, resumed at their page whatever happened; and defects that stay alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Forbidden, InvalidInput, NotFound, Unavailable
from integrator.platforms.base import Page
from integrator.steps import connections as managed
from integrator.steps import ingest
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import backfills, connections, logs
from integrator.storage.connections import PlatformConnection

ME = Actor("alpha", "cli")


class Account:
    """A platform of this test's own: live pages and pages of the past, and where it breaks."""

    def __init__(self) -> None:
        from integrator.platforms.registry import spec

        self.spec = spec("hubspot")
        self.live: list[list[dict[str, Any]]] = []
        self.past: list[list[dict[str, Any]]] = []
        self.breaks: dict[int, Exception] = {}
        self.order: list[tuple[str, str, Any]] = []

    def pull(self, account: Any, kind: str, cursor: Any, window: Any = None) -> Iterator[Page]:
        self.order.append((account.settings["base_url"], "past" if window else "live", cursor))
        pages = self.past if window else self.live
        start = (cursor or {}).get("page", 0)
        for number, records in enumerate(pages[start:], start=start):
            if window and number in self.breaks:
                raise self.breaks[number]
            yield Page(kind, records, {"page": number + 1})
        if window:
            yield Page(kind, [], {"done": True})

    def has_news(self, *_: Any, **__: Any) -> bool:
        return False


@pytest.fixture
def account(services: Services, monkeypatch: pytest.MonkeyPatch) -> Account:
    made = Account()
    monkeypatch.setattr(ingest, "platform_named", lambda name: made)
    with services.database.batch() as connection:
        for table in ("integrator.connection", "landing.contact", "ops.event_log"):
            connection.execute(text(f"delete from {table}"))
    for name in ("one", "two"):
        stored = PlatformConnection(
            partner="alpha", connection_id=name, platform="hubspot", settings={"base_url": name}, credentials={"t": "s"}
        )
        with services.database.partner("alpha") as connection:
            connections.save(connection, services.database.master, stored, services.clock())
    return made


def person(native_id: str, day: int, **more: Any) -> dict[str, Any]:
    return {
        "native_id": native_id,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": f"2026-01-{day:02}T00:00:00Z",
        **more,
    }


def ask(services: Services, name: str = "one", **more: Any) -> list[dict[str, Any]]:
    since = services.clock() - timedelta(days=90)
    return managed.backfill(services, ME, name, since, more.get("until"), more.get("kind"))


def state(services: Services, name: str = "one") -> list[tuple[str, int, int]]:
    return [(one["status"], one["pages"], one["accepted"]) for one in managed.stretches(services, "alpha", name)]


def budget(services: Services, **values: Any) -> Services:
    return replace(services, settings=services.settings.model_copy(update=values))


def run(services: Services) -> ingest.IngestReport:
    return ingest.ingest(services, "alpha", "hubspot", "contact")


def test_what_is_new_of_every_account_comes_first(services: Services, account: Account) -> None:
    account.live, account.past = [[person("new", 9)]], [[person("old", 2)]]
    ask(services)
    run(services)
    assert [(name, what) for name, what, _ in account.order] == [("one", "live"), ("two", "live"), ("one", "past")]
    assert state(services) == [("done", 2, 1)]


def test_it_goes_on_page_by_page_within_its_budget(services: Services, account: Account) -> None:
    account.past = [[person(f"p{n}", 2)] for n in range(5)]
    ask(services)
    small = budget(services, backfill_pages=2)
    seen = []
    for _ in range(4):
        run(small)
        seen += state(services)
    assert seen == [("waiting", 2, 2), ("waiting", 4, 4), ("done", 6, 5), ("done", 6, 5)]
    assert [cursor for _, what, cursor in account.order if what == "past"] == [None, {"page": 2}, {"page": 4}]
    assert ingest.has_news(services, "alpha", "hubspot") is False


def test_no_time_no_backfill_and_it_counts_as_news(services: Services, account: Account) -> None:
    account.past = [[person("p", 2)]]
    ask(services)
    run(budget(services, backfill_seconds=0.0))
    assert state(services) == [("waiting", 0, 0)]
    assert ingest.has_news(services, "alpha", "hubspot") is True


def test_a_process_that_dies_resumes_at_its_page(services: Services, account: Account) -> None:
    account.past = [[person(f"p{n}", 2)] for n in range(4)]
    ask(services)

    class Killed(BaseException):
        pass

    account.breaks = {2: Killed()}  # type: ignore[dict-item]
    with pytest.raises(Killed):
        run(services)
    assert state(services) == [("waiting", 2, 2)], "what had landed is there, with its cursor"
    account.breaks = {}
    run(services)
    assert state(services) == [("done", 5, 4)]
    assert account.order[-1][2] == {"page": 2}


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unavailable("away"), "waiting"), (Forbidden("not any more"), "failed"), (ZeroDivisionError("x"), "failed")],
    ids=["transient", "permanent", "defect"],
)
def test_one_that_breaks_keeps_nothing_else_from_going_on(
    services: Services, account: Account, error: Exception, status: str
) -> None:
    account.live, account.past, account.breaks = [[person("new", 9)]], [[person("p", 2)]], {0: error}
    ask(services)
    assert run(services).landed.accepted == 1
    assert state(services)[0][0] == status
    with services.database.partner("alpha") as connection:
        told = [one["data"] for one in logs.events(connection, "alpha") if one["kind"] == "backfill.failed"]
        assert [a.status for a in connections.for_partner(connection, services.database.master, "alpha")] == [
            "active"
        ] * 2
    assert len(told) == 1 and told[0]["permanent"] == (status == "failed")


def test_older_versions_become_history_and_leave_the_current_one(services: Services, account: Account) -> None:
    account.live, account.past = [[person("same", 9, stage="customer")]], [[person("same", 3, stage="lead")]]
    run(services)
    ask(services)
    run(services)
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text(
                "select stage, valid_to is null as current from landing.contact where native_id = 'same' order by valid_from"
            )
        ).all()
    assert [tuple(row) for row in rows] == [("lead", False), ("customer", True)]


def test_a_backfill_is_asked_for_with_a_stretch_of_the_past(services: Services, account: Account) -> None:
    now = services.clock()
    for since, until in (
        (now, now),
        (now, now - timedelta(days=1)),
        (now - timedelta(days=1), now + timedelta(days=1)),
    ):
        with pytest.raises(InvalidInput, match="a stretch that begins before it ends"):
            managed.backfill(services, ME, "one", since, until, None)
    with pytest.raises(InvalidInput, match="sale"):
        managed.backfill(services, ME, "one", now - timedelta(days=1), None, "sale")
    with pytest.raises(NotFound, match="there are: one, two"):
        managed.backfill(services, ME, "three", now - timedelta(days=1), None, None)
    with services.database.partner("beta") as connection:
        assert backfills.of_connection(connection, "beta", "one") == []


def test_a_defect_in_one_account_does_not_stop_the_next(services: Services, account: Account) -> None:
    account.live = [[person("fine", 9)]]
    real = account.pull

    def broken(pulled: Any, *more: Any) -> Iterator[Page]:
        if pulled.settings["base_url"] == "one":
            raise ZeroDivisionError("a bug, with a secret in it")
        return real(pulled, *more)

    account.pull = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        run(services)
    with services.database.partner("alpha") as connection:
        assert connection.execute(text("select count(*) from landing.contact")).scalar_one() == 1
        told = [one["data"] for one in logs.events(connection, "alpha") if one["kind"] == "connection.failed"]
        standing = connections.for_partner(connection, services.database.master, "alpha")
    assert told == [{"connection": "one", "reason": "a defect in hubspot: ZeroDivisionError", "permanent": False}]
    assert [one.status for one in standing] == ["active", "active"], "a defect of ours is tried again"


def test_a_sync_with_little_time_says_that_it_is_not_complete(services: Services, account: Account) -> None:
    account.live = [[person(f"n{n}", 9)] for n in range(4)]
    report = ingest.ingest(services, "alpha", "hubspot", "contact", connection_id="one", seconds=1e-9)
    assert (report.pages, report.complete) == (1, False)
    with services.database.partner("alpha") as connection:
        assert connections.get(connection, services.database.master, "alpha", "one").last_synced_at is None
    report = ingest.ingest(services, "alpha", "hubspot", "contact", connection_id="one")
    assert (report.pages, report.complete) == (3, True)


def test_rotation_seals_afresh_and_old_ciphertexts_stay_readable(
    services: Services, account: Account, now: datetime
) -> None:
    from integrator.storage.partners import data_key

    database = services.database
    with database.partner("alpha") as connection:
        before = data_key(connection, database.master, "alpha")
        old = connection.execute(
            text("select credentials, key_id from integrator.connection order by connection_id")
        ).all()
    assert managed.rotate(services, ME) == ["one", "two"]
    assert managed.rotate(services, ME) == ["one", "two"], "by a clock that stands still, too"
    with database.partner("alpha") as connection:
        current = data_key(connection, database.master, "alpha")
        fresh = connection.execute(
            text("select credentials, key_id from integrator.connection order by connection_id")
        ).all()
        assert data_key(connection, database.master, "alpha", before.key_id) == before, "the vault still needs it"
        assert [one.credentials for one in connections.for_partner(connection, database.master, "alpha")] == [
            {"t": "s"}
        ] * 2
    assert {row.key_id for row in fresh} == {current.key_id} != {before.key_id}
    assert not {bytes(row.credentials) for row in fresh} & {bytes(row.credentials) for row in old}


def test_credentials_from_before_data_keys_are_read_and_a_rotated_token_is_kept(
    services: Services, account: Account
) -> None:
    database = services.database
    sealed = database.master.wrap(b'{"client_id": "c", "refresh_token": "old"}', "connection:alpha")
    with database.partner("alpha") as connection:
        connection.execute(
            text("update integrator.connection set credentials = :sealed, key_id = null where connection_id = 'one'"),
            {"sealed": sealed},
        )
    (one, _) = ingest.accounts(services, "alpha")
    assert one.credentials["refresh_token"] == "old"
    keep: Callable[..., None] | None = ingest.policy(services, one).keep
    assert keep is not None
    keep({"refresh_token": "new"})
    (one, _) = ingest.accounts(services, "alpha")
    assert one.credentials == {"client_id": "c", "refresh_token": "new"}
    managed.remove(services, ME, "one")
    with pytest.raises(NotFound):
        keep({"refresh_token": "newer"})
