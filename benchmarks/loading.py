"""How long the code location takes to load, in a fresh process, beside importing dagster alone."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure

TIMES = 3


def measure(home: Path) -> list[Figure]:
    """Median of three processes each."""
    ours = _seconds("import integrator_dagster.definitions")
    bare = _seconds("import dagster")
    return [Figure("load the definitions", ours, "s", "< 4 s", "`import dagster` alone", bare)]


def _seconds(statement: str) -> float:
    taken = []
    for _ in range(TIMES + 1):
        started = time.monotonic()
        subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True, capture_output=True)
        taken.append(time.monotonic() - started)
    return statistics.median(taken[1:])  # the first one reads the files from disk
