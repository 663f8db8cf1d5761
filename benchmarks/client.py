"""A client lean enough to measure a service beside it: requests encoded before, blocking sockets, one thread each."""

import socket
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Where requests go, and who sends them."""

    host: str
    port: int
    token: str = ""

    def post(self, path: str, body: bytes) -> bytes:
        """A request with an NDJSON body, as the bytes that go over the line."""
        return self._head("POST", path, f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n") + body

    def get(self, path: str) -> bytes:
        """A request without a body."""
        return self._head("GET", path, "")

    def _head(self, method: str, path: str, more: str) -> bytes:
        bearer = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{bearer}{more}\r\n".encode()


class Line:
    """One keep-alive connection."""

    def __init__(self, target: Target) -> None:
        self._socket = socket.create_connection((target.host, target.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def ask(self, request: bytes) -> bytes:
        """The answer's body; anything but 200 ends the measurement."""
        self._socket.sendall(request)
        status, length = self._file.readline(), 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = self._file.read(length)
        if b" 200 " not in status:
            raise SystemExit(f"{status.decode().strip()}: {answer[:300].decode()}")
        return answer

    def close(self) -> None:
        """Give the socket back."""
        self._file.close()
        self._socket.close()


def flood(target: Target, requests: Sequence[bytes], lines: int = 3) -> float:
    """Send all, so many connections at once; seconds."""
    waiting, guard = iter(requests), threading.Lock()

    def one(line: Line) -> None:
        while True:
            with guard:
                request = next(waiting, None)
            if request is None:
                return
            line.ask(request)

    return _together(target, lines, one)


def paced(target: Target, requests: Sequence[bytes], rate: float, lines: int = 8) -> list[float]:
    """Send `rate` requests a second, on time whatever the answers do; seconds each took, from when it was due."""
    taken: list[float] = []
    began = time.perf_counter() + 0.2
    places = iter(range(len(requests)))
    guard = threading.Lock()

    def one(line: Line) -> None:
        while True:
            with guard:
                place = next(places, None)
            if place is None:
                return
            due = began + place / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            line.ask(requests[place])
            taken.append(time.perf_counter() - due)

    _together(target, lines, one)
    return taken


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def _together(target: Target, lines: int, work: Callable[[Line], None]) -> float:
    connections = [Line(target) for _ in range(lines)]
    failed: list[BaseException] = []

    def guarded(line: Line) -> None:
        try:
            work(line)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=[line]) for line in connections]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for line in connections:
        line.close()
    if failed:
        raise failed[0]
    return seconds
