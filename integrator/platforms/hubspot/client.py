"""Speaking to HubSpot: tokens that expire, lists, the search and its limits. What properties mean is in `map`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Unavailable
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded, token_answer
from integrator.platforms.hubspot.spec import SPEC

if TYPE_CHECKING:
    import requests

CONTACTS = "/crm/v3/objects/contacts"
LIST_LIMIT = 50  # the most that may be asked for together with property history
SEARCH_LIMIT = 100
SEARCH_WINDOW = 10_000  # results a query; an ``after`` beyond is answered with 400


def session_for(account: Account) -> Session:
    """A session that fetches an access token (30 minutes) before its first request, and another one on a 401."""
    base = str(account.settings["base_url"]).rstrip("/")
    held = {name: account.credentials[name] for name in SPEC.credential_fields}

    def refresh(_: Session) -> dict[str, str]:
        form = {"grant_type": "refresh_token", **held}
        answer = token_answer(Session("hubspot", base, {}, account.http), "/oauth/v1/token", form, held)
        return {"Authorization": f"Bearer {answer['access_token']}"}

    return Session("hubspot", base, {}, account.http, refresh, pace=pause)


def pause(answer: "requests.Response") -> float | None:
    """Seconds until the quota allows another request: the day's is up at midnight, the window's when it has passed."""
    left = answer.headers.get("X-HubSpot-RateLimit-Daily-Remaining")
    if left == "0":
        return 3600.0
    if answer.headers.get("X-HubSpot-RateLimit-Remaining") != "0":
        return None
    try:
        return float(answer.headers.get("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")) / 1000
    except ValueError:
        return 10.0


def definitions(session: Session) -> list[dict[str, Any]]:
    """The account's contact properties: name, type, hubspotDefined."""
    return results(decoded("hubspot", session.get("/crm/v3/properties/contacts")))


def results(body: Any) -> list[Any]:
    """The results of an answer; anything without them is transient."""
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise Unavailable("hubspot: the answer holds no results")
    return list(body["results"])


def next_after(body: Mapping[str, Any]) -> str | None:
    """The next page's ``after``, None on the last page."""
    after = ((body.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else str(after)


def search(session: Session, since_ms: int, operator: str, after: int, limit: int, before_ms: int | None = None) -> Any:
    """One page of contacts by ``lastmodifieddate`` ascending, at or after (``GTE``) or after (``GT``) a time."""
    filters = [{"propertyName": "lastmodifieddate", "operator": operator, "value": str(since_ms)}]
    if before_ms is not None:
        filters.append({"propertyName": "lastmodifieddate", "operator": "LT", "value": str(before_ms)})
    return decoded(
        "hubspot",
        session.post(
            f"{CONTACTS}/search",
            json={
                "filterGroups": [{"filters": filters}],
                "sorts": [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
                "properties": ["lastmodifieddate"],
                "limit": limit,
                **({"after": str(after)} if after else {}),
            },
        ),
    )


def read(session: Session, ids: Sequence[str], names: Sequence[str], history: Sequence[str]) -> Iterator[Any]:
    """Contacts by id with the history of ``history``: the search itself returns none."""
    for start in range(0, len(ids), LIST_LIMIT):
        body = {
            "inputs": [{"id": one} for one in ids[start : start + LIST_LIMIT]],
            "properties": list(names),
            "propertiesWithHistory": list(history),
        }
        yield from results(decoded("hubspot", session.post(f"{CONTACTS}/batch/read", json=body)))
