"""Where we may connect to when a partner names the address: public ones over HTTPS, checked at the moment of connecting.

Webhook endpoints and platforms' base addresses alike. The name is resolved once, every address it has is judged, and
the connection is made to a judged address and to no name, so that a second answer of the name server (rebinding) is
never asked for. TLS still verifies the name.
"""

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

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
        return ssl.create_default_context()

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
    """A keep-alive connection that was made to a checked address. Proxies of the environment are not used."""

    def __init__(self, guard: Guard, scheme: str, host: str, port: int, timeout: float) -> None:
        """Connects on first use; `timeout` in seconds, for each wait."""
        super().__init__(host, port, timeout=timeout)
        self._guard, self._scheme = guard, scheme

    def connect(self) -> None:
        """Resolve, judge, connect to what was judged, and speak TLS under the name."""
        address = self._guard.address(self._scheme, self.host, self.port)
        sock = socket.create_connection((address, self.port), self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._scheme == "https":
            sock = self._guard.tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock
