"""Speaking to pretix: the session, and lists page by page. What the fields mean is in `map`."""

from collections.abc import Iterator, Mapping
from typing import Any

from integrator.contracts.errors import Unavailable
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded

PAGE_SIZE = 50


def session_for(account: Account) -> Session:
    """A session below ``/api/v1/organizers/{organizer}``."""
    base = f"{str(account.settings['base_url']).rstrip('/')}/api/v1/organizers/{account.settings['organizer']}"
    return Session("pretix", base, {"Authorization": f"Token {account.credentials['token']}"}, account.http)


def page(session: Session, path: str, params: Mapping[str, Any], number: int = 1) -> tuple[list[Any], bool]:
    """One page of a list and whether there is another.

    The next page is asked for by number: following ``next`` would send the token to whatever host it names.
    """
    answer = session.get(path, params={"page_size": PAGE_SIZE, **params, "page": number})
    body = decoded("pretix", answer)
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise Unavailable(f"pretix: {path} did not answer with a list of results")
    return body["results"], body.get("next") is not None


def listed(session: Session, path: str, **params: Any) -> Iterator[Any]:
    """Everything on a list, all pages."""
    number, more = 1, True
    while more:
        results, more = page(session, path, params, number)
        yield from results
        number += 1


def total(session: Session, path: str, **params: Any) -> int:
    """How many entries a list has."""
    body = decoded("pretix", session.get(path, params={"page_size": 1, **params}))
    if not isinstance(body, dict) or not isinstance(body.get("count"), int):
        raise Unavailable(f"pretix: {path} did not answer with a count")
    return int(body["count"])
