"""What is generated is current, and what the docs name exists."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages(script: Callable[[str], Any]) -> dict[str, str]:
    return {name: page() for name, page in script("docs").PAGES.items()}


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "api.md", "guides/platforms/README.md"])
def test_the_generated_page_is_current(pages: dict[str, str], name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages[name], "run scripts/docs.py"


def test_every_setting_has_a_description(pages: dict[str, str]) -> None:
    rows = [line for line in pages["settings.md"].splitlines() if line.startswith("| `INTEGRATOR_")]
    assert len(rows) > 10
    for row in rows:
        assert len(row.split("|")[3].strip()) > 10, row


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_every_command_the_docs_name_exists(pages: dict[str, str], page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    known = set(re.findall(r"^## integrator (.+)$", pages["commands.md"], re.MULTILINE))
    named = re.findall(r"(?:^|`)integrator ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    assert named
    for words in named:
        command = words.split()
        assert any(" ".join(command[:length]) in known for length in (1, 2)), f"{page}: integrator {words}"


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_every_file_the_docs_link_to_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_every_make_target_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target


def test_every_folder_in_the_map_exists() -> None:
    for folder in re.findall(r"^\| `([\w/]+/)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder
