"""A real server for the tests of HTTP: uvicorn on a free loopback port, in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from integrator.embedded.endpoints import HOST, free_port
from integrator_realtime.protocol import Protocol
from integrator_realtime.server import Server


@contextmanager
def serving(app: Any, *, port: int | None = None, **options: Any) -> Iterator[str]:
    """The base address, while it serves; a free port unless said; `options` are uvicorn's, e.g. of TLS."""
    port = port or free_port()
    config = uvicorn.Config(
        app, host=HOST, port=port, log_level="error", access_log=False, **{"http": Protocol, **options}
    )
    server = Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the server did not start"
    yield f"{'https' if config.is_ssl else 'http'}://{HOST}:{port}"
    server.should_exit = True
    thread.join(timeout=20)
