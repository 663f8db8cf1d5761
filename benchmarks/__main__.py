"""`make bench`: measure, print a table, and with `--write` put it into docs/benchmarks.md."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import landing, loading, night, push
from benchmarks.figure import Figure, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PARTS: tuple[Callable[[Path], list[Figure]], ...] = (loading.measure, landing.measure, push.measure, night.measure)


def main() -> int:
    """Run every part in a home of its own, which is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="integrator-bench-", dir="/tmp"))
    home.chmod(0o711)
    figures: list[Figure] = []
    try:
        for part in PARTS:
            print(f"measuring {part.__module__.rpartition('.')[2]} …", file=sys.stderr, flush=True)
            figures += part(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    text = table(figures)
    print(text)
    if "--write" in sys.argv:
        PAGE.write_text(_page(text), encoding="utf-8")
    return 0


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
