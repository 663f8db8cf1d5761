"""One piece of network for one answer: what is written in a turn of the loop goes out together, in order, and before the end."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from integrator_realtime.protocol import MOST_BYTES, Gathered, Protocol


class Wire:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.told


def play(scene: Callable[[Wire, Gathered], Coroutine[Any, Any, None]]) -> Wire:
    async def main() -> Wire:
        wire = Wire()
        await scene(wire, Gathered(wire))  # type: ignore[arg-type]
        return wire

    return asyncio.run(main())


def test_what_is_written_in_one_turn_goes_out_in_one_piece() -> None:
    async def scene(wire: Wire, gathered: Gathered) -> None:
        gathered.write(b"head ")
        gathered.write(b"body")
        assert wire.told == []
        await asyncio.sleep(0)
        assert wire.told == [b"head body"]
        await asyncio.sleep(0)
        gathered.write(b"next")
        await asyncio.sleep(0)

    assert play(scene).told == [b"head body", b"next"]


def test_what_is_much_does_not_wait() -> None:
    async def scene(wire: Wire, gathered: Gathered) -> None:
        gathered.write(b"x")
        gathered.write(b"y" * MOST_BYTES)
        assert [len(piece) for piece in wire.told] == [MOST_BYTES + 1], "else who takes nothing is not noticed"
        gathered.write(b"z")
        await asyncio.sleep(0)

    assert play(scene).told[1:] == [b"z"]


def test_closing_sends_what_was_written_before_and_nothing_twice() -> None:
    async def scene(wire: Wire, gathered: Gathered) -> None:
        gathered.write(b"last words")
        gathered.close()
        assert wire.told == [b"last words", "close"] and gathered.is_closing()
        await asyncio.sleep(0)

    assert play(scene).told == [b"last words", "close"]


def test_whoever_is_cut_off_gets_no_more() -> None:
    async def scene(wire: Wire, gathered: Gathered) -> None:
        gathered.write(b"unsaid")
        gathered.abort()
        await asyncio.sleep(0)

    assert play(scene).told == ["abort"]


@pytest.mark.parametrize("asked", [1, 3])
def test_answers_are_uvicorns_own_also_to_pipelined_requests(asked: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": scope["path"][1:].encode()})

    async def heard(protocol: Any) -> bytes:
        import uvicorn

        config = uvicorn.Config(app, log_level="error", access_log=False, date_header=False, http=protocol)
        server = uvicorn.Server(config)
        config.load()
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: config.http_protocol_class(config=config, server_state=server.server_state, app_state={}), sock=ours  # type: ignore[call-arg]
        )  # fmt: skip
        theirs.setblocking(False)
        requests = b"".join(b"GET /no-%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(asked))
        await loop.sock_sendall(theirs, requests)
        said = b""
        while said.count(b"no-") < asked:
            said += await asyncio.wait_for(loop.sock_recv(theirs, 65536), 5)
        theirs.close()
        await asyncio.sleep(0)
        return said

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    assert asyncio.run(heard(Protocol)) == asyncio.run(heard(HttpToolsProtocol))
