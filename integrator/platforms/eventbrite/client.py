"""Speaking to Eventbrite: the session, lists page by page, the hourly budget. What the fields mean is in `map`."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import InvalidInput, RateLimited, Unavailable
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded

if TYPE_CHECKING:
    import requests

_BUDGET = re.compile(r"(\d+)/(\d+) reset=(\d+)s")  # x-rate-limit: token:… 2000/2000 reset=1800s, key:… 7/2000 …


def session_for(account: Account) -> Session:
    """A session; ``base_url`` is ``https://www.eventbriteapi.com/v3``."""
    token = {"Authorization": f"Bearer {account.credentials['access_token']}"}
    return Session("eventbrite", str(account.settings["base_url"]), token, account.http, judge=refused, pace=used_up)


def used_up(answer: "requests.Response") -> float | None:
    """Seconds until the hour's budget comes back, None while some is left: ``x-rate-limit`` counts what is used."""
    budgets = _BUDGET.findall(answer.headers.get("x-rate-limit", ""))
    return max((float(reset) for used, limit, reset in budgets if int(used) >= int(limit)), default=None)


def refused(answer: "requests.Response") -> RateLimited | None:
    """HIT_RATE_LIMIT, where ``x-rate-limit`` alone says for how long."""
    wait = used_up(answer) if answer.status_code == 429 and "Retry-After" not in answer.headers else None
    return None if wait is None else RateLimited("eventbrite: the hour's requests are used up", retry_after=wait)


def page(
    session: Session, path: str, params: Mapping[str, Any], continuation: str | None = None
) -> "tuple[list[Any], dict[str, Any], requests.Response]":
    """One page of a list (named like the last part of its path): its items, ``pagination``, the answer."""
    answer = session.get(path, params={**params, **({"continuation": continuation} if continuation else {})})
    body = decoded("eventbrite", answer)
    items = body.get(path.rstrip("/").rsplit("/", 1)[-1]) if isinstance(body, dict) else None
    told = body.get("pagination") if isinstance(body, dict) else None
    if not isinstance(items, list) or not isinstance(told, dict):
        raise Unavailable(f"eventbrite: {path} did not answer with a list and its pagination")
    if told.get("has_more_items") and not told.get("continuation"):
        raise Unavailable(f"eventbrite: {path} has more items and does not say where")
    return items, told, answer


def pages(
    session: Session, path: str, params: Mapping[str, Any], continuation: str | None = None
) -> "Iterator[tuple[list[Any], str | None, requests.Response]]":
    """The pages of a list: items, what continues after them, the answer. An old continuation starts over."""
    try:
        items, told, answer = page(session, path, params, continuation)
    except InvalidInput:
        if continuation is None:
            raise
        items, told, answer = page(session, path, params)  # BAD_CONTINUATION_TOKEN: they do not live for ever
    while told.get("has_more_items"):
        yield items, told["continuation"], answer
        items, told, answer = page(session, path, params, told["continuation"])
    yield items, None, answer
