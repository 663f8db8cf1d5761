"""What this worker has read of one partition, what of it is done, and up to where the group may stand. Plain bookkeeping."""

from collections.abc import Iterable

from integrator.storage.stream_offsets import Place


class Ledger:
    """One partition, from when it was assigned to when it is taken away.

    The group may only stand before the first message that is not done. Messages may be done in any order, and read
    again: what is done or waits already is not taken a second time.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.is_ours = True
        self.committed: int | None = None
        self._next: int | None = None
        self._waiting: set[int] = set()
        self._aside: dict[str, set[int]] = {}

    def take(self, offset: int) -> bool:
        """Whether this message is to be worked on now: read for the first time, or set aside before."""
        if self._next is None or offset >= self._next:
            self._next = offset + 1
            self._waiting.add(offset)
            return True
        for offsets in self._aside.values():
            if offset in offsets:
                offsets.remove(offset)
                self._waiting.add(offset)
                return True
        return False

    def done(self, offsets: Iterable[int]) -> None:
        """These need nothing more."""
        self._waiting.difference_update(offsets)

    def set_aside(self, partner: str, offsets: Iterable[int]) -> None:
        """These wait for a partner that cannot be served now, without being kept here: they will be read again."""
        self._waiting.difference_update(offsets := set(offsets))
        self._aside.setdefault(partner, set()).update(offsets)

    def first_aside(self, partner: str) -> int | None:
        """From where to read again for this partner; None when nothing of it was set aside."""
        return min(self._aside.get(partner, ()), default=None)

    @property
    def to_commit(self) -> int | None:
        """The offset the group may stand at, the next to be read; None when that is known already, or nothing was read."""
        if self._next is None:
            return None
        open_ones = [*map(min, filter(None, self._aside.values()))]
        if self._waiting:
            open_ones.append(min(self._waiting))
        standing = min(open_ones, default=self._next)
        return None if standing == self.committed else standing
