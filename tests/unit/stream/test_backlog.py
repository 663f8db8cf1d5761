"""What waits to land: a queue a partner, a limit for all, and letting go of what cannot land."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from integrator.steps.records_in import DeadLetter, Message, Read
from integrator.storage.landing_placed import Placed
from integrator.storage.stream_offsets import Place
from integrator_stream.backlog import BATCH_BYTES, NOBODY, OVERHEAD, Backlog, Item
from integrator_stream.ledger import Ledger

PLACE = Place("cluster", "topic", 0)
NOW = datetime(2026, 3, 16, tzinfo=UTC)


def item(ledger: Ledger, offset: int, partner: str = "alpha", size: int = 100) -> Item:
    message = Message(ledger.place, offset, b"", b"x" * size, NOW)
    thing = Placed(ledger.place, offset, NOW, "direct", "sale", str(offset), b"{}")
    return Item(ledger, Read(message, partner, thing))


def offsets(items: list[Item]) -> list[int]:
    return [one.offset for one in items]


def backlog(**sizes: Any) -> tuple[Backlog, Ledger]:
    return Backlog(sizes.get("most", 1 << 20)), Ledger(PLACE)


def test_each_partner_has_a_queue_in_order_and_dead_letters_are_nobodys() -> None:
    waiting, ledger = backlog()
    letter = Item(ledger, DeadLetter(Message(PLACE, 2, b"", b"", NOW), "partner-unknown"))
    busy = waiting.add([item(ledger, 0), item(ledger, 1, "beta"), letter, item(ledger, 3)])
    assert busy == {"alpha", "beta", NOBODY}
    assert offsets(waiting.next("alpha", 10)) == [0, 3]
    assert offsets(waiting.next("beta", 10)) == [1]
    assert offsets(waiting.next(NOBODY, 10)) == [2]
    assert waiting.next("gamma", 10) == []
    assert not waiting.has("alpha")


def test_what_is_being_landed_is_held_until_it_is_done() -> None:
    waiting, ledger = backlog()
    waiting.add([item(ledger, offset) for offset in range(3)])
    assert waiting.held_bytes == 3 * (100 + OVERHEAD)
    taken = waiting.next("alpha", 2)
    assert waiting.held_bytes == 3 * (100 + OVERHEAD)
    assert waiting.standings([ledger]) == [(ledger, 0)]
    waiting.done("alpha", taken)
    assert waiting.held_bytes == 100 + OVERHEAD
    assert waiting.standings([ledger]) == [(ledger, 2)]


def test_it_is_full_at_its_limit_and_has_room_at_half_of_it() -> None:
    waiting, ledger = backlog(most=4 * (100 + OVERHEAD))
    waiting.add([item(ledger, offset) for offset in range(4)])
    assert waiting.is_full
    waiting.done("alpha", waiting.next("alpha", 1))
    assert not waiting.is_full
    assert not waiting.has_room
    waiting.done("alpha", waiting.next("alpha", 2))
    assert waiting.has_room


def test_a_batch_has_a_size_in_bytes_too_and_holds_one_message_at_least() -> None:
    waiting, ledger = backlog(most=1 << 30)
    waiting.add([item(ledger, offset, size=BATCH_BYTES // 2) for offset in range(3)])
    waiting.add([item(ledger, 3, size=2 * BATCH_BYTES)])
    assert [offsets(waiting.next("alpha", 10)) for _ in range(3)] == [[0, 1], [2, 3], []]


def test_a_message_read_again_is_taken_once() -> None:
    waiting, ledger = backlog()
    assert waiting.add([item(ledger, 0)]) == {"alpha"}
    assert waiting.add([item(ledger, 0)]) == set()
    assert offsets(waiting.next("alpha", 10)) == [0]


def test_partitions_that_went_to_another_worker_are_dropped() -> None:
    waiting, ledger = backlog()
    other = Ledger(Place("cluster", "topic", 1))
    waiting.add([item(ledger, 0), item(other, 0), item(ledger, 1)])
    waiting.release([ledger])
    assert [one.ledger for one in waiting.next("alpha", 10)] == [other]
    assert waiting.held_bytes == 100 + OVERHEAD
    assert waiting.add([item(ledger, 2)]) == set()


def test_a_partner_that_cannot_land_is_let_go_of_and_read_again_later() -> None:
    waiting, ledger = backlog()
    waiting.add([item(ledger, 0, "slow"), item(ledger, 1)])
    waiting.add([item(ledger, offset, "slow") for offset in (2, 3)])
    under_way = waiting.next("slow", 1)
    assert waiting.aside == set()
    waiting.set_aside("slow")
    assert waiting.aside == {"slow"}
    assert waiting.next("slow", 10) == []
    assert waiting.add([item(ledger, 4, "slow"), item(ledger, 5)]) == {"alpha"}, "no more is held of it"
    waiting.done("alpha", waiting.next("alpha", 10))
    waiting.done("slow", under_way)
    assert waiting.held_bytes == 0
    assert waiting.standings([ledger]) == [(ledger, 2)]
    assert waiting.take_back("slow", [ledger]) == [(ledger, 2)]
    assert waiting.aside == set()
    again = [item(ledger, 2, "slow"), item(ledger, 3, "slow"), item(ledger, 4, "slow"), item(ledger, 5)]
    assert waiting.add(again) == {"slow"}
    found = waiting.next("slow", 10)
    assert offsets(found) == [2, 3, 4]
    waiting.done("slow", found)
    assert waiting.standings([ledger]) == [(ledger, 6)]


def test_a_partition_that_is_no_longer_ours_is_not_read_again() -> None:
    waiting, ledger = backlog()
    waiting.add([item(ledger, 0, "slow")])
    waiting.set_aside("slow")
    waiting.release([ledger])
    assert waiting.take_back("slow", [ledger]) == []


class Story:
    """A partition of 25 messages of two partners, and one consumer of it."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.owners = self.draw(st.lists(st.sampled_from(["a", "b"]), min_size=25, max_size=25))
        self.waiting, self.ledger = backlog()
        self.landed: dict[str, list[int]] = {"a": [], "b": []}
        self.position = 0

    def read(self, _: str = "", count: int | None = None) -> None:
        end = min(self.position + (self.draw(st.integers(1, 6)) if count is None else count), len(self.owners))
        self.waiting.add([item(self.ledger, offset, self.owners[offset]) for offset in range(self.position, end)])
        self.position = end

    def land(self, partner: str, most: int = 3) -> None:
        found = self.waiting.next(partner, most)
        self.landed[partner] += offsets(found)
        if found:
            self.waiting.done(partner, found)

    def set_aside(self, partner: str) -> None:
        self.waiting.set_aside(partner)

    def take_back(self, partner: str) -> None:
        """What was fetched before the partition goes back still arrives."""
        back = self.waiting.take_back(partner, [self.ledger])
        self.read(count=self.draw(st.integers(0, 3)))
        for _, offset in back:
            self.position = offset

    def end(self) -> None:
        for partner in self.landed:
            self.take_back(partner)
        self.read(count=len(self.owners))
        for partner in self.landed:
            self.land(partner, len(self.owners))


@given(st.data())
def test_whatever_happens_each_partners_messages_land_once_and_in_order(data: st.DataObject) -> None:
    story = Story(data)
    acts = [story.read, story.read, story.land, story.set_aside, story.take_back]
    for _ in range(data.draw(st.integers(0, 25))):
        data.draw(st.sampled_from(acts))(data.draw(st.sampled_from(["a", "b"])))
        done = {offset for found in story.landed.values() for offset in found}
        assert all(set(range(standing)) <= done for _, standing in story.waiting.standings([story.ledger]))
    story.end()
    for partner, found in story.landed.items():
        assert found == [offset for offset, owner in enumerate(story.owners) if owner == partner]
    assert story.waiting.standings([story.ledger]) == [(story.ledger, len(story.owners))]
