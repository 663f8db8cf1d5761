"""Reading bodies: what the headers may say, how slowly it may come, and that inflating ends where it must."""

import asyncio
import gzip
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.requests import Request

from integrator.settings import Settings
from integrator_realtime import bodies
from integrator_realtime.bodies import BadBody, declared, inflated, read, small

SETTINGS = Settings(push_body_mebibytes=0.001, push_body_seconds=0.4, push_bytes_per_second=1000.0)
MOST = bodies.ceiling(SETTINGS)


def request(receive: Callable[[], Awaitable[dict[str, Any]]] | None = None, **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
    return Request(scope, receive) if receive is not None else Request(scope)  # type: ignore[arg-type]


def pieces(*found: bytes, pause: float = 0.0, end: bool = True) -> Callable[[], Awaitable[dict[str, Any]]]:
    waiting = list(found)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        if not waiting:
            return {"type": "http.disconnect"}
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting) or not end}

    return receive


def kept(receive: Callable[[], Awaitable[dict[str, Any]]]) -> tuple[bytes, list[int]]:
    sizes: list[int] = []
    return asyncio.run(read(request(receive), SETTINGS, sizes.append)), sizes


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", "array"), ("Application/JSON ; charset=UTF-8", "array"), ("application/x-ndjson", "ndjson"),
        ('application/x-ndjson;charset="utf-8"', "ndjson"), ("application/json;profile=x", "array"),
    ],
)  # fmt: skip
def test_the_media_type_decides_the_form(content_type: str, form: str) -> None:
    found = declared(request(content_type=content_type, content_length="5"), MOST)
    assert (found.form, found.gzipped, found.length) == (form, False, 5)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415), ({"content_type": "application/jsonl"}, 415), ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/json; charset=utf-16"}, 415),
        ({"content_type": "application/json", "content_encoding": "deflate"}, 415),
        ({"content_type": "application/json", "content_encoding": ""}, 415),
        ({"content_type": "application/json", "content_length": str(MOST + 1)}, 413),
    ],
)  # fmt: skip
def test_what_the_headers_say_is_refused_before_the_body(headers: dict[str, str], status: int) -> None:
    with pytest.raises(BadBody) as refused:
        declared(request(**headers), MOST)
    assert refused.value.status == status


def test_a_body_is_read_whole_and_accounted_for() -> None:
    assert kept(pieces(b"a" * 10, b"", b"b" * 20)) == (b"a" * 10 + b"b" * 20, [10, 0, 20])
    assert kept(pieces(b"x" * MOST))[0] == b"x" * MOST
    assert kept(pieces(b""))[0] == b""


@pytest.mark.parametrize(
    ("receive", "status"),
    [
        (pieces(b"x" * MOST, b"x"), 413),
        (pieces(b"x", end=False), 400),
        (pieces(b"x" * 100, b"x" * 100, pause=0.5), 408),
        (pieces(*[b"x" * 400] * 5, pause=0.15), 408),
    ],
)
def test_too_much_too_little_and_too_slow(
    receive: Callable[[], Awaitable[dict[str, Any]]], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.2)
    with pytest.raises(BadBody) as refused:
        kept(receive)
    assert refused.value.status == status
    assert (status in (408, 413)) == (refused.value.headers.get("Connection") == "close")


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
@hypothesis_settings(max_examples=50, deadline=None)
def test_members_inflate_to_what_was_packed(parts: list[bytes]) -> None:
    assert inflated(b"".join(gzip.compress(part) for part in parts), 5000) == b"".join(parts)


@given(st.binary(min_size=1, max_size=200), st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_damaged_stream_never_passes_for_a_shorter_one(body: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(body)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(BadBody) as refused:
        inflated(packed[:cut], 1000)
    assert (refused.value.status, refused.value.slug) == (400, "broken-encoding")
    with pytest.raises(BadBody):
        inflated(packed + b"\x00", 1000)


def test_a_bomb_is_inflated_up_to_the_ceiling_and_no_further() -> None:
    bomb = gzip.compress(bytes(30 << 20), 1)
    with pytest.raises(BadBody) as refused:
        inflated(bomb, 3 << 20)
    assert refused.value.status == 413
    noise = random.Random(1).randbytes(10_000)
    assert inflated(gzip.compress(noise), 10_000) == noise
    with pytest.raises(BadBody):
        inflated(gzip.compress(noise), 9_999)


def test_a_bomb_of_members_ends_soon() -> None:
    """Each member costs a copy of what is left: many empty ones would be quadratic."""
    empty = gzip.compress(b"")
    assert inflated(empty * bodies.MOST_MEMBERS, 10) == b""
    with pytest.raises(BadBody):
        inflated(empty * 500_000, 10)


def test_what_is_small_is_so_as_sent_and_once_inflated() -> None:
    assert small(gzip.compress(b"x" * 100), 100) == b"x" * 100
    assert small(gzip.compress(b"x" * 101), 100) is None
    assert small(b"x" * 101, 100) is None, "it is not even looked at"
    with pytest.raises(BadBody) as caught:
        small(b"no gzip", 100)
    assert caught.value.status == 400
