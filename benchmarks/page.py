"""docs/benchmarks.md: a section for each part, which says when and how it was measured. Nothing is measured here."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime

from benchmarks.figure import Figure, table

HEAD = """# Benchmarks

Written by `python -m benchmarks --write`, which measures everything (half an hour) or, with `--only NAME`, some parts;
`make bench` prints the same tables. Machines are shared and noisy, so read the ratios: each figure stands beside a peer
that was measured in the same run.
"""


def section(name: str, figures: Sequence[Figure], at: datetime, load: float) -> str:
    """One part's table. `load` is the machine's over five minutes, at the end."""
    return (
        f"## {name.replace('_', ' ').capitalize()}\n\n`python -m benchmarks --only {name}`, {at:%Y-%m-%d}, {os.cpu_count()} "
        f"cores, Python {platform.python_version()}, load {load:.1f} at the end.\n\n{table(figures)}\n"
    )


def renewed(page: str, order: Sequence[str], measured: Mapping[str, str]) -> str:
    """The page with these sections in the place of those it had, in the order of `order`; what is in none of them goes."""
    kept = {name: text for name in order if (text := _found(page, name)) is not None}
    sections = {**kept, **measured}
    return "\n".join([HEAD, *(sections[name] for name in order if name in sections)])


def _found(page: str, name: str) -> str | None:
    _, begins, rest = page.partition(f"## {name.replace('_', ' ').capitalize()}\n")
    return f"{begins}{rest.partition(f'{chr(10)}## ')[0].rstrip()}\n" if begins else None
