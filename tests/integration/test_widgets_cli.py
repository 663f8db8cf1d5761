"""`integrator widgets origins`: added, listed, removed, each written down; what is no origin is refused in words."""

import base64
from typing import Any

import pytest
from sqlalchemy import text

from integrator.steps.services import Services
from tests.command_line import Answer, called

ORIGIN = "https://app.alpha.example"


@pytest.fixture
def run(services: Services, server: Any) -> Any:
    address = services.database.address
    environment = {
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": services.redis_url, "INTEGRATOR_HOME": str(server.home),
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
    }  # fmt: skip

    def ran(*words: str, partner: str = "alpha") -> Answer:
        return called(environment, "widgets", "origins", *words, "--partner", partner)

    return ran


def test_an_origin_from_birth_to_end(run: Any, services: Services) -> None:
    assert run("add", ORIGIN).code == 0
    assert "registered before" in run("add", ORIGIN).err
    (row,) = run("list", "--json").documents
    assert row["origin"] == ORIGIN and row["created_at"]
    assert run("remove", ORIGIN).code == 0
    assert run("list", "--json").documents == []
    gone = run("remove", ORIGIN)
    assert gone.code == 1 and ORIGIN in gone.err
    with services.database.partner("alpha") as connection:
        actions = connection.execute(
            text(
                "select action from integrator.audit_log where partner = 'alpha' and subject = :origin order by audit_id"
            ),
            {"origin": ORIGIN},
        ).scalars()
        assert list(actions) == ["widget_origin.add", "widget_origin.remove"]


@pytest.mark.parametrize("origin", ["*", "null", "http://app.alpha.example", "https://app.alpha.example/"])
def test_what_is_no_origin(run: Any, origin: str) -> None:
    answer = run("add", origin)
    assert answer.code == 1 and "allowed: https://host" in answer.err and origin in answer.err


def test_an_unknown_partner(run: Any) -> None:
    answer = run("add", ORIGIN, partner="gamma")
    assert answer.code == 1 and "alpha, beta" in answer.err
