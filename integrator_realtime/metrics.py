"""What the realtime service counts."""

from typing import TYPE_CHECKING

from integrator.contracts.counters import Counters

if TYPE_CHECKING:
    from integrator.delivery.webhook.dispatcher import Delivered

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


class Metrics(Counters):
    """Of this process, from its start."""

    def __init__(self) -> None:
        super().__init__(HELP)

    def webhooks(self, done: "Delivered") -> None:
        """Count what a turn at an endpoint came to."""
        for outcome, amount in (("delivered", done.delivered), ("failed", done.failed)):
            if amount:
                self.add("integrator_webhooks_total", amount, outcome=outcome)
