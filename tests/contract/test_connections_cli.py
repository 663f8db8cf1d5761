"""`integrator connections` against the live sandbox: what is printed, what the exit code says, what is never shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from typer.testing import CliRunner, Result

from integrator.cli import callback, connections
from integrator.contracts.errors import InvalidInput, NotFound, Unauthorized, Unavailable
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator_sandbox.demo import HUBSPOT_CLIENT, PRETIX_TOKEN
from tests.publishing import register_both

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

Run = Callable[..., Result]


@pytest.fixture
def run(server: Any, database: Any, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> Run:
    settings = Settings(home=server.home, allow_private_platforms=True, http_retries=0)
    services = Services(settings, database, server.redis_url, sandbox.clock)
    register_both(services, sandbox.clock())
    monkeypatch.setattr(connections, "open_session", lambda: services)

    def call(*words: str, stdin: str = "") -> Result:
        result = CliRunner().invoke(connections.app, [*words, "--partner", "alpha"], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert PRETIX_TOKEN not in result.output and HUBSPOT_CLIENT["refresh_token"] not in result.output
        return result

    return call


def pretix(sandbox: LiveSandbox) -> list[str]:
    settings, _ = sandbox.connection("pretix")
    words = [f"--setting={name}={value}" for name, value in settings.items()]
    return ["add", "--platform", "pretix", *words, "--credential", "token=-"]


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_add_check_sync_and_all_the_rest(run: Run, sandbox: LiveSandbox) -> None:
    assert "pretix is saved" in run(*pretix(sandbox), stdin=f"{PRETIX_TOKEN}\n").stderr
    assert run("check", "pretix").exit_code == 0
    sandbox.fault("pretix", 403, path="/orders/")
    lacking = run("check", "pretix", "--json")
    assert lacking.exit_code == 1 and documents(lacking) == [{"missing": "can_view_orders"}]
    rows = documents(run("sync", "--json"))
    assert [row["kind"] for row in rows] == ["event", "contact", "sale"] and rows[0]["accepted"] > 200
    (listed,) = documents(run("list", "--json"))
    assert (listed["connection_id"], listed["status"]) == ("pretix", "active") and "credentials" not in listed
    made = documents(run("backfill", "pretix", "--since", "2026-03-01", "--kind", "event", "--json"))
    assert made[0]["since"] == "2026-03-01T00:00:00+00:00" and made[0]["status"] == "waiting"
    assert documents(run("sync", "pretix", "--json"))[0]["unchanged"] > 0
    counted = {row["kind"]: row for row in documents(run("reconcile", "pretix", "--json"))}
    assert counted["event"]["gap"] == 0 and counted["event"]["counted"] > 200
    assert run("pause", "pretix").exit_code == 0
    assert documents(run("list", "--json"))[0]["status_reason"] == "by cli"
    assert run("resume", "pretix").exit_code == 0
    assert "1 connections are sealed" in run("rotate").stderr
    assert run("remove", "pretix").exit_code == 0
    assert run("list", "--json").stdout == ""


def test_what_fails_says_so(run: Run, sandbox: LiveSandbox) -> None:
    with pytest.raises(Unauthorized):
        run(*pretix(sandbox), stdin="wrong\n")
    for words in (["check"], ["pause"], ["remove"], ["reconcile"]):
        with pytest.raises(NotFound, match="'nothing' does not exist; there are: none"):
            run(*words, "nothing")
    with pytest.raises(InvalidInput, match="JSON list"):
        run("add", "--platform", "hubspot", "--setting", "converted_stages=[1]")
    with pytest.raises(InvalidInput) as caught:
        run("add", "--platform", "hubspot", "--credential", "=hunter2")
    assert "hunter2" not in str(caught.value)
    run(*pretix(sandbox), stdin=f"{PRETIX_TOKEN}\n")
    sandbox.fault("pretix", 502, count=99)
    failed = run("sync", "--json")
    assert failed.exit_code == 75 and "answered 502" in documents(failed)[0]["error"]
    sandbox.state.faults.ordered.clear()
    run("remove", "pretix")


def test_an_administrator_answers_on_loopback(run: Run, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    base = sandbox.connection("hubspot")[0]["base_url"]
    started: list[str] = []

    def browser(address: str) -> None:
        back = httpx.get(f"{address}&consent=yes").headers["location"]
        here = urlsplit(back)
        assert httpx.get(f"http://{here.netloc}/favicon.ico").status_code == 404
        assert "may close" in httpx.get(back).text

    def print_and_open(address: str, **_: Any) -> None:
        started.append(address)
        threading.Thread(target=browser, args=(address,), daemon=True).start()

    monkeypatch.setattr(connections, "print", print_and_open, raising=False)
    client = [f"--credential={name}={HUBSPOT_CLIENT[name]}" for name in ("client_id", "client_secret")]
    result = run(
        "authorize", "--platform", "hubspot", "--name", "crm", f"--setting=base_url={base}",
        f"--setting=authorize_url={base}", *client, '--setting=converted_stages=["customer"]',
    )  # fmt: skip
    assert "crm is saved" in result.stderr
    assert parse_qs(urlsplit(started[0]).query)["redirect_uri"][0].startswith("http://127.0.0.1:")
    assert run("check", "crm").exit_code == 0
    run("remove", "crm")


def test_nobody_answers_and_a_taken_port() -> None:
    with callback.Callback() as waiting:
        port = int(waiting.redirect_uri.split(":")[2].split("/")[0])
        with pytest.raises(Unavailable, match="taken"):
            callback.Callback(port)
        with pytest.raises(Unavailable, match="nobody answered"):
            waiting.wait(0.05)
