"""The project's manifest: parsed when a file has changed, and only then; what cannot be parsed says so."""

import json
import shutil
from pathlib import Path

import pytest

from integrator.contracts.errors import Defect
from integrator_dagster.dbt.manifest import PROJECT, fingerprint, manifest_of


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a folder of its own, parsed before."""
    manifest_of()
    copy = tmp_path_factory.mktemp("dbt") / "dbt_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("logs"))
    return copy


def names(manifest: dict[str, object]) -> set[str]:
    nodes = manifest["nodes"]
    assert isinstance(nodes, dict)
    return {str(node["name"]) for node in nodes.values()}


def test_an_unchanged_project_is_not_parsed_again(project: Path) -> None:
    stored = project / "target" / "manifest.json"
    assert (project / "target" / "manifest.sha256").read_text() == fingerprint(project) == fingerprint(PROJECT)
    marked = {**json.loads(stored.read_bytes()), "marked": True}
    stored.write_text(json.dumps(marked))
    assert manifest_of(project).get("marked"), "what is stored is read, by content and not by time"
    (project / "models" / "features" / "attendance.sql").touch()
    assert manifest_of(project).get("marked")


def test_a_changed_project_is_parsed_and_a_broken_one_says_why(project: Path) -> None:
    model = project / "models" / "features" / "another.sql"
    model.write_text("select 1 as partner\n")
    found = manifest_of(project)
    assert "another" in names(found) and "marked" not in found
    model.write_text("select {{ ref('nowhere') \n")
    with pytest.raises(Defect, match=r"cannot be parsed.*another"):
        manifest_of(project)
    with pytest.raises(Defect, match="cannot be parsed"):
        manifest_of(project)  # a failed parse is not remembered as a good one
    model.unlink()
    assert "another" not in names(manifest_of(project))
