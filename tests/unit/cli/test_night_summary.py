"""The night on the command line: what a run's records add up to, what fails it, and the lines that say it goes on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.cli import night
from integrator.cli.night import STEPS_SHOWN, Progress, raise_failure, summary
from integrator.contracts.errors import InvalidInput, PermanentError, TransientError
from integrator.storage.step_runs import STEPS, StepRun

MOMENT = datetime(2026, 3, 16, tzinfo=UTC)


@dataclass
class Result:
    """What `integrator_dagster.launch.NightResult` tells; importing Dagster takes seconds."""

    steps: list[StepRun] = field(default_factory=list)
    success: bool = True
    failed_partners: dict[str, str] = field(default_factory=dict)
    is_transient: bool = False
    message: str = ""


def entry(step: str, status: str = "success", rows: int = 0, partner: str = "alpha", use_case: str = "") -> StepRun:
    return StepRun(
        partner=partner, step=step, run_id="r", status=status, use_case=use_case, row_count=rows, started_at=MOMENT,
        finished_at=MOMENT,
    )  # fmt: skip


def by_step(result: Result, progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    rows = summary(result, progress or Progress())  # type: ignore[arg-type]
    assert [row["step"] for row in rows] == list(STEPS_SHOWN)
    return {row["step"]: row for row in rows}


def test_an_empty_night_shows_every_step_with_nothing() -> None:
    for row in by_step(Result()).values():
        assert (row["rows"], row["succeeded"], row["failed"], row["seconds"]) == (0, 0, 0, "0.0")


def test_rows_and_outcomes_add_up_over_partners_and_use_cases() -> None:
    result = Result([
        entry("ingest", rows=10), entry("ingest", rows=5, partner="beta"), entry("ingest", "failed", partner="gamma"),
        entry("score", rows=3, use_case="attendance"), entry("score", rows=4, use_case="pricing"),
        entry("publish", "excluded", partner="gamma"), entry("publish", rows=7),
    ])  # fmt: skip
    found = by_step(result)
    assert (found["ingest"]["rows"], found["ingest"]["succeeded"], found["ingest"]["failed"]) == (15, 2, 1)
    assert (found["score"]["rows"], found["score"]["succeeded"]) == (7, 2)
    assert (found["publish"]["rows"], found["publish"]["succeeded"], found["publish"]["failed"]) == (7, 1, 1)


def test_harmonize_and_features_are_one_line() -> None:
    found = by_step(Result([entry("harmonize", rows=2), entry("features", rows=3), entry("features", "failed")]))
    line = found["harmonize and features"]
    assert (line["rows"], line["succeeded"], line["failed"]) == (5, 2, 1)


def test_every_step_has_a_line() -> None:
    for step in STEPS:
        assert any(row["succeeded"] for row in by_step(Result([entry(step)])).values()), step


def test_a_night_that_went_well_raises_nothing() -> None:
    raise_failure(Result())  # type: ignore[arg-type]


@pytest.mark.parametrize(("is_transient", "kind"), [(False, PermanentError), (True, TransientError)])
def test_the_partners_that_failed_are_named_with_their_reasons(is_transient: bool, kind: type[Exception]) -> None:
    failed = {"alpha": "ingest: token expired", "beta": "score pricing: all 3 rows failed"}
    result = Result(success=False, failed_partners=failed, is_transient=is_transient)
    with pytest.raises(kind, match="alpha: ingest: token expired; beta: score pricing: all 3 rows failed"):
        raise_failure(result)  # type: ignore[arg-type]


def test_a_run_that_fails_without_a_partner_says_its_own_reason() -> None:
    with pytest.raises(PermanentError, match="the run failed: dbt could not compile"):
        raise_failure(Result(success=False, message="dbt could not compile"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "noon", "2026-13-01T00:00:00Z", "2026-03-16T12:00:00", "2026-03-16", "1773662400"]
)
def test_a_moment_needs_its_offset(text: str) -> None:
    with pytest.raises(InvalidInput, match="as-of .* is not allowed; allowed: RFC 3339"):
        night._moment(text)


def test_a_moment_is_read_in_any_zone() -> None:
    assert night._moment(None) is None
    assert night._moment("2026-03-16T14:00:00+02:00") == datetime(2026, 3, 16, 12, tzinfo=UTC)
    assert night._moment("2026-03-16T12:00:00Z") == datetime(2026, 3, 16, 12, tzinfo=UTC)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(night, "time", made)
    return made


def test_steps_are_timed_and_said(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for op, took in (("raw__pretix__sales", 2.0), ("raw__pretix__events", 1.5), ("model__pricing", 4.0)):
        progress(op, "started")
        clock.now += took
        progress(op, "finished")
    assert progress.seconds == {"ingest": 3.5, "train": 4.0}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "raw/pretix/sales" in lines[0] and lines[0].endswith("finished in 2.0 s")
    assert lines[2].split()[:2] == ["7.5", "s"], "the time since the run began"
    assert by_step(Result(), progress)["ingest"]["seconds"] == "3.5"


def test_an_end_without_a_beginning_takes_no_time(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    clock.now += 50
    progress("insight__pricing", "failed")
    assert progress.seconds == {"score": 0.0}
    assert "failed in 0.0 s" in capsys.readouterr().err


def test_a_long_step_says_that_it_runs_until_it_ends(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress("harmonize", "started")
    clock.now += 12
    progress._still("harmonize")
    assert "running for 12 s" in capsys.readouterr().err
    progress("harmonize", "finished")
    reminder = progress._reminder
    assert reminder is not None and reminder.finished.is_set(), "no timer is left behind"
    capsys.readouterr()
    progress._still("harmonize")
    assert capsys.readouterr().err == "", "a reminder that comes too late says nothing"
