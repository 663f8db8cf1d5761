"""Retries, waits and what an answer means, against a server of a few lines."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from integrator.platforms.http import HttpPolicy, Session, closing, decoded, failure_of, retry_after, server_time


class Script:
    """A server that answers with statuses in order, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        self.seen: list[str | None] = []
        self.slept: list[float] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.seen.append(self.headers.get("Authorization"))
                status, headers = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def policy(self) -> HttpPolicy:
        return HttpPolicy(attempts=4, backoff=1.0, sleep=self.slept.append, allow_private=True)

    def session(self, **more: object) -> Session:
        port = self.server.server_address[1]
        return Session("shop", f"http://127.0.0.1:{port}", {"Authorization": "old"}, self.policy, **more)  # type: ignore[arg-type]


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join(1)


def test_backoff_doubles_with_jitter_and_is_bounded(script: Script) -> None:
    script.answers = [(503, {})]
    with closing(script.session()) as session, pytest.raises(Unavailable, match="answered 503"):
        session.get("/orders")
    assert len(script.seen) == 4
    assert len(script.slept) == 3
    for number, wait in enumerate(script.slept):
        assert 0.75 * 2**number <= wait <= 1.25 * 2**number


def test_jitter_is_seeded(script: Script) -> None:
    script.answers = [(503, {})]
    for _ in range(2):
        with closing(script.session()) as session, pytest.raises(Unavailable):
            session.get("/orders")
    assert script.slept[:3] == script.slept[3:]


def test_retry_after_wins_over_backoff(script: Script) -> None:
    script.answers = [(429, {"Retry-After": "3"}), (200, {})]
    with closing(script.session()) as session:
        session.get("/orders")
    assert script.slept == [3.0]


def test_more_patience_than_we_have_is_not_waited_for(script: Script) -> None:
    script.answers = [(429, {"Retry-After": "3600"})]
    with closing(script.session()) as session, pytest.raises(RateLimited) as caught:
        session.get("/orders")
    assert caught.value.retry_after == 3600
    assert script.slept == []
    assert len(script.seen) == 1


def test_token_is_refreshed_once(script: Script) -> None:
    script.answers = [(401, {}), (200, {})]
    with closing(script.session(refresh=lambda _: {"Authorization": "new"})) as session:
        session.get("/orders")
    assert script.seen == ["old", "new"]
    script.answers = [(401, {})]
    with closing(script.session(refresh=lambda _: {"Authorization": "new"})) as session, pytest.raises(Unauthorized):
        session.get("/orders")
    assert script.seen == ["old", "new", "old", "new"]


def test_a_session_without_a_token_fetches_one_when_it_is_first_needed(script: Script) -> None:
    asked: list[Session] = []

    def refresh(session: Session) -> dict[str, str]:
        asked.append(session)
        return {"Authorization": f"token {len(asked)}"}

    base = f"http://127.0.0.1:{script.server.server_address[1]}"
    with closing(Session("shop", base, {}, script.policy, refresh)) as session:
        assert asked == []
        session.get("/orders")
        session.get("/orders")
        assert (asked, script.seen) == ([session], ["token 1", "token 1"])
        script.answers = [(401, {}), (200, {})]
        session.get("/orders")
        assert script.seen[2:] == ["token 1", "token 2"]
        session.base_url = "http://elsewhere.invalid"
        script.answers = [(200, {})]
        session.get(f"{base}/file")
        assert script.seen[4:] == [None], "what was fetched is for the platform alone, too"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput), (401, Unauthorized), (403, Forbidden), (404, NotFound), (302, InvalidInput),
    ],
)  # fmt: skip
def test_permanent_answers_are_not_retried(script: Script, status: int, kind: type[IntegratorError]) -> None:
    script.answers = [(status, {"Location": "http://elsewhere.invalid/"})]
    with closing(script.session()) as session, pytest.raises(kind):
        session.get("/orders?email=someone@example.org")
    assert len(script.seen) == 1
    assert script.slept == []


def test_errors_do_not_repeat_the_query(script: Script) -> None:
    script.answers = [(404, {})]
    with closing(script.session()) as session, pytest.raises(NotFound) as caught:
        session.get("/orders?email=someone@example.org")
    assert "someone" not in str(caught.value)


def test_nobody_there_is_transient() -> None:
    slept: list[float] = []
    policy = HttpPolicy(attempts=3, sleep=slept.append, allow_private=True)
    with closing(Session("shop", "http://127.0.0.1:9", {}, policy)) as session, pytest.raises(Unavailable):
        session.get("/")
    assert len(slept) == 2


def test_body_that_is_not_json_is_transient(script: Script) -> None:
    with closing(script.session()) as session:
        answer = session.get("/")
        assert decoded("shop", answer) == {}
        answer._content = b"<html>"
        with pytest.raises(Unavailable, match="not JSON"):
            decoded("shop", answer)


def test_server_time_is_the_platforms_own(script: Script) -> None:
    otherwise = datetime(2026, 1, 1, tzinfo=UTC)
    script.answers = [(200, {})]
    with closing(script.session()) as session:
        answer = session.get("/")
    answer.headers["Date"] = "Mon, 16 Mar 2026 12:00:00 GMT"
    assert server_time(answer, otherwise) == datetime(2026, 3, 16, 12, tzinfo=UTC)
    answer.headers["Date"] = "noon"
    assert server_time(answer, otherwise) == otherwise
    del answer.headers["Date"]
    assert server_time(answer, otherwise) == otherwise
    assert isinstance(failure_of("shop", "GET", "http://x/", answer), InvalidInput)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("5", 5.0), ("0.25", 0.25), ("-1", 0.0), ("soon", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0)],
)
def test_retry_after_reads_seconds_and_dates(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds
