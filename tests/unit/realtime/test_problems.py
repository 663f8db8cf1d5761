"""Problem documents and counters of the realtime service, without a server."""

import json

import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError

from integrator.contracts.errors import Conflict, Defect, IntegratorError, NotFound, RateLimited, Unavailable, invalid
from integrator_realtime import problems
from integrator_realtime.metrics import HELP, Metrics


def answer(error: Exception) -> tuple[int, dict[str, str], dict[str, object]]:
    app = FastAPI()
    problems.install(app)
    scope = {"type": "http", "method": "GET", "path": "/v1/x", "headers": [], "query_string": b"", "request_id": "req_1",
             "scheme": "http", "server": ("host", 80)}  # fmt: skip
    kind = IntegratorError if isinstance(error, IntegratorError) else Exception
    response = app.exception_handlers[kind](Request(scope), error)
    assert not hasattr(response, "__await__")
    return response.status_code, dict(response.headers), json.loads(response.body)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (NotFound("no such thing"), 404, "not-found"), (Conflict("two of them"), 409, "conflict"),
        (invalid("limit", 0, "1 to 1000"), 422, "invalid-input"), (Unavailable("db 10.0.0.5 is away"), 503, "unavailable"),
        (RateLimited("slower", retry_after=2.4), 429, "rate-limited"), (Defect("inner secret"), 500, "defect"),
        (RuntimeError("inner secret"), 500, "defect"),
    ],
)  # fmt: skip
def test_every_failure_has_its_problem(error: Exception, status: int, slug: str) -> None:
    found, headers, document = answer(error)
    assert found == document["status"] == status
    assert headers["content-type"] == "application/problem+json"
    assert (
        document["type"] == f"urn:integrator:problem:{slug}" and document["instance"] == "urn:integrator:request:req_1"
    )


def test_what_is_inside_stays_inside() -> None:
    for error in (Defect("inner secret"), RuntimeError("inner secret"), Unavailable("db 10.0.0.5 is away")):
        _, _, document = answer(error)
        assert "secret" not in json.dumps(document) and "10.0.0.5" not in json.dumps(document)


def test_waiting_is_said_in_the_header() -> None:
    assert answer(RateLimited("slower", retry_after=2.4))[1]["retry-after"] == "2"
    assert answer(Unavailable("away"))[1]["retry-after"] == "1"


def test_the_field_at_fault_is_named() -> None:
    assert answer(invalid("limit", 0, "1 to 1000"))[2]["field"] == "limit"


def test_counters_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.add("integrator_requests_total", route='/a"b', method="GET", status="200")
    metrics.add("integrator_requests_total", route='/a"b', method="GET", status="200")
    metrics.add("integrator_request_log_dropped_total", 3)
    text = metrics.text()
    assert 'integrator_requests_total{route="/a\\"b",method="GET",status="200"} 2' in text
    assert "integrator_request_log_dropped_total 3" in text.splitlines()
    assert text.count("# TYPE") == len(HELP)


def test_a_platform_the_caller_named_is_told_about() -> None:
    status, headers, document = answer(problems.PlatformAway("shop.example cannot be resolved"))
    assert status == 503 and headers["retry-after"] == "1"
    assert document["detail"] == "shop.example cannot be resolved"


def test_what_was_said_and_what_is_allowed() -> None:
    found = [
        {
            "type": "less_than_equal",
            "loc": ("query", "limit"),
            "msg": "Input should be less than or equal to 9",
            "input": "10",
        },
        {"type": "missing", "loc": ("query", "state"), "msg": "Field required", "input": None},
        {"type": "string_type", "loc": ("body", "token"), "msg": "Input should be a valid string", "input": "secret"},
    ]
    app = FastAPI()
    problems.install(app)
    response = app.exception_handlers[RequestValidationError](
        Request({"type": "http", "method": "GET", "path": "/", "headers": []}), RequestValidationError(found)
    )
    document = json.loads(response.body)  # type: ignore[union-attr, arg-type]
    assert document["detail"] == (
        "limit '10' is not allowed; allowed: less than or equal to 9; state is missing; "
        "token is not allowed; allowed: a valid string"
    )
    assert [one["field"] for one in document["errors"]] == ["limit", "state", "token"]
