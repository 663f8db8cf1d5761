"""The bookkeeping of a partition: the group never stands past a message that is not done, nothing is worked on twice."""

from hypothesis import given
from hypothesis import strategies as st

from integrator.storage.stream_offsets import Place
from integrator_stream.ledger import Ledger

PLACE = Place("cluster", "topic", 0)


def taken(*offsets: int) -> Ledger:
    ledger = Ledger(PLACE)
    assert all([ledger.take(offset) for offset in offsets])
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
    assert not any([ledger.take(offset) for offset in (1, 2, 3)])
    assert ledger.take(4)


def test_what_is_set_aside_holds_the_group_back_and_is_taken_when_read_again() -> None:
    ledger = taken(1, 2, 3, 4)
    ledger.set_aside("slow", [2, 4])
    ledger.done([1, 3])
    assert ledger.to_commit == 2
    assert ledger.first_aside("slow") == 2
    assert ledger.first_aside("quick") is None
    assert [offset for offset in (1, 2, 3, 4, 5) if ledger.take(offset)] == [2, 4, 5]
    assert ledger.first_aside("slow") is None
    ledger.done([2, 5])
    assert ledger.to_commit == 4
    ledger.done([4])
    assert ledger.to_commit == 6


@given(st.data())
def test_whatever_happens_every_message_is_done_before_the_group_passes_it(data: st.DataObject) -> None:
    """A partition of 30 messages of two partners, read on and read again from anywhere, done and set aside in any order."""
    owners = data.draw(st.lists(st.sampled_from(["a", "b"]), min_size=30, max_size=30))
    ledger, position, waiting, done = Ledger(PLACE), 0, set(), set()
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["read", "done", "aside", "again"])):
            case "read" if position < 30:
                if ledger.take(position):
                    assert position not in done | waiting
                    waiting.add(position)
                position += 1
            case "done" if waiting:
                one = data.draw(st.sampled_from(sorted(waiting)))
                ledger.done([one])
                waiting.remove(one)
                done.add(one)
            case "aside":
                owner = data.draw(st.sampled_from(["a", "b"]))
                theirs = {offset for offset in waiting if owners[offset] == owner}
                ledger.set_aside(owner, theirs)
                waiting -= theirs
            case "again":
                firsts = [first for owner in ("a", "b") if (first := ledger.first_aside(owner)) is not None]
                position = min([position, *firsts])
            case _:
                pass
        standing = ledger.to_commit
        assert standing is None or set(range(standing)) <= done
    firsts = [first for owner in ("a", "b") if (first := ledger.first_aside(owner)) is not None]
    for offset in range(min([position, *firsts]), 30):
        if ledger.take(offset):
            waiting.add(offset)
    ledger.done(waiting)
    assert done | waiting == set(range(30)), "nothing is lost"
    assert ledger.to_commit == 30
