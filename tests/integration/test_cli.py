"""The `integrator` command as programs call it: stdout, stderr and exit codes, on storage of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from integrator.cli.main import app
from integrator.contracts.errors import EXIT_PERMANENT, EXIT_TRANSIENT, EXIT_USAGE
from integrator.embedded.session import close_storage
from integrator.settings import Settings
from tests.command_line import Answer, called

PARTNER = ("--timezone", "Europe/Berlin", "--currency", "EUR", "--region", "DE-BE")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="integrator-cli-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    close_storage(Settings(home=path))
    shutil.rmtree(path, ignore_errors=True)


def integrator(home: Path, *words: str, stdin: str = "", **environment: str) -> Answer:
    """The command on storage of its own, at a moment."""
    facts = {"INTEGRATOR_HOME": str(home), "INTEGRATOR_NOW": "2026-03-16T12:00:00Z", **environment}
    return called(facts, *words, stdin=stdin)


@pytest.fixture(scope="module")
def acme(home: Path) -> str:
    answer = integrator(home, "partners", "add", "acme", *PARTNER, "--json")
    assert answer.code == 0, answer.err
    (document,) = answer.documents
    assert document["partner"] == "acme"
    return str(document["database_url"])


def test_the_login_of_a_new_partner_works_and_sees_its_own_views(acme: str) -> None:
    with psycopg.connect(acme) as connection:
        row = connection.execute("select current_user, count(*) from insights.attendance group by 1").fetchone()
        assert row is None
        assert connection.execute("select current_user").fetchone() == ("partner_acme",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from landing.contact")


def test_adding_a_partner_again_changes_nothing_and_shows_no_password(home: Path, acme: str) -> None:
    answer = integrator(home, "partners", "add", "acme", *PARTNER, "--json")
    assert answer.code == 0
    assert answer.documents == [{"partner": "acme"}]
    assert "registered already" in answer.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("partners", "add", "pooled", *PARTNER), "partner 'pooled' is not allowed"),
        (
            ("partners", "add", "x_y", "--timezone", "Mars", "--currency", "EUR", "--region", "DE"),
            "timezone 'Mars' is not allowed",
        ),
        (("partners", "add", "x_y", "--timezone", "UTC", "--currency", "EURO", "--region", "DE"), "ISO 4217"),
        (
            ("partners", "add", "acme", "--timezone", "UTC", "--currency", "USD", "--region", "DE"),
            "exists with other settings",
        ),
        (("partners", "credentials", "acme"), "--rotate"),
        (("clients", "create", "--partner", "nobody", "--scopes", "insights:read"), "there are: acme"),
        (("clients", "create", "--partner", "acme", "--scopes", "everything"), "'everything' is not allowed"),
        (
            ("insights", "list", "--partner", "acme", "--use-case", "weather"),
            "allowed: attendance, pricing, lead_score",
        ),
        (("insights", "history", "ins_none"), "no insight 'ins_none'"),
        (("explain", "ins_none"), "ins_none"),
        (("run", "nightly", "--as-of", "yesterday"), "RFC 3339"),
        (("run", "nightly", "--as-of", "2026-01-01T00:00:00"), "with an offset"),
        (("retrain", "--partner", "acme", "--use-case", "weather"), "allowed: attendance, pricing, lead_score"),
        (("connections", "add", "--partner", "acme", "--platform", "myspace"), "platform 'myspace' is not allowed"),
        (("webhooks", "add", "--partner", "acme", "--url", "http://127.0.0.1/x"), "allowed: https://"),
    ],
)
def test_a_permanent_failure_is_one_line_with_the_values_allowed(
    home: Path, acme: str, words: tuple[str, ...], reason: str
) -> None:
    answer = integrator(home, *words)
    assert answer.code == EXIT_PERMANENT, answer.err
    assert answer.out == ""
    assert reason in answer.err
    assert answer.err.startswith("integrator: ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "words", [("fly",), ("partners", "add"), ("load", "--partner", "acme", "--kind", "sales", "no-such-file.csv")]
)
def test_wrong_usage_is_exit_two(home: Path, words: tuple[str, ...]) -> None:
    assert integrator(home, *words).code == EXIT_USAGE


def test_an_unreachable_database_is_transient(home: Path) -> None:
    key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    answer = integrator(
        home, "partners", "list", INTEGRATOR_DATABASE_URL="postgresql://a:b@127.0.0.1:1/x", INTEGRATOR_MASTER_KEY=key
    )
    assert answer.code == EXIT_TRANSIENT
    assert "no connection to PostgreSQL at 127.0.0.1:1" in answer.err


def test_a_wrong_setting_is_named(home: Path) -> None:
    answer = integrator(home, "partners", "list", INTEGRATOR_NOW="noon")
    assert answer.code == EXIT_PERMANENT
    assert "INTEGRATOR_NOW 'noon' is not allowed" in answer.err


def test_loading_answers_with_counts_and_the_rejected_lines(home: Path, acme: str, tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text(
        "native_id,product,sold_at,quantity,unit_price,currency,status,weather\n"
        "s1,seat,2026-03-01T10:00:00+01:00,2,12.50,EUR,paid,sunny\n"
        "s2,seat,2026-03-01T10:00:00+01:00,2,12.50,EUR,lost,sunny\n"
        "s3,seat,2026-03-01T10:00:00+01:00,many,12.50,EUR,paid,sunny\n"
    )
    first = integrator(home, "load", "--partner", "acme", "--kind", "sales", str(path))
    assert first.code == 0
    (body,) = first.documents
    assert {key: body[key] for key in ("accepted", "unchanged", "quarantined")} == {
        "accepted": 1,
        "unchanged": 0,
        "quarantined": 2,
    }
    assert [(error["line"], error["field"], error["value"]) for error in body["errors"]] == [
        (2, "status", "lost"),
        (3, "quantity", "many"),
    ]
    again = integrator(home, "load", "--partner", "acme", "--kind", "sales", str(path))
    assert again.documents[0]["unchanged"] == 1
    waiting = integrator(home, "quarantine", "list", "--partner", "acme", "--json").documents
    assert {entry["field"] for entry in waiting} == {"status", "quantity"}
    shown = integrator(home, "quarantine", "show", "--partner", "acme", str(waiting[0]["quarantine_id"]))
    assert "seat" in shown.out


def test_a_file_of_which_nothing_lands_is_a_failure(home: Path, acme: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    path.write_text('{"native_id": "x"}\nnot json\n')
    answer = integrator(home, "load", "--partner", "acme", "--kind", "contacts", str(path))
    assert answer.code == EXIT_PERMANENT
    assert answer.documents[0]["quarantined"] == 2
    assert integrator(home, "load", "--partner", "acme", "--kind", "tickets", str(path)).code == EXIT_PERMANENT


def test_rotating_credentials_ends_the_old_password(home: Path, acme: str) -> None:
    integrator(home, "partners", "add", "rotates", *PARTNER)
    first = integrator(home, "partners", "credentials", "rotates", "--rotate", "--json").documents[0]["database_url"]
    second = integrator(home, "partners", "credentials", "rotates", "--rotate", "--json").documents[0]["database_url"]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(first)
    psycopg.connect(second).close()


def test_clients_are_listed_without_their_secrets_and_can_be_revoked(home: Path, acme: str) -> None:
    made = integrator(
        home, "clients", "create", "--partner", "acme", "--scopes", "insights:read quality:read", "--json"
    ).documents[0]
    listed = integrator(home, "clients", "list", "--partner", "acme", "--json")
    assert made["client_id"] in listed.out
    assert made["client_secret"] not in listed.out
    assert integrator(home, "clients", "revoke", "--partner", "acme", made["client_id"]).code == 0


def test_credentials_of_a_connection_are_checked_before_they_are_stored(home: Path, acme: str) -> None:
    answer = integrator(
        home, "connections", "add", "--partner", "acme", "--platform", "pretix",
        "--setting", "base_url=http://127.0.0.1:1", "--setting", "organizer=x", "--credential", "token=-",
        stdin="a-secret-token\n", INTEGRATOR_HTTP_RETRIES="0",
    )  # fmt: skip
    assert answer.code in (EXIT_PERMANENT, EXIT_TRANSIENT)
    assert "a-secret-token" not in answer.out + answer.err
    assert integrator(home, "connections", "list", "--partner", "acme", "--json").out == ""


def test_the_module_runs_as_a_process_with_its_exit_code(home: Path, acme: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "integrator.cli.main", "readiness", "--partner", "nobody"],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "INTEGRATOR_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == EXIT_PERMANENT
    assert done.stderr.strip() == "integrator: partner 'nobody' is not registered; there are: acme, rotates"


def test_empty_lists_are_empty_documents(home: Path, acme: str) -> None:
    for words in (("insights", "list"), ("models", "list"), ("webhooks", "list")):
        answer = integrator(home, *words, "--partner", "acme", "--json")
        assert (answer.code, answer.out) == (0, ""), answer.err


def test_every_command_explains_itself() -> None:
    from typer.main import get_command

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}")

    for path, command in walk(get_command(app), "integrator"):
        assert command.help and len(command.help) > 15, f"{path} has no help"
        for parameter in command.params:
            described = getattr(parameter, "help", None) or parameter.param_type_name == "argument"
            assert described, f"{path} {parameter.name} has no help"
