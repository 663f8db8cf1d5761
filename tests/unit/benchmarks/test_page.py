"""The page of figures: parts measured anew take the place of what stood there, the others stay as they were."""

from datetime import UTC, datetime

import pytest

from benchmarks import __main__ as program
from benchmarks.figure import Figure, table
from benchmarks.page import HEAD, renewed, section

AT = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = ("lookups", "live", "live_scores")


def made(name: str, value: float) -> str:
    return section(name, [Figure("rate", value, "requests/s", "8 ×", "a peer", value / 4)], AT, 0.5)


def test_a_section_says_how_it_was_measured() -> None:
    text = made("live_scores", 6443.0)
    assert text.startswith("## Live scores\n\n`python -m benchmarks --only live_scores`, 2026-03-01, ")
    assert (
        "load 0.5 at the end" in text
        and "| rate | 6,443 requests/s | 8 × | a peer | 1,611 requests/s | 4.00 × |" in text
    )


def test_only_what_was_measured_is_replaced() -> None:
    first = renewed("# Old\n\n| a table without sections |\n", ORDER, {name: made(name, 1000.0) for name in ORDER})
    assert "Old" not in first and first.startswith(HEAD) and first.count("1,000 requests/s") == 3
    second = renewed(first, ORDER, {"live": made("live", 2000.0)})
    assert second.count("1,000 requests/s") == 2 and second.count("2,000 requests/s") == 1
    headings = [line for line in second.splitlines() if line.startswith("## ")]
    assert headings == ["## Lookups", "## Live", "## Live scores"]
    assert renewed(second, ORDER, {}) == second


def test_a_figure_without_a_peer_has_no_ratio() -> None:
    assert table([Figure("lost", 0, "messages", "0")]).splitlines()[-1] == "| lost | 0 messages | 0 |  |  |  |"


def test_a_part_there_is_not_is_named() -> None:
    with pytest.raises(SystemExit, match="--only lokups is not allowed; allowed: loading, "):
        program._chosen(["--only", "lokups"])
    assert [program._name(part) for part in program._chosen(["--only", "lookups", "--write"])] == ["lookups"]
