"""requests over guarded connections: the address is judged when connecting, and the judged one is connected to.

In a module of its own, because it needs requests at import, and the registry stays light.
"""

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import PoolManager

from integrator.contracts.errors import Forbidden, invalid
from integrator.security.addresses import Guard


def guarded(platform: str, guard: Guard) -> HTTPAdapter:
    """An adapter for one session; a refused address is `InvalidInput`, for a partner's setting named it.

    It is no `Forbidden`: that would read as a permission the account lacks.
    """

    def judged(scheme: str, host: str, port: int) -> str:
        try:
            return guard.address(scheme, host, port)
        except Forbidden as error:
            # Not the guard's own words: they tell what our name server says of a name.
            raise invalid(f"{platform} address", host, "public addresses over https") from error

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            # urllib3 resolves `_dns_host` here and nowhere else; TLS goes on verifying the name in `host`.
            name, self._dns_host = self._dns_host, judged("http", self._dns_host, self.port)
            try:
                return super()._new_conn()
            finally:
                self._dns_host = name

    class Secured(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            name, self._dns_host = self._dns_host, judged("https", self._dns_host, self.port)
            try:
                return super()._new_conn()
            finally:
                self._dns_host = name

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    class Guarded(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            manager: PoolManager = self.poolmanager
            manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecuredPool}

    return Guarded()
