"""The gateway's line to Redis, against a server that says what a test wants: whole, in pieces, late, or not at all."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from integrator_realtime import redis_line
from integrator_realtime.redis_line import RedisLine, ReplyError, encoded, parsed
from tests.certificates import Authority

ANSWERS = b"+OK\r\n:7\r\n$3\r\na\r\n\r\n$-1\r\n*3\r\n$1\r\nk\r\n:-1\r\n*1\r\n+x\r\n$0\r\n\r\n-ERR no\r\n"
MEANT = [b"OK", 7, b"a\r\n", None, [b"k", -1, [b"x"]], b""]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talking(
    talk: Talk, work: Callable[[RedisLine], Awaitable[Any]], *, tls: ssl.SSLContext | None = None, options: str = ""
) -> Any:
    """What `work` comes to with a line to a server that talks like that, over TLS if a context for it is given."""

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(held, "127.0.0.1", 0, ssl=tls)
        scheme = "rediss" if tls else "redis"
        line = RedisLine(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/0{options}")
        try:
            return await work(line)
        finally:
            await line.close()
            server.close()
            await asyncio.sleep(0.01)

    return asyncio.run(run())


def test_commands_are_arrays_of_bulk_strings() -> None:
    assert encoded(("SET", "ä", 5, b"\r\n")) == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$1\r\n5\r\n$2\r\n\r\n\r\n"


def test_every_kind_of_answer_is_read() -> None:
    place, found = 0, []
    while place < len(ANSWERS):
        answer, place = parsed(ANSWERS, place)
        found.append(answer)
    assert found[:-1] == MEANT
    assert isinstance(found[-1], ReplyError) and str(found[-1]) == "ERR no"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_answers_come_in_pieces(size: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"SEVEN\r\n")
        for start in range(0, len(ANSWERS), size):
            writer.write(ANSWERS[start : start + size])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async def work(line: RedisLine) -> list[Any]:
        return await line.ask([("ONE",), ("TWO",), ("THREE",), ("FOUR",), ("FIVE",), ("SIX",), ("SEVEN",)])

    found = talking(talk, work)
    assert found[:-1] == MEANT and isinstance(found[-1], ReplyError)


def test_each_asker_gets_its_own_answers() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readline()
            word = await reader.readline()
            writer.write(b"+" + word)

    async def work(line: RedisLine) -> list[Any]:
        async def given_up() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await line.ask([("GONE",)])

        await line.ask([("FIRST",)])
        return await asyncio.gather(*(line.ask([(f"W{n}",), (f"V{n}",)]) for n in range(20)), given_up())

    found = talking(talk, work)
    assert found[:20] == [[f"W{n}".encode(), f"V{n}".encode()] for n in range(20)]


def test_silence_ends_the_connection_and_the_next_asks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_line, "SECONDS", 0.2)
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) > 1:
            await reader.readline()
            writer.write(b"+PONG\r\n")
        await reader.read()

    async def work(line: RedisLine) -> list[Any]:
        with pytest.raises(TimeoutError):
            await line.ask([("PING",)])
        return await line.ask([("PING",)])

    assert talking(talk, work) == [b"PONG"] and len(connections) == 2


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b""])
def test_what_is_no_answer_is_a_lost_connection(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(said)
        await writer.drain()

    async def work(line: RedisLine) -> None:
        with pytest.raises(ConnectionError):
            await line.ask([("PING",)])

    talking(talk, work)


def test_who_is_not_let_in_is_told() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"-WRONGPASS invalid\r\n")
        await reader.read()

    async def work(line: RedisLine) -> None:
        line._greeting = [("AUTH", "wrong")]
        with pytest.raises(ConnectionError, match="does not let us in: WRONGPASS"):
            await line.ask([("PING",)])

    talking(talk, work)


def test_nobody_there_is_an_os_error() -> None:
    async def work() -> None:
        with pytest.raises(OSError):
            await RedisLine("redis://127.0.0.1:1/0").ask([("PING",)])

    asyncio.run(work())


def test_addresses_are_read_as_redis_py_reads_them() -> None:
    async def work() -> None:
        line = RedisLine("redis://ada:s%40crat@h:7/3")
        assert line._greeting == [("AUTH", "ada", "s@crat"), ("SELECT", 3)]
        assert (line._host, line._port, line._ssl) == ("h", 7, False)
        assert RedisLine("rediss://h").__dict__["_ssl"] is True
        assert RedisLine("unix:///tmp/r.sock").__dict__["_path"] == "/tmp/r.sock"

    asyncio.run(work())


# --- over TLS ---------------------------------------------------------------------------------------------------------


async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"+PONG\r\n")


async def ping(line: RedisLine) -> list[Any]:
    return await line.ask([("PING",)])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served_by(authority: Authority, name: str, *, asks: bool = False) -> ssl.SSLContext:
    """A server's side; with `asks` it lets in only who shows a certificate of the same authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.path)
    context.load_cert_chain(*authority.issue("server", x509.IPAddress(ip_address(name))))
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    return context


def test_the_authority_of_the_address_is_trusted(authority: Authority) -> None:
    tls = served_by(authority, "127.0.0.1")
    assert talking(pong, ping, tls=tls, options=f"?ssl_ca_certs={authority.path}") == [b"PONG"]
    with pytest.raises(ssl.SSLCertVerificationError):
        talking(pong, ping, tls=tls)


def test_another_name_is_refused_unless_the_address_says_not_to_look(authority: Authority) -> None:
    tls = served_by(authority, "127.0.0.2")
    known = f"?ssl_ca_certs={authority.path}"
    with pytest.raises(ssl.SSLCertVerificationError):
        talking(pong, ping, tls=tls, options=known)
    assert talking(pong, ping, tls=tls, options=f"{known}&ssl_check_hostname=false") == [b"PONG"]
    assert talking(pong, ping, tls=tls, options="?ssl_cert_reqs=none") == [b"PONG"]


def test_the_certificate_of_the_address_is_shown(authority: Authority) -> None:
    tls = served_by(authority, "127.0.0.1", asks=True)
    certificate, key = authority.issue("line")
    known = f"?ssl_ca_certs={authority.path}"
    assert talking(pong, ping, tls=tls, options=f"{known}&ssl_certfile={certificate}&ssl_keyfile={key}") == [b"PONG"]
    with pytest.raises(OSError):
        talking(pong, ping, tls=tls, options=known)


@pytest.mark.parametrize(
    "options", ["?ssl_ca_certs=/no/such.pem", "?ssl_cert_reqs=perhaps", "?ssl_wrong=1", "?ssl_certfile=/no/such.crt"]
)
def test_options_that_cannot_be_meant_are_errors_of_the_connection(authority: Authority, options: str) -> None:
    with pytest.raises(OSError):
        talking(pong, ping, tls=served_by(authority, "127.0.0.1"), options=options)
