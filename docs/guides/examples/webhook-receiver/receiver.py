"""A receiver of the Integrator's webhooks: `python receiver.py`, with WEBHOOK_SECRET and PORT in the environment.

It verifies before it reads, answers at once, keeps a message once, and never goes back to an older version.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MOST_BYTES = 20_000
webhook = Webhook(os.environ["WEBHOOK_SECRET"])
mutex = Lock()
seen: set[str] = set()  # a table with a unique key in a real host
versions: dict[str, dict[str, Any]] = {}  # insight id → its newest document


def take(headers: dict[str, str], body: bytes) -> None:
    """Keep what is new; raises `WebhookVerificationError` for a bad signature or one older than five minutes."""
    event = webhook.verify(body, headers)
    with mutex:
        if headers["webhook-id"] in seen:
            return
        seen.add(headers["webhook-id"])
        if event["type"] not in ("insight.updated", "insight.withdrawn"):
            return
        data = event["data"]
        if data["insight_version"] > versions.get(data["id"], {}).get("insight_version", 0):
            versions[data["id"]] = data


class Handler(BaseHTTPRequestHandler):
    """POST takes a message, GET shows what was kept."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """204 for what verifies, 401 for everything else."""
        size = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(size) if size <= MOST_BYTES else b""
        try:
            take({name.lower(): value for name, value in self.headers.items()}, body)
        except (WebhookVerificationError, ValueError):
            self._answer(401)
        else:
            self._answer(204)

    def do_GET(self) -> None:
        """What was kept."""
        kept = [{"version": data["insight_version"], "data": data} for data in versions.values()]
        self._answer(200, json.dumps({"messages": len(seen), "insights": kept}).encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a log of requests is the web server's."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
