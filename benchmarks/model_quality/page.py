"""The page of the models' figures: sections and timings in, Markdown and pictures out. Nothing is measured here."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figure import Figure, table
from benchmarks.model_quality.section import Reached, Section
from integrator.contracts.errors import Defect, invalid

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = DOCS / "model-quality.md"
IMAGES = DOCS / "images" / "model-quality"
_AIM = re.compile(r"^(?P<side>≤|<|≥|>|under|at most|over|at least) (?P<number>[0-9][0-9,.]*) ?(?P<unit>.*)$")
_HIGH = ("≥", ">", "over", "at least")
_STRICT = ("<", ">", "under", "over")


def figures_table(reached: Sequence[Reached]) -> str:
    """Every figure beside its aim and its peers, as Markdown."""
    lines = ["| data | measure | reached | aim | met | beside it |", "| --- | --- | ---: | --- | --- | --- |"]
    for one in reached:
        peers = ", ".join(f"{name} {_number(value)}" for name, value in one.peers.items())
        met = "yes" if one.is_met else "**no**"
        lines.append(f"| {one.data} | {one.measure} | {_number(one.value)} | {one.aim} | {met} | {peers} |")
    return "\n".join(lines)


def missed(sections: Mapping[str, Section], timings: Sequence[Figure]) -> list[str]:
    """One line for every figure that misses its aim."""
    found = [
        f"{name}: {one.data}, {one.measure}: {_number(one.value)}, to reach {one.aim}"
        for name, section in sections.items()
        for one in section.reached
        if not one.is_met
    ]
    return found + [
        f"{one.what}: {_number(one.value)} {one.unit}, to reach {one.aim}" for one in timings if not is_met(one)
    ]


def is_met(figure: Figure) -> bool:
    """Whether a timing keeps its aim; one without an aim stands for comparison only.

    InvalidInput for an aim that is no bound in the figure's own unit, such as "≤ 300 s": it would be judged wrongly.
    """
    if not figure.aim:
        return True
    aim = _AIM.match(figure.aim)
    if aim is None or aim["unit"] not in ("", figure.unit):
        bounds = f"≤, <, under, at most, ≥, >, over or at least, a number, and the unit {figure.unit!r}"
        raise invalid(f"aim of {figure.what!r}", figure.aim, bounds)
    bound, side = float(aim["number"].replace(",", "").rstrip(".")), aim["side"]
    if figure.value == bound:
        return side not in _STRICT
    return (figure.value > bound) == (side in _HIGH)


def markdown(sections: Mapping[str, Section], timings: Sequence[Figure], measured: str) -> str:
    """The whole page; `measured` says when and on what."""
    parts = [
        "# How good the models are",
        "Written by `make bench-models` (`python -m benchmarks.model_quality --write`): every number and every picture "
        "is made anew from public data, through the same `train` and `predict` that a partner's data goes through. "
        "Settings are the same for every data set; where one was chosen with an eye on one of them, its section says so. What "
        "the data sets are and how they are fetched: `benchmarks/model_quality/data.py`.",
        measured,
        "## Figures\n\n" + figures_table([one for section in sections.values() for one in section.reached]),
    ]
    parts += [_section(section) for section in sections.values()]
    if timings:
        parts.append("## Speed\n\nTimes are of a shared machine; the ratios say more.\n\n" + table(timings))
    return "\n\n".join(parts) + "\n"


def write(sections: Mapping[str, Section], timings: Sequence[Figure], measured: str) -> Path:
    """The page and its pictures, in place of those there were; returns the page's path."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
    plots = [(name, png) for section in sections.values() for name, png in section.plots.items()]
    if len({name for name, _ in plots}) != len(plots):
        raise Defect(f"two pictures have one name: {sorted(name for name, _ in plots)}")
    for name, png in plots:
        (IMAGES / f"{name}.png").write_bytes(png)
    PAGE.write_text(markdown(sections, timings, measured), encoding="utf-8")
    return PAGE


def _section(section: Section) -> str:
    parts = [f"## {section.title}", section.text.strip()]
    parts += [f"### {title}\n\n{found.strip()}" for title, found in section.tables.items()]
    parts += [f"![{plot}](images/model-quality/{plot}.png)" for plot in section.plots]
    return "\n\n".join(part for part in parts if part)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
