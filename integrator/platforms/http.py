"""One way to speak HTTP to every platform: timeouts, bounded retries, and errors that say permanent or transient.

429 waits for ``Retry-After`` (or backs off), 5xx and lost connections back off with jitter; when the attempts or the
patience are used up the failure is transient. 401 lets the caller refresh its token once, then is permanent.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class HttpPolicy:
    """How patient to be: seconds, and counts per request. ``sleep`` and ``seed`` are there for tests."""

    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    attempts: int = 6
    backoff: float = 1.0  # with five attempts 15 s together: longer than HubSpot's ten-second window
    longest_wait: float = 65.0
    seed: int = 0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class Session:
    """A platform's base address, its headers and the policy; ``refresh`` gets new headers after a 401."""

    def __init__(
        self,
        platform: str,
        base_url: str,
        headers: Mapping[str, str],
        policy: HttpPolicy,
        refresh: "Callable[[Session], Mapping[str, str]] | None" = None,
    ) -> None:
        """Opens nothing yet."""
        import requests

        self.platform = platform
        self.base_url = base_url.rstrip("/")
        self.policy = policy
        self._refresh = refresh
        self._random = random.Random(policy.seed)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"Accept": "application/json", **headers})

    def close(self) -> None:
        """Return the connections."""
        self._session.close()

    def get(self, path: str, **options: Any) -> "requests.Response":
        """`send` with GET."""
        return self.send("GET", path, **options)

    def post(self, path: str, **options: Any) -> "requests.Response":
        """`send` with POST."""
        return self.send("POST", path, **options)

    def send(self, method: str, path: str, **options: Any) -> "requests.Response":
        """One request that succeeded (2xx); ``path`` is below the base address, or a whole address on the same host."""
        url = path if path.startswith(("http://", "https://")) else f"{self.base_url}{path}"
        refreshed = False
        failure: IntegratorError = Unavailable(f"{self.platform}: no attempt was allowed")
        for attempt in range(1, self.policy.attempts + 1):
            answer, failure = self._once(method, url, options)
            if answer is not None:
                return answer
            if isinstance(failure, Unauthorized) and self._refresh is not None and not refreshed:
                refreshed = True
                self._session.headers.update(self._refresh(self))
                continue
            if not isinstance(failure, RateLimited | Unavailable):
                raise failure
            if attempt < self.policy.attempts:
                self.wait(attempt, failure)
        raise failure

    def wait(self, attempt: int, failure: IntegratorError) -> None:
        """Sleep before the next attempt; raise ``failure`` where the platform asks for more patience than we have."""
        asked = failure.retry_after if isinstance(failure, RateLimited) else None
        if asked is not None and asked > self.policy.longest_wait:
            raise failure
        backoff = self.policy.backoff * 2 ** (attempt - 1) * self._random.uniform(0.75, 1.25)
        self.policy.sleep(min(asked if asked is not None else backoff, self.policy.longest_wait))

    def _once(
        self, method: str, url: str, options: dict[str, Any]
    ) -> "tuple[requests.Response, IntegratorError] | tuple[None, IntegratorError]":
        import requests

        timeout = (self.policy.connect_timeout, self.policy.read_timeout)
        try:
            answer = self._session.request(method, url, timeout=timeout, allow_redirects=False, **options)
        except requests.RequestException as error:
            return None, Unavailable(f"{self.platform}: {method} {url} got no answer ({type(error).__name__})")
        if 200 <= answer.status_code < 300:
            return answer, Unavailable("")
        return None, failure_of(self.platform, method, url, answer)


def failure_of(platform: str, method: str, url: str, answer: "requests.Response") -> IntegratorError:
    """The error an unsuccessful answer stands for; the body is not repeated, it may hold personal data."""
    status = answer.status_code
    said = f"{platform}: {method} {url.split('?')[0]} answered {status}"
    if status == 429:
        return RateLimited(said, retry_after=retry_after(answer.headers.get("Retry-After")))
    if status == 408 or status >= 500:
        return Unavailable(said)
    if status == 401:
        return Unauthorized(f"{said}: the credential is wrong or expired")
    if status == 403:
        return Forbidden(f"{said}: the credential lacks a permission")
    if status in (404, 410):
        return NotFound(f"{said}: no such thing for this account")
    return InvalidInput(f"{said}: the request is not accepted")


def retry_after(header: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110: seconds or a date), None when absent or unreadable."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def server_time(answer: "requests.Response", otherwise: datetime) -> datetime:
    """The platform's own clock: what is compared with its own timestamps must not depend on ours."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return otherwise


def decoded(platform: str, answer: "requests.Response") -> Any:
    """The JSON body; something else (a proxy's error page, a cut-off body) is transient."""
    import msgspec

    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{platform}: the answer is not JSON") from error


@contextmanager
def closing(session: Session) -> Iterator[Session]:
    """The session, closed at the end."""
    try:
        yield session
    finally:
        session.close()
