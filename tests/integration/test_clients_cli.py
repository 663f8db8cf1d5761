"""`integrator clients` and `integrator keys`, run in this process over the tests' database."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from joserfc.jwk import ECKey
from sqlalchemy import text
from typer.testing import CliRunner, Result

from integrator.cli.main import app
from integrator.cli.session import close_sessions
from integrator.contracts.errors import InvalidInput, NotFound
from integrator.security import clients
from integrator.steps.services import Services
from tests.certificates import Authority

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(services: Services, server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A function that runs a command and reads its JSON lines; its failure is raised."""
    address = services.database.address
    url = f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}"
    monkeypatch.setenv("INTEGRATOR_DATABASE_URL", url)
    monkeypatch.setenv("INTEGRATOR_REDIS_URL", services.redis_url)
    monkeypatch.setenv("INTEGRATOR_MASTER_KEY", base64.b64encode(bytes(range(32))).decode())
    monkeypatch.setenv("INTEGRATOR_HOME", str(server.home))

    def ran(*words: str) -> list[dict[str, Any]]:
        result: Result = CliRunner().invoke(app, list(words), catch_exceptions=True)
        close_sessions()
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    yield ran
    close_sessions()


def made(run: Run, *more: str) -> dict[str, Any]:
    (row,) = run("clients", "create", "--partner", "alpha", "--scopes", "insights:read", *more, "--json")
    return row


def listed(run: Run, client_id: str) -> dict[str, Any]:
    return next(r for r in run("clients", "list", "--partner", "alpha", "--json") if r["client_id"] == client_id)


def test_a_client_from_birth_to_end(run: Run, services: Services) -> None:
    client = made(run, "--expires-in", "90d")
    assert client.keys() == {"client_id", "client_secret"}
    (fresh,) = run("clients", "rotate", "--partner", "alpha", client["client_id"], "--overlap", "2h", "--json")
    assert fresh["client_id"] == client["client_id"] and fresh["client_secret"] != client["client_secret"]
    row = listed(run, client["client_id"])
    assert row["method"] == "client_secret" and row["previous_until"] and row["expires_at"] and not row["revoked_at"]
    assert not {"secret_hash", "previous_hash"} & row.keys()
    assert fresh["client_secret"] not in str(row) and client["client_secret"] not in str(row)
    run("clients", "revoke", "--partner", "alpha", client["client_id"])
    run("clients", "revoke", "--partner", "alpha", client["client_id"])
    assert listed(run, client["client_id"])["revoked_at"]
    assert services.cache.client.exists(f"deny:client:{client['client_id']}")
    with pytest.raises(NotFound):
        run("clients", "rotate", "--partner", "alpha", client["client_id"])
    with services.database.partner("alpha") as connection:
        actions = connection.execute(
            text("select action from integrator.audit_log where partner = 'alpha' and subject = :id order by audit_id"),
            {"id": client["client_id"]},
        ).scalars()
        assert list(actions) == ["client.create", "client.rotate", "client.revoke", "client.revoke"]


def test_an_api_key(run: Run) -> None:
    client = made(run, "--api-key")
    assert client.keys() == {"client_id", "api_key"} and client["api_key"].startswith("iak_")
    (fresh,) = run("clients", "rotate", "--partner", "alpha", client["client_id"], "--json")
    assert fresh["api_key"] != client["api_key"]
    assert fresh["api_key"].startswith(listed(run, client["client_id"])["secret_prefix"])


def test_a_signing_client(run: Run, tmp_path: Path) -> None:
    path, key = tmp_path / "key.json", ECKey.generate_key("P-256", {"kid": "a"})
    path.write_text(json.dumps(key.as_dict(private=False)))
    client = made(run, "--jwk", str(path))
    assert client.keys() == {"client_id"}
    assert listed(run, client["client_id"])["method"] == "private_key_jwt"
    (fresh,) = run("clients", "rotate", "--partner", "alpha", client["client_id"], "--jwk", str(path), "--json")
    assert fresh == client


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (json.dumps(ECKey.generate_key("P-256").as_dict(private=True)), "private key"),
        (json.dumps(ECKey.generate_key("P-384").as_dict(private=False)), "EC P-256"),
        (json.dumps({"kty": "RSA", "n": "x" * 170, "e": "AQAB"}), "2048"),
        ('{"kty":"oct","k":"c2VjcmV0"}', "private key"), ('{"kty":"EC","crv":"P-256","x":"!","y":"!"}', "no JWK"),
        ("[]", "no JWK"), ("rubbish", "no JWK"), ('{"keys":[]}', "0 keys"), ('{"keys":7}', "no JWK"), ("{}", "None"),
    ],
)  # fmt: skip
def test_keys_that_are_refused(run: Run, tmp_path: Path, document: str, reason: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(document)
    with pytest.raises(InvalidInput, match=reason):
        made(run, "--jwk", str(path))


def test_a_client_with_a_certificate(run: Run, tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("crm", x509.DNSName("crm.acme.example"))
    for named in (str(certificate), "dns:crm.acme.example", "subject:CN=crm,O=Acme"):
        client = made(run, "--certificate", named)
        assert listed(run, client["client_id"])["method"] == "tls_client_auth"


@pytest.mark.parametrize(
    "words",
    [("--api-key", "--certificate", "dns:x"), ("--expires-in", "soon"), ("--expires-in", "0"), ("--jwk", "/nowhere.json"),
     ("--certificate", "/nowhere.pem"), ("--certificate", "crm"), ("--expires-in", "9999999999d")],
)  # fmt: skip
def test_what_is_wrong_is_said(run: Run, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        made(run, *words)


@pytest.mark.parametrize("overlap", ["59m", "31d", "x", "-1h", "1w", "\u0663h"])
def test_overlaps_that_are_refused(run: Run, services: Services, overlap: str) -> None:
    client = clients.create(services.database, "alpha", "insights:read", services.clock())
    with pytest.raises(InvalidInput):
        run("clients", "rotate", "--partner", "alpha", client.client_id, f"--overlap={overlap}")


def test_signing_keys(run: Run, services: Services) -> None:
    (first,) = run("keys", "rotate", "--json")
    (second,) = run("keys", "rotate", "--json")
    rows = {row["kid"]: row for row in run("keys", "list", "--json")}
    assert rows[second["kid"]]["state"] == "signing" and rows[first["kid"]]["state"] == "verifying"
    assert rows[first["kid"]]["verifies_until"] > rows[first["kid"]]["retired_at"]
    assert all("wrapped" not in row for row in rows.values())
    with services.database.batch() as connection:
        found = connection.execute(
            text("select subject from integrator.audit_log where partner is null and action = 'signing_key.rotate'")
        ).scalars()
        assert {first["kid"], second["kid"]} <= set(found)
