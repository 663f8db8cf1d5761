"""The notebooks of docs/: whole, small, and run through from first to last; running one is `benchmarks.model_quality`'s."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks.model_quality import notebooks
from integrator.contracts.insight import USE_CASES


def _cells(name: str) -> list[Any]:
    return [cell for cell in nbformat.read(notebooks.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells]


def test_there_is_one_for_each_use_case() -> None:
    assert set(notebooks.names()) == set(USE_CASES)


@pytest.mark.parametrize("name", USE_CASES)
def test_each_has_been_run_from_first_to_last_without_a_failure(name: str) -> None:
    nbformat.validate(nbformat.read(notebooks.NOTEBOOKS / f"{name}.ipynb", as_version=4))
    code = [cell for cell in _cells(name) if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", USE_CASES)
def test_each_is_small_and_tells_nothing_of_the_machine(name: str) -> None:
    text = (notebooks.NOTEBOOKS / f"{name}.ipynb").read_text()
    assert len(text) < notebooks.LARGEST_BYTES
    assert "/tmp/" not in text and "/home/" not in text and "/root" not in text


@pytest.mark.parametrize("name", USE_CASES)
def test_the_code_of_each_compiles_and_what_it_imports_is_there(name: str) -> None:
    code = [cell.source for cell in _cells(name) if cell.cell_type == "code"]
    for source in code:
        compile(source, name, "exec")
    imports = "\n".join(line for line in code[0].splitlines() if line.startswith(("import ", "from ")))
    exec(imports, {})


def _alone(folder: Path, monkeypatch: pytest.MonkeyPatch, *sources: str) -> None:
    monkeypatch.setattr(notebooks, "NOTEBOOKS", folder)
    cells = [new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells), folder / "one.ipynb")


def test_running_one_keeps_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(tmp_path, monkeypatch, "print(6 * 7)")
    notebooks.run("one", keep=True)
    (cell,) = json.loads((tmp_path / "one.ipynb").read_text())["cells"]
    assert [output["text"] for output in cell["outputs"]] == [["42\n"]]
    assert cell["metadata"] == {}


def test_a_cell_that_fails_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _alone(tmp_path, monkeypatch, "1 / 0")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.run("one", keep=True)


def _with(*outputs: Any) -> Any:
    return new_notebook(cells=[new_code_cell("1", id="one", outputs=list(outputs))])


def test_complaints_and_second_forms_are_not_kept() -> None:
    kept = new_output("execute_result", data={"text/plain": "a table", "text/html": "<table>"})
    text = notebooks.written(_with(new_output("stream", name="stderr", text="hush"), kept))
    assert "a table" in text
    assert "hush" not in text and "<table>" not in text


def test_outputs_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "LARGEST_BYTES", 1_000)
    with pytest.raises(ValueError, match="allowed: 1,000"):
        notebooks.written(_with(new_output("stream", text="x" * 1_000)))
