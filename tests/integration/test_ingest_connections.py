"""A partner with several accounts on one platform: each is pulled, stops and goes on by itself."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    PermanentError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from integrator.platforms.base import Page
from integrator.steps import ingest
from integrator.steps.services import Services
from integrator.storage import connections, logs, quarantine
from integrator.storage.connections import PlatformConnection


class Accounts:
    """A platform of this test's own behind the seam: per account its pages, and where it breaks."""

    def __init__(self) -> None:
        self.pages: dict[str, list[list[dict[str, Any]]]] = {}
        self.breaks: dict[str, tuple[int, Exception]] = {}
        self.pulled: list[tuple[str, Any]] = []
        self.news: dict[str, bool | Exception] = {}
        from integrator.platforms.registry import spec

        self.spec = spec("pretix")

    def pull(self, account: Any, kind: str, cursor: Any) -> Iterator[Page]:
        name = account.settings["organizer"]
        self.pulled.append((name, cursor))
        start = (cursor or {"page": 0})["page"]
        for number, records in enumerate(self.pages.get(name, [])[start:], start=start):
            where, error = self.breaks.get(name, (-1, ValueError()))
            if number == where:
                raise error
            yield Page(kind, records, {"page": number + 1})

    def has_news(self, account: Any, cursors: Any) -> bool:
        self.pulled.append((account.settings["organizer"], dict(cursors)))
        found = self.news.get(account.settings["organizer"], False)
        if isinstance(found, Exception):
            raise found
        return found

    def check(self, account: Any) -> list[str]:
        return ["orders"]


@pytest.fixture
def accounts(services: Services, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    made = Accounts()
    monkeypatch.setattr(ingest, "platform_named", lambda name: made)
    with services.database.batch() as connection:
        for table in ("integrator.connection", "landing.contact", "landing.quarantine", "ops.event_log"):
            connection.execute(text(f"delete from {table}"))
    return made


@pytest.fixture
def connect(services: Services) -> Callable[..., None]:
    def make(*names: str, partner: str = "alpha", platform: str = "pretix") -> None:
        for name in names:
            account = PlatformConnection(
                partner=partner, connection_id=name, platform=platform, settings={"organizer": name},
                credentials={"token": f"secret-{name}"},
            )  # fmt: skip
            with services.database.partner(partner) as connection:
                connections.save(connection, services.database.master, account, services.clock())

    return make


def contact(native_id: str) -> dict[str, Any]:
    return {"native_id": native_id, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"}


def landed(services: Services, partner: str = "alpha") -> set[str]:
    with services.database.partner(partner) as connection:
        return set(connection.execute(text("select native_id from landing.contact")).scalars())


def standing(services: Services) -> dict[str, tuple[str, str | None, datetime | None]]:
    return {a.connection_id: (a.status, a.status_reason, a.last_synced_at) for a in ingest.accounts(services, "alpha")}


def cursor(services: Services, name: str) -> Any:
    with services.database.partner("alpha") as connection:
        return connections.cursor(connection, "alpha", name, "contact")


def test_every_account_is_pulled_and_counted(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("one", "two", "three")
    accounts.pages = {"one": [[contact("a")], [contact("b")]], "two": [[contact("c"), contact("c"), {"native_id": 5}]]}
    seen: list[int] = []
    report = ingest.ingest(services, "alpha", "pretix", "contact", on_page=lambda result: seen.append(result.accepted))
    assert (report.connections, report.pages) == (3, 3)
    assert (report.landed.accepted, report.landed.unchanged, report.landed.quarantined) == (3, 1, 1)
    assert landed(services) == {"a", "b", "c"} and seen == [1, 2, 1]
    assert all(status == ("active", None, services.clock()) for status in standing(services).values())
    assert (cursor(services, "one"), cursor(services, "two"), cursor(services, "three")) == (
        {"page": 2},
        {"page": 1},
        None,
    )


@pytest.mark.parametrize(
    ("error", "status"),
    [(Unauthorized("the token is wrong"), "failed"), (Forbidden("orders may not be read"), "failed"),
     (Unavailable("answered 502"), "active"), (RateLimited("slower", retry_after=9), "active")],
    ids=["unauthorized", "forbidden", "unavailable", "rate limited"],
)  # fmt: skip
def test_one_that_breaks_stops_alone_and_keeps_what_it_had(
    services: Services, accounts: Accounts, connect: Callable[..., None], error: IntegratorError, status: str
) -> None:
    connect("first", "second", "third")
    accounts.pages = {name: [[contact(f"{name}-{n}")] for n in range(3)] for name in ("first", "second", "third")}
    accounts.breaks = {"second": (1, error)}
    with pytest.raises(type(error), match=str(error)):
        ingest.ingest(services, "alpha", "pretix", "contact")
    assert landed(services) == {"first-0", "first-1", "first-2", "second-0", "third-0", "third-1", "third-2"}
    assert cursor(services, "second") == {"page": 1}
    found = standing(services)
    assert found["second"][0] == status and found["first"][0] == found["third"][0] == "active"
    assert found["second"][2] is None, "it did not come to its end"
    with services.database.partner("alpha") as connection:
        failed = [entry for entry in logs.events(connection, "alpha") if entry["kind"] == "connection.failed"]
    assert [entry["data"]["connection"] for entry in failed] == ["second"]
    assert failed[0]["data"]["permanent"] == (status == "failed") and "secret" not in str(failed)


def test_the_next_pull_resumes_where_it_broke(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("only")
    accounts.pages = {"only": [[contact(f"r-{n}")] for n in range(5)]}
    accounts.breaks = {"only": (3, Unavailable("away"))}
    with pytest.raises(Unavailable):
        ingest.ingest(services, "alpha", "pretix", "contact")
    accounts.breaks = {}
    report = ingest.ingest(services, "alpha", "pretix", "contact")
    assert accounts.pulled == [("only", None), ("only", {"page": 3})]
    assert (report.pages, report.landed.accepted) == (2, 2) and len(landed(services)) == 5


def test_a_stopped_one_is_not_asked_until_it_is_saved_again(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("good", "stopped")
    accounts.pages = {"stopped": [[contact("s")]], "good": [[contact("g")]]}
    accounts.breaks = {"stopped": (0, Unauthorized("the token has expired"))}
    with pytest.raises(Unauthorized):
        ingest.ingest(services, "alpha", "pretix", "contact")
    accounts.breaks, accounts.pulled = {}, []
    with pytest.raises(PermanentError, match="connection stopped is stopped: the token has expired"):
        ingest.ingest(services, "alpha", "pretix", "contact")
    assert [name for name, _ in accounts.pulled] == ["good"]
    connect("stopped")
    assert ingest.ingest(services, "alpha", "pretix", "contact").landed.accepted == 1
    assert standing(services)["stopped"][:2] == ("active", None)


def test_a_paused_one_is_left_alone_and_is_no_failure(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("good", "paused")
    with services.database.partner("alpha") as connection:
        connections.set_status(connection, "alpha", "paused", "paused", "by hand")
        with pytest.raises(InvalidInput, match="active, paused, failed"):
            connections.set_status(connection, "alpha", "paused", "sleeping", None)
    assert ingest.ingest(services, "alpha", "pretix", "contact").connections == 1
    assert [name for name, _ in accounts.pulled] == ["good"]
    assert standing(services)["paused"] == ("paused", "by hand", None)


def test_the_first_of_several_failures_is_the_one_raised(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("a", "b", "c")
    accounts.pages = {name: [[contact(name)]] for name in "abc"}
    accounts.breaks = {"a": (0, Unavailable("a is away")), "c": (0, Forbidden("c is closed"))}
    with pytest.raises(Unavailable, match="a is away"):
        ingest.ingest(services, "alpha", "pretix", "contact")
    assert landed(services) == {"b"} and standing(services)["c"][0] == "failed"


def test_a_defect_of_a_platform_is_not_swallowed(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("broken")
    accounts.pages = {"broken": [[contact("x")], [contact("y")]]}
    accounts.breaks = {"broken": (1, ZeroDivisionError("a bug"))}
    with pytest.raises(ZeroDivisionError):
        ingest.ingest(services, "alpha", "pretix", "contact")
    assert landed(services) == {"x"} and cursor(services, "broken") == {"page": 1}


def test_nothing_to_pull(services: Services, accounts: Accounts, connect: Callable[..., None]) -> None:
    assert ingest.ingest(services, "alpha", "pretix", "contact").connections == 0
    connect("other", platform="hubspot")
    connect("theirs", partner="beta")
    report = ingest.ingest(services, "alpha", "pretix", "contact")
    assert (report.connections, report.pages, accounts.pulled) == (0, 0, [])
    with pytest.raises(InvalidInput, match="shopify kind 'contact' is not allowed"):
        ingest.ingest(services, "alpha", "shopify", "contact")
    with pytest.raises(InvalidInput, match="platform 'myspace'"):
        ingest.ingest(services, "alpha", "myspace", "contact")


def test_a_page_of_rubbish_moves_the_cursor_and_waits_in_quarantine(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("one")
    accounts.pages = {"one": [[{"native_id": None, "unreadable": {"deep": ["x\x00"]}}, {}, contact("fine")]]}
    report = ingest.ingest(services, "alpha", "pretix", "contact")
    assert (report.landed.accepted, report.landed.quarantined, cursor(services, "one")) == (1, 2, {"page": 1})
    with services.database.partner("alpha") as connection:
        assert len(quarantine.waiting(connection, "alpha")) == 2


def test_news_of_any_active_account_is_news(
    services: Services, accounts: Accounts, connect: Callable[..., None]
) -> None:
    connect("a", "b", "c")
    accounts.news = {"b": True}
    assert ingest.has_news(services, "alpha", "pretix")
    assert [name for name, _ in accounts.pulled] == ["a", "b"], "no further than needed"
    assert set(accounts.pulled[0][1]) == set(accounts.spec.kinds)
    with services.database.partner("alpha") as connection:
        connections.set_status(connection, "alpha", "b", "failed", "x")
    assert not ingest.has_news(services, "alpha", "pretix")
    accounts.news = {"a": Unavailable("away")}
    with pytest.raises(Unavailable):
        ingest.has_news(services, "alpha", "pretix")
    assert not ingest.has_news(services, "beta", "pretix")


def test_saving_again_replaces_and_the_credentials_stay_sealed(
    services: Services, accounts: Accounts, connect: Callable[..., None], now: datetime
) -> None:
    connect("one")
    account = ingest.accounts(services, "alpha")[0]
    assert "secret-one" not in repr(account) and account.credentials == {"token": "secret-one"}
    assert ingest.check(services, account) == ["orders"]
    changed = PlatformConnection(
        partner="alpha", connection_id="one", platform="pretix", settings={"organizer": "two"},
        credentials={"token": "ü-new"}, allowed_attributes=("nickname",),
    )  # fmt: skip
    with services.database.partner("alpha") as connection:
        connections.save(connection, services.database.master, changed, now + timedelta(days=1))
        sealed = bytes(connection.execute(text("select credentials from integrator.connection")).scalar_one())
    (found,) = ingest.accounts(services, "alpha")
    assert (found.settings, found.credentials, found.allowed_attributes) == (
        {"organizer": "two"}, {"token": "ü-new"}, ("nickname",),
    )  # fmt: skip
    assert "ü-new".encode() not in sealed
    assert ingest.accounts(services, "beta") == []
