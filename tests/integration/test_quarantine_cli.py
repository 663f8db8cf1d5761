"""`integrator quarantine` as programs call it: list, show, replay as it came, mended, or all."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from integrator.cli.main import app
from integrator.cli.session import close_sessions
from integrator.contracts.errors import IntegratorError, InvalidInput, NotFound
from integrator.steps.services import Services
from integrator.storage import landing
from tests.pushing import landed, sale

Command = Callable[..., Result]


@pytest.fixture
def command(services: Services, server: Any) -> Iterator[Command]:
    """The command line over the module's database."""
    address = services.database.address
    environment = {
        "INTEGRATOR_HOME": str(server.home), "INTEGRATOR_NOW": "2026-03-16T12:00:00Z",
        "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
        "INTEGRATOR_REDIS_URL": services.redis_url,
        "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
    }  # fmt: skip

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["quarantine", *words, "--partner", "alpha"], env=environment)

    yield run
    close_sessions()


def put(services: Services, platform: str, *records: dict[str, Any]) -> None:
    landing.write(services.database, "alpha", platform, "sale", records, now=services.clock())


def waiting(command: Command, *words: str) -> list[dict[str, Any]]:
    answer = command("list", "--json", *words)
    assert answer.exit_code == 0, answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_list_show_mend(command: Command, services: Services, tmp_path: Path) -> None:
    put(services, "direct", sale("c-1", currency="XYZ"), sale("c-2", quantity=-1))
    assert [entry["native_id"] for entry in waiting(command, "--kind", "sales")] == ["c-2", "c-1"]
    (entry,) = waiting(command, "--field", "currency")
    number = str(entry["quarantine_id"])
    shown = json.loads(command("show", number).stdout)
    assert shown == sale("c-1", currency="XYZ")
    refused = command("replay", number)
    assert refused.exit_code == 1 and json.loads(refused.stdout)["errors"][0]["field"] == "currency"
    file = tmp_path / "mended.json"
    file.write_text(json.dumps({**shown, "currency": "EUR"}))
    done = command("replay", number, "--file", str(file))
    assert (done.exit_code, json.loads(done.stdout)["replayed"]) == (0, 1)
    assert "c-1" in landed(services, "alpha") and waiting(command, "--field", "currency") == []
    assert waiting(command, "--platform", "elsewhere") == []


def test_replaying_all_says_what_stays(command: Command, services: Services) -> None:
    put(services, "many", *(sale(f"m-{n}", quantity=-n - 1) for n in range(3)))
    answer = command("replay", "--all", "--platform", "many")
    body = json.loads(answer.stdout)
    assert (answer.exit_code, body["replayed"], body["refused"], body["next"]) == (1, 0, 3, None)
    assert "3 records still cannot land" in answer.stderr
    assert command("replay", "--all", "--kind", "events").exit_code == 0


@pytest.mark.parametrize("words", [(), ("5", "--all"), ("--all", "--file", __file__), ("0",), ("x",)])
def test_wrong_usage(command: Command, words: tuple[str, ...]) -> None:
    assert command("replay", *words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("show", "99999"), NotFound), (("replay", "99999"), NotFound), (("list", "--kind", "tickets"), InvalidInput),
        (("replay", "--all", "--kind", "sale"), InvalidInput),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(command: Command, words: tuple[str, ...], error: type[IntegratorError]) -> None:
    assert isinstance(command(*words).exception, error)
