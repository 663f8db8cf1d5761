"""One answer on loopback: where a browser comes back to from a platform's page of consent."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from integrator.contracts.errors import Unavailable
from integrator.embedded.endpoints import HOST

PATH = "/callback"
PATIENCE_SECONDS = 600.0
PAGE = b"<!doctype html><title>Connected</title><p>The answer has arrived. You may close this page."


class Callback:
    """Listens while it is open; what is asked for but the callback itself is not there."""

    def __init__(self, port: int = 0) -> None:
        """Opens the port; 0 takes any free one."""
        answers: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # named by http.server
                parts = urlsplit(self.path)
                found = dict(parse_qsl(parts.query))
                if parts.path != PATH or "state" not in found:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(PAGE)))
                self.end_headers()
                self.wfile.write(PAGE)
                answers.append(found)

            def log_message(self, *_: object) -> None:
                """The code stands in the address: no word of it in a log."""

        self._answers = answers
        try:
            self._server = HTTPServer((HOST, port), Handler)
        except OSError as error:
            raise Unavailable(f"port {port} on {HOST} is taken; say another --port") from error
        self.redirect_uri = f"http://{HOST}:{self._server.server_port}{PATH}"

    def __enter__(self) -> "Callback":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> dict[str, str]:
        """The answer's parameters; `Unavailable` when none comes in time."""
        deadline = time.monotonic() + seconds
        while not self._answers:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable("nobody answered in time; begin the authorization again")
            self._server.timeout = left
            self._server.handle_request()
        return self._answers[0]
