"""Reacting to whatever was landed, for as long as a process lives: what waits is found in PostgreSQL, not remembered.

A wake-up says where to look and may be lost. Partners take turns, a bounded piece each, one piece of a partner at a
time; what fails is tried again after a while and, when that does not help, left to the night, and says so.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from integrator.contracts.errors import TransientError
from integrator.steps.champions import Champions
from integrator.steps.services import Services
from integrator.steps.stream import react
from integrator.steps.stream_memory import Memory
from integrator.storage import logs, partners, step_runs, stream_positions
from integrator.storage.database import LOST
from integrator.storage.failures import said
from integrator.storage.stream_positions import Look, Waiting
from integrator.storage.touched import Touched

log = logging.getLogger(__name__)

PIECE = 200
"""Records reacted on at once: few enough that a flood of one partner's keeps no other waiting for long."""
SWEEP_SECONDS = 5.0
"""How often every partner is looked at, woken or not: what came in another way, or was left by a process that died."""
TRIES = 4
LONGEST_REST = 60.0
LOCKED_REST = 0.1
"""Before looking again at a partner that another process is busy with."""
_AWAY = (TransientError, OSError, *LOST)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn of a partner came to. `seconds` since the partner was woken, None when nobody woke it."""

    partner: str
    records: int = 0
    changed: int = 0
    failed: int = 0
    left: int = 0
    """Records left to the night."""
    seconds: float | None = None


@dataclass
class _State:
    """What is remembered of a partner; all of it can be lost."""

    done: dict[Touched, int] = field(default_factory=dict)
    """Reacted on, with the last transaction that was seen, at or above the position."""
    tries: int = 0
    woken: float | None = None


class Reactor:
    """One per process. `told` hears of every turn that did anything."""

    def __init__(
        self, services: Services, champions: Champions | None = None, *, told: Callable[[Turn], None] = lambda _: None,
        pulse: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`champions` may be shared with whoever else serves in this process."""
        self._services, self._told, self._pulse = services, told, pulse
        self._memory, self._has_own_models = Memory(services, champions), champions is None
        self._due: OrderedDict[str, float] = OrderedDict()
        self._busy: set[str] = set()
        self._states: dict[str, _State] = {}
        self._changed = threading.Condition()
        self._most = services.settings.stream_backlog

    def wake(self, partner: str) -> None:
        """Something of this partner's was committed."""
        with self._changed:
            state = self._states.setdefault(partner, _State())
            state.woken = self._pulse() if state.woken is None else state.woken
            if not state.tries:  # who rests after a failure is not woken early
                self._due[partner] = min(self._due.get(partner, 0.0), 0.0)
            self._changed.notify()

    @property
    def queue(self) -> int:
        """How many partners wait for their turn."""
        return len(self._due)

    def run(self, stop: threading.Event, threads: int = 1) -> None:
        """React until `stop` is set; `threads` partners at once. Models of its own are watched meanwhile."""
        if self._has_own_models:
            self._memory.champions.start()
        others = [threading.Thread(target=self._take_turns, args=[stop], daemon=True) for _ in range(threads)]
        for other in others:
            other.start()
        while not stop.is_set():
            try:
                self.sweep()
            except _AWAY as error:
                log.warning("the stream waits for the database: %s", type(error).__name__)
            stop.wait(SWEEP_SECONDS)
        with self._changed:
            self._changed.notify_all()
        for other in others:
            other.join(timeout=20)
        if self._has_own_models:
            self._memory.champions.close()

    def sweep(self) -> None:
        """Everybody has a turn."""
        with self._services.database.service() as connection:
            names = [entry.partner for entry in partners.list_all(connection)]
        with self._changed:
            for name in names:
                self._due.setdefault(name, 0.0)
            self._changed.notify_all()

    def catch_up(self, partner: str) -> int:
        """Turns of one partner until nothing of its waits any more; how many records that were. Failures are raised."""
        total = 0
        while True:
            turn, rest = self._turn(partner)
            total += turn.records
            if rest is None:
                return total
            time.sleep(rest)

    def _take_turns(self, stop: threading.Event) -> None:
        while not stop.is_set():
            partner = self._next()
            if partner is None:
                continue
            rest: float | None = None
            try:
                turn, rest = self._turn(partner)
            except Exception as error:
                turn, rest = self._failed(partner, error)
            with self._changed:
                self._busy.discard(partner)
                if rest is not None:
                    self._due[partner] = self._pulse() + rest if rest else 0.0
                self._changed.notify()
            if turn.records or turn.failed or turn.left:
                self._told(turn)

    def _next(self) -> str | None:
        with self._changed:
            now = self._pulse()
            for partner, at in self._due.items():
                if at <= now and partner not in self._busy:
                    del self._due[partner]
                    self._busy.add(partner)
                    return partner
            self._changed.wait(0.25)
            return None

    def _turn(self, partner: str) -> tuple[Turn, float | None]:
        """One piece, and in how many seconds to look for more of the partner's; None when nothing of it waits."""
        state = self._states.setdefault(partner, _State())
        woken, state.woken = state.woken, None
        with self._services.database.partner(partner) as connection:
            if not stream_positions.try_lock(connection, partner):
                state.woken = woken
                return Turn(partner=partner), LOCKED_REST
            if step_runs.is_held_back(connection, partner):  # its last insights stay, as they do in the night
                return Turn(partner=partner), None
            seen, waiting = self._look(connection, partner)
            if len(waiting) > self._most:
                return self._leave_flood(partner, seen, waiting), None
            piece, rest = waiting[:PIECE], waiting[PIECE:]
            turn = Turn(partner=partner)
            if piece:
                turn = self._reacted(partner, piece, woken)
            position = min([seen.floor, *(one.first for one in rest)])
            if seen.waiting:
                stream_positions.move(connection, partner, position, self._services.clock())
            later = {one.record for one in rest}
            state.done = {
                one.record: one.last for one in seen.waiting if one.record not in later and one.last >= position
            }
        state.tries = 0
        return turn, 0.0 if rest else None

    def _reacted(self, partner: str, piece: list[Waiting], woken: float | None) -> Turn:
        run_id = f"stream-{self._services.clock():%Y-%m-%d}"
        done = react(self._services, partner, [one.record for one in piece], run_id=run_id, memory=self._memory)
        seconds = None if woken is None else self._pulse() - woken
        return Turn(partner=partner, records=len(piece), changed=done.changed, seconds=seconds)

    def _failed(self, partner: str, error: Exception) -> tuple[Turn, float | None]:
        """What becomes of a partner whose turn failed: seconds to rest; None when its records are left to the night."""
        state = self._states.setdefault(partner, _State())
        is_away = isinstance(error, _AWAY)
        state.tries = min(state.tries + 1, 30)
        rest = min(LONGEST_REST, 2.0 ** (state.tries - 2))
        if is_away:
            log.warning("the stream of %s waits: %s", partner, type(error).__name__)
            return Turn(partner=partner, failed=1), rest
        log.warning("the stream of %s failed, try %d of %d: %s", partner, state.tries, TRIES, said(error))
        if state.tries < TRIES:
            return Turn(partner=partner, failed=1), rest
        try:
            return self._give_up(partner, error), None
        except _AWAY:
            return Turn(partner=partner, failed=1), rest

    def _give_up(self, partner: str, error: Exception) -> Turn:
        state = self._states[partner]
        with self._services.database.partner(partner) as connection:
            _, waiting = self._look(connection, partner)
            piece = waiting[:PIECE]
            self._leave(connection, partner, len(piece), said(error))
        state.done |= {one.record: one.last for one in piece}
        state.tries = 0
        return Turn(partner=partner, left=len(piece), failed=1)

    def _look(self, connection: Connection, partner: str) -> tuple[Look, list[Waiting]]:
        """What lies above the position, and of this what waits: one more than may, however much was done before."""
        done = self._states[partner].done
        seen = stream_positions.look(connection, partner, len(done) + self._most + 1)
        return seen, [one for one in seen.waiting if done.get(one.record, -1) < one.last]

    def _leave_flood(self, partner: str, seen: Look, waiting: list[Waiting]) -> Turn:
        """All below the oldest transaction running, seen or not, and what was seen above; who still runs is not passed."""
        state, floor = self._states[partner], seen.floor
        above = {one.record: one.last for one in waiting if one.last >= floor}
        done_below = sum(one.last < floor for one in seen.waiting) - sum(one.last < floor for one in waiting)
        with self._services.database.partner(partner) as connection:
            left = len(above) + stream_positions.count_below(connection, partner, floor) - done_below
            self._leave(connection, partner, left, f"more than {self._most} records at once")
            stream_positions.move(connection, partner, floor, self._services.clock())
        state.done = {record: last for record, last in state.done.items() if last >= floor} | above
        state.tries = 0
        return Turn(partner=partner, left=left)

    def _leave(self, connection: Connection, partner: str, count: int, reason: str) -> None:
        """The night takes these; said in the partner's event log."""
        facts = {"records": count, "reason": reason}
        logs.event(connection, partner, "stream.left_to_night", self._services.clock(), facts)
        log.warning("the stream of %s leaves %d records to the night: %s", partner, count, reason)
