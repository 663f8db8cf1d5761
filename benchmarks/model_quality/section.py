"""What one part of `make bench-models` found: figures against their aims, tables and plots. Nothing is measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reached:
    """One figure of the page: what, on which data, how much was measured, what it has to reach, and whether it does."""

    data: str
    measure: str
    value: float
    aim: str
    is_met: bool
    peers: Mapping[str, float] = field(default_factory=dict)
    """The naive rule's and the library default's figure on the same splits, by name."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: `text` and `tables` are Markdown, `plots` are PNG bytes by file name without its ending."""

    title: str
    text: str
    reached: Sequence[Reached]
    tables: Mapping[str, str] = field(default_factory=dict)
    plots: Mapping[str, bytes] = field(default_factory=dict)
