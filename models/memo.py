"""The result of a slow function of a frame, kept for as long as that very frame is: asked again, nothing is computed again.

For frames that a process keeps and asks about many times; who makes a new frame each time pays once, as without it.
"""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")


class Memo(Generic[T]):
    """One function's results, by the identity of its frame."""

    def __init__(self, make: "Callable[[pl.DataFrame], T]") -> None:
        """`make` must depend on nothing but the frame."""
        self._make = make
        self._kept: dict[int, tuple[weakref.ref[pl.DataFrame], T]] = {}

    def __call__(self, frame: "pl.DataFrame") -> T:
        """What `make` gives for the frame."""
        key = id(frame)
        found = self._kept.get(key)
        if found is not None and found[0]() is frame:
            return found[1]
        made = self._make(frame)
        self._kept[key] = weakref.ref(frame, lambda _: self._kept.pop(key, None)), made
        return made
