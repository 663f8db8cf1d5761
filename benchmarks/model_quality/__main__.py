"""`make bench-models`: measure the models on public data, print the figures, and with `--write` put them into docs/.

Exit 1 when a figure misses its aim or a part could not be measured; nothing is written then.
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
from benchmarks.model_quality import page
from benchmarks.model_quality.section import Section

SECTIONS = ("attendance", "booking", "pricing", "lead_score")
TIMINGS = ("speed_attendance", "speed_leads")
LIBRARIES = ("scikit-learn", "prophet", "polars", "numpy")


def main(arguments: Sequence[str]) -> int:
    """Run the parts asked for, one after the other; each failure is told and keeps no other from being measured."""
    asked = _asked(arguments)
    sections: dict[str, Section] = {}
    timings: list[Figure] = []
    failed: list[str] = []
    for name in asked.only or (*SECTIONS, *TIMINGS):
        began = time.perf_counter()
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            found = _measure(name)
        except Exception as error:
            traceback.print_exc()
            failed.append(f"{name} could not be measured: {type(error).__name__}: {error}")
            continue
        if name in TIMINGS:
            timings += found
        else:
            sections[name] = found
        print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(page.figures_table([one for section in sections.values() for one in section.reached]))
    if timings:
        print(f"\n{table(timings)}")
    failed += page.missed(sections, timings)
    for reason in failed:
        print(f"missed: {reason}", file=sys.stderr)
    if asked.write and not failed:
        print(f"written: {page.write(sections, timings, _measured())}", file=sys.stderr)
    return 1 if failed else 0


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_quality", description=__doc__)
    parser.add_argument("--only", action="append", choices=(*SECTIONS, *TIMINGS), help="one part; may be repeated")
    parser.add_argument("--write", action="store_true", help="write docs/model-quality.md and its pictures")
    asked = parser.parse_args(arguments)
    if asked.only and asked.write:
        parser.error("--write needs every part: leave out --only")
    return asked


def _measure(name: str) -> Any:
    return import_module(f"benchmarks.model_quality.{name}").measure()


def _measured() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}; "
        "seeds are fixed."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
