"""The service's side of `stream_worker`: started with it, told whose records have landed, replaced when it dies.

A name that does not arrive is not lost: the worker looks at every partner now and then.
"""

import logging
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from integrator.steps.services import Services
from integrator.steps.stream_reactor import Turn
from integrator_realtime.metrics import Metrics
from integrator_realtime.worker import Boot

log = logging.getLogger(__name__)

REST_SECONDS = 2.0
"""Before one that died is started again."""
CLOSE_SECONDS = 10.0
LAUNCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from integrator_realtime.stream_worker import main
main(int(sys.argv[1]))
"""


class Reacting:
    """One per process; does nothing unless the setting `stream` says `push`."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._boot = Boot(services.settings, services.database.address, services.database.master, services.redis_url)
        self._metrics, self._is_on = metrics, services.settings.stream == "push"
        self._process: subprocess.Popen[bytes] | None = None
        self._life: Connection | None = None
        self._guard, self._sending, self._closed = threading.Lock(), threading.Lock(), threading.Event()
        self._names: set[str] = set()
        self._news = threading.Event()
        self._threads = [
            threading.Thread(target=work, name="stream", daemon=True) for work in (self._watch, self._tell)
        ]

    def start(self) -> None:
        """Start the process and watch it; nobody waits for it to be ready."""
        if self._is_on:
            for thread in self._threads:
                thread.start()

    def wake(self, partner: str) -> None:
        """Something of this partner's has landed. Never waits: the event loop calls it."""
        if self._is_on:
            self._names.add(partner)
            self._news.set()

    @property
    def pid(self) -> int:
        """The process's id, 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def close(self) -> None:
        """End it; what it is doing is found again."""
        self._closed.set()
        self._news.set()
        with self._guard:
            process, life, self._life = self._process, self._life, None
        if process is not None:
            # Told and not cut off: the socket is being read here, and its number could be another's once it is closed.
            if life is not None and self._sending.acquire(timeout=1):
                with suppress(OSError):
                    life.send(None)
                self._sending.release()
            try:
                process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                life = self._started()
                while True:
                    self._count(life.recv())
            except (EOFError, OSError) as error:  # it ended, or there was no memory to start it
                if self._closed.is_set():
                    return
                log.warning("the process that streams ended (%s); another is started", type(error).__name__)
                self._metrics.add("integrator_react_restarts_total")
            self._closed.wait(REST_SECONDS)

    def _tell(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            while self._names:
                name = self._names.pop()
                with self._guard:
                    life = self._life
                with self._sending, suppress(OSError):  # if it died, the next one looks at everybody
                    if life is not None and not self._closed.is_set():
                        life.send(name)

    def _started(self) -> Connection:
        """Its end of the line; OSError when it cannot be started or told, and then none is left running."""
        with self._guard:
            if self._process is not None:
                self._process.wait()
                self._process = None
            mine, theirs = Pipe()
            try:
                command = [sys.executable, "-c", LAUNCH, str(theirs.fileno())]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
                theirs.close()
                mine.send(self._boot)
            except OSError:
                mine.close()  # which ends it, if it has begun
                theirs.close()
                raise
            self._life = mine
        return mine

    def _count(self, turn: Turn) -> None:
        for name, amount in (
            ("records", turn.records),
            ("changed", turn.changed),
            ("failed", turn.failed),
            ("left", turn.left),
        ):
            if amount:
                self._metrics.add(f"integrator_react_{name}_total", amount, partner=turn.partner)
        if turn.seconds is not None and turn.records:
            self._metrics.add("integrator_react_turns_total", partner=turn.partner)
            self._metrics.add("integrator_react_seconds_total", turn.seconds, partner=turn.partner)
