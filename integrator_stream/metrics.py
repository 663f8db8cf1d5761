"""What the Kafka worker counts, served at a loopback port if Settings name one."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from integrator.contracts.counters import Counters
from integrator.embedded.endpoints import HOST

COUNTERS = {
    "integrator_stream_records_total": "Records from Kafka, by what became of them.",
    "integrator_stream_dead_letters_total": "Messages that went to the topic of dead letters.",
    "integrator_stream_failures_total": "Batches that have to be tried again, by partner.",
    "integrator_stream_reactions_total": "What reacting to landed records came to, by partner.",
    "integrator_stream_relayed_total": "Versions of insights produced to Kafka.",
}
GAUGES = {
    "integrator_stream_lag": "Messages between the end of a partition and where the group stands, by partition.",
    "integrator_stream_held_bytes": "Bytes of messages that were read and wait to land.",
    "integrator_stream_paused": "1 while reading waits for what was read to land.",
}


class Metrics(Counters):
    """Of this process, from its start."""

    def __init__(self) -> None:
        super().__init__(COUNTERS, GAUGES)


def serve(metrics: Metrics, port: int, is_ready: Callable[[], bool]) -> ThreadingHTTPServer:
    """`/metrics`, and `/healthz` (200 while partitions are read, else 503), on a thread of their own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, "text/plain; version=0.0.4", metrics.text())
            elif self.path == "/healthz":
                ready = is_ready()
                self._answer(200 if ready else 503, "text/plain", "reading\n" if ready else "waiting for partitions\n")
            else:
                self._answer(404, "text/plain", "allowed: /metrics, /healthz\n")

        def log_message(self, *_: object) -> None:
            """Silence: who scrapes is no news."""

        def _answer(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server
