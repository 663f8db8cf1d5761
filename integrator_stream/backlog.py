"""What was read and waits to land: a queue for each partner, and how much of it there may be. Plain bookkeeping.

Used from the event loop and, while the group is rebalanced, from the consumer's thread: every call takes the lock.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from integrator.steps.records_in import DeadLetter, Read
from integrator_stream.ledger import Ledger

NOBODY = ""
"""Under which dead letters wait, that are no partner's."""
OVERHEAD = 512
BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One message, and the partition it came from."""

    ledger: Ledger
    read: Read | DeadLetter

    @property
    def partner(self) -> str:
        """Whose it is."""
        return self.read.partner if isinstance(self.read, Read) else NOBODY

    @property
    def offset(self) -> int:
        """Where it stood."""
        return self.read.message.offset

    @property
    def cost(self) -> int:
        """Bytes it holds here."""
        return self.read.message.size + OVERHEAD


@dataclass
class _Queue:
    items: deque[Item] = field(default_factory=deque)
    cost: int = 0
    is_aside: bool = False


class Backlog:
    """All partners' queues."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._queues: dict[str, _Queue] = {}
        self._lock = threading.Lock()

    def add(self, items: Sequence[Item]) -> set[str]:
        """Take in what was read; the partners that have work now."""
        busy: set[str] = set()
        with self._lock:
            for item in items:
                if not item.ledger.is_ours or not item.ledger.take(item.offset, item.partner):
                    continue
                queue = self._queues.setdefault(item.partner, _Queue())
                if queue.is_aside:
                    item.ledger.set_aside(item.partner, item.offset)
                    continue
                queue.items.append(item)
                queue.cost += item.cost
                busy.add(item.partner)
        return busy

    def next(self, partner: str, most: int) -> list[Item]:
        """The partner's oldest, still counted as held; those of partitions that went to another worker are dropped."""
        found: list[Item] = []
        cost = 0
        with self._lock:
            queue = self._queues.get(partner)
            while queue is not None and queue.items and len(found) < most and cost < BATCH_BYTES:
                item = queue.items.popleft()
                if item.ledger.is_ours:
                    found.append(item)
                    cost += item.cost
                else:
                    queue.cost -= item.cost
        return found

    def done(self, partner: str, items: Sequence[Item]) -> None:
        """These have landed, or are dead letters."""
        with self._lock:
            self._queues[partner].cost -= sum(item.cost for item in items)
            for item in items:
                item.ledger.done([item.offset])

    def set_aside(self, partner: str) -> None:
        """Let go of what waits for a partner that cannot be served, and of what comes for it from now on."""
        with self._lock:
            queue = self._queues.setdefault(partner, _Queue())
            queue.is_aside = True
            while queue.items:
                item = queue.items.popleft()
                queue.cost -= item.cost
                item.ledger.set_aside(partner, item.offset)

    @property
    def aside(self) -> set[str]:
        """The partners that were let go of."""
        with self._lock:
            return {partner for partner, queue in self._queues.items() if queue.is_aside}

    def take_back(self, partner: str, ledgers: Sequence[Ledger]) -> list[tuple[Ledger, int]]:
        """The partner can be served again: from where its partitions are to be read once more.

        That is no later than where another's reading again begins, which may not have come to its end yet.
        """
        with self._lock:
            queue = self._queues.get(partner)
            if queue is None or not queue.is_aside:
                return []
            queue.is_aside = False
            served = [name for name, one in self._queues.items() if not one.is_aside]
            found = []
            for ledger in ledgers:
                firsts = [first for name in served if (first := ledger.first_aside(name)) is not None]
                if ledger.is_ours and ledger.first_aside(partner) is not None:
                    found.append((ledger, min(firsts)))
        return found

    def release(self, ledgers: Sequence[Ledger]) -> None:
        """These partitions are another worker's from now on."""
        with self._lock:
            for ledger in ledgers:
                ledger.is_ours = False

    def standings(self, ledgers: Sequence[Ledger]) -> list[tuple[Ledger, int]]:
        """Where the group may stand now, of those partitions where that has changed."""
        with self._lock:
            found = [(ledger, ledger.to_commit) for ledger in ledgers]
        return [(ledger, offset) for ledger, offset in found if offset is not None]

    def has(self, partner: str) -> bool:
        """Whether anything waits for this partner."""
        with self._lock:
            queue = self._queues.get(partner)
            return queue is not None and bool(queue.items)

    @property
    def held_bytes(self) -> int:
        """What is held, what is being landed among it."""
        with self._lock:
            return sum(queue.cost for queue in self._queues.values())

    @property
    def is_full(self) -> bool:
        """Whether reading has to wait."""
        return self.held_bytes >= self._most

    @property
    def has_room(self) -> bool:
        """Whether reading may go on after it had to wait."""
        return self.held_bytes * 2 < self._most
