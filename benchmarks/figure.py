"""One measured figure, and how a list of them is printed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `aim` is what the product promises; `peer` what stands beside it, measured in the same run."""

    what: str
    value: float
    unit: str
    aim: str = ""
    peer: str = ""
    peer_value: float | None = None

    @property
    def ratio(self) -> str:
        """Ours over the peer's."""
        return f"{self.value / self.peer_value:.2f} ×" if self.peer_value else ""


def table(figures: Sequence[Figure]) -> str:
    """Markdown, which reads as a table in a terminal too."""
    lines = ["| what | measured | aim | peer | peer's | ratio |", "| --- | ---: | --- | --- | ---: | ---: |"]
    for figure in figures:
        peer = "" if figure.peer_value is None else f"{_number(figure.peer_value)} {figure.unit}"
        lines.append(
            f"| {figure.what} | {_number(figure.value)} {figure.unit} | {figure.aim} | {figure.peer} | {peer} | {figure.ratio} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
