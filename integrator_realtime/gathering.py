"""Small pushes that arrive while one is being landed are landed together, as the next one: one commit for all of them.

One at a time is under way for each partner, platform and kind, as its records have one writer anyway. Nobody waits for
others to come: a push that finds nothing under way starts at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from integrator.steps.push import Push, Pushed
from integrator.steps.push_together import SMALL, Outcome

MOST = 64
"""Pushes landed at once; with `SMALL` bytes each, what they all hold stays in bounds too."""
MOST_BYTES = 4 * SMALL

T = TypeVar("T")
Key = tuple[str, str, str]
Waiting = tuple[Push, "asyncio.Future[Pushed]"]


class Run(Protocol):
    """Runs work off the event loop, for a partner."""

    def __call__(self, partner: str, work: Callable[[], T], /) -> Awaitable[T]:
        """Its result."""


class Gathering:
    """One per process; belongs to the event loop that serves."""

    def __init__(self, run: Run, land: Callable[[Sequence[Push]], Sequence[Outcome]]) -> None:
        """`land` answers for each push of one partner, platform and kind."""
        self._run, self._land = run, land
        self._waiting: dict[Key, deque[Waiting]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def push(self, what: Push) -> Pushed:
        """Land it, with others if there are; raises what its own landing raised."""
        key = (what.partner, what.platform, what.kind)
        mine: asyncio.Future[Pushed] = asyncio.get_running_loop().create_future()
        if key in self._waiting:
            self._waiting[key].append((what, mine))
        else:
            self._waiting[key] = deque([(what, mine)])
            task = asyncio.create_task(self._land_all(key))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return await mine

    async def _land_all(self, key: Key) -> None:
        waiting = self._waiting[key]
        while waiting:
            group = _next(waiting)
            try:
                outcomes = await self._run(key[0], partial(self._land, [what for what, _ in group]))
            except Exception as error:
                outcomes = [error] * len(group)
            for (_, future), outcome in zip(group, outcomes, strict=True):
                _tell(future, outcome)
        del self._waiting[key]


def _next(waiting: deque[Waiting]) -> list[Waiting]:
    group = [waiting.popleft()]
    size = len(group[0][0].body)
    while waiting and len(group) < MOST and size + len(waiting[0][0].body) <= MOST_BYTES:
        size += len(waiting[0][0].body)
        group.append(waiting.popleft())
    return group


def _tell(future: "asyncio.Future[Pushed]", outcome: Outcome) -> None:
    if future.done():  # its request was given up
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
