"""The project's manifest, parsed again only when a file of the project has changed. Needs no database and no network."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from integrator.contracts.errors import Defect

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
FOLDERS = ("models", "macros", "seeds", "snapshots", "tests")
SETTINGS = ("dbt_project.yml", "profiles.yml", "packages.yml", "dependencies.yml")
Manifest = dict[str, Any]


def manifest_of(project: Path = PROJECT) -> Manifest:
    """The manifest of the project as it is now; `Defect` with dbt's own words when it cannot be parsed."""
    target = project / "target"
    target.mkdir(exist_ok=True)
    path, stamp = target / "manifest.json", target / "manifest.sha256"
    wanted = fingerprint(project)
    with (target / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the code server and a command may load at the same moment
        if not (path.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted):
            _parse(project, target)
            stamp.write_text(wanted, encoding="ascii")
        manifest: Manifest = json.loads(path.read_bytes())
    return manifest


def fingerprint(project: Path) -> str:
    """SHA-256 over the names and contents of the project's files."""
    digest = hashlib.sha256()
    for file in _files(project):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(project)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def command(*arguments: str) -> list[str]:
    """dbt as a process of this environment, whatever is on the path."""
    return [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *arguments]


def environment(**more: str) -> dict[str, str]:
    """What dbt's process sees; nothing of it reaches a network."""
    return {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONWARNINGS": "ignore", **more}


def _files(project: Path) -> Iterator[Path]:
    for name in SETTINGS:
        if (project / name).exists():
            yield project / name
    for folder in FOLDERS:
        yield from sorted(path for path in (project / folder).rglob("*") if path.is_file())


def _parse(project: Path, target: Path) -> None:
    done = subprocess.run(
        command("parse", "--no-version-check", "--project-dir", str(project), "--profiles-dir", str(project),
                "--target-path", str(target), "--log-path", str(target)),
        capture_output=True, text=True, check=False, cwd=project, env=environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        tail = " | ".join((done.stdout or done.stderr).strip().splitlines()[-6:])
        raise Defect(f"the dbt project at {project} cannot be parsed: {tail}")
