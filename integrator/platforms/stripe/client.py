"""Speaking to Stripe: the session, and lists page by page, newest first. What the fields mean is in `map`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Forbidden, Unavailable
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded

if TYPE_CHECKING:
    import requests

API_VERSION = "2025-09-30.clover"
LIMIT = 100


def session_for(account: Account) -> Session:
    """A session of one API version, whatever the account's own is; ``base_url`` is ``https://api.stripe.com``."""
    headers = {"Authorization": f"Bearer {account.credentials['secret_key']}", "Stripe-Version": API_VERSION}
    return Session("stripe", str(account.settings["base_url"]), headers, account.http, judge=lacking)


def lacking(answer: "requests.Response") -> Forbidden | None:
    """A 403 of a restricted key says which permission it lacks; of that message only the name is repeated."""
    if answer.status_code != 403:
        return None
    named = re.search(rb"\brak_\w+", answer.content)
    return Forbidden(f"stripe: the restricted key lacks {named[0].decode()}") if named else None


def page(session: Session, path: str, params: Mapping[str, Any]) -> "tuple[list[Any], bool, requests.Response]":
    """One page of a list, whether there is another, the answer."""
    answer = session.get(path, params={"limit": LIMIT, **params})
    body = decoded("stripe", answer)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise Unavailable(f"stripe: {path} did not answer with a list")
    return body["data"], bool(body.get("has_more")), answer


def last_id(items: list[Any]) -> str:
    """What the next page starts after; a page that names nothing would be read for ever."""
    for item in reversed(items):
        if isinstance(item, dict) and item.get("id"):
            return str(item["id"])
    raise Unavailable("stripe: a page to be followed by another holds no id")
