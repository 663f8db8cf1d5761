"""The service's side of `worker`: processes that are started with it, asked over sockets, and replaced when they die."""

import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from integrator.contracts.errors import Unavailable
from integrator.steps.push import Push, Pushed
from integrator.steps.services import Services
from integrator_realtime.worker import Boot, Task

CLOSE_SECONDS = 20.0
# Told to stop together with the service, by a terminal or a supervisor, a worker first finishes what the service waits
# for: said before anything large is imported, so that it holds from the start.
LAUNCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from integrator_realtime.worker import main
main([int(word) for word in sys.argv[1:]])
"""


class Worker:
    """One process and the sockets it is asked over; `generation` counts how often it was started."""

    def __init__(self, boot: Boot, sockets: int) -> None:
        self._boot, self._count = boot, sockets
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._life: Connection | None = None
        self._desks: Sequence[Connection] = ()
        self._closed = False
        self.generation = 0

    def start(self, instead_of: int = 0) -> None:
        """Start it, once for all who found generation `instead_of` dead."""
        with self._lock:
            if self.generation != instead_of or self._closed:
                return
            self._end()
            pairs = [Pipe() for _ in range(1 + self._count)]
            theirs = [other.fileno() for _, other in pairs]
            command = [sys.executable, "-c", LAUNCH, *map(str, theirs)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=theirs)
            for _, other in pairs:
                other.close()
            self._life, *self._desks = [mine for mine, _ in pairs]
            self._life.send(self._boot)
            self.generation += 1

    def ask(self, place: int, task: Task) -> Pushed | Exception:
        """Its answer at one of the sockets, which nobody else asks at; `Unavailable` when it dies, and it is replaced."""
        generation = self.generation
        if self._process is None or self._process.poll() is not None:  # not started yet, or died while idle
            self.start(generation)
            generation = self.generation
        try:
            desk = self._desks[place]
            desk.send(task)
            answer: Pushed | Exception = desk.recv()
        except (EOFError, OSError, IndexError) as error:
            self.start(generation)
            raise Unavailable(
                "the process that lands pushes ended; what it did not acknowledge can be sent again"
            ) from error
        return answer

    @property
    def pid(self) -> int:
        """The process's id, 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    def close(self) -> None:
        """End it; what it is asked meanwhile is answered with `Unavailable`."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        # The sockets are let go and not closed: somebody may be reading, and their numbers could be another's by then.
        self._life, self._desks = None, ()
        if self._process is not None:
            try:
                self._process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Workers:
    """All of them, and their sockets: as many as threads of the service may ask at once."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        boot = Boot(settings, services.database.address, services.database.master, services.redis_url)
        each = -(-settings.push_threads // max(1, settings.push_workers))
        self._workers = [Worker(boot, each) for _ in range(settings.push_workers)]
        self._free: queue.Queue[tuple[Worker, int]] = queue.Queue()
        for place in range(each):
            for worker in self._workers:
                self._free.put((worker, place))

    def __bool__(self) -> bool:
        return bool(self._workers)

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [worker.pid for worker in self._workers if worker.pid]

    def start(self) -> None:
        """Start those that do not run yet; takes them about a second, and nobody waits for it."""
        for worker in self._workers:
            worker.start()

    def push(self, what: Push, now: datetime) -> Pushed:
        """Land one body; raises what landing it raised."""
        worker, place = self._free.get()
        try:
            answer = worker.ask(place, Task(what, now))
        finally:
            self._free.put((worker, place))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End all."""
        for worker in self._workers:
            worker.close()
