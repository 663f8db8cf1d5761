"""`integrator files`, and the guide's own example."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from integrator.cli import files as command
from integrator.cli.main import app
from integrator.settings import Settings
from integrator.steps.services import Services
from integrator.storage import partners
from integrator.storage.partners import Partner
from tests.conftest import NOW

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "files.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The fenced block after a file's name in the guide."""
    found = re.search(rf"`{re.escape(name)}`\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None, name
    return found[1]


@pytest.fixture
def drop(database: Any, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drop with the guide's example for `acme`; the commands know it."""
    partners.register(database, Partner(partner="acme", timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    services = Services(Settings(home=server.home, drop_url=str(tmp_path)), database, server.redis_url, lambda: NOW)
    monkeypatch.setattr(command, "open_session", lambda: services)
    for name in ("till/mapping.yaml", "till/monday.csv"):
        (tmp_path / "acme" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "acme" / name).write_text(block(name), encoding="utf-8")
    return tmp_path


def run(*words: str) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(app, ["files", *words, "--partner", "acme", "--json"])
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_guide_s_example_lands_as_the_guide_says(drop: Path) -> None:
    assert run("list") == (0, [{"path": "acme/till/monday.csv", "kind": "sales", "status": "waiting", "reason": None}])
    assert run("land") == (0, []), "it was written a moment ago"
    code, (landed,) = run("land", "--at-once")
    assert code == 0 and (landed["status"], landed["accepted"], landed["quarantined"]) == ("landed", 1, 1)
    assert [(e["line"], e["field"], e["value"]) for e in landed["errors"]] == [(2, "status", "offen")]
    assert json.loads((drop / "acme/till/monday.csv.report.json").read_text())["accepted"] == 1
    _, (listed,) = run("list")
    assert listed["status"] == "landed" and listed["sha256"] == landed["sha256"]
    broken = drop / "acme/sales/a.xlsx"
    broken.parent.mkdir()
    broken.write_text("no")
    os.utime(broken, (1, 1))
    code, (told,) = run("land")
    assert code == 1 and told["status"] == "broken" and ".parquet" in told["reason"]


def test_a_partner_that_is_not_there_is_refused(drop: Path) -> None:
    assert CliRunner().invoke(app, ["files", "land", "--partner", "nobody"]).exit_code != 0
