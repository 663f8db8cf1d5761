"""`make bench`: measure, print tables, and with `--write` put them into docs/benchmarks.md.

`--only NAME` (repeatable) measures some of the parts, by the names of their modules.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks import batch, kafka, landing, live, live_scores, loading, lookups, night, push, stream, webhooks
from benchmarks.figure import Figure, table
from benchmarks.page import renewed, section

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PARTS: tuple[Callable[[Path], list[Figure]], ...] = (
    loading.measure, landing.measure, push.measure, stream.measure, kafka.measure, lookups.measure, live_scores.measure,
    live.measure, webhooks.measure, night.measure,
    batch.measure,
)  # fmt: skip


NAMES = tuple(part.__module__.rpartition(".")[2] for part in PARTS)


def main() -> int:
    """Run every part in a home of its own, which is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="integrator-bench-", dir="/tmp"))
    home.chmod(0o711)
    measured: dict[str, str] = {}
    try:
        for part in _chosen(sys.argv):
            print(f"measuring {_name(part)} …", file=sys.stderr, flush=True)
            figures = part(home)
            print(table(figures), flush=True)
            measured[_name(part)] = section(_name(part), figures, datetime.now(UTC), os.getloadavg()[1])
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if "--write" in sys.argv and measured:  # what was measured before something broke is measured
            PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), NAMES, measured), encoding="utf-8")
    return 0


def _chosen(words: list[str]) -> list[Callable[[Path], list[Figure]]]:
    only = {name for flag, name in pairwise(words) if flag == "--only"}
    if unknown := only - set(NAMES):
        raise SystemExit(f"--only {', '.join(sorted(unknown))} is not allowed; allowed: {', '.join(NAMES)}")
    return [part for part in PARTS if not only or _name(part) in only]


def _name(part: Callable[[Path], list[Figure]]) -> str:
    return part.__module__.rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main())
