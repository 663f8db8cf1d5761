"""One connection to Redis that a whole process asks over: what is asked at once goes out together and comes back in order.

A lookup's round trip costs redis-py more time than everything else of it together, so the few commands of the gateway go
this way; whoever wants more of Redis has redis-py. RESP 2, commands of Redis 6.2.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

Command = tuple[str | int | bytes, ...] | bytes
"""Its words; or as it goes over the line, encoded before."""
SECONDS = 0.5
"""How long connecting, and an answer, may take."""


class ReplyError(Exception):
    """Redis refused one command; it stands in the place of that command's answer."""


class _Incomplete(Exception):
    """More has to arrive first."""


class _Pending:
    """The answers of one question, as they come in."""

    __slots__ = ("answers", "deadline", "future", "left")

    def __init__(self, count: int, future: "asyncio.Future[list[Any]]", deadline: float) -> None:
        self.left, self.future, self.deadline = count, future, deadline
        self.answers: list[Any] = []


class _Wire(asyncio.Protocol):
    """The connection itself, from being made to being lost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Pending] = deque()
        self._rest = b""
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to be asked."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears of it."""
        self.is_lost = True
        self._fail(ConnectionError("the connection to Redis was lost"))

    def ask(self, commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """Send; the future holds an answer for each command."""
        if self.is_lost or self._transport is None:
            raise ConnectionError("the connection to Redis was lost")
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.extend(map(encoded, commands))
        pending = _Pending(len(commands), self._loop.create_future(), self._loop.time() + SECONDS)
        self._waiting.append(pending)
        if self._timer is None:
            self._timer = self._loop.call_later(SECONDS, self._look)
        return pending.future

    def _send(self) -> None:
        """What was asked in one turn of the loop goes out in one piece."""
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and not self.is_lost:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Answers, in the order of the questions; perhaps a part of one."""
        data = self._rest + data if self._rest else data
        place = 0
        try:
            while self._waiting and place < len(data):
                answer, place = parsed(data, place)
                first = self._waiting[0]
                first.answers.append(answer)
                first.left -= 1
                if not first.left:
                    self._waiting.popleft()
                    if not first.future.done():  # else whoever asked has gone
                        first.future.set_result(first.answers)
            self._rest = data[place:]
        except _Incomplete:
            self._rest = data[place:]
        except ValueError:  # not what Redis says: nothing after it can be trusted
            self.abort(ConnectionError("what came from Redis cannot be read"))

    def abort(self, error: Exception) -> None:
        """End the connection; whoever waits gets `error`."""
        self.is_lost = True
        self._fail(error)
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0].deadline - self._loop.time()
        if left <= 0:
            self.abort(TimeoutError("Redis did not answer in time"))
        else:
            self._timer = self._loop.call_later(left, self._look)

    def _fail(self, error: Exception) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future = self._waiting.popleft().future
            if not future.done():
                future.set_exception(error)


class RedisLine:
    """Belongs to one event loop; connects when it is first asked, and again after the connection was lost."""

    def __init__(self, url: str) -> None:
        """`url` as redis-py takes it: `redis://`, `rediss://` or `unix://`."""
        from redis.connection import parse_url

        facts: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
        self._path: str | None = facts.get("path")
        self._host, self._port = str(facts.get("host", "localhost")), int(facts.get("port", 6379))
        self._secrecy = {name: value for name, value in facts.items() if name.startswith("ssl_")}
        self._ssl: ssl.SSLContext | bool = url.startswith("rediss:")  # True until its files are read
        password, user = facts.get("password"), facts.get("username")
        self._greeting: list[Command] = [("AUTH", *([user] if user else []), password)] if password else []
        if facts.get("db"):
            self._greeting.append(("SELECT", int(facts["db"])))
        self._wire: _Wire | None = None
        self._lock = asyncio.Lock()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """An answer for each command, a `ReplyError` among them; `OSError` or `TimeoutError` when Redis is away."""
        wire = self._wire
        if wire is None or wire.is_lost:
            wire = await self._connected()
        return await wire.ask(commands)

    async def close(self) -> None:
        """Give the connection back."""
        if self._wire is not None:
            self._wire.abort(ConnectionError("closed"))
            self._wire = None

    async def _connected(self) -> _Wire:
        async with self._lock:  # many find it lost, one connects
            if self._wire is not None and not self._wire.is_lost:
                return self._wire
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(SECONDS):
                if self._path is not None:
                    _, wire = await loop.create_unix_connection(_Wire, self._path)
                else:
                    if self._ssl is True:
                        self._ssl = context_of(self._secrecy)
                    _, wire = await loop.create_connection(_Wire, self._host, self._port, ssl=self._ssl or None)
            if self._greeting:
                for answer in await wire.ask(self._greeting):
                    if isinstance(answer, ReplyError):
                        wire.abort(ConnectionError(str(answer)))
                        raise ConnectionError(f"Redis does not let us in: {answer}")
            self._wire = wire
            return wire


def context_of(secrecy: dict[str, Any]) -> ssl.SSLContext:
    """TLS as redis-py makes it of an address's `ssl_…`; OSError where its files cannot be read, or it says nonsense."""
    from redis.connection import SSLConnection
    from redis.exceptions import RedisError

    try:
        wanted: Any = SSLConnection(**secrecy)
    except (RedisError, TypeError) as error:
        raise ConnectionError(f"the TLS options of the address of Redis: {error}") from error
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = wanted.check_hostname, wanted.cert_reqs
    for flag in wanted.ssl_include_verify_flags or ():
        context.verify_flags |= flag
    for flag in wanted.ssl_exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if wanted.certfile or wanted.keyfile:
        context.load_cert_chain(wanted.certfile, wanted.keyfile, wanted.certificate_password)
    if wanted.ca_certs or wanted.ca_path or wanted.ca_data:
        context.load_verify_locations(wanted.ca_certs, wanted.ca_path, wanted.ca_data)
    if wanted.ssl_min_version is not None:
        context.minimum_version = wanted.ssl_min_version
    if wanted.ssl_ciphers:
        context.set_ciphers(wanted.ssl_ciphers)
    return context


def encoded(command: Command) -> bytes:
    """A command as it goes over the line."""
    if isinstance(command, bytes):
        return command
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def parsed(data: bytes, place: int) -> tuple[Any, int]:
    """The answer at `place`, and where the next begins; ValueError for what is none.

    Bytes, an int, None, a list of these, or a `ReplyError`.
    """
    end = data.find(b"\r\n", place)
    if end < 0:
        raise _Incomplete
    kind, line, start = data[place : place + 1], data[place + 1 : end], end + 2
    if kind == b"+":
        return line, start
    if kind == b"$":
        return _bulk(data, int(line), start)
    if kind == b"*":
        found = []
        for _ in range(int(line)):
            item, start = parsed(data, start)
            found.append(item)
        return found, start
    if kind == b":":
        return int(line), start
    if kind == b"-":
        return ReplyError(line.decode("utf-8", "replace")), start
    raise ValueError(f"{kind!r} begins no answer")


def _bulk(data: bytes, size: int, start: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, start
    stop = start + size
    if len(data) < stop + 2:
        raise _Incomplete
    return data[start:stop], stop + 2
