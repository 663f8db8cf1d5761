"""One night over all six platforms: from each comes at least one insight, or what is still lacking for one."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dagster import DagsterInstance

from integrator.cli.demo.cast import CAST, FURTHER
from integrator.platforms.registry import PLATFORMS
from integrator.steps.readiness import readiness
from integrator_sandbox.demo import demo_connections, further_connections
from tests.pipeline.installation import Clock, Installation, Night, platforms, register_all, services_at

EVERYONE = {one["platform"]: one["partner"] for one in demo_connections("") + further_connections("")}


@pytest.fixture(scope="module")
def installation(
    make_database: Callable[[], Any], server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Six partners, one on each platform, before any night."""
    clock = Clock()
    with platforms(tmp_path_factory.mktemp("platforms")) as sandbox, DagsterInstance.ephemeral() as instance:
        services = services_at(tmp_path_factory.mktemp("six"), make_database(), server.redis_url, clock)
        register_all(services, sandbox, CAST + FURTHER)
        yield Installation(services, sandbox, instance, clock, tuple(EVERYONE.values()))


@pytest.fixture(scope="module")
def night(installation: Installation) -> Night:
    """The night."""
    return installation.night()


def test_every_platform_with_a_folder_of_its_own_has_a_partner() -> None:
    own = {platform.name for platform in PLATFORMS if platform.setting_fields.get("definition") is None}
    assert own - {"files"} == set(EVERYONE) and len(EVERYONE) == 6


def test_the_night_succeeds_for_everybody(night: Night) -> None:
    assert night.result.success, [entry for entry in night.result.steps if entry.status == "failed"]


@pytest.mark.parametrize("platform", sorted(EVERYONE))
def test_records_of_the_platform_landed(night: Night, platform: str) -> None:
    landed = night.after[EVERYONE[platform]].landed
    assert sum(landed.values()) > 100, landed


@pytest.mark.parametrize("platform", sorted(EVERYONE))
def test_an_insight_came_from_it(night: Night, platform: str) -> None:
    documents = [json.loads(text) for text in night.after[EVERYONE[platform]].current.values()]
    mine = [one for one in documents if platform in one["source"]["platforms"]]
    assert mine and all(one["partner"] == EVERYONE[platform] and one["explanation"]["summary"] for one in mine)


@pytest.mark.parametrize("platform", sorted(EVERYONE))
def test_readiness_says_what_is_there(night: Night, installation: Installation, platform: str) -> None:
    assert readiness(installation.services, EVERYONE[platform])


def test_a_second_night_lands_nothing_new(night: Night, installation: Installation) -> None:
    again = installation.night()
    assert again.result.success
    for partner in EVERYONE.values():
        assert again.after[partner].landed == night.after[partner].landed
        assert again.after[partner].current == night.after[partner].current
