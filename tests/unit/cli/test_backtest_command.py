"""`integrator backtest` as it is typed: tables for people, one document for programs, one line for what is wrong."""

import contextlib
import io
import json
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from integrator.cli import main
from integrator.contracts.errors import EXIT_PERMANENT
from tests.attendance_frames import synthetic_people

ASKED = ("--use-case", "attendance", "--data", "parks.csv")


@pytest.fixture(scope="module")
def parks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short daily series in a file."""
    folder = tmp_path_factory.mktemp("parks")
    lines = ["day,unit,value,capacity"]
    for number, (unit, level) in enumerate((("hall", 400), ("club", 90))):
        for day, people in enumerate(synthetic_people(70, level=level, seed=number)):
            lines.append(f"{date(2025, 1, 6) + timedelta(days=day)},{unit},{people},{3 * level}")
    (folder / "parks.csv").write_text("\n".join(lines))
    return folder


def _typed(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command typed in `folder`."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder), contextlib.ExitStack() as stack:
        patch.setenv("INTEGRATOR_HOME", str(folder / "home"))
        patch.setattr(sys, "argv", ["integrator", "backtest", *words])
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        with pytest.raises(SystemExit) as ended:
            main.run()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def told(parks: Path) -> tuple[int, str, str]:
    """One backtest for people; made once, for it trains twice."""
    return _typed(parks, *ASKED, "--candidates", "exponential_smoothing")


def test_people_read_a_comparison(told: tuple[int, str, str]) -> None:
    code, out, _ = told
    assert code == 0
    assert out.startswith("attendance on parks.csv: 140 rows, judged on ")
    assert "Read: day as starts_at, value as attendance, unit as series_id, capacity; attributes: none." in out
    assert "seasonal_naive" in out and "exponential_smoothing" in out and "naive rule" in out
    assert "The gate would" in out


def test_pictures_and_card_lie_in_a_folder_and_no_database_was_started(told: tuple[int, str, str], parks: Path) -> None:
    files = {path.name for path in (parks / "backtest-attendance").iterdir()}
    assert {"backtest.png", "forecast.png", "model-card.md"} <= files
    assert "written: backtest-attendance/model-card.md" in told[2]
    assert not (parks / "home").exists()


@pytest.fixture(scope="module")
def document(parks: Path) -> tuple[int, str, str]:
    """The same for programs, of the rule alone and with another horizon."""
    return _typed(parks, *ASKED, "--candidates", "seasonal_naive", "--json", "--output", "elsewhere", "--horizon", "7")


def test_programs_read_one_document(document: tuple[int, str, str]) -> None:
    code, out, _ = document
    assert code == 0
    found = json.loads(out)
    assert (found["use_case"], found["rows"]) == ("attendance", 140)
    candidates = {one["candidate"] for one in found["candidates"]}
    assert found["chosen"] in candidates and "seasonal_naive" in candidates and "prophet" not in candidates
    assert "elsewhere/model-card.md" in found["files"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*ASKED, "--candidates", "oracle"), "oracle"),
        ((*ASKED, "--column", "attendance"), "column 'attendance' is not allowed; allowed: ROLE=NAME"),
        ((*ASKED, "--column", "attendance=nobody"), "'nobody' is not allowed; allowed: day, unit, value, capacity"),
        (("--use-case", "pricing", "--data", "parks.csv"), "the file lacks product"),
    ],
)
def test_what_is_wrong_is_one_line(parks: Path, words: tuple[str, ...], said: str) -> None:
    code, out, err = _typed(parks, *words, "--output", "nowhere")
    assert code == EXIT_PERMANENT
    assert out == "" and said in err and err.count("\n") == 1
    assert not (parks / "nowhere").exists()
