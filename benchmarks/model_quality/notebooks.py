"""Runs the notebooks of docs/ anew and keeps their outputs, stripped of what changes from run to run."""

import asyncio
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parent.parent.parent / "docs" / "notebooks"
SECONDS_A_CELL = 600
LARGEST_BYTES = 600_000
"""Of a notebook with its outputs: pictures are drawn small, tables are cut."""


def names() -> list[str]:
    """The notebooks there are."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def run(name: str, *, keep: bool) -> Mapping[str, Any]:
    """Execute one from its first cell to its last, in a kernel of its own; with `keep` its outputs are written.

    Raises nbclient's `CellExecutionError` with the cell and its traceback; ValueError where its outputs are too large.
    """
    import nbformat
    from nbclient import NotebookClient

    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, timeout=SECONDS_A_CELL, record_timing=False, resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the kernel client's own words about event loops
        asyncio.run(client.async_execute())
    text = written(notebook)
    if keep:
        path.write_text(text, encoding="utf-8")
    return dict(notebook)


def written(notebook: Any) -> str:
    """The notebook's text without what changes from run to run; ValueError where its outputs are too large."""
    import nbformat

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.get("data", {}).pop("text/html", None)  # the text beside it is enough, and much smaller
    text: str = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    if len(text.encode()) > LARGEST_BYTES:
        raise ValueError(f"the notebook has {len(text.encode()):,} bytes with its outputs; allowed: {LARGEST_BYTES:,}")
    return text
