"""`integrator platforms new`, and the guide that goes on from there, in a copy of the tree."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from integrator.cli.new_platform import FILES, checkout, write
from integrator.contracts.errors import Conflict, InvalidInput

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("integrator", "integrator_sandbox", "models", "tests/contract", "tests/conftest.py", "tests/serving.py")
QUIETLY = ("-q", "--noconftest", "-p", "no:cacheprovider", "-p", "pytest_timeout")
GUIDE = ROOT / "docs" / "guides" / "add-a-platform.md"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a new platform is written into."""
    root = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python module run in the copy, which comes before the installed tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a second a run
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def contract(tree: Path, name: str, *words: str) -> dict[str, int]:
    """How the generated suite ended: passed, failed, errors."""
    ended = run(tree, "pytest", *QUIETLY, f"tests/contract/test_{name}.py", *words)
    counts = {
        word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?)", ended.stdout)
    }
    assert counts, ended.stdout + ended.stderr
    return counts


def blocks() -> dict[Path, str]:
    """The guide's files: a path in backticks on a line of its own, then the code."""
    found = re.findall(
        r"^`([\w/.]+)`\n\n```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return {Path(path): code for path, code in found}


def test_a_new_platform_is_whole_and_red_and_the_guide_makes_it_green(tree: Path) -> None:
    written = write(tree, "woocommerce", "sale")
    assert len(written) == len(FILES) + 2
    python = [str(path) for path in written if path.suffix == ".py"]
    assert run(tree, "ruff", "check", *python).returncode == 0
    assert run(tree, "ruff", "format", "--check", *python).returncode == 0
    said = run(tree, "pytest", *QUIETLY, "tests/contract/test_woocommerce.py").stdout
    assert " passed" not in said
    assert said.count("Defect: woocommerce: the stand-in's account is not written yet") >= 13
    code = "from integrator.platforms.registry import platform; print(platform('woocommerce').spec.title)"
    imported = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=True)
    assert imported.stdout == "Woocommerce\n"
    linted = tomllib.loads((tree / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (apart,) = [one for one in linted if one["name"] == "Platforms do not know each other"]
    assert "integrator.platforms.woocommerce" in apart["modules"]

    # The other side alone changes nothing: the platform's own files say that they are not written.
    files = blocks()
    assert len(files) == 5
    stand_in = Path("integrator_sandbox/woocommerce.py")
    (tree / stand_in).write_text(files[stand_in], encoding="utf-8")
    assert contract(tree, "woocommerce", "-k", "keep or wrong") == {"failed": 2}

    for path, text in files.items():
        assert (tree / path).exists(), f"the guide writes {path}, the command does not"
        (tree / path).write_text(text, encoding="utf-8")
    assert run(tree, "ruff", "check", *map(str, files)).stdout == "All checks passed!\n"
    assert run(tree, "ruff", "format", "--check", *map(str, files)).returncode == 0
    assert set(contract(tree, "woocommerce")) == {"passed"}


def test_the_guide_counts_its_lines_truly() -> None:
    lines = sum(code_lines(text) for path, text in blocks().items() if path.parts[0] == "integrator")
    assert f"have {lines} lines of code" in GUIDE.read_text(encoding="utf-8")


def code_lines(text: str) -> int:
    """Lines that are neither blank nor of a docstring or comment."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in documented for number, line in lines
    )


@pytest.mark.parametrize(("name", "kind"), [("a1", "event"), ("h" * 30, "contact")])
def test_any_name_and_kind_is_written_in_good_style(tree: Path, name: str, kind: str) -> None:
    written = write(tree, name, kind)
    python = [str(path) for path in written if path.suffix == ".py"]
    assert run(tree, "ruff", "check", *python).stdout == "All checks passed!\n"
    assert run(tree, "ruff", "format", "--check", *python).returncode == 0


@pytest.mark.parametrize(
    "name", ["", "Woo", "woo commerce", "../woo", "woo-commerce", "1woo", "class", "a__b", "x" * 31]
)
def test_bad_names_are_refused_with_what_is_allowed(tree: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="small letters"):
        write(tree, name, "sale")


def test_what_exists_is_left_alone(tree: Path) -> None:
    before = (tree / "integrator/platforms/registry.py").read_text()
    for name in ("pretix", "state"):  # a folder of the platforms, a module of the sandbox
        with pytest.raises(Conflict, match="exists already"):
            write(tree, name, "sale")
    with pytest.raises(InvalidInput, match="'invoice'"):
        write(tree, "other", "invoice")
    assert (tree / "integrator/platforms/registry.py").read_text() == before
    assert not (tree / "integrator/platforms/other").exists()


def test_it_works_from_a_checkout_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert checkout() == ROOT
    monkeypatch.setattr(
        "integrator.cli.new_platform.__file__", str(tmp_path / "integrator" / "cli" / "new_platform.py")
    )
    with pytest.raises(InvalidInput, match="is no checkout"):
        checkout()
