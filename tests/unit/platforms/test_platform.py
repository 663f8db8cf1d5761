"""What all platforms have in common: checks before any request, a session opened and closed, backfills that are done."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.contracts.errors import InvalidInput, Unavailable
from integrator.platforms.base import Account, Cursor, Page, Platform, PlatformSpec, Window, resting
from integrator.platforms.http import HttpPolicy, Session

SPEC = PlatformSpec("shop", "Shop", ("sale",), ("token",), {"base_url": True})
ASKS: tuple[Any, ...] = (
    lambda shop, account: list(shop.pull(account, "sale", None)),
    lambda shop, account: shop.has_news(account, {"sale": None}),
    lambda shop, account: shop.count(account, "sale"),
    lambda shop, account: shop.check(account),
)


class Opened(Session):
    """A session that tells when it is closed."""

    closed = False

    def close(self) -> None:
        """Remember it."""
        super().close()
        self.closed = True


class Shop(Platform):
    """Says what it was handed; `breaks` is raised instead."""

    def __init__(self, breaks: Exception | None = None) -> None:
        """Nothing is opened yet."""
        super().__init__(SPEC, self._open)
        self.breaks = breaks
        self.opened: list[Opened] = []

    def _open(self, account: Account) -> Session:
        self.opened.append(Opened("shop", account.settings["base_url"], {}, account.http))
        return self.opened[-1]

    def _hand(self, session: Session, *handed: Any) -> tuple[Any, ...]:
        assert session is self.opened[-1] and not self.opened[-1].closed
        if self.breaks is not None:
            raise self.breaks
        return handed

    def pages(
        self, session: Session, account: Account, kind: str, cursor: Cursor | None, window: Window | None
    ) -> Iterator[Page]:
        """Two pages."""
        for number in range(2):
            yield Page(kind, [], {"number": number, "handed": self._hand(session, cursor, window)})

    def news(self, session: Session, account: Account, cursors: Mapping[str, Cursor | None]) -> bool:
        """Always."""
        return self._hand(session, cursors) == ({"sale": None},)

    def total(self, session: Session, account: Account, kind: str) -> int | None:
        """One."""
        return len(self._hand(session, kind))

    def missing(self, session: Session, account: Account) -> list[str]:
        """Nothing."""
        return list(self._hand(session))


def account(base_url: str = "https://shop.example.com", token: str = "a secret") -> Account:
    return Account({"base_url": base_url}, {"token": token}, lambda: datetime(2026, 3, 1, tzinfo=UTC), HttpPolicy())


def test_credentials_are_not_shown() -> None:
    assert "shop.example.com" in repr(account())
    assert "secret" not in repr(account())


@pytest.mark.parametrize("ask", ASKS, ids=["pull", "has_news", "count", "check"])
def test_every_question_opens_one_session_and_closes_it(ask: Any) -> None:
    shop = Shop()
    ask(shop, account())
    assert [one.closed for one in shop.opened] == [True]
    shop = Shop(Unavailable("shop: away"))
    with pytest.raises(Unavailable):
        ask(shop, account())
    assert [one.closed for one in shop.opened] == [True]


@pytest.mark.parametrize("ask", ASKS, ids=["pull", "has_news", "count", "check"])
def test_what_is_missing_is_said_before_anything_is_opened(ask: Any) -> None:
    shop = Shop()
    for bad, said in ((account(base_url=""), "base_url"), (account(token=""), "token")):
        with pytest.raises(InvalidInput, match=said):
            ask(shop, bad)
    assert shop.opened == []


def test_an_unknown_kind_is_refused() -> None:
    shop = Shop()
    with pytest.raises(InvalidInput, match="invoice"):
        list(shop.pull(account(), "invoice", None))
    with pytest.raises(InvalidInput, match="invoice"):
        shop.count(account(), "invoice")
    assert shop.opened == []


def test_a_pull_that_is_left_closes_its_session() -> None:
    shop = Shop()
    pages = shop.pull(account(), "sale", {"since": "x"})
    assert next(pages).cursor == {"number": 0, "handed": ({"since": "x"}, None)}
    assert not shop.opened[0].closed
    pages.close()  # type: ignore[attr-defined]
    assert shop.opened[0].closed


def test_a_backfill_that_is_done_is_not_read_again() -> None:
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert [page.cursor["handed"] for page in Shop().pull(account(), "sale", None, window)] == [(None, window)] * 2
    assert list(Shop().pull(account(), "sale", {"done": True}, window)) == []


def test_cursors_rest_between_pulls_only() -> None:
    assert resting([])
    assert resting([{"since": "x"}, {"since": "y"}])
    for other in (None, {}, {"since": "x", "after": "y"}, {"after": "y"}):
        assert not resting([{"since": "x"}, other])
