"""Landing what was read: one task for each partner that has work, on a few threads, each partner's failures its own.

A failure that may pass is tried again for as long as it takes, with growing pauses; meanwhile the partner's messages are
held, then set aside, and the group stays before them. Nothing counts as done before PostgreSQL has committed it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from integrator.contracts.errors import PermanentError
from integrator.steps import records_in
from integrator.steps.records_in import DeadLetter, Read
from integrator.steps.services import Services
from integrator.storage.landing_placed import LandedHere
from integrator_stream.backlog import NOBODY, Backlog, Item
from integrator_stream.dead_letters import DeadLetters
from integrator_stream.metrics import Metrics

THREADS = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
log = logging.getLogger(__name__)


class Landing:
    """Empties the backlog."""

    def __init__(
        self, services: Services, backlog: Backlog, letters: DeadLetters, metrics: Metrics, *,
        landed: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`landed` hears, after the commit, whose records may have changed; it must not wait."""
        self._landed = landed
        self._services, self._backlog, self._letters, self._metrics = services, backlog, letters, metrics
        self._most = services.settings.kafka_batch_records
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="landing")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, float] = {}
        self._stopping = asyncio.Event()

    def wake(self, partners: set[str]) -> None:
        """There is work for these."""
        if self._stopping.is_set():
            return
        for partner in partners:
            if partner not in self._tasks:
                self._tasks[partner] = asyncio.create_task(self._serve(partner))

    async def stop(self) -> None:
        """End after the batches under way; what only waits is read again by whoever comes next."""
        self._stopping.set()
        await asyncio.gather(*self._tasks.values())
        self._threads.shutdown()

    @property
    def troubled(self) -> set[str]:
        """Partners whose last batch failed."""
        return set(self._pauses)

    async def _serve(self, partner: str) -> None:
        try:
            while not self._stopping.is_set() and (items := self._backlog.next(partner, self._most)):
                await self._until_done(partner, items)
        finally:
            del self._tasks[partner]
        if self._backlog.has(partner):  # came in while the last batch ended
            self.wake({partner})

    async def _until_done(self, partner: str, items: Sequence[Item]) -> None:
        work = self._nobodys if partner == NOBODY else self._land
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            ours = [item for item in items if item.ledger.is_ours]
            try:
                landed = await loop.run_in_executor(self._threads, work, partner, [item.read for item in ours])
            except Exception as error:
                await self._pause(partner, error)
                continue
            self._pauses.pop(partner, None)
            self._backlog.done(partner, items)
            if landed is not None and landed.touched:
                self._landed(partner)
            return

    async def _pause(self, partner: str, error: Exception) -> None:
        """Wait, longer each time; the error's text may hold a record, so only its kind is logged."""
        pause = self._pauses[partner] = min(self._pauses.get(partner, FIRST_PAUSE / 2) * 2, LONGEST_PAUSE)
        self._metrics.add("integrator_stream_failures_total", partner=partner)
        log.warning(
            "records of %s wait %.2g s and are tried again: %s", partner or "no partner", pause, type(error).__name__
        )
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return

    def _land(self, partner: str, reads: Sequence[Read | DeadLetter]) -> LandedHere | None:
        mine = [read for read in reads if isinstance(read, Read)]
        if not mine:
            return None
        try:
            landed = records_in.land(self._services, partner, mine, self._letters.refused)
        except PermanentError as error:
            # Not even quarantine takes them: the partner's key is gone, say. They are kept where they still can be.
            log.error("records of %s cannot be kept: %s", partner, type(error).__name__)
            self._letters.nobodys([DeadLetter(read.message, "partner-unable") for read in mine])
            self._metrics.add("integrator_stream_dead_letters_total", len(mine))
            return None
        for outcome in ("accepted", "unchanged", "quarantined"):
            self._metrics.add("integrator_stream_records_total", getattr(landed.result, outcome), outcome=outcome)
        self._metrics.add("integrator_stream_records_total", landed.skipped, outcome="skipped")
        self._metrics.add("integrator_stream_dead_letters_total", len(landed.refused))
        return landed

    def _nobodys(self, _: str, reads: Sequence[Read | DeadLetter]) -> None:
        letters = [read for read in reads if isinstance(read, DeadLetter)]
        if letters:
            self._letters.nobodys(letters)
            self._metrics.add("integrator_stream_dead_letters_total", len(letters))
            reasons = sorted({letter.reason for letter in letters})
            log.warning("%d messages went to the dead letters: %s", len(letters), ", ".join(reasons))
