"""The client for ordinary code: each call returns when it is done."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from integrator_client.batches import Batch, Record, batches
from integrator_client.flow import KINDS, Answer, Flow, Lost, Request, Session, Wait, insight_path, require_address
from integrator_client.report import Progress, Report

Result = TypeVar("Result")
OnProgress = Callable[[Progress], None]


class Client:
    """Speaks for one partner. Use it as a context manager, or `close` it. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        api_key: str | None = None,
        attempts: int = 6,
        timeout: float = 60.0,
        verify: Any = True,
    ) -> None:
        """`client_id` and `client_secret`, or `api_key`; `timeout` in seconds a request; `verify` as httpx has it."""
        self._session = Session(client_id=client_id, client_secret=client_secret, api_key=api_key, attempts=attempts)
        self._http = httpx.Client(
            base_url=require_address(base_url), timeout=timeout, verify=verify, follow_redirects=False
        )

    def send(
        self,
        kind: str,
        records: Iterable[Record],
        *,
        platform: str = "direct",
        batch_size: int = 5_000,
        concurrency: int = 1,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Send any number of records of `kind` ("events", "contacts", "sales"); all that were good are stored on return.

        `records` may be a generator: at most `concurrency` batches are in memory. With more than one, records of the same
        id should carry `updated_at`, for their batches may arrive in any order.
        """
        require_kind(kind)
        total = Report()
        landed = self._landed(kind, batches(records, batch_size), platform, concurrency)
        for count, report in enumerate(landed, start=1):
            total.add(report)
            if on_progress is not None:
                on_progress(Progress(total.sent, count, self._session.retries, total))
        return total

    def _landed(self, kind: str, found: Iterator[Batch], platform: str, concurrency: int) -> Iterator[Report]:
        if concurrency == 1:
            for batch in found:
                yield self._run(self._session.send(kind, batch, platform))
            return
        with ThreadPoolExecutor(concurrency, thread_name_prefix="integrator") as pool:
            waiting: deque[Future[Report]] = deque()
            for batch in found:
                if len(waiting) == concurrency:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(self._run, self._session.send(kind, batch, platform)))
            while waiting:
                yield waiting.popleft().result()

    @contextmanager
    def buffer(self, kind: str, *, platform: str = "direct", size: int = 500) -> "Iterator[Buffer]":
        """Collect records as they come up; sent whenever `size` are there, and what is left at the end."""
        require_kind(kind)
        made = Buffer(self, kind, platform, size)
        yield made
        made.flush()

    def insight(self, use_case: str, subject_id: str, *, platform: str | None = None) -> Any:
        """One subject's insight, the document as published."""
        return self._run(self._session.read(insight_path(use_case, subject_id), {"platform": platform}))

    def quarantine(self, *, kind: str | None = None, cursor: str | None = None) -> Any:
        """A page of the records that wait to be mended, with the field and the reason."""
        return self._run(self._session.read("/v1/quarantine", {"kind": kind, "cursor": cursor}))

    def replay(self, quarantine_id: int, mended: Record | None = None) -> Any:
        """Try a record in quarantine again, as it was or mended."""
        return self._run(self._session.post(f"/v1/quarantine/{quarantine_id}/replay", mended))

    def _run(self, flow: Flow[Result]) -> Result:
        answer: Answer | Lost | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as done:
                result: Result = done.value
                return result
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                answer = None
            else:
                answer = self._ask(step)

    def _ask(self, step: Request) -> Answer | Lost:
        try:
            found = self._http.request(step.method, step.path, headers=dict(step.headers), content=step.body)
        except httpx.TransportError as error:
            return Lost(f"no answer ({type(error).__name__})")
        return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Buffer:
    """Records on their way; `report` counts what was sent so far."""

    def __init__(self, client: Client, kind: str, platform: str, size: int) -> None:
        self.report = Report()
        self._client, self._kind, self._platform, self._size = client, kind, platform, size
        self._held: list[Record] = []

    def add(self, record: Record) -> None:
        """Take one; returns after sending when it is the last that fits."""
        self._held.append(record)
        if len(self._held) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Send what is held. A failure keeps it, so that the next flush tries again."""
        if self._held:
            self.report.add(self._client.send(self._kind, self._held, platform=self._platform, batch_size=self._size))
            self._held = []


def require_kind(kind: str) -> None:
    """`ValueError` naming the kinds there are."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is not allowed; allowed: {', '.join(KINDS)}")
