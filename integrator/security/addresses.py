"""Where we may connect to when a partner names the address: public ones over HTTPS, checked at the moment of connecting.

Webhook endpoints and platforms' base addresses alike. The name is resolved once, every address it has is judged, and
the connection is made to a judged address and to no name, so that a second answer of the name server (rebinding) is
never asked for. TLS still verifies the name.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from integrator.contracts.errors import Forbidden, Unavailable

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

# Networks that carry an IPv4 address inside and would lead around the check of it.
_EMBEDDING = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2002::/16"),
    ipaddress.ip_network("2001::/32"),
    ipaddress.ip_network("::/96"),
)
# An organization's own networks. Link-local is not among them: 169.254.169.254 hands out a cloud machine's credentials.
_OWN = tuple(ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_LONGEST_WAIT = 3_600.0
_METADATA = ipaddress.ip_address("fd00:ec2::254")


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system resolves it; `Unavailable` when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{host} cannot be resolved") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: IpAddress) -> bool:
    """Whether an address is on the open internet, looking through the ways of writing IPv4 inside IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or any(address in network for network in _EMBEDDING):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


@dataclass(frozen=True)
class Guard:
    """The rule; `allow_loopback` is for the sandbox and admits loopback, over plain HTTP too, and nothing else.

    `allow_private` admits the organization's own network as well (RFC 1918, unique local), over plain HTTP too; what
    machines alone speak to, such as a cloud's metadata address, stays closed.
    """

    allow_loopback: bool = False
    resolve: Resolve = resolve
    allow_private: bool = False

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Certificates and names are verified."""
        context = ssl.create_default_context()
        context.sslsocket_class = _TimedTls
        return context

    def address(self, scheme: str, host: str, port: int) -> str:
        """The address to connect to; `Forbidden` unless every address of the name is allowed."""
        found = [ipaddress.ip_address(text.split("%")[0]) for text in self.resolve(host, port)]
        if not found:
            raise Unavailable(f"{host} has no address")
        for address in found:
            if not self._admits(address) and (scheme != "https" or not is_public(address)):
                allowed = "public addresses over https"
                raise Forbidden(f"{host} leads to {address} over {scheme}, which is not allowed; allowed: {allowed}")
        return str(found[0])

    def _admits(self, address: IpAddress) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_loopback:
            return self.allow_loopback or self.allow_private
        own = address != _METADATA and any(address in network for network in _OWN if network.version == address.version)
        return self.allow_private and own


class GuardedConnection(http.client.HTTPConnection):
    """A keep-alive connection that was made to a checked address. Proxies of the environment are not used.

    A whole exchange has one deadline: a receiver that sends a byte now and then does not keep us for longer.
    """

    def __init__(self, guard: Guard, scheme: str, host: str, port: int, timeout: float) -> None:
        """Connects on first use; `timeout` in seconds, for an exchange."""
        super().__init__(host, port, timeout=timeout)
        self._guard, self._scheme = guard, scheme
        self.begin(timeout)

    def begin(self, seconds: float) -> None:
        """The deadline of the next exchange, from now."""
        self._deadline = time.monotonic() + seconds
        if isinstance(self.sock, _Timed):
            self.sock.deadline = self._deadline
            self.sock.settimeout(seconds)  # type: ignore[attr-defined]  # what sending has; reading looks at the deadline

    def connect(self) -> None:
        """Resolve, judge, connect to what was judged, and speak TLS under the name."""
        address = self._guard.address(self._scheme, self.host, self.port)
        plain = socket.create_connection((address, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._scheme == "https":
            self.sock = self._guard.tls.wrap_socket(plain, server_hostname=self.host)
        else:
            self.sock = _TimedPlain(plain.family, plain.type, plain.proto, plain.detach())
            self.sock.settimeout(self.timeout)
        self.sock.deadline = self._deadline  # type: ignore[union-attr]  # the context makes ours


class _Timed:
    """A socket that waits for no longer than until its deadline, however often it is read."""

    deadline: float = float("inf")

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took too long")
        self.settimeout(min(left, _LONGEST_WAIT))  # type: ignore[attr-defined]  # a socket is mixed in
        return super().recv_into(*arguments, **more)  # type: ignore[misc,no-any-return]


class _TimedPlain(_Timed, socket.socket):
    pass


class _TimedTls(_Timed, ssl.SSLSocket):
    pass
