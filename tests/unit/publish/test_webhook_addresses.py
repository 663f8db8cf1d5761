"""Every way of writing an address that leads inside: numbers, bases, embeddings, zones. Resolved by the system itself."""

import ipaddress
import random
import socket
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import Forbidden, InvalidInput, Unavailable
from integrator.delivery.webhook.schedule import LONGEST, WAITS, next_attempt, retry_after
from integrator.security.addresses import Guard, GuardedConnection, is_public, resolve
from integrator.storage.webhook_rules import check_url

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0", "0.0",
     "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "10.1", "192.168.257", "::1", "::ffff:7f00:1",
     "0:0:0:0:0:ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "fe80::1", "fd00::1"],
)  # fmt: skip
def test_numbers_are_read_as_the_system_reads_them(host: str) -> None:
    """No name server is asked: these are addresses already. What they stand for is judged, not how they look."""
    with pytest.raises((Forbidden, Unavailable)):
        Guard().address("https", host, 443)


@pytest.mark.parametrize(
    "address",
    [
        "fec0::1", "fec0::a9fe:a9fe", "feff::1",  # site-local, once private
        "::ffff:0:7f00:1", "::ffff:0:a00:1",  # IPv4-translated
        "64:ff9b:1::a00:1", "2002:a00:1::", "2002:a9fe:a9fe::", "2001::1", "2001:0:a9fe:a9fe::",
        "100::1", "ff0e::1", "ff05::1:3", "::2", "::a9fe:a9fe", "192.0.0.170", "198.19.255.255",
        "203.0.113.9", "198.51.100.1", "0.1.2.3", "127.255.255.254", "100.127.255.255", "172.31.255.255",
    ],
)  # fmt: skip
def test_no_way_around_by_a_special_network(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["172.15.255.255", "172.32.0.1", "100.128.0.1", "11.0.0.1", "169.253.0.1", "8.8.8.8"]
)
def test_neighbours_of_private_networks_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_an_address_is_judged_the_same_inside_ipv6(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    mapped = ipaddress.IPv6Address(f"::ffff:{plain}")
    assert is_public(mapped) == is_public(plain)
    if plain.is_private or plain.is_loopback or plain.is_link_local:
        assert not is_public(plain)


def test_every_address_of_a_name_is_judged_wherever_it_stands() -> None:
    good = "93.184.215.14"
    for position in range(4):
        addresses = [good] * 3
        addresses.insert(position, "10.0.0.1")
        with pytest.raises(Forbidden, match=r"10\.0\.0\.1"):
            Guard(resolve=lambda host, port, found=tuple(addresses): list(found)).address("https", "h.example", 443)


def test_a_zone_does_not_hide_a_link_local_address() -> None:
    for zoned in ("fe80::1%eth0", "fe80::1%25eth0", "fe80::1%1"):
        with pytest.raises(Forbidden):
            Guard(resolve=lambda host, port, found=zoned: [found]).address("https", "h.example", 443)


def test_loopback_in_the_sandbox_is_loopback_and_not_the_machine() -> None:
    guard = Guard(allow_loopback=True)
    assert guard.address("http", "127.1", 80) == "127.0.0.1"
    assert Guard(True, lambda h, p: ["::ffff:127.0.0.1"]).address("http", "h", 80)
    for inside in ("0.0.0.0", "::", "169.254.169.254", "192.168.0.1", "fe80::1", "::ffff:10.0.0.1", "fec0::1"):
        for scheme in ("http", "https"):
            with pytest.raises(Forbidden):
                Guard(True, lambda h, p, found=inside: [found]).address(scheme, "h.example", 80)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ".", "-"])
def test_a_name_that_is_none_cannot_be_resolved(host: str) -> None:
    with pytest.raises(Unavailable, match="cannot be resolved"):
        resolve(host, 443)


def test_the_connection_is_made_to_the_judged_address_and_not_to_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding between judging and connecting: the name must not be resolved a second time."""
    asked: list[str] = []
    connected: list[object] = []

    def judged(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    def connect(address: object, timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("integrator.security.addresses.socket.create_connection", connect)
    connection = GuardedConnection(Guard(True, judged), "http", "rebinding.example", 8080, 1.0)
    with pytest.raises(ConnectionRefusedError):
        connection.connect()
    assert asked == ["rebinding.example"] and connected == [("127.0.0.1", 8080)]


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a b", "https://example.com/\r\nX-Evil: 1", "https://example.com/\ta", "https://example.com/ü",
     "https://example.com/?q=ü", " https://example.com/", "https://example.com/\x00", "https://exa mple.com/",
     "https://example.com:0/", "https://example.com:65536/", "https://example.com:-1/", "https://example.com:x/",
     "https://[::1/", "https://user@example.com/", "https://:pw@example.com/", "https://example.com/#", "//example.com/",
     "javascript:alert(1)", "file:///etc/passwd", "gopher://example.com/", "https:example.com", "https://", ""],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    if url.endswith("/#"):
        check_url(url, allow_loopback=False)  # an empty fragment is none
        return
    for loopback in (False, True):
        with pytest.raises(InvalidInput, match="webhook address"):
            check_url(url, allow_loopback=loopback)


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com:8443/hook?tenant=a%20b", "HTTPS://EXAMPLE.COM/x", "https://[2606:2800::1]/",
     "https://bücher.example/hook", "https://example.com/%C3%BC", "https://xn--bcher-kva.example/"],
)  # fmt: skip
def test_addresses_that_are_taken(url: str) -> None:
    check_url(url, allow_loopback=False)


def test_plain_http_is_for_the_sandbox_alone() -> None:
    check_url("http://127.0.0.1:8090/x", allow_loopback=True)
    with pytest.raises(InvalidInput):
        check_url("http://127.0.0.1:8090/x", allow_loopback=False)


@pytest.mark.parametrize(
    "header",
    ["²", "١٢", "1.5", "1e3", "+5", "0x10", "soon", "", " ", ",", "Mon, 16 Mar 99999999999999999999 12:00:00 GMT",
     "Mon, 16 Mar 2026 12:01:00 -99999999999999", "Mon, 32 Foo 2026 25:61:61 GMT", "12 Mar", "\x00", "Mon, 16"],
)  # fmt: skip
def test_a_wait_nobody_can_read_is_no_wait(header: str) -> None:
    """A receiver's header is input like any other: it must not stop the dispatcher."""
    assert retry_after(header, NOW) is None


@pytest.mark.parametrize("header", ["9" * 5000, "999999999999", "86401", "864000000"])
def test_nobody_makes_us_wait_longer_than_a_day(header: str) -> None:
    assert retry_after(header, NOW) == LONGEST


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("007", 7), ("86400", 86_400), ("Mon, 16 Mar 2026 13:00:00 +0100", 0),
     ("Monday, 16-Mar-26 12:00:30 GMT", 30), ("Mon, 16 Mar 2026 12:00:10", 10), ("Sun, 06 Nov 1994 08:49:37 GMT", 0)],
)  # fmt: skip
def test_waits_in_every_form_of_the_standard(header: str, seconds: int) -> None:
    assert retry_after(header, NOW) == timedelta(seconds=seconds)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_no_header_stops_us(header: str) -> None:
    found = retry_after(header, NOW)
    assert found is None or found >= timedelta(0)


def test_the_whole_schedule_stays_within_its_window() -> None:
    """Eight attempts, all within the five days after which an endpoint is given up."""
    for seed in range(50):
        randomness, moment, made = random.Random(seed), NOW, 1
        while (following := next_attempt(moment, made, randomness)) is not None:
            assert following > moment
            moment, made = following, made + 1
        assert made == len(WAITS) + 1
        assert timedelta(hours=27) < moment - NOW < timedelta(days=2)
