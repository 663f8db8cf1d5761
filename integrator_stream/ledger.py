"""What this worker has read of one partition, what of it is done, and up to where the group may stand. Plain bookkeeping."""

from collections.abc import Iterable
from heapq import heappop, heappush

from integrator.storage.stream_offsets import Place


class Ledger:
    """One partition, from when it was assigned to when it is taken away.

    The group may only stand before the first message that is not done. Messages may be read again: what is done or waits
    already is not taken a second time. A partner's messages are taken in their order, whatever is read in between:
    PostgreSQL counts all as landed that stands before the last that has.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_ours = True
        self.committed: int | None = None
        self._next: int | None = None
        self._waiting: set[int] = set()
        self._aside: dict[str, list[int]] = {}

    def take(self, offset: int, partner: str) -> bool:
        """Whether this message is to be worked on now: read for the first time, or the next of those set aside."""
        aside = self._aside.setdefault(partner, [])
        if self._next is None or offset >= self._next:
            self._next = offset + 1
            if aside:  # read on before reading again has begun: it is behind those
                heappush(aside, offset)
                return False
        elif aside and offset == aside[0]:
            heappop(aside)
        else:
            return False
        self._waiting.add(offset)
        return True

    def done(self, offsets: Iterable[int]) -> None:
        """These need nothing more."""
        self._waiting.difference_update(offsets)

    def set_aside(self, partner: str, offset: int) -> None:
        """It waits for a partner that cannot be served now, without being kept here: it will be read again."""
        self._waiting.discard(offset)
        heappush(self._aside.setdefault(partner, []), offset)

    def first_aside(self, partner: str) -> int | None:
        """From where to read again for this partner; None when nothing of it was set aside."""
        aside = self._aside.get(partner)
        return aside[0] if aside else None

    @property
    def to_commit(self) -> int | None:
        """The offset the group may stand at, the next to be read; None when that is known already, or nothing was read."""
        if self._next is None:
            return None
        open_ones = [aside[0] for aside in self._aside.values() if aside]
        if self._waiting:
            open_ones.append(min(self._waiting))
        standing = min(open_ones, default=self._next)
        return None if standing == self.committed else standing
