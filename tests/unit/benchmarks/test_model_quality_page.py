"""The page of the models' figures and the program that makes it."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.figure import Figure
from benchmarks.model_quality import __main__ as program
from benchmarks.model_quality import notebooks, page
from benchmarks.model_quality.section import Reached, Section
from integrator.contracts.errors import Defect, InvalidInput


def _reached(**more: object) -> Reached:
    facts: dict[str, object] = {
        "data": "car parks",
        "measure": "MASE",
        "value": 0.91234,
        "aim": "≤ 1.00",
        "is_met": True,
    }
    return Reached(**(facts | more))  # type: ignore[arg-type]


def _section(*reached: Reached) -> Section:
    return Section(
        title="Attendance",
        text="What was done.",
        reached=reached,
        tables={"By site": "| site | MASE |\n| --- | ---: |\n| a | 1 |"},
        plots={"sites": b"PNG"},
    )


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A part of the benchmark in the place of the attendance one."""
    module = ModuleType("benchmarks.model_quality.attendance")
    module.measure = lambda: _section(_reached())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(page, "PAGE", tmp_path / "model-quality.md")
    monkeypatch.setattr(page, "IMAGES", tmp_path / "images")
    return tmp_path


def test_a_figure_stands_beside_its_aim_and_its_peers() -> None:
    text = page.figures_table([_reached(peers={"prophet": 1.114}), _reached(value=28_947, is_met=False)])
    assert "| car parks | MASE | 0.9123 | ≤ 1.00 | yes | prophet 1.114 |" in text
    assert "| 28,947 | ≤ 1.00 | **no** |  |" in text


@pytest.mark.parametrize(
    ("aim", "value", "kept"),
    [
        ("≤ 300 s", 300, True),
        ("< 300 s", 300, False),
        ("under 300 s", 299, True),
        ("at most 1,000 s", 1001, False),
        ("≥ 8", 8, True),
        ("> 8", 8, False),
        ("at least 8 s", 7.9, False),
        ("over 8", 9, True),
        ("", 1e9, True),
    ],
)
def test_a_timing_keeps_its_aim_or_misses_it(aim: str, value: float, kept: bool) -> None:
    assert page.is_met(Figure("scoring", value, "s", aim=aim)) is kept


@pytest.mark.parametrize("aim", ["quick", "under 5 min", "8 times"])
def test_an_aim_that_is_no_bound_in_the_figures_unit_is_refused(aim: str) -> None:
    with pytest.raises(InvalidInput, match=aim):
        page.is_met(Figure("scoring", 1, "s", aim=aim))


def test_what_is_missed_is_named() -> None:
    sections = {"attendance": _section(_reached(), _reached(data="Chicago", value=0.5, is_met=False))}
    timings = [Figure("scoring", 31, "s", aim="under 30 s"), Figure("training", 1, "s", aim="under 30 s")]
    assert page.missed(sections, timings) == [
        "attendance: Chicago, MASE: 0.5, to reach ≤ 1.00",
        "scoring: 31 s, to reach under 30 s",
    ]


def test_the_page_has_sections_tables_and_pictures_and_drops_old_ones(docs: Path) -> None:
    (docs / "images").mkdir()
    (docs / "images" / "gone.png").touch()
    page.write({"attendance": _section(_reached())}, [Figure("scoring", 12, "s", peer="SHAP", peer_value=37)], "Today.")
    text = (docs / "model-quality.md").read_text()
    assert "## Attendance\n\nWhat was done.\n\n### By site\n\n| site | MASE |" in text
    assert "![sites](images/model-quality/sites.png)" in text
    assert "| scoring | 12 s |  | SHAP | 37 s | 0.32 × |" in text
    assert [file.name for file in (docs / "images").iterdir()] == ["sites.png"]


def test_two_pictures_of_one_name_are_refused(docs: Path) -> None:
    with pytest.raises(Defect, match="sites"):
        page.write({"attendance": _section(), "pricing": _section()}, [], "Today.")


def test_one_part_alone_is_printed_and_not_written(
    part: ModuleType, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--only", "attendance"]) == 0
    assert "| car parks | MASE | 0.9123 |" in capsys.readouterr().out
    assert not (docs / "model-quality.md").exists()
    with pytest.raises(SystemExit):
        program.main(["--only", "attendance", "--write"])


def test_a_missed_aim_and_a_broken_part_are_failures(
    part: ModuleType, docs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "SECTIONS", ("attendance",))
    monkeypatch.setattr(program, "TIMINGS", ())
    monkeypatch.setattr(notebooks, "NOTEBOOKS", docs / "notebooks")
    part.measure = lambda: _section(_reached(is_met=False))
    assert program.main(["--write"]) == 1
    assert "missed: attendance: car parks" in capsys.readouterr().err
    written = docs / "model-quality.md"
    assert "| **no** |" in written.read_text()
    written.unlink()
    del part.measure
    assert program.main(["--write"]) == 1
    assert "attendance could not be measured: AttributeError" in capsys.readouterr().err
    assert not written.exists()


def test_everything_met_is_written(part: ModuleType, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "SECTIONS", ("attendance",))
    monkeypatch.setattr(program, "TIMINGS", ())
    monkeypatch.setattr(notebooks, "NOTEBOOKS", docs / "notebooks")
    assert program.main(["--write"]) == 0
    text = (docs / "model-quality.md").read_text()
    assert "cores, Python 3.11" in text
    assert "scikit-learn 1." in text
