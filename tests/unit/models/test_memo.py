"""What is kept of a frame: computed once for that very frame, anew for another, and gone with it."""

import gc

import polars as pl

from models.memo import Memo


def test_a_frame_is_asked_about_once_and_taken_along_when_it_goes() -> None:
    asked: list[int] = []

    def total(frame: pl.DataFrame) -> int:
        asked.append(frame.height)
        return int(frame["n"].sum())

    memo = Memo(total)
    kept, twin = pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [1, 2]})
    assert (memo(kept), memo(kept), memo(twin)) == (3, 3, 3)
    assert asked == [2, 2], "equal is not the same: comparing would cost more than it saves"
    del twin
    gc.collect()
    assert len(memo._kept) == 1
    other = pl.DataFrame({"n": [5]})
    assert memo(other) == 5 and memo(kept) == 3 and len(asked) == 3
