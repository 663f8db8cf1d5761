"""Counters and the observing layer around every request, driven as plain ASGI without a server."""

import asyncio
import re
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from integrator.security.tokens import Access
from integrator.storage.request_log import RequestEntry
from integrator_realtime import request_log
from integrator_realtime.metrics import HELP, Metrics
from integrator_realtime.middleware import Notes, Observed
from integrator_realtime.request_log import RequestLog

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
SAMPLE = re.compile(
    r'^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*\})? (?P<value>\S+)$'
)
ACCESS = Access("alpha", "icl_1", frozenset({"insights:read"}), "jti", NOW)


def samples(text: str) -> dict[str, float]:
    """The page as a scraper reads it; any line it could not read fails."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.match(r"^# (HELP|TYPE) [a-z_]+ .+$", line), line
            continue
        match = SAMPLE.match(line)
        assert match, line
        key = match["name"] + (match["labels"] or "")
        assert key not in found, "each series stands once"
        found[key] = float(match["value"])
    return found


def test_an_empty_page_explains_every_counter() -> None:
    text = Metrics().text()
    assert samples(text) == {} and text.endswith("\n")
    for name in HELP:
        assert f"# HELP {name} {HELP[name]}\n# TYPE {name} counter\n" in text


def test_counters_add_up_and_series_stand_apart() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.add("integrator_insights_served_total", use_case="pricing", source="cache")
    metrics.add("integrator_insights_served_total", 0.5, use_case="pricing", source="database")
    metrics.add("integrator_request_log_dropped_total", 7)
    assert samples(metrics.text()) == {
        'integrator_insights_served_total{use_case="pricing",source="cache"}': 3,
        'integrator_insights_served_total{use_case="pricing",source="database"}': 0.5,
        "integrator_request_log_dropped_total": 7,
    }


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", 'x"} 1\ninjected 5', "ü ✓", "", "{}", "a,b=c"])
def test_a_label_cannot_write_a_line_of_its_own(value: str) -> None:
    metrics = Metrics()
    metrics.add("integrator_requests_total", route=value, method="GET", status="200")
    assert len(samples(metrics.text())) == 1


def test_large_counts_keep_counting() -> None:
    """A counter that no longer grows in its text looks like a service without requests."""
    metrics = Metrics()
    metrics.add("integrator_request_log_dropped_total", 12_345_678)
    metrics.add("integrator_request_log_dropped_total")
    assert samples(metrics.text())["integrator_request_log_dropped_total"] == 12_345_679


def test_threads_lose_no_count() -> None:
    metrics = Metrics()
    threads = [
        threading.Thread(target=lambda: [metrics.add("integrator_request_log_dropped_total") for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(metrics.text())["integrator_request_log_dropped_total"] == 4000


class Kept:
    """Where the observing layer puts its entries."""

    def __init__(self) -> None:
        self.entries: list[RequestEntry] = []

    def put(self, entry: RequestEntry) -> None:
        self.entries.append(entry)


def observe(app: Any, **scope: Any) -> tuple[list[dict[str, Any]], Kept, Metrics, dict[str, Any]]:
    kept, metrics, sent = Kept(), Metrics(), []
    facts = {"type": "http", "method": "GET", "path": "/v1/secret-id", "headers": [], **scope}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    layer = Observed(app, notes=Notes(metrics, kept, lambda: NOW))  # type: ignore[arg-type]
    asyncio.run(layer(facts, receive, send))
    return sent, kept, metrics, facts


async def answering(scope: Any, receive: Any, send: Any) -> None:
    scope["route"] = SimpleNamespace(path="/v1/{id}")
    await send({"type": "http.response.start", "status": 207, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_every_answer_gets_its_id_and_is_counted_by_template() -> None:
    sent, kept, metrics, scope = observe(answering)
    headers = dict(sent[0]["headers"])
    assert headers[b"x-own"] == b"1" and headers[b"x-request-id"] == scope["request_id"].encode()
    assert re.fullmatch(r"req_[0-9a-f]{24}", scope["request_id"])
    assert 'integrator_requests_total{route="/v1/{id}",method="GET",status="207"} 1' in metrics.text()
    assert "secret-id" not in metrics.text() and kept.entries == [], "nobody said who they are"


def test_who_said_who_they_are_is_logged_without_the_address() -> None:
    async def known(scope: Any, receive: Any, send: Any) -> None:
        scope["access"] = ACCESS
        await answering(scope, receive, send)

    _, kept, _, scope = observe(known, client=("203.0.113.9", 4711), query_string=b"name=ada")
    (entry,) = kept.entries
    assert (entry.partner, entry.client_id, entry.at, entry.status) == ("alpha", "icl_1", NOW, 207)
    assert (entry.request_id, entry.method, entry.route) == (scope["request_id"], "GET", "/v1/{id}")
    assert "203.0.113.9" not in repr(entry) and "ada" not in repr(entry) and "secret-id" not in repr(entry)


def test_what_breaks_is_counted_as_500_and_goes_on() -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        scope["access"] = ACCESS
        raise ZeroDivisionError

    kept, metrics = Kept(), Metrics()
    layer = Observed(breaks, notes=Notes(metrics, kept, lambda: NOW))  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(layer({"type": "http", "method": "GET"}, None, None))  # type: ignore[arg-type]
    assert kept.entries[0].status == 500
    assert 'integrator_requests_total{route="unmatched",method="GET",status="500"} 1' in metrics.text()


def test_what_is_no_request_passes_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for kind in ("lifespan", "websocket"):
        _, kept, metrics, scope = observe(app, type=kind)
        assert "request_id" not in scope and kept.entries == [] and samples(metrics.text()) == {}
    assert seen == ["lifespan", "websocket"]


def test_a_full_log_counts_what_it_loses_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    log = RequestLog(None, metrics)  # type: ignore[arg-type]
    monkeypatch.setattr(request_log, "HELD", 3)
    entry = RequestEntry("req_1", "alpha", "icl_1", NOW, "GET", "/x", 200, 1.0)
    for _ in range(5):
        log.put(entry)
    assert samples(metrics.text())["integrator_request_log_dropped_total"] == 2
