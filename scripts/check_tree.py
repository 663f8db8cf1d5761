"""Checks on the tracked files themselves: no registry's host, no path of a machine, no file over 500 lines."""

import re
import subprocess
import sys
from pathlib import Path

HOSTS = re.compile(
    r"pythonhosted[.]org|pypi[.]org|npmjs[.](?:org|com)|repo1?[.]maven|deb[.]debian[.]org|crates[.]io|proxy[.]golang"
    r"|--(?:extra-)?index-url[ =]\S|\"resolved\": *\"http|^registry *= *http",
    re.MULTILINE,
)
PATHS = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/\w")
CODE = {".py", ".sql", ".ts", ".tsx", ".js"}
LONGEST = 500
FORBIDDEN = {"uv.lock", "pylock.toml"}


def main() -> int:
    """Print what is wrong; the exit code counts for `make check`."""
    root = Path(__file__).resolve().parent.parent
    names = (
        subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .split("\0")
    )
    wrong = [problem for name in names if name and (root / name).is_file() for problem in problems(root, name)]
    for problem in sorted(wrong):
        print(problem)
    return 1 if wrong else 0


def problems(root: Path, name: str) -> list[str]:
    """What is wrong with one tracked file."""
    path = root / name
    if path.name in FORBIDDEN:
        return [f"{name}: names the registry's host; commit requirements.lock instead"]
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    found = []
    if match := HOSTS.search(text):
        found.append(f"{name}: names where packages come from: {match[0]}")
    if match := PATHS.search(text):
        found.append(f"{name}: names a path of a machine: {match[0]}")
    if path.suffix in CODE and (lines := text.count("\n")) > LONGEST:
        found.append(f"{name}: {lines} lines; allowed: {LONGEST}")
    return found


if __name__ == "__main__":
    sys.exit(main())
