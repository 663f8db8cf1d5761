"""The demo's night on an empty home, and again with no news."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figure import Figure

PROGRESS = re.compile(r"^\s+(\d+\.\d) s  \S+\s+(?:done|failed) in", re.MULTILINE)


def measure(home: Path) -> list[Figure]:
    """Seconds of the night alone, and of the whole demo with set-up, verification and data packages from the registry."""
    first, first_whole = _demo(home / "demo")
    second, second_whole = _demo(home / "demo")
    _command(home / "demo", "down")
    return [
        Figure("the demo's first night", first, "s", "< 90 s"),
        Figure("a second night with no news", second, "s", "< 30 s", "the first night", first),
        Figure("the whole demo, first time", first_whole, "s", "< 4 min with installation"),
        Figure("the whole demo, second time", second_whole, "s", "", "the first time", first_whole),
    ]


def _demo(home: Path) -> tuple[float, float]:
    started = time.monotonic()
    said = _command(home, "demo")
    whole = time.monotonic() - started
    return max(float(seconds) for seconds in PROGRESS.findall(said)), whole


def _command(home: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "integrator.cli.main", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "INTEGRATOR_HOME": str(home)},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"integrator {' '.join(words)} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}"
        )
    return done.stderr
