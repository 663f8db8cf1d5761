"""What happens when somebody says `integrator demo`, in order."""

import time
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from integrator.cli.demo import cast, printed, verify
from integrator.cli.night import Progress, raise_failure, summary
from integrator.cli.output import note
from integrator.cli.processes import Applications
from integrator.cli.session import open_session
from integrator.cli.up import start_realtime, start_sandbox
from integrator.contracts.errors import Defect
from integrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrator.cli.demo.cast import Login
    from integrator.cli.demo.verify import Published
    from integrator.steps.services import Services
    from integrator_dagster.launch import NightResult

SAMPLE = 25


def run(settings: Settings, *, shown: int, all_platforms: bool = False) -> None:
    """The whole demo; anything that fails is one readable reason and a non-zero exit."""
    started = time.monotonic()
    # The receiver of the demo's webhooks listens on loopback.
    settings = settings.model_copy(update={"allow_loopback_webhooks": True, "allow_private_platforms": True})
    with Applications(settings.root) as applications:
        with _timed("storage: PostgreSQL, Redis, migrations"):
            services = open_session(settings)
        with _timed("sandbox: real public data behind the platforms' APIs"):
            sandbox = start_sandbox(services, applications)
        with _timed("partners, logins, connections, webhook endpoints"):
            logins = cast.prepare(services, sandbox.url, all_platforms=all_platforms)
        note("the night:")
        progress = Progress()
        result = _night(services, progress)
        raise_failure(result)
        with _timed("verification: tables, API and webhooks hold the same bytes"):
            api = start_realtime(services, applications)
            insights, counts = _verify(logins, api.url, sandbox.url)
        printed.datasets({login.partner for login in logins})
        printed.insights(insights, shown)
        printed.steps(summary(result, progress))
        printed.verified(counts)
        printed.where_next(services, logins, insights)
    note(f"done in {time.monotonic() - started:.0f} s; PostgreSQL and Redis go on until `make down`")


def _night(services: "Services", progress: Progress) -> "NightResult":
    """Let the sensors find the partners and their data, then run the night."""
    from integrator_dagster.launch import instance_of, run_night
    from integrator_dagster.ticks import find_news, find_partners

    with instance_of(services.settings) as instance:
        new = find_partners(instance, services)
        note(f"  sensor partners_registry: {', '.join(new) + ' are new' if new else 'nothing changed'}")
        news = find_news(instance, services)
        note(f"  sensor platform_news: {'news for ' + ', '.join(news) if news else 'no platform has news'}")
        return run_night(instance, services, progress=progress)


def _verify(
    logins: Sequence["Login"], api: str, sandbox: str
) -> "tuple[dict[str, list[Published]], dict[str, dict[str, int]]]":
    insights: dict[str, list[Published]] = {}
    counts = {}
    for login in logins:
        insights[login.partner] = verify.published(login)
        if not insights[login.partner]:
            raise Defect(f"the night published nothing for {login.partner}")
        receiver = f"{sandbox}/_sandbox/webhooks/{login.partner}"
        counts[login.partner] = verify.compare(
            login, insights[login.partner], api=api, receiver=receiver, sample=SAMPLE
        )
    for login, stranger in zip(logins, (*logins[1:], logins[0]), strict=True):
        verify.stranger_is_refused(stranger, insights[login.partner][0], api)
    return insights, counts


@contextmanager
def _timed(what: str) -> "Iterator[None]":
    note(f"{what} …")
    started = time.monotonic()
    yield
    note(f"  {time.monotonic() - started:5.1f} s")
