"""Small requests that arrive while one is worked on are worked on together, as the next one: one commit for all of them.

One at a time is under way for each key: a writer's lock, or what a batch saves, would let no more of them forward.
Nobody waits for others to come: a request that finds nothing under way starts at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

SMALL = 64 << 10
"""Bytes up to which a body is taken together with others."""
MOST = 64
"""Requests at once; with `SMALL` bytes each, what they all hold stays in bounds too."""
MOST_BYTES = 4 * SMALL

T = TypeVar("T")
What = TypeVar("What")
Answer = TypeVar("Answer")
Key = tuple[str, ...]
"""What may go together; the partner comes first."""


class Run(Protocol):
    """Runs work off the event loop, for a partner."""

    def __call__(self, partner: str, work: Callable[[], T], /) -> Awaitable[T]:
        """Its result."""


@dataclass(frozen=True)
class _Waiting(Generic[What, Answer]):
    what: What
    size: int
    mine: "asyncio.Future[Answer]"


class Gathering(Generic[What, Answer]):
    """One per process; belongs to the event loop that serves."""

    def __init__(self, run: Run, work: Callable[[Sequence[What]], Sequence[Answer | Exception]]) -> None:
        """`work` answers for each of what came under one key, in order."""
        self._run, self._work = run, work
        self._waiting: dict[Key, deque[_Waiting[What, Answer]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key, what: What, size: int) -> Answer:
        """The answer to `what`, of so many bytes, found with others if there are; raises what it itself raised."""
        one = _Waiting[What, Answer](what, size, asyncio.get_running_loop().create_future())
        if key in self._waiting:
            self._waiting[key].append(one)
        else:
            self._waiting[key] = deque([one])
            task = asyncio.create_task(self._work_off(key))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await one.mine

    async def _work_off(self, key: Key) -> None:
        waiting = self._waiting[key]
        while waiting:
            group = _next(waiting)
            outcomes: Sequence[Answer | Exception]
            try:
                outcomes = await self._run(key[0], partial(self._work, [one.what for one in group]))
            except Exception as error:
                outcomes = [error] * len(group)
            for one, outcome in zip(group, outcomes, strict=True):
                _tell(one.mine, outcome)
        del self._waiting[key]


def _next(waiting: deque[_Waiting[What, Answer]]) -> list[_Waiting[What, Answer]]:
    group = [waiting.popleft()]
    size = group[0].size
    while waiting and len(group) < MOST and size + waiting[0].size <= MOST_BYTES:
        size += waiting[0].size
        group.append(waiting.popleft())
    return group


def _tell(future: "asyncio.Future[Answer]", outcome: Answer | Exception) -> None:
    if future.done():  # its request was given up
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
