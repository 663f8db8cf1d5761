"""The nights that the tests of the whole night look at, each once a run and each built on the one before.

A test asks for the night it is about and reads what was noted then; what later nights did does not matter to it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance

from integrator.cli.demo import cast
from integrator_dagster.launch import NightResult, run_retrain
from integrator_sandbox.demo import SHOPIFY_TOKEN
from models.gate import Verdict
from models.versions import VersionInfo
from tests.pipeline.installation import NOW, PARTNERS, Clock, Installation, Night, connect, platforms, services_at
from tests.pipeline.planted import NEWCOMER, plant, register_newcomer

LATER, TOMORROW = NOW + timedelta(hours=1), NOW + timedelta(days=1)
PAST = NOW - timedelta(days=7)


@pytest.fixture(scope="session")
def installation(
    make_database: Callable[[], Any], server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The demo's three partners with their logins, and a newcomer, before any night."""
    home: Path = tmp_path_factory.mktemp("installation")
    clock = Clock()
    with platforms(tmp_path_factory.mktemp("platforms")) as sandbox, DagsterInstance.ephemeral() as instance:
        plant(sandbox)
        services = services_at(home, make_database(), server.redis_url, clock)
        logins = {login.partner: login for login in cast.prepare(services, sandbox.url)}
        made = Installation(services, sandbox, instance, clock, (*PARTNERS, NEWCOMER), logins)
        register_newcomer(made)
        yield made


@pytest.fixture(scope="session")
def first(installation: Installation) -> Night:
    """The first night."""
    return installation.night()


@pytest.fixture(scope="session")
def second(installation: Installation, first: Night) -> Night:
    """An hour later, with nothing new anywhere."""
    installation.move(LATER, platforms_too=False)
    return installation.night()


@dataclass(frozen=True)
class Retraining:
    """A retraining of one partner and use case, the versions there are after it, and what stands."""

    result: NightResult
    versions: list[VersionInfo]
    night: Night


def retraining(installation: Installation, partner: str, use_case: str, **config: Any) -> Retraining:
    """Retrain, and look."""
    result = run_retrain(installation.instance, installation.services, partner, use_case, config=config or None)
    versions = installation.services.tracking.versions(use_case, partner)
    return Retraining(result, sorted(versions, key=lambda v: int(v.version)), installation.after(result))


@pytest.fixture(scope="session")
def refused(installation: Installation, second: Night) -> Retraining:
    """The car parks' attendance trained again on the same data: it cannot beat itself."""
    return retraining(installation, "car_parks", "attendance")


@pytest.fixture(scope="session")
def tomorrow(installation: Installation, refused: Retraining) -> Night:
    """A day later, with a day's news; the grocer's credential is wrong."""
    installation.move(TOMORROW)
    wrong = {"access_token": SHOPIFY_TOKEN[::-1]}
    connect(installation.services, installation.sandbox, "grocer", wrong)
    return installation.night()


@pytest.fixture(scope="session")
def healed(installation: Installation, tomorrow: Night) -> Night:
    """The right credential is saved; now the car parks' platform answers every request with 500."""
    connect(installation.services, installation.sandbox, "grocer")
    installation.sandbox.fail("pretix", 500, 1000)
    night = installation.night()
    installation.sandbox.lever("reset")
    return night


@pytest.fixture(scope="session")
def promoted(installation: Installation, healed: Night) -> Retraining:
    """A person makes a weaker model champion by hand; a retraining on the same data then beats it."""
    weaker = retraining(installation, "car_parks", "attendance", candidates=["seasonal_mean"], promote=False)
    by_hand = Verdict(promote=True, reasons=("Promoted by hand.",))
    installation.services.tracking.promote("attendance", "car_parks", weaker.versions[-1].version, verdict=by_hand)
    return retraining(installation, "car_parks", "attendance")


@pytest.fixture(scope="session")
def past(installation: Installation, promoted: Retraining) -> Night:
    """The night as of a week ago."""
    installation.move(PAST, platforms_too=False)
    return installation.night()
