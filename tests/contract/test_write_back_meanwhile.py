"""What becomes of a batch for a platform when somebody acts while it is under way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Conflict, Forbidden
from integrator.steps import connections, write_back
from integrator.steps.connections import Actor, account_of
from integrator.steps.services import Services
from integrator.steps.write_back_run import run
from integrator.storage.turns import Turns
from integrator_sandbox.hubspot import FIRST_ID
from tests.channel_suite import World, called, emptied, two_tenants

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

ALPHA = Actor("alpha", "tester")
WRITE = "integrator.platforms.hubspot.write_back.HubSpotWriter.write"


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    return two_tenants(database, server)


@pytest.fixture
def world(services: Services, sandbox: LiveSandbox) -> World:
    """Two scores that HubSpot has not heard of."""
    emptied(services)
    settings, credentials = sandbox.connection("hubspot")
    connections.save(services, ALPHA, account_of("alpha", "hubspot", None, settings, credentials))
    made = World(services=services)
    made.publish("alpha", 1, n0=50, n1=60)
    write_back.plan(services, ALPHA, "hubspot")
    write_back.enable(services, ALPHA, "hubspot")
    made.later(timedelta(minutes=1))
    return made


def test_what_was_removed_leaves_nothing(world: World) -> None:
    services = world.services
    with called(WRITE, lambda: connections.remove(services, ALPHA, "hubspot")), pytest.raises(Conflict):
        run(services, "alpha", "hubspot")
    with services.database.partner("alpha") as connection:
        assert connection.execute(text("select count(*) from integrator.written_back")).scalar_one() == 0
        failed = text("select count(*) from ops.event_log where kind = 'write_back.failed'")
        assert connection.execute(failed).scalar_one() == 0


def test_who_disables_waits_for_nobody_and_what_was_told_is_known(world: World, sandbox: LiveSandbox) -> None:
    services = world.services
    with called(WRITE, lambda: write_back.disable(services, ALPHA, "hubspot")), pytest.raises(Conflict):
        run(services, "alpha", "hubspot")
    seen = write_back.status(services, "alpha", "hubspot")
    assert (seen["status"], seen["written"], seen["due"], seen["last_error"]) == ("off", 2, 0, None)
    assert len(sandbox.state.writes("hubspot")) == 2


def test_what_was_refused_before_it_was_enabled_anew_is_tried_again(world: World, sandbox: LiveSandbox) -> None:
    services, calls = world.services, []
    gone = sandbox.state.removed("hubspot")
    gone[str(FIRST_ID)] = sandbox.clock()

    def mended() -> None:
        calls.append(1)
        if len(calls) == 1:
            write_back.enable(services, ALPHA, "hubspot")
        else:
            gone.clear()

    with called(WRITE, mended):
        report = run(services, "alpha", "hubspot")
    assert (len(calls), report.written, report.refused) == (2, 2, 1)
    seen = write_back.status(services, "alpha", "hubspot")
    assert (seen["written"], seen["refused"], seen["due"]) == (2, 0, 0)


def test_a_failure_from_before_it_was_enabled_anew_does_not_stop_it(world: World) -> None:
    services = world.services

    def refused() -> None:
        write_back.enable(services, ALPHA, "hubspot")
        raise Forbidden("a permission is missing")

    with called(WRITE, refused), pytest.raises(Forbidden):
        run(services, "alpha", "hubspot")
    seen = write_back.status(services, "alpha", "hubspot")
    assert (seen["status"], seen["due"], seen["last_error"]) == ("on", 2, None)
    assert run(services, "alpha", "hubspot").written == 2


def test_two_at_once_write_one_after_the_other(world: World) -> None:
    services = world.services
    with Turns(services.database).taken("alpha", "write_back/hubspot") as taken:
        assert taken
        with pytest.raises(Conflict, match="being written"):
            run(services, "alpha", "hubspot")
    seen = write_back.status(services, "alpha", "hubspot")
    assert (seen["status"], seen["last_error"]) == ("on", None)
    assert run(services, "alpha", "hubspot").written == 2


def test_an_older_version_that_may_have_come_last_is_followed_by_the_newer(world: World, sandbox: LiveSandbox) -> None:
    """As though the turn was lost: another process tells a newer version while ours is on its way."""
    services, calls = world.services, []

    def overtaken() -> None:
        calls.append(1)
        if len(calls) == 1:
            world.publish("alpha", 2, n0=90, n1=60)
            with services.database.partner("alpha") as connection:
                connection.execute(
                    text("""insert into integrator.written_back
                      (partner, connection_id, insight_id, native_id, insight_version, status, at)
                    select partner, 'hubspot', insight_id, subject_id, insight_version, 'written', now()
                    from insights.current"""),
                )

    with called(WRITE, overtaken):
        run(services, "alpha", "hubspot")
    assert sandbox.state.writes("hubspot")[str(FIRST_ID)]["integrator_lead_score"] == "90"
