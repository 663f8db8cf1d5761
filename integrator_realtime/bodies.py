"""Reading the body of a request without trusting it: neither its size, nor its pace, nor what it inflates to."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from integrator.contracts.errors import PermanentError
from integrator.settings import Settings
from integrator.storage.landing_body import Form
from integrator_realtime.intake import MEBIBYTE

FORMS: Mapping[str, Form] = {"application/json": "array", "application/x-ndjson": "ndjson"}
GRACE_SECONDS = 5.0
MOST_MEMBERS = 100
_INFLATED_AT_ONCE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
# What is left of such a body is not worth reading.
_CLOSE = {"Connection": "close"}


class BadBody(PermanentError):
    """A body that cannot be taken, with the status and the kind of problem it is answered with."""

    def __init__(self, status: int, slug: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.slug = slug
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Declared:
    """What the headers say about a body."""

    form: Form
    gzipped: bool
    length: int | None


def declared(request: Request, most: int) -> Declared:
    """Judge a body by its headers, before a byte of it is read; `BadBody` for 413 and 415."""
    form = form_of(request)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        accept = {"Accept-Encoding": "gzip, identity"}
        raise BadBody(415, "unsupported-encoding", f"Content-Encoding {coding[:40]!r}; allowed: gzip, identity", accept)
    stated = request.headers.get("content-length")
    length = int(stated) if stated is not None and stated.isascii() and stated.isdigit() else None
    if length is not None and length > most:
        raise _too_large(most)
    return Declared(form, coding == "gzip", length)


def form_of(request: Request) -> Form:
    """Array or lines, by the media type; `BadBody` with 415 for any other."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    form = FORMS.get(media.strip().lower())
    if form is None:
        shown = media.strip()[:60] or "missing"
        raise BadBody(415, "unsupported-media-type", f"Content-Type {shown}; allowed: {', '.join(FORMS)}")
    charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(' "')
    if charset not in ("", "utf-8"):
        raise BadBody(415, "unsupported-media-type", f"charset {charset[:40]!r}; allowed: utf-8")
    return form


async def read(request: Request, settings: Settings, keep: Callable[[int], None]) -> bytes:
    """The bytes as sent; `keep` is told of each piece before it is kept.

    `BadBody`: 413 past the ceiling, 408 when too slow, 400 when it ends early.
    """
    most = ceiling(settings)
    started = asyncio.get_running_loop().time()
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        pace = GRACE_SECONDS + size / settings.push_bytes_per_second
        try:
            async with asyncio.timeout_at(started + min(settings.push_body_seconds, pace)):
                message = await request.receive()
        except TimeoutError as error:
            raise BadBody(408, "body-too-slow", _slow(settings), _CLOSE) from error
        if message["type"] == "http.disconnect":
            raise BadBody(400, "incomplete-body", "the connection ended before the body did")
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(piece)
        if size > most:
            raise _too_large(most)
        keep(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def inflated(body: bytes, most: int) -> bytes:
    """What a gzip body holds, its members one after another; `BadBody` when broken or past the ceiling.

    Stops at the ceiling, whatever the body claims: a bomb costs no more than an honest body.
    """
    pieces: list[bytes] = []
    size = members = 0
    try:
        while body:
            members += 1
            if members > MOST_MEMBERS:
                raise BadBody(400, "broken-encoding", f"more than {MOST_MEMBERS} gzip members in one body")
            stream = zlib.decompressobj(_GZIP)
            while not stream.eof:
                piece = stream.decompress(body, _INFLATED_AT_ONCE)
                body = stream.unconsumed_tail
                if not piece and not body and not stream.eof:
                    raise BadBody(400, "broken-encoding", "the gzip stream ends early")
                size += len(piece)
                if size > most:
                    raise _too_large(most)
                pieces.append(piece)
            body = stream.unused_data
    except zlib.error as error:
        raise BadBody(400, "broken-encoding", f"the body is not gzip, or damaged: {error}") from error
    return b"".join(pieces)


def small(body: bytes, most: int) -> bytes | None:
    """What a gzip body inflates to, if both are no more than that; `BadBody` when broken."""
    if len(body) > most:
        return None
    try:
        return inflated(body, most)
    except BadBody as error:
        if error.status == 413:
            return None
        raise


def ceiling(settings: Settings) -> int:
    """How many bytes a body may have, as sent and once inflated."""
    return int(settings.push_body_mebibytes * MEBIBYTE)


def _too_large(most: int) -> BadBody:
    message = f"the body is larger than {most:,} bytes, as sent or once inflated; send it in parts"
    return BadBody(413, "body-too-large", message, _CLOSE)


def _slow(settings: Settings) -> str:
    return (
        f"the body came too slowly; allowed: {settings.push_bytes_per_second:g} bytes a second after the first "
        f"{GRACE_SECONDS:g} seconds, {settings.push_body_seconds:g} seconds for all of it"
    )
