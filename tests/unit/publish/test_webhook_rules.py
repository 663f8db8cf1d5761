"""The retry schedule and the guard, without a network."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from integrator.contracts.errors import Forbidden, Unavailable
from integrator.delivery.registry import CHANNELS, channel, channels
from integrator.delivery.webhook.schedule import LONGEST, WAITS, is_given_up, next_attempt, retry_after
from integrator.security.addresses import Guard

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)


def guard(*addresses: str, allow_loopback: bool = False) -> Guard:
    return Guard(allow_loopback=allow_loopback, resolve=lambda host, port: list(addresses))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
        "2001:db8::1", "::7f00:1", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    with pytest.raises(Forbidden, match="allowed: public addresses over https"):
        guard(address).address("https", "host.example", 443)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_public_over_https_only(address: str) -> None:
    assert guard(address).address("https", "host.example", 443)
    with pytest.raises(Forbidden):
        guard(address, allow_loopback=True).address("http", "host.example", 80)


def test_one_bad_address_spoils_the_name() -> None:
    with pytest.raises(Forbidden):
        guard("93.184.215.14", "10.0.0.1").address("https", "host.example", 443)
    with pytest.raises(Unavailable):
        guard().address("https", "host.example", 443)


def test_loopback_for_the_sandbox_and_nothing_else() -> None:
    assert guard("127.0.0.1", allow_loopback=True).address("http", "localhost", 80) == "127.0.0.1"
    assert guard("::1", allow_loopback=True).address("http", "localhost", 80) == "::1"
    for private in ("10.0.0.1", "169.254.169.254"):
        with pytest.raises(Forbidden):
            guard(private, allow_loopback=True).address("http", "host.example", 80)


def test_a_second_answer_is_never_asked_for() -> None:
    """Rebinding: the name leads elsewhere the second time. There is no second time."""
    answers = [["93.184.215.14"], ["127.0.0.1"]]
    rebinding = Guard(resolve=lambda host, port: answers.pop(0))
    assert rebinding.address("https", "host.example", 443) == "93.184.215.14"
    assert len(answers) == 1


def test_the_schedule() -> None:
    randomness = random.Random(1)
    for made, wait in enumerate(WAITS, start=1):
        found = next_attempt(NOW, made, randomness)
        assert found is not None and wait <= found - NOW <= wait * 1.1
    assert next_attempt(NOW, len(WAITS) + 1, randomness) is None
    assert [wait.total_seconds() for wait in WAITS] == [5, 300, 1800, 7200, 18_000, 36_000, 36_000]


def test_the_jitter_is_seeded() -> None:
    assert next_attempt(NOW, 3, random.Random(5)) == next_attempt(NOW, 3, random.Random(5))
    assert next_attempt(NOW, 3, random.Random(5)) != next_attempt(NOW, 3, random.Random(6))


def test_retry_after_is_not_undercut_and_bounded() -> None:
    asked = next_attempt(NOW, 1, random.Random(1), timedelta(minutes=10))
    assert asked == NOW + timedelta(minutes=10)
    assert next_attempt(NOW, 1, random.Random(1), timedelta(days=30)) == NOW + LONGEST


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), (" 7 ", 7), ("Mon, 16 Mar 2026 12:01:00 GMT", 60), ("Mon, 16 Mar 2026 11:00:00 GMT", 0),
     ("soon", None), (None, None), ("-5", None)],
)  # fmt: skip
def test_retry_after_header(header: str | None, seconds: int | None) -> None:
    found = retry_after(header, NOW)
    assert (found.total_seconds() if found is not None else None) == seconds


def test_five_days() -> None:
    assert not is_given_up(None, NOW)
    assert not is_given_up(NOW - timedelta(days=4, hours=23), NOW)
    assert is_given_up(NOW - timedelta(days=5), NOW)


def test_every_channel_of_the_registry_loads() -> None:
    assert [entry.spec.name for entry in channels()] == [entry.name for entry in CHANNELS]
    with pytest.raises(Exception, match=", ".join(entry.name for entry in CHANNELS)):
        channel("pigeon")
