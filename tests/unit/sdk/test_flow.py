"""What the client asks and waits for, with the answers written down here."""

import json
from typing import Any

import pytest

from integrator_client.batches import Batch
from integrator_client.errors import AuthenticationError, Problem, Unreachable
from integrator_client.flow import Answer, Flow, Lost, Request, Session, Wait, insight_path, require_address

GRANTED = Answer(200, {}, json.dumps({"access_token": "t1", "expires_in": 600}).encode())
LANDED = Answer(200, {}, json.dumps({"accepted": 2, "unchanged": 0, "quarantined": 0, "errors": []}).encode())
BATCH = Batch(40, (b'{"a":1}', b'{"a":2}'))


def play(flow: Flow[Any], answers: list[Answer | Lost]) -> tuple[Any, list[Request | Wait]]:
    """Run a flow against a list of answers; what it did, and its result (or the error it raised)."""
    steps: list[Request | Wait] = []
    answer: Answer | Lost | None = None
    coming = iter(answers)
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            return done.value, steps
        except Exception as error:
            return error, steps
        steps.append(step)
        answer = next(coming) if isinstance(step, Request) else None


def session(**more: Any) -> Session:
    return Session(client_id="icl_1", client_secret="s:e/c", seed=1, **more)


def paths(steps: list[Request | Wait]) -> list[str]:
    return [step.path for step in steps if isinstance(step, Request)]


def waits(steps: list[Request | Wait]) -> list[float]:
    return [step.seconds for step in steps if isinstance(step, Wait)]


def test_a_token_is_fetched_once_and_kept() -> None:
    ours = session()
    _, first = play(ours.send("sales", BATCH, "direct"), [GRANTED, LANDED])
    _, second = play(ours.send("sales", BATCH, "direct"), [LANDED])
    assert paths(first) == ["/oauth/token", "/v1/sales?platform=direct"]
    assert paths(second) == ["/v1/sales?platform=direct"]


def test_a_token_is_renewed_before_it_ends() -> None:
    clock = [0.0]
    ours = session(monotonic=lambda: clock[0])
    play(ours.send("sales", BATCH, "direct"), [GRANTED, LANDED])
    clock[0] = 571.0
    _, steps = play(ours.send("sales", BATCH, "direct"), [GRANTED, LANDED])
    assert paths(steps)[0] == "/oauth/token"


def test_a_revoked_token_is_renewed_once_and_only_once() -> None:
    refused = Answer(401, {}, b'{"title": "Unauthorized", "detail": "the access token was revoked"}')
    error, steps = play(session().send("sales", BATCH, "direct"), [GRANTED, refused, GRANTED, refused])
    assert isinstance(error, AuthenticationError) and "revoked" in str(error)
    assert len(paths(steps)) == 4


def test_retries_carry_the_same_key_and_body() -> None:
    busy = Answer(429, {"retry-after": "3"}, b"")
    report, steps = play(session().send("sales", BATCH, "direct"), [GRANTED, busy, Lost("gone"), LANDED])
    posts = [s for s in steps if isinstance(s, Request) and s.path.startswith("/v1/")]
    assert report.accepted == 2 and len(posts) == 3
    assert len({s.headers["Idempotency-Key"] for s in posts}) == 1 and len({s.body for s in posts}) == 1


def test_two_batches_have_two_keys() -> None:
    ours = session()
    _, one = play(ours.send("sales", BATCH, "direct"), [GRANTED, LANDED])
    _, two = play(ours.send("sales", BATCH, "direct"), [LANDED])
    keys = [s.headers["Idempotency-Key"] for s in (one[-1], two[-1]) if isinstance(s, Request)]
    assert len(set(keys)) == 2


def test_it_waits_as_long_as_it_is_told() -> None:
    _, steps = play(session().send("sales", BATCH, "direct"), [GRANTED, Answer(429, {"retry-after": "7"}, b""), LANDED])
    assert waits(steps) == [7.0]


@pytest.mark.parametrize("header", ["", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_without_a_number_it_backs_off(header: str) -> None:
    answers = [GRANTED, *[Answer(503, {"retry-after": header}, b"")] * 3, LANDED]
    _, steps = play(session().send("sales", BATCH, "direct"), answers)
    first, second, third = waits(steps)
    assert 0.3 < first < 0.7 and first < second < third


def test_it_never_waits_an_hour() -> None:
    _, steps = play(
        session().send("sales", BATCH, "direct"), [GRANTED, Answer(429, {"retry-after": "3600"}, b""), LANDED]
    )
    assert waits(steps) == [60.0]


def test_it_gives_up_and_says_what_it_got() -> None:
    error, steps = play(session(attempts=3).send("sales", BATCH, "direct"), [GRANTED, *[Answer(503, {}, b"")] * 3])
    assert isinstance(error, Unreachable) and "503 after 3 attempts" in str(error)
    assert len(waits(steps)) == 2


def test_a_refusal_is_not_tried_again() -> None:
    said = {"type": "urn:integrator:problem:invalid-input", "title": "Invalid input", "detail": "no"}
    error, steps = play(session().send("sales", BATCH, "direct"), [GRANTED, Answer(422, {}, json.dumps(said).encode())])
    assert isinstance(error, Problem) and (error.status, error.detail) == (422, "no")
    assert error.type == "urn:integrator:problem:invalid-input" and len(paths(steps)) == 2


def test_a_refusal_that_is_no_document_is_still_one() -> None:
    error, _ = play(session().send("sales", BATCH, "direct"), [GRANTED, Answer(404, {}, b"<html>")])
    assert isinstance(error, Problem) and error.status == 404


def test_too_large_goes_in_halves_and_counts_from_the_right_place() -> None:
    too_large = Answer(413, {}, b"{}")
    errors = [{"line": 1, "field": "quantity", "value": "-1", "reason": "negative"}]
    one = Answer(200, {}, json.dumps({"accepted": 1, "unchanged": 0, "quarantined": 0, "errors": []}).encode())
    bad = Answer(200, {}, json.dumps({"accepted": 0, "unchanged": 0, "quarantined": 1, "errors": errors}).encode())
    report, _ = play(session().send("sales", BATCH, "direct"), [GRANTED, too_large, one, bad])
    assert (report.accepted, report.quarantined, report.sent) == (1, 1, 2)
    assert report.rejected[0].index == 41


def test_one_record_that_is_too_large_is_a_problem() -> None:
    error, _ = play(session().send("sales", Batch(0, (b"{}",)), "direct"), [GRANTED, Answer(413, {}, b"{}")])
    assert isinstance(error, Problem) and error.status == 413


def test_an_api_key_is_sent_as_it_is() -> None:
    ours = Session(api_key="iak_secret")
    _, steps = play(ours.send("sales", BATCH, "direct"), [LANDED])
    assert isinstance(steps[0], Request) and steps[0].headers["Authorization"] == "Bearer iak_secret"
    error, again = play(ours.send("sales", BATCH, "direct"), [Answer(401, {}, b"{}")])
    assert isinstance(error, AuthenticationError) and len(again) == 1


def test_the_secret_is_escaped_as_the_standard_says() -> None:
    from base64 import b64decode

    _, steps = play(session().send("sales", BATCH, "direct"), [GRANTED, LANDED])
    assert isinstance(steps[0], Request)
    assert b64decode(steps[0].headers["Authorization"].removeprefix("Basic ")) == b"icl_1:s%3Ae%2Fc"


@pytest.mark.parametrize("given", [{}, {"client_id": "a"}, {"client_id": "a", "client_secret": "b", "api_key": "c"}])
def test_one_credential_is_needed(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="api_key"):
        Session(**given)  # type: ignore[arg-type]


def test_nothing_secret_shows_in_a_repr() -> None:
    assert "s:e/c" not in repr(session()) and "iak_secret" not in repr(Session(api_key="iak_secret"))


def test_ids_are_escaped_in_paths() -> None:
    assert insight_path("attendance", "a/b c") == "/v1/insights/attendance/a%2Fb%20c"


@pytest.mark.parametrize("address", ["", "localhost:8080", "ftp://example.org", "//example.org"])
def test_an_address_without_a_scheme_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match=r"http\(s\) address"):
        require_address(address)
