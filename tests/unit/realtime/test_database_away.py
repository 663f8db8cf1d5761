"""PostgreSQL going away in the middle of a request is 503 with a word on what to do, never a defect of ours."""

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import exc

from integrator_realtime import problems
from tests.asgi import Direct

LOST = [
    exc.OperationalError("select 1", {}, Exception("server closed the connection")),
    exc.InterfaceError("select 1", {}, Exception("the connection is closed")),
    exc.TimeoutError("QueuePool limit reached"),
    psycopg.OperationalError("terminating connection due to administrator command"),
    psycopg.errors.AdminShutdown("terminating connection"),
    psycopg.errors.DeadlockDetected("deadlock detected"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_database_is_unavailable(error: Exception) -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    answer = Direct(app).get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:integrator:problem:unavailable"
    assert str(error) not in answer.text and "can be sent again" in answer.json()["detail"]
