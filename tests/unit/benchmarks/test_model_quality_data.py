"""How the models' benchmark reads its data; the packages themselves are installed by the benchmark alone."""

import hashlib
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from benchmarks.model_quality import data, fetch
from benchmarks.model_quality.series import EVERY, SOURCES, Source
from integrator.contracts.errors import PermanentError, Unavailable


@pytest.fixture
def frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where frames lie that were read before; what is not there would have to be fetched."""
    monkeypatch.setenv("INTEGRATOR_HOME", str(tmp_path))
    folder = tmp_path / "model-quality" / "frames"
    folder.mkdir(parents=True)
    return folder


def _source(**more: object) -> Source:
    entry: dict[str, object] = {"name": "visits", "cadence": "monthly", "what": "w", "package": "p", "item": "visits"}
    return Source(**(entry | more))  # type: ignore[arg-type]


def test_every_package_is_locked_with_hashes_and_no_registry() -> None:
    text = fetch.LOCK.read_text()
    for line in fetch.LOCK.with_suffix(".in").read_text().splitlines():
        assert line.startswith("#") or line.lower() in text
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_every_series_has_a_name_of_its_own_and_its_dates_from_somewhere() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    for source in SOURCES:
        assert (source.at is None) != (source.start is None), source.name
        assert source.at is None or source.format
    assert {source.cadence for source in SOURCES} == set(EVERY)


def test_steps_without_dates_follow_their_cadence(frames: Path) -> None:
    pl.DataFrame({"value": [1.0, 2.0, None, 4.0]}).write_parquet(frames / "p.visits.parquet")
    frame = _source(start=date(2020, 11, 1), scale=1_000).read()
    assert frame["at"].dt.date().to_list() == [date(2020, 11, 1), date(2020, 12, 1), date(2021, 2, 1)]
    assert frame["value"].to_list() == [1_000.0, 2_000.0, 4_000.0]
    assert frame["unit"].to_list() == ["visits"] * 3
    quarters = _source(start=date(2020, 11, 1), cadence="quarterly").read()
    assert quarters["at"].dt.date().to_list()[1] == date(2021, 2, 1)


def test_columns_and_keys_are_units_and_a_moment_told_twice_counts_once(frames: Path) -> None:
    file = frames / "p.visits.parquet"
    pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, float("nan")]}).write_parquet(file)
    wide = _source(values=("a", "b"), start=date(2020, 1, 1)).read()
    assert wide.with_columns(pl.col("at").dt.date()).rows() == [
        ("a", date(2020, 1, 1), 1.0),
        ("a", date(2020, 2, 1), 2.0),
        ("b", date(2020, 1, 1), 3.0),
    ]
    days = {"who": ["x", "x", "y"], "on": ["2020-01-01", "2020-01-01", "2020-01-01"], "value": [0.0, 5.0, 1.0]}
    pl.DataFrame(days).write_parquet(file)
    long = _source(unit="who", at="on", format="%Y-%m-%d", is_log=True, cadence="daily").read()
    assert long["unit"].to_list() == ["x", "y"]
    assert long["value"].to_list() == pytest.approx([1.0, 2.718282])


def test_chicago_is_in_order_of_its_days(frames: Path) -> None:
    rows = {"date": ["2001-01-23", "2001-01-22"], "ridership": [15.8, 15.7]}
    pl.DataFrame(rows).write_parquet(frames / "modeldata.Chicago.parquet")
    assert data.chicago()["date"].to_list() == [date(2001, 1, 22), date(2001, 1, 23)]


def test_a_machine_without_apt_is_told_what_is_missing(frames: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(frames))
    with pytest.raises(PermanentError, match=r"no apt-get and no dpkg found.*r-cran-bayesm"):
        data.orange_juice()


def test_a_file_that_is_another_is_refused(frames: Path) -> None:
    fetch.home().joinpath("orangeJuice.rda").write_bytes(b"apples")
    with pytest.raises(PermanentError, match=hashlib.sha256(b"apples").hexdigest()):
        data.orange_juice_stores()


def test_what_cannot_be_read_is_said_and_leaves_nothing(frames: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "packages", lambda: frames)
    with pytest.raises(Unavailable, match=r"p\.nowhere could not be read: ModuleNotFoundError"):
        fetch.r_frame("p", "nowhere")
    assert not list(frames.iterdir())
