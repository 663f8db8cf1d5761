"""Gathering: what arrives while one is landed goes together, in order and in bounds; each hears of its own."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from integrator.contracts.errors import InvalidInput, Unavailable
from integrator.steps.push import Push, Pushed
from integrator.steps.push_together import Outcome
from integrator_realtime.gathering import MOST, MOST_BYTES, SMALL, Gathering

T = TypeVar("T")


def a_push(body: bytes, partner: str = "alpha", kind: str = "sale", platform: str = "direct") -> Push:
    return Push(partner, "client", kind, platform, "ndjson", body)


class Scene:
    """A gathering whose work waits until it is let go, and notes what was landed together."""

    def __init__(self, land: Callable[[Sequence[Push]], Sequence[Outcome]] | None = None) -> None:
        self.go = asyncio.Event()
        self.groups: list[list[bytes]] = []
        self.at_once = self.most_at_once = 0
        self.land = land or (lambda whats: [Pushed(what.body) for what in whats])
        self.gathering = Gathering[Push, Pushed](self.run, self.note)

    async def push(self, what: Push) -> Pushed:
        return await self.gathering.ask((what.partner, what.platform, what.kind), what, len(what.body))

    async def run(self, _: str, work: Callable[[], T]) -> T:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.go.wait()
        try:
            return work()
        finally:
            self.at_once -= 1

    def note(self, whats: Sequence[Push]) -> Sequence[Outcome]:
        self.groups.append([what.body for what in whats])
        return self.land(whats)

    async def send(self, *whats: Push) -> list[asyncio.Task[Pushed]]:
        """Under way: the first is being landed before the others come."""
        tasks = []
        for what in whats:
            tasks.append(asyncio.create_task(self.push(what)))
            for _ in range(3):
                await asyncio.sleep(0)
        return tasks


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_one_alone_does_not_wait_for_others() -> None:
    async def scene() -> None:
        stage = Scene()
        stage.go.set()
        for number in range(3):
            assert (await stage.push(a_push(b"%d" % number))).body == b"%d" % number
        assert stage.groups == [[b"0"], [b"1"], [b"2"]]

    play(scene)


def test_what_came_meanwhile_goes_together_in_order() -> None:
    async def scene() -> None:
        stage = Scene()
        tasks = await stage.send(*(a_push(b"%d" % number) for number in range(5)))
        assert not any(task.done() for task in tasks)
        stage.go.set()
        assert [done.body for done in await asyncio.gather(*tasks)] == [b"0", b"1", b"2", b"3", b"4"]
        assert stage.groups == [[b"0"], [b"1", b"2", b"3", b"4"]] and stage.most_at_once == 1
        assert not stage.gathering._waiting and not stage.gathering._under_way

    play(scene)


def test_partners_platforms_and_kinds_are_landed_apart_and_at_once() -> None:
    async def scene() -> None:
        stage = Scene()
        tasks = await stage.send(
            a_push(b"1"), a_push(b"2", partner="beta"), a_push(b"3", kind="event"), a_push(b"4", platform="tills")
        )
        assert stage.at_once == 4
        stage.go.set()
        await asyncio.gather(*tasks)
        assert sorted(stage.groups) == [[b"1"], [b"2"], [b"3"], [b"4"]]

    play(scene)


def test_a_group_has_its_bounds() -> None:
    async def scene() -> None:
        stage = Scene()
        tasks = await stage.send(*(a_push(b"") for _ in range(MOST + 6)), *(a_push(b"x" * SMALL) for _ in range(9)))
        stage.go.set()
        await asyncio.gather(*tasks)
        assert [len(group) for group in stage.groups[:2]] == [1, MOST]
        assert all(sum(map(len, group)) <= MOST_BYTES for group in stage.groups)
        assert sum(map(len, stage.groups)) == MOST + 15

    play(scene)


def test_one_larger_than_all_bounds_still_goes() -> None:
    async def scene() -> None:
        stage = Scene()
        stage.go.set()
        assert len((await stage.push(a_push(b"x" * (MOST_BYTES + 1)))).body) == MOST_BYTES + 1

    play(scene)


def test_each_hears_of_its_own_failure() -> None:
    def land(whats: Sequence[Push]) -> Sequence[Outcome]:
        return [InvalidInput("no") if what.body == b"bad" else Pushed(what.body) for what in whats]

    async def scene() -> None:
        stage = Scene(land)
        tasks = await stage.send(a_push(b"first"), a_push(b"bad"), a_push(b"good"))
        stage.go.set()
        first, bad, good = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, Pushed) and isinstance(good, Pushed) and isinstance(bad, InvalidInput)

    play(scene)


def test_a_group_that_fails_whole_fails_all_of_it_and_nothing_after() -> None:
    calls = 0

    def land(whats: Sequence[Push]) -> Sequence[Outcome]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Unavailable("away")
        return [Pushed(what.body) for what in whats]

    async def scene() -> None:
        stage = Scene(land)
        tasks = await stage.send(a_push(b"first"), a_push(b"second"), a_push(b"third"))
        stage.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [Pushed, Unavailable, Unavailable]
        assert (await stage.push(a_push(b"fourth"))).body == b"fourth"

    play(scene)


def test_who_gives_up_takes_nobody_along() -> None:
    async def scene() -> None:
        stage = Scene()
        first, given_up, last = await stage.send(a_push(b"first"), a_push(b"given up"), a_push(b"last"))
        given_up.cancel()
        first.cancel()
        stage.go.set()
        assert (await last).body == b"last"
        for task in (first, given_up):
            with suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()

    play(scene)


@pytest.mark.parametrize("count", [2, 7])
def test_nothing_is_left_behind(count: int) -> None:
    async def scene() -> None:
        stage = Scene()
        stage.go.set()
        for _ in range(count):
            await asyncio.gather(*await stage.send(*(a_push(b"x") for _ in range(count))))
        assert not stage.gathering._waiting and sum(map(len, stage.groups)) == count * count

    play(scene)
