"""What clients are made from, the script that runs a broker, and the channel where there is no Kafka."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from integrator.contracts.errors import InvalidInput
from integrator.delivery.kafka.client import configuration
from integrator.delivery.registry import channel
from integrator.settings import Settings
from integrator_stream.service import allowed_partners


def settings(**changes: Any) -> Settings:
    return Settings(kafka_bootstrap="127.0.0.1:1", **changes)


def test_without_security_nothing_but_the_address_is_said() -> None:
    assert configuration(settings()) == {
        "bootstrap.servers": "127.0.0.1:1", "client.id": "integrator", "security.protocol": "plaintext",
    }  # fmt: skip


def test_security_is_passed_on_and_not_shown() -> None:
    given = settings(
        kafka_security="sasl_ssl", kafka_user="worker", kafka_password=SecretStr("s3cret"), kafka_ca=Path("ca.pem"),
        kafka_cert=Path("cert.pem"), kafka_key=Path("key.pem"),
    )  # fmt: skip
    found = configuration(given)
    assert (found["sasl.mechanism"], found["sasl.username"], found["sasl.password"]) == (
        "SCRAM-SHA-512",
        "worker",
        "s3cret",
    )
    names = ("ca", "certificate", "key")
    assert [found[f"ssl.{name}.location"] for name in names] == ["ca.pem", "cert.pem", "key.pem"]
    assert "s3cret" not in repr(given)


@pytest.mark.parametrize(
    "changes",
    [
        {"kafka_bootstrap": None},
        {"kafka_security": "sasl_ssl"},
        {"kafka_security": "sasl_plaintext", "kafka_user": "worker"},
    ],
)
def test_what_does_not_fit_together_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="INTEGRATOR_KAFKA_"):
        configuration(settings().model_copy(update=changes))


def test_partners_are_named_with_commas_between() -> None:
    assert allowed_partners(settings()) == frozenset()
    assert allowed_partners(settings(kafka_partners=" acme, globex,,")) == {"acme", "globex"}


def test_without_kafka_the_channel_does_nothing_and_loads_no_client() -> None:
    code = (
        "import sys\nfrom types import SimpleNamespace\nfrom integrator.delivery.registry import channel\n"
        "from integrator.settings import Settings\nto = SimpleNamespace(settings=Settings(kafka_bootstrap=None))\n"
        "assert channel('kafka').write(None, to) == channel('kafka').after(None, None, to) == 0\n"
        "assert 'confluent_kafka' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    to: Any = SimpleNamespace(settings=Settings(kafka_bootstrap=None))
    nothing: Any = None
    assert channel("kafka").after(nothing, nothing, to) == 0


def test_the_command_knows_faststream_only_once_it_runs() -> None:
    code = "import sys, integrator.cli.main\nassert not {'faststream', 'confluent_kafka'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_a_broker_that_cannot_be_run_is_said_loudly(
    script: Any, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka = script("kafka_broker")
    tools = tmp_path / "bin"
    tools.mkdir()
    if missing != "java":
        (tools / "java").write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
        (tools / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    assert kafka.main(["start", "--home", str(tmp_path / "home"), "--jars", str(tmp_path / "jars")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"no {missing} found" in said.err
    assert not list(tmp_path.glob("home/*"))


def test_an_old_java_is_refused(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = script("kafka_broker")
    (tmp_path / "java").write_text("#!/bin/sh\necho 'openjdk version \"11.0.1\"' >&2\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(kafka.Missing, match="java is 11; allowed: 17"):
        kafka.java()


def test_a_process_with_the_brokers_number_is_not_taken_for_it(script: Any, tmp_path: Path) -> None:
    kafka = script("kafka_broker")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (tmp_path / "broker.json").write_text(f'{{"pid": {process.pid}, "bootstrap": "127.0.0.1:1"}}')
        kafka.stop(tmp_path)
        assert process.poll() is None
        assert kafka.main(["status", "--home", str(tmp_path)]) == 1
    finally:
        process.communicate(b"\n")
