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
from urllib.parse import urlsplit

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    invalid,
)

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class HttpPolicy:
    """How patient to be: seconds, and counts per request. ``sleep`` and ``seed`` are there for tests.

    ``allow_private`` lets a base address lead into our own network (the sandbox, a platform hosted beside us).
    ``keep`` is told the credential fields a platform has replaced, such as a refresh token that rotates: they must be
    stored before the pull goes on, for the old ones are worth nothing any more.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 60.0
    attempts: int = 6
    backoff: float = 1.0  # with five attempts 15 s together: longer than HubSpot's ten-second window
    longest_wait: float = 65.0
    seed: int = 0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    allow_private: bool = False
    keep: Callable[[Mapping[str, str]], None] | None = field(default=None, repr=False)


class Session:
    """A platform's base address, its headers and the policy.

    ``refresh`` gets new headers after a 401, and the first ones where none are given that authorize.
    """

    def __init__(
        self,
        platform: str,
        base_url: str,
        headers: Mapping[str, str],
        policy: HttpPolicy,
        refresh: "Callable[[Session], Mapping[str, str]] | None" = None,
        judge: "Callable[[requests.Response], IntegratorError | None] | None" = None,
        pace: "Callable[[requests.Response], float | None] | None" = None,
    ) -> None:
        """Opens nothing yet. ``judge`` is asked what a refusal means before its status is.

        ``pace`` reads the quota off a good answer: how many seconds the next request has to wait.
        """
        import requests

        from integrator.platforms.adapter import guarded
        from integrator.security.addresses import Guard

        self.platform = platform
        self.base_url = base_url.rstrip("/")
        self.policy = policy
        self._refresh = refresh
        self._judge = judge
        self._pace = pace
        self._pause: float | None = None
        self._random = random.Random(policy.seed)
        self._session = requests.Session()
        self._session.trust_env = False
        adapter = guarded(platform, Guard(allow_private=policy.allow_private))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers.update({"Accept": "application/json", **headers})
        self._own = frozenset(headers)
        self._authorized = refresh is None or "Authorization" in headers

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
        """One request that succeeded (2xx); ``path`` is below the base address, or a whole address.

        A whole address on another host (a file in a platform's storage) is asked without our headers: it may be any
        host that an answer names, and the token is meant for the platform alone.
        """
        if not self._authorized:
            self._renew()
        url = path if path.startswith(("http://", "https://")) else f"{self.base_url}{path}"
        if _origin(url) != _origin(self.base_url):
            options["headers"] = {**dict.fromkeys(self._own), **(options.get("headers") or {})}
        self._rest()
        refreshed = False
        failure: IntegratorError = Unavailable(f"{self.platform}: no attempt was allowed")
        for attempt in range(1, self.policy.attempts + 1):
            answer, failure = self._once(method, url, options)
            if answer is not None:
                self._pause = self._pace(answer) if self._pace is not None else None
                return answer
            if isinstance(failure, Unauthorized) and self._refresh is not None and not refreshed:
                refreshed = True
                self._renew()
                continue
            if not isinstance(failure, RateLimited | Unavailable):
                raise failure
            if attempt < self.policy.attempts:
                self.wait(attempt, failure)
        raise failure

    def _renew(self) -> None:
        assert self._refresh is not None
        fresh = self._refresh(self)
        self._session.headers.update(fresh)
        self._own |= frozenset(fresh)
        self._authorized = True

    def wait(self, attempt: int, failure: IntegratorError) -> None:
        """Sleep before the next attempt; raise ``failure`` where the platform asks for more patience than we have."""
        asked = failure.retry_after if isinstance(failure, RateLimited) else None
        if asked is not None and asked > self.policy.longest_wait:
            raise failure
        backoff = self.policy.backoff * 2 ** (attempt - 1) * self._random.uniform(0.75, 1.25)
        self.policy.sleep(min(asked if asked is not None else backoff, self.policy.longest_wait))

    def _rest(self) -> None:
        """Where the last answer said that the quota is used up, wait here and not through refusals."""
        seconds, self._pause = self._pause, None
        if seconds is not None and seconds > self.policy.longest_wait:
            raise RateLimited(f"{self.platform}: the quota is used up", retry_after=seconds)
        if seconds:
            self.policy.sleep(seconds)

    def _once(
        self, method: str, url: str, options: dict[str, Any]
    ) -> "tuple[requests.Response, IntegratorError] | tuple[None, IntegratorError]":
        import requests

        timeout = (self.policy.connect_timeout, self.policy.read_timeout)
        try:
            answer = self._session.request(method, url, timeout=timeout, allow_redirects=False, **options)
        except Unavailable as error:  # the name cannot be resolved
            return None, error
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # no address, or no header, by its form
                raise invalid(
                    f"{self.platform} address or credential", url.split("?")[0], "an https address"
                ) from error
            said = f"{self.platform}: {method} {url.split('?')[0]} got no answer ({type(error).__name__})"
            return None, Unavailable(said)
        if 200 <= answer.status_code < 300:
            return answer, Unavailable("")
        judged = self._judge(answer) if self._judge is not None else None
        return None, judged or failure_of(self.platform, method, url, answer)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


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


def token_answer(
    session: Session, path: str, form: Mapping[str, str], held: dict[str, str], headers: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """What a token endpoint gives for what we hold (RFC 6749 §4.4, §6); a refusal is permanent. Closes the session.

    Where ``held`` has a refresh token and another one comes, it is held from now on and kept by the policy.
    """
    name = session.platform
    with closing(session):
        try:
            answer = session.post(path, data=form, headers=headers)
        except InvalidInput as error:
            raise Unauthorized(f"{name}: the client id, client secret or refresh token is not accepted") from error
    body = decoded(name, answer)
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        raise Unavailable(f"{name}: the token answer holds no access_token")
    turned = body.get("refresh_token")
    if isinstance(turned, str) and turned and "refresh_token" in held and turned != held["refresh_token"]:
        held["refresh_token"] = turned
        if session.policy.keep is not None:
            session.policy.keep({"refresh_token": turned})
    return body


@contextmanager
def closing(session: Session) -> Iterator[Session]:
    """The session, closed at the end."""
    try:
        yield session
    finally:
        session.close()
