"""`make bench-models`: measure the models on public data, print the figures, and with `--write` put them into docs/.

The notebooks of docs/ run too, and with `--write` keep their outputs. Exit 1 when a figure misses its aim (the page says
so) or a part could not be measured (the page is not written then).
"""

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import Any

from benchmarks.figure import Figure, table
from benchmarks.model_quality import notebooks, page
from benchmarks.model_quality.section import Section

SECTIONS = ("attendance", "booking", "pricing", "lead_score")
TIMINGS = ("speed_attendance", "speed_leads")
NOTEBOOKS = "notebooks"
LIBRARIES = ("scikit-learn", "prophet", "polars", "numpy")


def main(arguments: Sequence[str]) -> int:
    """Run the parts asked for, one after the other; each failure is told and keeps no other from being measured."""
    asked = _asked(arguments)
    sections: dict[str, Section] = {}
    timings: list[Figure] = []
    broken: list[str] = []
    # Timings first: what follows takes half an hour, and a machine that others share seldom stays quiet that long.
    for name in asked.only or (*TIMINGS, *SECTIONS, NOTEBOOKS):
        began = time.perf_counter()
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            found: Any = _run_notebooks(keep=asked.write) if name == NOTEBOOKS else _measure(name)
        except Exception as error:
            traceback.print_exc()
            broken.append(f"{name} could not be measured: {type(error).__name__}: {error}")
            continue
        if name in TIMINGS:
            timings += found
        elif name != NOTEBOOKS:
            sections[name] = found
        print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(page.figures_table([one for section in sections.values() for one in section.reached]))
    if timings:
        print(f"\n{table(timings)}")
    missed = page.missed(sections, timings)
    for reason in [*broken, *missed]:
        print(f"missed: {reason}", file=sys.stderr)
    # What was missed stands on the page as missed; a part that was not measured must not be left out of it silently.
    if asked.write and not broken and sections:
        print(f"written: {page.write(sections, timings, _measured())}", file=sys.stderr)
    return 1 if broken or missed else 0


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_quality", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=(*SECTIONS, *TIMINGS, NOTEBOOKS), help="one part; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help="write docs/model-quality.md and its pictures")
    asked = parser.parse_args(arguments)
    if asked.only and asked.write and asked.only != [NOTEBOOKS]:
        parser.error(f"--write needs every part: leave out --only, or say --only {NOTEBOOKS}")
    return asked


def _measure(name: str) -> Any:
    return import_module(f"benchmarks.model_quality.{name}").measure()


def _run_notebooks(*, keep: bool) -> list[Figure]:
    """No figures: that every cell runs is all that is asked."""
    for name in notebooks.names():
        print(f"  {name}.ipynb …", file=sys.stderr, flush=True)
        notebooks.run(name, keep=keep)
    return []


def _measured() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}; "
        "seeds are fixed."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
