"""The same for asyncio."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import httpx

from integrator_client.batches import Record, batches
from integrator_client.client import require_kind
from integrator_client.flow import Answer, Flow, Lost, Request, Session, Wait, insight_path, require_address
from integrator_client.report import Progress, Report

Result = TypeVar("Result")
OnProgress = Callable[[Progress], Awaitable[None] | None]


class AsyncClient:
    """Speaks for one partner. Use it with `async with`, or `aclose` it."""

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
        """As `Client`."""
        self._session = Session(client_id=client_id, client_secret=client_secret, api_key=api_key, attempts=attempts)
        self._http = httpx.AsyncClient(
            base_url=require_address(base_url), timeout=timeout, verify=verify, follow_redirects=False
        )

    async def send(
        self,
        kind: str,
        records: Iterable[Record],
        *,
        platform: str = "direct",
        batch_size: int = 5_000,
        concurrency: int = 1,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """As `Client.send`; at most `concurrency` batches are on their way, and no more are read from `records`."""
        require_kind(kind)
        total, count = Report(), 0
        async for report in self._landed(kind, records, platform, batch_size, concurrency):
            total.add(report)
            count += 1
            if on_progress is not None:
                said = on_progress(Progress(total.sent, count, self._session.retries, total))
                if said is not None:
                    await said
        return total

    async def _landed(
        self, kind: str, records: Iterable[Record], platform: str, size: int, concurrency: int
    ) -> AsyncIterator[Report]:
        waiting: deque[asyncio.Task[Report]] = deque()
        try:
            for batch in batches(records, size):
                if len(waiting) == concurrency:
                    yield await waiting.popleft()
                waiting.append(asyncio.create_task(self._run(self._session.send(kind, batch, platform))))
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()

    async def insight(self, use_case: str, subject_id: str, *, platform: str | None = None) -> Any:
        """One subject's insight, the document as published."""
        return await self._run(self._session.read(insight_path(use_case, subject_id), {"platform": platform}))

    async def quarantine(self, *, kind: str | None = None, cursor: str | None = None) -> Any:
        """A page of the records that wait to be mended, with the field and the reason."""
        return await self._run(self._session.read("/v1/quarantine", {"kind": kind, "cursor": cursor}))

    async def replay(self, quarantine_id: int, mended: Record | None = None) -> Any:
        """Try a record in quarantine again, as it was or mended."""
        return await self._run(self._session.post(f"/v1/quarantine/{quarantine_id}/replay", mended))

    async def _run(self, flow: Flow[Result]) -> Result:
        answer: Answer | Lost | None = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as done:
                result: Result = done.value
                return result
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await self._ask(step)

    async def _ask(self, step: Request) -> Answer | Lost:
        try:
            found = await self._http.request(step.method, step.path, headers=dict(step.headers), content=step.body)
        except httpx.TransportError as error:
            return Lost(f"no answer ({type(error).__name__})")
        return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
