"""The guard against forged addresses over real sockets: a name server that changes its mind, TLS, proxies, redirects."""

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from integrator.contracts.errors import Unavailable
from integrator.delivery.webhook.sender import UNREACHABLE, Answer, Sender
from integrator.security.addresses import Guard
from integrator.storage.outbox import Message
from tests.certificates import Authority
from tests.serving import serving
from tests.webhook_receiver import Receiver

SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
A, AAAA = 1, 28


@dataclass
class NameServer:
    """DNS over UDP on loopback: each question for addresses gets the next of its answers, the last one for ever."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def reply(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += question[at] + 1
        (kind,) = struct.unpack("!H", question[at + 1 : at + 3])
        self.asked.append(".".join(labels))
        found = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
        packed = [socket.inet_pton(family, one) for one in found if (":" in one) == (kind == AAAA)]
        head = question[:2] + b"\x81\x80" + struct.pack("!HHHH", 1, len(packed), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one for one in packed)
        return head + question[12 : at + 5] + records

    def resolve(self, host: str, port: int, kind: int = A) -> list[str]:
        """What a resolver without a cache does: asks the server, each time."""
        name = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(b"\x12\x34\x01\x00" + struct.pack("!HHHH", 1, 0, 0, 0) + name + struct.pack("!HH", kind, 1),
                        ("127.0.0.1", self.port))  # fmt: skip
            answer = sock.recv(2_048)
        (count,) = struct.unpack("!H", answer[6:8])
        at, found = 12 + len(name) + 4, []
        for _ in range(count):
            (size,) = struct.unpack("!H", answer[at + 10 : at + 12])
            family = socket.AF_INET6 if size == 16 else socket.AF_INET
            found.append(socket.inet_ntop(family, answer[at + 12 : at + 12 + size]))
            at += 12 + size
        if not found:
            raise Unavailable(f"{host} cannot be resolved")
        return found


@pytest.fixture
def names() -> Iterator[NameServer]:
    made = NameServer([["127.0.0.1"]])

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(made.reply(data), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join(timeout=5)


def sent(url: str, guard: Guard, times: int = 1) -> list[Answer]:
    sender = Sender(url, [SECRET], guard, lambda: datetime.now(UTC), timeout=5, lanes=1)
    messages = [Message(n, f"msg_{n}", "", "webhook.test", "{}", 0) for n in range(times)]
    try:
        return [answer for one in messages for answer in sender.send([one])]
    finally:
        sender.close()


def test_a_name_is_resolved_once_a_connection_and_the_judged_address_is_the_one_connected_to(names: NameServer) -> None:
    """The second answer leads to a cloud's metadata: it is never asked for, and on the next connection it is refused."""
    names.answers = [["127.0.0.1"], ["169.254.169.254"]]
    receiver, guard = Receiver(), Guard(True, names.resolve)
    with serving(receiver) as url:
        port = url.rpartition(":")[2]
        first = sent(f"http://rebinding.test:{port}/", guard, times=3)
        assert [answer.status for answer in first] == [204] * 3
        assert names.asked == ["rebinding.test"], "three messages, one connection, one resolution"
        (second,) = sent(f"http://rebinding.test:{port}/", guard)
    assert second.status is None and second.error is not None
    assert second.error == UNREACHABLE
    assert len(receiver.got) == 3 and len(names.asked) == 2
    assert {headers["host"] for headers, _ in receiver.got} == {f"rebinding.test:{port}"}


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"], ["0.0.0.0"], ["100.64.0.1"]],
)
def test_what_the_name_server_says_is_judged_before_anything_is_sent(names: NameServer, answer: list[str]) -> None:
    names.answers = [answer]
    receiver = Receiver()
    with serving(receiver) as url:
        (found,) = sent(f"https://inside.test:{url.rpartition(':')[2]}/", Guard(False, names.resolve))
    assert found.status is None and found.error == UNREACHABLE and receiver.got == []


@pytest.mark.parametrize("answer", ["::1", "::ffff:127.0.0.1", "fd00:ec2::254", "fe80::1", "64:ff9b::7f00:1"])
def test_ipv6_is_judged_too(names: NameServer, answer: str) -> None:
    names.answers = [[answer]]
    (found,) = sent("https://inside.test/", Guard(False, lambda host, port: names.resolve(host, port, AAAA)))
    assert found.status is None and found.error == UNREACHABLE


def test_a_name_without_an_address_is_no_answer(names: NameServer) -> None:
    names.answers = [[]]
    (found,) = sent("https://nowhere.test/", Guard(False, names.resolve))
    assert found.error == UNREACHABLE and found.pauses


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def trusting(authority: Authority, names: NameServer) -> Guard:
    guard = Guard(True, names.resolve)
    guard.tls.load_verify_locations(authority.path)
    return guard


@pytest.mark.parametrize(
    ("issued", "expired", "trusted", "taken"),
    [("host.test", False, True, True), ("other.test", False, True, False), ("host.test", True, True, False),
     ("host.test", False, False, False)],
    ids=["good", "another name", "expired", "unknown authority"],
)  # fmt: skip
def test_tls_is_verified_under_the_name(
    names: NameServer, authority: Authority, issued: str, expired: bool, trusted: bool, taken: bool
) -> None:
    certificate, key = authority.issue(issued, x509.DNSName(issued), expired=expired)
    receiver = Receiver()
    guard = trusting(authority, names) if trusted else Guard(True, names.resolve)
    with serving(receiver, ssl_certfile=str(certificate), ssl_keyfile=str(key)) as url:
        found = sent(f"https://host.test:{url.rpartition(':')[2]}/", guard, times=2)
    assert [answer.accepted for answer in found] == [taken] * 2
    assert len(receiver.got) == (2 if taken else 0)
    if not taken:
        assert all("SSLCertVerificationError" in str(answer.error) for answer in found)
    assert guard.tls.verify_mode == ssl.CERT_REQUIRED and guard.tls.check_hostname


def test_a_receiver_that_hangs_in_the_handshake_is_left(names: NameServer, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        sender = Sender(f"https://host.test:{port}/", [SECRET], trusting(authority, names), lambda: datetime.now(UTC),
                        timeout=0.2, lanes=1)  # fmt: skip
        (found,) = sender.send([Message(1, "msg_1", "", "webhook.test", "{}", 0)])
        sender.close()
    assert found.status is None and "Timeout" in str(found.error)


def test_proxies_of_the_environment_are_not_used(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name by itself, after we judged it."""
    proxy, receiver = Receiver(), Receiver()
    with serving(proxy) as proxy_url, serving(receiver) as url:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy_url)
        (found,) = sent(f"http://host.test:{url.rpartition(':')[2]}/", Guard(True, names.resolve))
    assert found.accepted and (len(receiver.got), len(proxy.got)) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_to_another_place(names: NameServer, status: int) -> None:
    inside = Receiver()
    with serving(inside) as inner:
        receiver = Receiver(status=status, headers=[(b"location", inner.encode())])
        with serving(receiver) as url:
            (found,) = sent(f"http://host.test:{url.rpartition(':')[2]}/", Guard(True, names.resolve))
    assert (found.status, found.accepted, inside.got) == (status, False, [])


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
def test_numbers_lead_where_the_system_says_and_nowhere_else(host: str) -> None:
    """In every way of writing it, loopback stays closed, over TLS too, though somebody listens there."""
    receiver: Any = Receiver()
    with serving(receiver) as url:
        (found,) = sent(f"https://{host}:{url.rpartition(':')[2]}/", Guard(False))
    assert found.status is None and receiver.got == []
    assert found.error == UNREACHABLE, "who asks learns nothing of names and addresses inside"
