"""uvicorn's protocol, which sends an answer's head and body in one piece: a write to the network costs as much as a lookup.

What little is written in one turn of the event loop goes out at its end; what is much goes out at once, so that a reader
who takes nothing is noticed by the one who writes. Bytes and their order are as without it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 16 << 10


class Gathered:
    """A transport that gathers what is written; everything else is the transport's own."""

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._loop = transport, asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """At the end of this turn of the loop at the latest, after what was written before."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= MOST_BYTES:
            self._send()

    def close(self) -> None:
        """What was written goes out before."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """What was not sent yet is not sent any more."""
        self._parts = []
        self._transport.abort()

    def _send(self) -> None:
        if self._parts:
            data, self._parts, self._size = b"".join(self._parts), [], 0
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """Every connection of the service."""

    def connection_made(self, transport: Any) -> None:
        """A caller is there."""
        super().connection_made(Gathered(transport))  # type: ignore[arg-type]  # it has all that is asked of one
