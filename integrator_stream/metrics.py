"""What this process counts, in the Prometheus text format, at a loopback port if Settings name one."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from integrator.embedded.endpoints import HOST

Labels = tuple[tuple[str, str], ...]
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


class Metrics:
    """Adds up; gauges are what they were last set to."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to one of `COUNTERS`."""
        key = name, tuple(labels.items())
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def set_all(self, name: str, values: Mapping[Labels, float]) -> None:
        """One of `GAUGES`, in place of all it was."""
        with self._lock:
            for key in [key for key in self._values if key[0] == name]:
                del self._values[key]
            self._values.update({(name, labels): value for labels, value in values.items()})

    def value(self, name: str, **labels: str) -> float:
        """What it stands at."""
        with self._lock:
            return self._values.get((name, tuple(labels.items())), 0)

    def text(self) -> str:
        """The page at `/metrics`."""
        with self._lock:
            values = sorted(self._values.items())
        lines = []
        for name, words in (COUNTERS | GAUGES).items():
            lines += [f"# HELP {name} {words}", f"# TYPE {name} {'counter' if name in COUNTERS else 'gauge'}"]
            for (found, labels), value in values:
                if found == name:
                    shown = ",".join(f'{key}="{text}"' for key, text in labels)
                    lines.append(f"{name}{{{shown}}} {value:.15g}" if shown else f"{name} {value:.15g}")
        return "\n".join(lines) + "\n"


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
