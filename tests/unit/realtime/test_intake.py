"""The intake: memory is counted and given back, nobody takes all of it, and threads are shared out."""

import asyncio
import threading

import pytest

from integrator.contracts.errors import RateLimited
from integrator.settings import Settings
from integrator_realtime.intake import MEBIBYTE, OVERHEAD, Busy, Intake

SETTINGS = Settings(push_held_mebibytes=8.0, push_threads=4)


def test_what_is_held_is_given_back() -> None:
    intake = Intake(SETTINGS)
    for _ in range(20):
        with intake.holding("alpha") as keep:
            keep(3 * MEBIBYTE)
    with pytest.raises(ZeroDivisionError), intake.holding("alpha") as keep:
        keep(3 * MEBIBYTE)
        raise ZeroDivisionError
    with intake.holding("alpha") as keep:
        keep(4 * MEBIBYTE - OVERHEAD)


def test_a_partner_has_half_and_the_process_an_end() -> None:
    intake = Intake(SETTINGS)
    with intake.holding("alpha") as alpha, intake.holding("beta") as beta:
        alpha(4 * MEBIBYTE - OVERHEAD)
        with pytest.raises(RateLimited) as slower:
            alpha(1)
        assert (slower.value.status, slower.value.retry_after) == (429, 2.0)
        beta(4 * MEBIBYTE - 2 * OVERHEAD)
        with intake.holding("gamma") as gamma, pytest.raises(Busy) as full:
            gamma(1)
        assert (full.value.status, full.value.slug) == (503, "busy")


def test_so_many_requests_may_wait_however_small() -> None:
    intake = Intake(SETTINGS)
    most = 4 * MEBIBYTE // OVERHEAD
    held = [intake.holding("alpha") for _ in range(most + 1)]
    for one in held[:-1]:
        one.__enter__()
    with pytest.raises(RateLimited):
        held[-1].__enter__()
    for one in held[:-1]:
        one.__exit__(None, None, None)
    with intake.holding("alpha"):
        pass


def test_one_partner_never_has_all_threads() -> None:
    """Two of four are alpha's; beta's work is done while alpha's waits."""
    intake = Intake(SETTINGS)
    release = threading.Event()
    running: list[str] = []

    def work(name: str, wait: bool) -> str:
        running.append(name)
        if wait:
            assert release.wait(10)
        return name

    async def scene() -> list[str]:
        waiting = [asyncio.create_task(intake.run("alpha", lambda: work("alpha", True))) for _ in range(5)]
        while len(running) < 2:
            await asyncio.sleep(0.01)
        done = await intake.run("beta", lambda: work("beta", False))
        assert running == ["alpha", "alpha", "beta"]
        release.set()
        return [done, *await asyncio.gather(*waiting)]

    assert asyncio.run(scene()) == ["beta", *["alpha"] * 5]
