"""`integrator` as a process of its own, over an installation of the tests: run to its end, or killed on the way."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from integrator.storage.database import Address
from tests.pipeline.installation import NOW

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 240


def environment(home: Path, address: Address, redis_url: str) -> dict[str, str]:
    """What the command reads: the test's servers, its clock and its key."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("INTEGRATOR_")},
        "INTEGRATOR_HOME": str(home),
        "INTEGRATOR_NOW": NOW.isoformat(),
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": redis_url,
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
        "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true",
        "INTEGRATOR_ALLOW_PRIVATE_PLATFORMS": "true",
        "INTEGRATOR_HTTP_RETRIES": "1",
        "PYTHONUNBUFFERED": "1",
    }


def command(*arguments: str) -> list[str]:
    """`integrator …` with this interpreter."""
    return [sys.executable, "-m", "integrator.cli.main", *arguments]


def run(env: dict[str, str], *arguments: str, cwd: Path = REPOSITORY) -> "subprocess.CompletedProcess[str]":
    """To its end."""
    return subprocess.run(
        command(*arguments), env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def killed(env: dict[str, str], reached: Callable[[str], bool], *arguments: str) -> list[str]:
    """Start it, and end it with SIGKILL at the first line on stderr for which `reached` is true; the lines until then.

    Only that process is killed: what it had started is left to find out by itself, as when the kernel kills it.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command(*arguments), env=env, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rstrip())
            if reached(line):
                process.kill()
                break
        else:
            raise AssertionError(f"it ended before it could be killed: {lines[-5:]}")
    assert process.returncode == -signal.SIGKILL
    return lines
