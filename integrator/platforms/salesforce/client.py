"""Speaking to Salesforce: tokens, what a refusal means, the daily quota, SOQL and its cursors. No meaning of fields."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    NotFound,
    RateLimited,
    Unavailable,
    invalid,
)
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded, token_answer

if TYPE_CHECKING:
    import requests

API_VERSION = "62.0"
BATCH = 2000  # the most rows an answer may have; with child rows Salesforce gives fewer
RESERVE_PCT = 10.0
LATER = 3600.0  # the pool is one of rolling 24 hours: in an hour some of it is back
LONGEST_QUERY = 12_000  # an address may have 16,384 bytes, and a query grows when it is encoded
HOSTS = (".salesforce.com", ".force.com", ".salesforce.mil", ".sfcrmproducts.cn")
FIELD = re.compile(r"[A-Za-z]\w{0,79}", re.ASCII)
USAGE = re.compile(r"\bapi-usage=(\d+)/(\d+)")
FORBIDDEN = frozenset(
    {
        "INVALID_TYPE",  # an object the user may not read does not exist for him
        "API_DISABLED_FOR_ORG",
        "API_CURRENTLY_DISABLED",
        "INSUFFICIENT_ACCESS",
        "INSUFFICIENT_ACCESS_OR_READONLY",
    }
)
# A field that is gone or hidden since it was described: the next pull reads a new description.
TRANSIENT = frozenset({"INVALID_FIELD", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"})


def session_for(account: Account) -> Session:
    """A session that fetches an access token, and where the API is, before its first request; and again on a 401."""
    base = str(account.settings["base_url"]).rstrip("/")
    reserve = reserve_pct(account.settings)
    version(account.settings)
    held = dict(account.credentials)

    def refresh(session: Session) -> dict[str, str]:
        form = {"client_id": held["client_id"], "client_secret": held["client_secret"]}
        if held.get("refresh_token"):
            form |= {"grant_type": "refresh_token", "refresh_token": held["refresh_token"]}
        else:
            form |= {"grant_type": "client_credentials"}
        asked = Session("salesforce", base, {}, account.http, judge=judge)
        answer = token_answer(asked, "/services/oauth2/token", form, held)
        session.base_url = _instance(base, answer)
        return {"Authorization": f"Bearer {answer['access_token']}"}

    return Session("salesforce", base, {}, account.http, refresh, judge, lambda answer: pause(answer, reserve))


def _instance(base: str, answer: Mapping[str, Any]) -> str:
    """Where the API is: the address told with the token, if it is the one we know or one of Salesforce's own."""
    told = str(answer.get("instance_url") or base).rstrip("/")
    known, parts = urlsplit(base), urlsplit(told)
    if (parts.scheme, parts.netloc) == (known.scheme, known.netloc):
        return told
    if parts.scheme == "https" and f".{parts.hostname or ''}".endswith(HOSTS):
        return told
    raise invalid("salesforce instance_url", told, "the address of the base_url, or one of Salesforce's own")


def version(settings: Mapping[str, Any]) -> str:
    """The API's version as it stands in a path; raises `InvalidInput` for what is none."""
    wanted = str(settings.get("api_version") or API_VERSION).removeprefix("v")
    if not re.fullmatch(r"\d{2}\.0", wanted):
        raise invalid("salesforce setting api_version", wanted, f"a version such as {API_VERSION}")
    return f"v{wanted}"


def reserve_pct(settings: Mapping[str, Any]) -> float:
    """The share of the day's requests left to the partner's own programs, 0 to 100."""
    wanted = settings.get("reserve_pct")
    try:
        share = RESERVE_PCT if wanted is None else float(wanted)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 100:
        raise invalid("salesforce setting reserve_pct", wanted, "a number from 0 to 100")
    return share


def pause(answer: "requests.Response", reserve: float) -> float | None:
    """An hour, where fewer of the day's requests are left than the reserve."""
    found = USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
    if found is None:
        return None
    used, most = int(found[1]), int(found[2])
    return LATER if most - used < most * reserve / 100 else None


def judge(answer: "requests.Response") -> IntegratorError | None:
    """What the error code says where the status does not; None leaves it to the status."""
    code, said = _said(answer)
    if code == "REQUEST_LIMIT_EXCEEDED":
        # The day's pool and the number of requests at once share a code; only the first takes long to come back.
        later = LATER if "TotalRequests" in said else None
        return RateLimited("salesforce: the limit of requests is reached", retry_after=later)
    if said == "login rate exceeded":
        return RateLimited("salesforce: too many logins within the hour", retry_after=LATER)
    if code in FORBIDDEN:
        return Forbidden(f"salesforce: {code}: the user lacks a permission")
    if code in TRANSIENT:
        return Unavailable(f"salesforce: {code}")
    if code == "INVALID_QUERY_LOCATOR":
        return NotFound("salesforce: the query's cursor has closed")
    return None


def _said(answer: "requests.Response") -> tuple[str, str]:
    """Code and message of an error: a list of the API, an object of the login."""
    try:
        body = answer.json()
    except ValueError:
        return "", ""
    first = body[0] if isinstance(body, list) and body else body
    if not isinstance(first, dict):
        return "", ""
    code = first.get("errorCode") or first.get("error")
    return str(code or ""), str(first.get("message") or first.get("error_description") or "")


def describe(session: Session, settings: Mapping[str, Any], name: str) -> "tuple[requests.Response, dict[str, Any]]":
    """An object as this user sees it: its fields and its child relationships."""
    try:
        answer = session.get(f"/services/data/{version(settings)}/sobjects/{name}/describe")
    except NotFound as error:
        raise Forbidden(f"salesforce: {name} cannot be read, or there is no API {version(settings)}") from error
    body = decoded("salesforce", answer)
    if not isinstance(body, dict) or not isinstance(body.get("fields"), list):
        raise Unavailable(f"salesforce: the description of {name} holds no fields")
    return answer, body


def query(session: Session, settings: Mapping[str, Any], soql: str, *, deleted: bool = False) -> dict[str, Any]:
    """The first answer to a query; ``deleted`` finds what lies in the recycle bin too."""
    if len(soql) > LONGEST_QUERY:
        raise invalid("salesforce setting fields", f"{len(soql)} characters of query", "fewer fields, by name")
    path = f"/services/data/{version(settings)}/{'queryAll' if deleted else 'query'}"
    return _answer(session.get(path, params={"q": soql}, headers=_options()))


def batches(
    session: Session, settings: Mapping[str, Any], soql: str, *, deleted: bool = False
) -> Iterator[tuple[list[Any], bool]]:
    """A query's rows, batch by batch, and whether it is the last; raises `NotFound` when its cursor closes."""
    body = query(session, settings, soql, deleted=deleted)
    while not body["done"]:
        yield body["records"], False
        body = following(session, body)
    yield body["records"], True


def following(session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer after this one."""
    address = str(body.get("nextRecordsUrl") or "")
    if not address.startswith("/services/data/"):
        raise Unavailable("salesforce: the answer is not done and names no following one")
    return _answer(session.get(address, headers=_options()))


def _options() -> dict[str, str]:
    return {"Sforce-Query-Options": f"batchSize={BATCH}"}


def _answer(answer: "requests.Response") -> dict[str, Any]:
    body = decoded("salesforce", answer)
    if not isinstance(body, dict) or not isinstance(body.get("records"), list) or "done" not in body:
        raise Unavailable("salesforce: the answer holds no records")
    return body


def optional(ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """What is good to have: nothing, where the user may not see it."""
    try:
        return ask()
    except Forbidden:
        return []


def names(fields: Sequence[str]) -> list[str]:
    """Names that may stand in a query: identifiers and nothing else, whatever a description says."""
    return [name for name in fields if FIELD.fullmatch(name)]


def literal(at: datetime) -> str:
    """A moment as SOQL has it, in whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
