"""The check on tracked files finds what it is there for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check(script: Callable[[str], Any]) -> Any:
    return script("check_tree")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.lock", "x @ https://files." + "pythonhosted" + ".org/x.whl", "where packages come from"),
        ("package-lock.json", '{"resolved"' + ': "https://somewhere/x.tgz"}', "where packages come from"),
        (".npmrc", "registry = https://somewhere", "where packages come from"),
        ("requirements.txt", "--index" + "-url https://somewhere", "where packages come from"),
        ("uv.lock", "", "requirements.lock instead"),
        ("notes.md", "see /home" + "/somebody/x", "path of a machine"),
        ("long.py", "x = 1\n" * 501, "501 lines"),
    ],
)
def test_what_must_not_be_tracked_is_named(check: Any, tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    (problem,) = check.problems(tmp_path, name)
    assert problem.startswith(name)
    assert reason in problem


def test_ordinary_files_pass(check: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n" * 500)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    assert check.problems(tmp_path, "a.py") == []
    assert check.problems(tmp_path, "image.png") == []
    assert check.problems(ROOT, "requirements.lock") == []


def test_the_tree_itself_is_clean(check: Any) -> None:
    assert check.main() == 0
