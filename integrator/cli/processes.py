"""Applications as processes of ours: started on loopback, watched, ended by their id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from integrator.contracts.errors import Unavailable
from integrator.embedded.endpoints import HOST, Endpoints, answers

END_SECONDS = 15.0


@dataclass
class Application:
    """One process: its name, its port and where it writes its log."""

    name: str
    port: int
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"


@dataclass
class Applications:
    """What this command has started. Leaving the block ends all of it."""

    home: Path
    running: list[Application] = field(default_factory=list)

    def start(
        self,
        name: str,
        arguments: list[str],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        wait: float = 60.0,
    ) -> Application:
        """Start `python -m …` and wait until its port answers; `Unavailable` with the log's last lines if it does not."""
        if answers(port):
            raise Unavailable(f"{name} cannot start: something else answers at port {port}")
        log = self.home / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        application = Application(name, port, log, process)
        self.running.append(application)
        self._await(application, wait)
        Endpoints(self.home).put(name, url=application.url, port=port, pid=process.pid)
        return application

    def _await(self, application: Application, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not answers(application.port):
            if application.process.poll() is not None:
                raise Unavailable(
                    f"{application.name} ended with {application.process.returncode}: {_tail(application.log)}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(f"{application.name} did not answer within {seconds:g} s: {_tail(application.log)}")
            time.sleep(0.05)

    def ended(self) -> Application | None:
        """The first application that is no longer running."""
        return next((a for a in self.running if a.process.poll() is not None), None)

    def __enter__(self) -> "Applications":
        return self

    def __exit__(self, *_: object) -> None:
        for application in reversed(self.running):
            _end(application.process)
        for application in self.running:
            Endpoints(self.home).drop(application.name)
        self.running.clear()


def end_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does; not by way of SIGINT, which shells let background jobs ignore."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the process to end, which ends its own children in order; insist after a while."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()
    # Children share its session (nobody else's): what outlived its parent ends here.
    _signal(process, signal.SIGKILL)


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _tail(log: Path, lines: int = 3) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " | ".join(text[-lines:]) or "its log is empty"
