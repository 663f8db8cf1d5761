"""A reader of event streams for the tests: a thread that reads, and events to wait for."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One event as it came: its data as bytes, for documents are compared byte by byte."""

    name: str
    id: str | None
    data: bytes

    @property
    def facts(self) -> Any:
        """The data, decoded."""
        return json.loads(self.data)


class Reader:
    """Reads `GET /v1/live` from when the block is entered until it is left; `headers` of the answer, its `status`."""

    def __init__(
        self, url: str, token: str, query: str = "", *, last: str | None = None, origin: str | None = None
    ) -> None:
        given = {"Authorization": f"Bearer {token}"}
        given |= {"Last-Event-ID": last} if last is not None else {}
        given |= {"Origin": origin} if origin is not None else {}
        self._client = httpx.Client(timeout=httpx.Timeout(60))
        self._asked = self._client.stream("GET", f"{url}/v1/live{'?' if query else ''}{query}", headers=given)
        self.events: list[Event] = []
        self.comments = 0
        self.ended = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self.answer = self._asked.__enter__()
        assert self.answer.status_code == 200, self.answer.read()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the service has closed it; a close alone would not wake the thread that reads
            self.answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=20)
        self._asked.__exit__(None, None, None)
        self._client.close()

    def wait(self, enough: Callable[["Reader"], bool], seconds: float = 30.0) -> None:
        """Until `enough`; fails with what came."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not enough(self):
                left = deadline - time.monotonic()
                assert left > 0 and self._news.wait(left), f"came: {self.events}"

    def of(self, name: str) -> list[Event]:
        """The events of a name."""
        return [event for event in self.events if event.name == name]

    @property
    def documents(self) -> list[bytes]:
        """The insights, as they came."""
        return [event.data for event in self.of("insight")]

    @property
    def last(self) -> str:
        """The cursor to come back with."""
        return next(event.id for event in reversed(self.events) if event.id is not None)

    def wait_documents(self, count: int) -> list[bytes]:
        """So many insights."""
        self.wait(lambda reader: len(reader.documents) >= count)
        return self.documents

    def wait_end(self) -> str:
        """The reason the service gave, once it has closed the stream."""
        self.wait(lambda reader: bool(reader.of("end")))
        assert self.ended.wait(20), "the stream was not closed"
        return str(self.of("end")[0].facts["reason"])

    def _read(self) -> None:
        try:
            pending = b""
            for piece in self.answer.iter_raw():
                pending += piece
                *blocks, pending = pending.split(b"\n\n")
                with self._news:
                    for block in blocks:
                        self._take(block)
                    self._news.notify_all()
        except (httpx.HTTPError, httpx.StreamError, RuntimeError, OSError):
            pass  # closed by whoever reads, or with the service
        finally:
            self.ended.set()
            with self._news:
                self._news.notify_all()

    def _take(self, block: bytes) -> None:
        fields: dict[bytes, bytes] = {}
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if line.startswith(b":"):
                self.comments += 1
            else:
                fields[name] = value
        if b"data" in fields:
            seq = fields.get(b"id")
            self.events.append(Event(fields[b"event"].decode(), seq.decode() if seq else None, fields[b"data"]))
