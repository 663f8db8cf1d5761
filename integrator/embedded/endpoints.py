"""`<home>/endpoints.json`: every address and port in use, for people, scripts and other processes of ours.

The file holds no password of PostgreSQL or Redis; those stay in files with mode 0600 beside it.
"""

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


class Endpoints:
    """The file's content; every change is written at once and whole."""

    def __init__(self, home: Path) -> None:
        self.path = home / "endpoints.json"

    def read(self) -> dict[str, dict[str, Any]]:
        """All entries: `{"postgres": {"host", "port", …}, …}`; empty when there is no file yet."""
        try:
            content: dict[str, dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def put(self, name: str, **facts: Any) -> None:
        """Set one entry."""
        with self._alone():
            self._write({**self.read(), name: facts})

    def drop(self, name: str) -> None:
        """Remove one entry, if it is there."""
        with self._alone():
            content = self.read()
            if content.pop(name, None) is not None:
                self._write(content)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, whatever its process: an entry written meanwhile must not get lost."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / "endpoints.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write(self, content: dict[str, dict[str, Any]]) -> None:
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".endpoints")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, sort_keys=True)
        os.replace(name, self.path)


def free_port(preferred: int = 0) -> int:
    """`preferred` if nothing listens there, else a free one chosen by the kernel."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise OSError("no free port on loopback")


def answers(port: int, *, timeout: float = 0.5) -> bool:
    """Whether something accepts connections on that loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout)
        return probe.connect_ex((HOST, port)) == 0
