"""Platforms are reached at public addresses over https alone: a partner names the base address, and may name anything."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from integrator.contracts.errors import Forbidden, InvalidInput, RateLimited, Unavailable
from integrator.platforms import adapter
from integrator.platforms.http import HttpPolicy, Session, closing
from integrator.security.addresses import Guard

QUICK = HttpPolicy(attempts=1, connect_timeout=1.0, read_timeout=2.0, sleep=lambda _: None)
HERE = HttpPolicy(attempts=2, allow_private=True, sleep=lambda _: None)


class Seen:
    """A server that tells what it was sent; `answer` is (status, headers)."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.answer: tuple[int, dict[str, str]] = (200, {})
        seen = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.headers.append(dict(self.headers))
                self.send_response(seen.answer[0])
                for name, value in seen.answer[1].items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
     "169.254.169.254", "2852039166", "[fd00:ec2::254]", "10.0.0.7", "192.168.1.1", "[fe80::1]", "100.64.0.1",
     "[64:ff9b::a9fe:a9fe]"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_way_of_writing_an_inside_address_is_connected_to(scheme: str, host: str, seen: Seen) -> None:
    with closing(Session("shop", f"{scheme}://{host}:{seen.port}", {"Authorization": "secret"}, QUICK)) as session:
        with pytest.raises((InvalidInput, Unavailable)) as caught:
            session.get("/orders")
        assert not isinstance(caught.value, Forbidden), "that would read as a permission the account lacks"
    assert seen.headers == []


def test_what_is_refused_is_said(seen: Seen) -> None:
    with (
        closing(Session("shop", f"http://127.0.0.1:{seen.port}", {}, QUICK)) as session,
        pytest.raises(InvalidInput, match="public addresses over https"),
    ):
        session.get("/")
    with (
        closing(Session("shop", "http://93.184.215.14", {}, QUICK)) as session,
        pytest.raises(InvalidInput, match="over http"),
    ):
        session.get("/")


@pytest.mark.parametrize(
    "base", ["ftp://example.com", "no address", "https://", "https://exa mple.com", "https://a..b"]
)
def test_what_is_no_address_is_permanent(base: str) -> None:
    with closing(Session("shop", base, {}, QUICK)) as session, pytest.raises((InvalidInput, Unavailable)):
        session.get("/")


def test_a_header_that_cannot_be_sent_is_permanent_and_not_repeated() -> None:
    session = Session("shop", "https://example.com", {"Authorization": "Token se\ncret"}, QUICK)
    with closing(session), pytest.raises(InvalidInput) as caught:
        session.get("/")
    assert "cret" not in str(caught.value)


def test_an_own_network_is_let_in_and_what_machines_speak_to_is_not() -> None:
    guard = Guard(allow_private=True)
    for inside in ("10.0.0.7", "172.16.0.1", "192.168.1.1", "127.0.0.1", "::1", "fd12::1", "::ffff:10.1.1.1"):
        assert guard.address("http", inside, 80)
    for closed in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.64.0.1", "0.0.0.0", "::ffff:169.254.169.254"):
        for scheme in ("http", "https"):
            with pytest.raises(Forbidden):
                guard.address(scheme, closed, 443)
    with pytest.raises(Forbidden):
        guard.address("http", "93.184.215.14", 80)
    assert guard.address("https", "93.184.215.14", 443)


def test_the_judged_address_is_connected_to_and_the_name_is_not_asked_for_again(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the second answer of the name server leads inside, and is never asked for."""
    asked: list[str] = []

    def answers(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    lookups: list[object] = []
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: lookups.append(host) or real(host, *a, **k))
    with closing(Session("shop", f"http://rebinding.example:{seen.port}", {}, HERE)) as session:
        session._session.mount("http://", adapter.guarded("shop", Guard(True, answers)))
        session.get("/one")
        assert set(lookups) <= {"127.0.0.1"}
        with pytest.raises(InvalidInput, match="rebinding.example.*public addresses"):
            session.get("/two")  # a connection of its own, judged again
    assert asked == ["rebinding.example"] * 2 and len(seen.headers) == 1
    assert seen.headers[0]["Host"] == f"rebinding.example:{seen.port}"


def test_a_redirect_is_not_followed(seen: Seen) -> None:
    seen.answer = (302, {"Location": "http://169.254.169.254/latest/meta-data"})
    with (
        closing(Session("shop", f"http://127.0.0.1:{seen.port}", {"X-Token": "t"}, HERE)) as session,
        pytest.raises(InvalidInput, match="answered 302"),
    ):
        session.get("/orders")
    assert len(seen.headers) == 1


def test_another_host_is_asked_without_our_headers(seen: Seen) -> None:
    with closing(
        Session("shop", "http://127.0.0.1:1", {"X-Token": "secret", "Authorization": "secret"}, HERE)
    ) as session:
        session.get(f"http://127.0.0.1:{seen.port}/file", headers={"Range": "bytes=0-"})
    assert "secret" not in str(seen.headers) and seen.headers[0]["Range"] == "bytes=0-"
    with closing(Session("shop", f"http://127.0.0.1:{seen.port}", {"X-Token": "secret"}, HERE)) as session:
        session.get(f"http://127.0.0.1:{seen.port}/next")
    assert seen.headers[1]["X-Token"] == "secret"


def test_a_quota_that_is_used_up_is_waited_for_before_the_next_request(seen: Seen) -> None:
    slept: list[float] = []
    policy = HttpPolicy(attempts=1, allow_private=True, sleep=slept.append)
    pauses = iter([2.5, None, 3600.0])
    session = Session("shop", f"http://127.0.0.1:{seen.port}", {}, policy, pace=lambda _: next(pauses))
    with closing(session):
        session.get("/1")
        assert slept == []
        session.get("/2")
        session.get("/3")
        assert slept == [2.5]
        with pytest.raises(RateLimited) as caught:
            session.get("/4")
    assert caught.value.retry_after == 3600 and len(seen.headers) == 3
