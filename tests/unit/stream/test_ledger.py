"""The bookkeeping of a partition: the group never stands past a message that is not done, nothing is worked on twice."""

from integrator.storage.stream_offsets import Place
from integrator_stream.ledger import Ledger

PLACE = Place("cluster", "topic", 0)


def taken(*offsets: int) -> Ledger:
    ledger = Ledger(PLACE)
    assert all([ledger.take(offset, "alpha") for offset in offsets])
    return ledger


def test_before_anything_is_read_there_is_nothing_to_commit() -> None:
    assert Ledger(PLACE).to_commit is None


def test_the_group_stands_before_the_first_that_is_not_done() -> None:
    ledger = taken(5, 6, 7)
    assert ledger.to_commit == 5
    ledger.done([6])
    assert ledger.to_commit == 5
    ledger.done([5])
    assert ledger.to_commit == 7
    ledger.done([7])
    assert ledger.to_commit == 8


def test_what_was_committed_is_not_said_again() -> None:
    ledger = taken(1)
    ledger.committed = ledger.to_commit
    assert ledger.to_commit is None
    ledger.done([1])
    assert ledger.to_commit == 2


def test_gaps_in_a_compacted_partition_are_no_messages() -> None:
    ledger = taken(3, 90)
    ledger.done([3, 90])
    assert ledger.to_commit == 91


def test_what_is_read_again_is_not_taken_again() -> None:
    ledger = taken(1, 2, 3)
    ledger.done([2])
    assert not any([ledger.take(offset, "alpha") for offset in (1, 2, 3)])
    assert ledger.take(4, "alpha")


def test_what_is_set_aside_holds_the_group_back_and_is_taken_when_read_again() -> None:
    ledger = Ledger(PLACE)
    owners = {1: "quick", 2: "slow", 3: "quick", 4: "slow"}
    assert all([ledger.take(offset, owner) for offset, owner in owners.items()])
    for offset in (4, 2):
        ledger.set_aside("slow", offset)
    ledger.done([1, 3])
    assert ledger.to_commit == 2
    assert ledger.first_aside("slow") == 2
    assert ledger.first_aside("quick") is None
    assert [offset for offset, owner in {**owners, 5: "slow"}.items() if ledger.take(offset, owner)] == [2, 4, 5]
    assert ledger.first_aside("slow") is None
    ledger.done([2, 5])
    assert ledger.to_commit == 4
    ledger.done([4])
    assert ledger.to_commit == 6


def test_a_partners_messages_are_taken_in_their_order_only() -> None:
    ledger = Ledger(PLACE)
    assert all([ledger.take(offset, "slow") for offset in (1, 2)])
    for offset in (1, 2):
        ledger.set_aside("slow", offset)
    assert not ledger.take(3, "slow"), "read before the partition went back: it is behind what was set aside"
    assert ledger.take(4, "quick")
    assert not ledger.take(2, "slow")
    assert [offset for offset in (1, 2, 3) if ledger.take(offset, "slow")] == [1, 2, 3]
