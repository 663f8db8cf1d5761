"""`make bench`: measure, print a table, and with `--write` put it into docs/benchmarks.md.

`--only NAME` (repeatable) measures some of the parts, by the names of their modules.
"""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks import batch, kafka, landing, live, live_scores, loading, lookups, night, push, stream, webhooks
from benchmarks.figure import Figure, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PARTS: tuple[Callable[[Path], list[Figure]], ...] = (
    loading.measure, landing.measure, push.measure, stream.measure, kafka.measure, lookups.measure, live_scores.measure,
    live.measure, webhooks.measure, night.measure,
    batch.measure,
)  # fmt: skip


def main() -> int:
    """Run every part in a home of its own, which is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="integrator-bench-", dir="/tmp"))
    home.chmod(0o711)
    figures: list[Figure] = []
    try:
        for part in _chosen(sys.argv):
            print(f"measuring {_name(part)} …", file=sys.stderr, flush=True)
            figures += part(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    text = table(figures)
    print(text)
    if "--write" in sys.argv:
        PAGE.write_text(_page(text), encoding="utf-8")
    return 0


def _chosen(words: list[str]) -> list[Callable[[Path], list[Figure]]]:
    only = {name for flag, name in pairwise(words) if flag == "--only"}
    names = [_name(part) for part in PARTS]
    if unknown := only - set(names):
        raise SystemExit(f"--only {', '.join(sorted(unknown))} is not allowed; allowed: {', '.join(names)}")
    if only and "--write" in words:
        raise SystemExit("--write is for the whole table")
    return [part for part in PARTS if not only or _name(part) in only]


def _name(part: Callable[[Path], list[Figure]]) -> str:
    return part.__module__.rpartition(".")[2]


def _page(text: str) -> str:
    load = os.getloadavg()[1]
    return (
        "# Benchmarks\n\nWritten by `python -m benchmarks --write`; `make bench` prints the same table. Machines are shared and "
        "noisy, so read the ratios: each figure stands beside a peer measured in the same run.\n\n"
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f} "
        f"at the end.\n\n{text}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
