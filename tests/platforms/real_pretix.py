"""A real pretix on loopback: installed from a lock of its own, migrated once, served by gunicorn from a copy.

The installation and the migrated, empty database are kept under `.integrator/real-pretix-*` (made in about two minutes),
so that each run starts from a fresh copy in seconds.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integrator.embedded.endpoints import free_port

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
KEPT = HERE.parents[1] / ".integrator"
START_SECONDS = 120

CONFIG = """[pretix]
instance_name=Test pretix
url=http://127.0.0.1:{port}
currency=EUR
datadir={data}
registration=off
[database]
backend=sqlite3
[django]
debug=off
[mail]
from=test@localhost
host=127.0.0.1
port=1
[locale]
default=en
timezone=Europe/Berlin
"""

# Fed to pretix's own shell: what REST cannot do is to make the first organizer and its API tokens.
SEED = """
from pretix.base.models import Organizer, Team, User
from django_scopes import scopes_disabled
with scopes_disabled():
    user, _ = User.objects.get_or_create(email="admin@localhost", defaults=dict(is_staff=True, is_active=True))
    organizer, _ = Organizer.objects.get_or_create(slug="hall", defaults=dict(name="Test Hall"))
    full, _ = Team.objects.get_or_create(organizer=organizer, name="Everything")
    for field in full._meta.get_fields():
        if field.name.startswith("can_") or field.name in ("all_events", "all_organizer_permissions", "all_event_permissions"):
            setattr(full, field.name, True)
    full.save()
    full.members.add(user)
    blind, _ = Team.objects.get_or_create(organizer=organizer, name="Events only", all_events=True)
    print("FULL=" + full.tokens.create(name="full").token)
    print("BLIND=" + blind.tokens.create(name="blind").token)
"""


@dataclass(frozen=True)
class RealPretix:
    """Where it is served, and two tokens: one that may do all, one that may see events but no orders."""

    url: str
    token: str
    blind_token: str
    organizer: str = "hall"


@contextmanager
def running_pretix() -> Iterator[RealPretix]:
    """A fresh pretix, ended and removed afterwards."""
    template = _template()
    folder = Path(tempfile.mkdtemp(prefix="real-pretix-"))
    port = free_port()
    process = None
    try:
        shutil.copytree(template / "data", folder / "data")
        environment = _configure(folder, port)
        tokens = _tokens(template, environment)
        with (folder / "gunicorn.log").open("wb") as log:
            process = subprocess.Popen(
                [str(_bin(template, "gunicorn")), "pretix.wsgi", "-b", f"127.0.0.1:{port}", "-w", "1", "--threads", "4",
                 "--timeout", "120"],
                cwd=folder / "data", env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        _await(url, process, folder / "gunicorn.log")
        yield RealPretix(url, tokens["FULL"], tokens["BLIND"])
    finally:
        if process is not None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _template() -> Path:
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    made = KEPT / f"real-pretix-{digest}"
    if (made / "ready").is_file():
        return made
    shutil.rmtree(made, ignore_errors=True)
    (made / "data").mkdir(parents=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(made / "venv")], dict(os.environ), "venv")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(_bin(made, "python"))]
    _run([*install, "--require-hashes", "--no-deps", "-r", str(LOCK)], dict(os.environ), "install")
    _run([str(_bin(made, "python")), "-m", "pretix", "migrate"], _configure(made, 1), "migrate")
    (made / "ready").touch()
    return made


def _configure(folder: Path, port: int) -> dict[str, str]:
    (folder / "pretix.cfg").write_text(CONFIG.format(port=port, data=folder / "data"), encoding="utf-8")
    return {**os.environ, "PRETIX_CONFIG_FILE": str(folder / "pretix.cfg")}


def _tokens(template: Path, environment: dict[str, str]) -> dict[str, str]:
    said = _run([str(_bin(template, "python")), "-m", "pretix", "shell"], environment, "seed", given=SEED)
    found = dict(line.split("=", 1) for line in said.splitlines() if line.startswith(("FULL=", "BLIND=")))
    assert set(found) == {"FULL", "BLIND"}, f"pretix's shell printed no tokens: {said[-500:]}"
    return found


def _run(command: list[str], environment: dict[str, str], what: str, *, given: str = "") -> str:
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"real pretix, {what}: {done.stderr[-2000:]}"
    return done.stdout


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until the API refuses us for want of a token; its own health check wants Redis and Celery."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"pretix ended: {log.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(f"{url}/api/v1/version", timeout=30)
        except urllib.error.HTTPError as answer:
            if answer.code in (401, 403):
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"pretix did not answer within {START_SECONDS} s: {log.read_text()[-2000:]}")


def _bin(folder: Path, name: str) -> Path:
    return folder / "venv" / "bin" / name
