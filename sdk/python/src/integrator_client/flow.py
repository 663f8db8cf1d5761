"""What has to be asked and waited for, without doing either: generators that both clients drive.

A flow yields a `Request` and is sent an `Answer` (or `Lost`), or yields a `Wait` and is sent nothing.
"""

import json
import random
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from integrator_client.batches import Batch
from integrator_client.errors import AuthenticationError, Problem, Unreachable
from integrator_client.report import Rejected, Report

Result = TypeVar("Result")
KINDS = ("events", "contacts", "sales")
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
EARLY_SECONDS = 30.0  # a token is renewed this long before it ends
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Request:
    """One HTTP request, relative to the base address."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Wait:
    """Seconds to let pass."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        """The JSON body; {} where there is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


@dataclass(frozen=True)
class Lost:
    """No answer came."""

    reason: str


Flow = Generator[Request | Wait, Answer | Lost | None, Result]


class Session:
    """A credential, the token it was traded for, and how patient to be. Shared by all flows of a client."""

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        api_key: str | None = None,
        attempts: int = 6,
        backoff: float = 0.5,
        seed: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client_id` and `client_secret`, or `api_key`. `backoff` is the first pause in seconds; it doubles."""
        if (api_key is None) == (client_id is None or client_secret is None):
            raise ValueError("give client_id and client_secret, or api_key")
        if attempts < 1:
            raise ValueError(f"attempts {attempts} is not allowed; allowed: 1 and more")
        self.attempts, self.backoff = attempts, backoff
        self.retries = 0
        self._credential = (client_id or "", client_secret or "")
        self._token, self._ends = api_key, float("inf") if api_key else 0.0
        self._api_key = api_key is not None
        self._random = random.Random(seed)
        self._monotonic = monotonic

    def __repr__(self) -> str:
        return f"Session({'api key' if self._api_key else self._credential[0]})"

    def send(self, kind: str, batch: Batch, platform: str) -> Flow[Report]:
        """Land a batch; a body that is too large after all goes in halves."""
        path = f"/v1/{kind}?{urlencode({'platform': platform})}"
        headers = {
            "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip", "Idempotency-Key": str(uuid.uuid4()),
        }  # fmt: skip
        try:
            answer = yield from self.ask(Request("POST", path, headers, batch.body()))
        except Problem as problem:
            if problem.status != 413 or len(batch.lines) == 1:
                raise
            report = Report()
            for half in batch.halves():
                report.add((yield from self.send(kind, half, platform)))
            return report
        return _report(batch, answer.document())

    def read(self, path: str, query: Mapping[str, str | None] | None = None) -> Flow[Any]:
        """GET a JSON document."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        answer = yield from self.ask(Request("GET", path + (f"?{urlencode(given)}" if given else "")))
        return answer.document()

    def post(self, path: str, document: object | None) -> Flow[Any]:
        """POST a JSON document."""
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = yield from self.ask(Request("POST", path, headers, body))
        return answer.document()

    def ask(self, request: Request) -> Flow[Answer]:
        """The answer to an authenticated request; a token that has ended is renewed, once."""
        answer = yield from self._patiently(request, True)
        if answer.status == 401 and not self._api_key:
            self._ends = 0.0
            answer = yield from self._patiently(request, True)
        return _good(answer)

    def _patiently(self, request: Request, authorized: bool) -> Flow[Answer]:
        said = ""
        for attempt in range(1, self.attempts + 1):
            headers = dict(request.headers)
            if authorized:
                headers["Authorization"] = f"Bearer {(yield from self._bearer())}"
            answer = yield Request(request.method, request.path, headers, request.body)
            if isinstance(answer, Answer) and answer.status not in TRY_AGAIN:
                return answer
            said = f"{answer.status}" if isinstance(answer, Answer) else f"{answer.reason if answer else 'no answer'}"
            if attempt < self.attempts:
                self.retries += 1
                yield Wait(self._pause(attempt, answer))
        raise Unreachable(f"{request.method} {request.path.partition('?')[0]}: {said} after {self.attempts} attempts")

    def _pause(self, attempt: int, answer: "Answer | Lost | None") -> float:
        """What the service asked for, else doubling with jitter, so that many senders do not return at once."""
        asked = answer.headers.get("retry-after", "") if isinstance(answer, Answer) else ""
        backoff: float = self.backoff * 2.0 ** (attempt - 1) * self._random.uniform(0.75, 1.25)
        try:
            return min(max(float(asked), 0.0), LONGEST_WAIT)
        except ValueError:
            return min(backoff, LONGEST_WAIT)

    def _bearer(self) -> Flow[str]:
        if self._token is None or self._monotonic() >= self._ends:
            pair = ":".join(quote(part, safe="") for part in self._credential)
            headers = {
                "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            request = Request("POST", "/oauth/token", headers, b"grant_type=client_credentials")
            granted = _good((yield from self._patiently(request, False))).document()
            self._token = str(granted["access_token"])
            self._ends = self._monotonic() + max(float(granted["expires_in"]) - EARLY_SECONDS, 1.0)
        return self._token


def _good(answer: Answer) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    found = answer.document()
    document = found if isinstance(found, Mapping) else {}
    raise (AuthenticationError if answer.status in (401, 403) else Problem)(answer.status, document)


def _report(batch: Batch, body: Mapping[str, Any]) -> Report:
    rejected = [
        Rejected(batch.first + int(e["line"]) - 1, e.get("field"), e.get("value"), str(e["reason"]))
        for e in body["errors"]
    ]
    return Report(int(body["accepted"]), int(body["unchanged"]), int(body["quarantined"]), rejected)


def require_address(base_url: str) -> str:
    """The service's address; `ValueError` for what no request could be sent to."""
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"base_url {base_url!r} is not allowed; allowed: an http(s) address")
    return base_url


def insight_path(use_case: str, subject_id: str) -> str:
    """Where one subject's insight is looked up."""
    return f"/v1/insights/{quote(use_case, safe='')}/{quote(subject_id, safe='')}"
