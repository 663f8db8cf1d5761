"""A landing killed with SIGKILL at any point goes on: nothing is lost, nothing is twice, and a file that kills is given up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from integrator.settings import Settings
from integrator.steps import files
from integrator.steps.services import Services
from integrator.storage import partners
from integrator.storage.partners import Partner
from tests.conftest import NOW
from tests.integration.test_files import lines

ROOT = Path(__file__).parents[2]
KILLED = """
import os, sys, json
from datetime import datetime
from integrator.settings import Settings
from integrator.steps import files
from integrator.steps.services import Services
from integrator.storage import files_ledger, landing
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Address, Database

url, home, drop, where, after = sys.argv[1:]
database = Database(Address.parse(url), MasterKey(bytes(range(32))))
services = Services(Settings(home=home, drop_url=drop), database, "", lambda: datetime.fromisoformat("2026-03-16T12:00:00+00:00"))
files.BATCH = 2
module, name = {"committed": (landing, "land"), "open": (files_ledger, "advance"),
                "finished": (files, "_finished")}[where]
call, calls = getattr(module, name), []

def fatal(*args, **how):
    result = call(*args, **how)
    calls.append(1)
    if len(calls) == int(after):
        os.kill(os.getpid(), 9)
    return result

setattr(module, name, fatal)
files.land(services, "alpha")
"""


@pytest.fixture
def dropped(database: Any, server: Any, tmp_path: Path) -> Services:
    partners.register(database, Partner(partner="alpha", timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    with database.partner("alpha") as connection:
        for table in ("landing.sale", "ops.dropped_file"):
            connection.execute(text(f"delete from {table} where partner = 'alpha'"))
    path = tmp_path / "alpha" / "sales" / "a.ndjson"
    path.parent.mkdir(parents=True)
    path.write_text(lines(*(f"s{n}" for n in range(7))) + "broken\n")
    os.utime(path, (1000, 1000))
    return Services(Settings(home=server.home, drop_url=str(tmp_path)), database, server.redis_url, lambda: NOW)


def kill(services: Services, where: str, after: int) -> int:
    address = services.database.address
    url = f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}"
    words = [url, str(services.settings.home), str(services.settings.drop_url), where, str(after)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


@pytest.mark.parametrize(("where", "after"), [("open", 2), ("committed", 2), ("finished", 1)])
def test_a_killed_landing_goes_on(
    dropped: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str, after: int
) -> None:
    assert kill(dropped, where, after) == -9
    monkeypatch.setattr(files, "BATCH", 2)
    files.land(dropped, "alpha")
    with dropped.database.partner("alpha") as connection:
        rows = connection.execute(
            text("select native_id from landing.sale where partner = 'alpha' order by 1")
        ).scalars()
        assert list(rows) == [f"s{n}" for n in range(7)]
        versions = connection.execute(text("select count(*) from landing.sale where partner = 'alpha'")).scalar_one()
    assert versions == 7
    told = json.loads((tmp_path / "alpha/sales/a.ndjson.report.json").read_text())
    assert (told["status"], told["accepted"], told["unchanged"], told["quarantined"]) == ("landed", 7, 0, 1)
    assert files.land(dropped, "alpha").entries == ()


def test_a_file_whose_landing_is_killed_again_and_again_is_given_up(
    dropped: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_ATTEMPTS", 1)
    assert kill(dropped, "open", 1) == -9
    (entry,) = files.land(dropped, "alpha").entries
    assert entry.status == "broken" and "broken off 1 times" in str(entry.reason)
    assert files.waiting(dropped, "alpha") == []
