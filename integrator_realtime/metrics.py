"""Counters of this process in the Prometheus text format. A handful, so no client library."""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrator.delivery.webhook.dispatcher import Delivered

Labels = tuple[tuple[str, str], ...]
HELP = {
    "integrator_requests_total": "Requests answered, by route template, method and status.",
    "integrator_request_seconds_total": "Seconds spent answering, by route template.",
    "integrator_insights_served_total": "Insights handed out, by use case and where they came from.",
    "integrator_scores_total": "Live scores, by use case and outcome: success, fallback, refusal, failure, invalid.",
    "integrator_score_seconds_total": "Seconds that live scores took on their threads, by use case.",
    "integrator_models_total": "Models of live scoring, by what became of them: loaded, swapped, refused.",
    "integrator_live_streams_opened_total": "Event streams opened.",
    "integrator_live_streams_ended_total": "Event streams that ended, by reason; opened less ended are open.",
    "integrator_records_pushed_total": "Pushed records, by kind and what became of them.",
    "integrator_pushes_total": "Pushes answered with 200, by kind of record and whether it was the answer of before.",
    "integrator_react_records_total": "Landed records that were reacted on, by partner.",
    "integrator_react_changed_total": "New versions of insights that came of them, by partner.",
    "integrator_react_turns_total": "Turns that followed a push, by partner.",
    "integrator_react_seconds_total": "Seconds from the push that woke a partner to what came of it, of those turns.",
    "integrator_react_failed_total": "Turns that failed and are tried again, by partner.",
    "integrator_react_left_total": "Records left to the night: too many at once, or failed too often; by partner.",
    "integrator_react_restarts_total": "Times the process that streams had to be started again.",
    "integrator_webhooks_total": "Attempts at webhooks by this process, by outcome: delivered, failed.",
    "integrator_feedback_total": "Items of feedback, by what became of them.",
    "integrator_feedback_bodies_total": "Bodies of feedback answered with 200, by whether it was the answer of before.",
    "integrator_rate_limited_total": "Requests refused with 429, by budget.",
    "integrator_login_failures_total": "Requests to the OAuth endpoints whose client could not be authenticated.",
    "integrator_request_log_dropped_total": "Request log entries lost because the database was away for too long.",
}


class Metrics:
    """Adds up; cheap enough for every request."""

    def __init__(self) -> None:
        self._values: Counter[tuple[str, Labels]] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to one counter of `HELP`."""
        with self._lock:
            self._values[name, tuple(labels.items())] += amount  # type: ignore[assignment]

    def webhooks(self, done: "Delivered") -> None:
        """Count what a turn at an endpoint came to."""
        for outcome, amount in (("delivered", done.delivered), ("failed", done.failed)):
            if amount:
                self.add("integrator_webhooks_total", amount, outcome=outcome)

    def text(self) -> str:
        """The page at `/metrics`."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        with self._lock:
            values = sorted(self._values.items())
        for name, help_text in HELP.items():
            yield f"# HELP {name} {help_text}"
            yield f"# TYPE {name} counter"
            for (found, labels), value in values:
                if found == name:
                    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                    yield f"{name}{{{shown}}} {value:.15g}" if shown else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
