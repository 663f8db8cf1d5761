"""Wrong words on the command line: one line that names what was typed and what is allowed, and exit code 2."""

import sys

import pytest

from integrator.cli import main
from integrator.cli.output import show
from integrator.cli.pairs import pairs
from integrator.contracts.errors import EXIT_USAGE, InvalidInput

USED = ["connections", "authorize", "--partner", "acme", "--platform", "hubspot"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "No such command 'nonsense'; allowed: demo, up, down,"),
        (["clients", "nonsense"], "No such command 'nonsense'; allowed: create, list, rotate, revoke (see "),
        (["clients", "list", "--nonsense"], "No such option: --nonsense; allowed: --partner, --json, --help (see "),
        (["clients", "list"], "Missing option '--partner' (see "),
        ([*USED, "--port", "99999"], "Invalid value for '--port'"),
        (["quarantine", "replay", "--partner", "acme"], "say the record's id, or --all"),
    ],
)
def test_wrong_usage_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["integrator", *words])
    with pytest.raises(SystemExit) as ended:
        main.run()
    out, err = capsys.readouterr()
    assert ended.value.code == EXIT_USAGE and out == ""
    assert err.startswith("integrator: ") and said in err and err.count("\n") == 1


def test_nothing_typed_is_answered_with_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["integrator", "clients"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    out, err = capsys.readouterr()
    assert ended.value.code == EXIT_USAGE and "rotate" in out + err and "integrator: " not in err


def test_help_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["integrator", "keys", "--help"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 0


def test_a_credential_without_a_name_is_not_repeated() -> None:
    with pytest.raises(InvalidInput, match="allowed: NAME=VALUE") as refused:
        pairs("credential", ["sk_live_secret"])
    assert "sk_live" not in str(refused.value)
    with pytest.raises(InvalidInput, match="'base_url' is not allowed; allowed: NAME=VALUE"):
        pairs("setting", ["base_url"])


def test_a_table_cuts_nothing_off(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"id": "icl_" + "0" * 24, **{f"c{n}": "word " * 12 for n in range(6)}}], as_json=False)
    assert "…" not in capsys.readouterr().out
