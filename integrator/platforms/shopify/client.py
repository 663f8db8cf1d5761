"""Speaking to Shopify's Admin GraphQL API: cost points, errors, bulk operations. What fields mean is in `map`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import (
    Defect,
    Forbidden,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from integrator.platforms.base import Account
from integrator.platforms.http import Session, decoded

if TYPE_CHECKING:
    import requests

API_VERSION = "2026-10"
POLLS = 600  # bulk operations of big shops take minutes; a poll waits two seconds at most
CHUNK = 1 << 20


class TooExpensive(Defect):
    """A query asks for more than a single one may cost; ask for fewer objects."""


def session_for(account: Account) -> Session:
    """A session on the shop; ``base_url`` is ``https://{shop}.myshopify.com``."""
    token = {"X-Shopify-Access-Token": account.credentials["access_token"]}
    return Session("shopify", str(account.settings["base_url"]), token, account.http)


def api_path(settings: Mapping[str, Any]) -> str:
    """The endpoint of the API version the connection is pinned to."""
    return f"/admin/api/{settings.get('api_version') or API_VERSION}/graphql.json"


def query(
    session: Session, path: str, document: str, variables: Mapping[str, Any] | None = None
) -> "tuple[dict[str, Any], requests.Response]":
    """``data`` of a query. Shopify answers 200 when throttled: then wait until the bucket holds the cost again."""
    failure = RateLimited("shopify: throttled")
    for attempt in range(1, session.policy.attempts + 1):
        answer = session.post(path, json={"query": document, "variables": dict(variables or {})})
        body = decoded("shopify", answer)
        if not isinstance(body, dict):
            raise Unavailable("shopify: the answer is not an object")
        errors = body.get("errors")
        if not errors:
            if short := _until_restored(body):
                # The bucket does not hold another query like this one: wait for the points, not through refusals.
                session.policy.sleep(min(short, session.policy.longest_wait))
            return body["data"], answer
        codes = _codes(errors)
        if "THROTTLED" not in codes:
            raise _failure(errors, codes)
        restored = _until_restored(body)
        failure = RateLimited("shopify: throttled", retry_after=None if restored is None else max(0.05, restored))
        if attempt < session.policy.attempts:
            session.wait(attempt, failure)
    raise failure


def _codes(errors: Any) -> set[Any]:
    extensions = [e.get("extensions") for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    return {one.get("code") for one in extensions if isinstance(one, dict)}


def _failure(errors: Any, codes: set[Any]) -> Exception:
    first = errors[0].get("message", "") if isinstance(errors, list) and isinstance(errors[0], dict) else str(errors)
    if "MAX_COST_EXCEEDED" in codes:
        return TooExpensive(f"shopify: {first[:200]}")
    if "ACCESS_DENIED" in codes:
        return Forbidden(f"shopify: {first[:200]}")
    if "INTERNAL_SERVER_ERROR" in codes:
        return Unavailable("shopify: internal server error")
    if "Invalid API key or access token" in first:
        return Unauthorized("shopify: the access token is not accepted")
    return Defect(f"shopify refused the query: {first[:200]}")


def _until_restored(body: Mapping[str, Any]) -> float | None:
    extensions: Mapping[str, Any] = body.get("extensions") or {}
    cost: Mapping[str, Any] = extensions.get("cost") or {}
    status: Mapping[str, Any] = cost.get("throttleStatus") or {}
    lacking = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    rate = float(status.get("restoreRate") or 0)
    return max(0.0, lacking / rate) if rate else None


def finished_bulk(session: Session, path: str, document: str, operation_id: str) -> dict[str, Any]:
    """Poll a bulk operation until it ended; COMPLETED is returned, anything else is transient."""
    status = "CREATED"
    for number in range(POLLS):
        data, _ = query(session, path, document, {"id": operation_id})
        operation = data["node"]
        if not isinstance(operation, dict):
            raise Unavailable(f"shopify: bulk operation {operation_id} is gone")
        status = operation["status"]
        if status == "COMPLETED":
            return operation
        if status not in ("CREATED", "RUNNING", "CANCELING"):
            break
        session.policy.sleep(min(0.1 * 2 ** min(number, 10), 2.0))
    raise Unavailable(f"shopify: bulk operation {operation_id} ended as {status}")


def download(session: Session, url: str, start: int) -> Iterator[bytes]:
    """The result file from byte ``start`` on, in chunks that end at a line's end.

    The address is signed and lies on a storage host: the access token is not sent along.
    """
    import requests

    headers = {"Range": f"bytes={start}-", "X-Shopify-Access-Token": None, "Accept-Encoding": "identity"}
    answer = session.get(url, headers=headers, stream=True)
    skip = start if answer.status_code == 200 else 0
    rest = b""
    try:
        for chunk in answer.iter_content(CHUNK):
            if skip:
                skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
            rest += chunk
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
    except requests.RequestException as error:
        raise Unavailable(f"shopify: the download broke off ({type(error).__name__})") from error
    if rest:
        yield rest
