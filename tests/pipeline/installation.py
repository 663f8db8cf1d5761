"""A whole installation for the tests of the night: sandbox in a process of its own, three demo partners, a clock to move.

The sandbox serves real data, a small part of it, over HTTP. Its packages and prepared files are kept between runs under
the repository's `.integrator`; everything else is the run's own.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from dagster import DagsterInstance
from sqlalchemy import text

from integrator.cli.demo.cast import CAST, Login
from integrator.cli.processes import Applications
from integrator.cli.up import demo_account
from integrator.contracts.readiness import Readiness
from integrator.embedded.endpoints import free_port
from integrator.settings import Settings
from integrator.steps.readiness import readiness
from integrator.steps.services import Services
from integrator.storage import connections, insights, partners, reference, webhooks
from integrator_dagster.launch import NightResult, run_night
from integrator_sandbox.demo import demo_connections, further_connections
from integrator_sandbox.prepare import prepared

NOW = datetime(2026, 3, 16, 20, 0, tzinfo=UTC)
PARTNERS = tuple(partner.partner for partner in CAST)
USE_CASES = ("attendance", "pricing", "lead_score")
SUBSET = {"--sites": "28", "--products": "6", "--contacts": "2000"}
"""Enough that attendance trains and passes the gate; pricing trains and does not; the leads are too few and have their rule."""
PACKAGES = Path(__file__).resolve().parents[2] / ".integrator"
TIMEOUT = 15


@dataclass
class Platforms:
    """The sandbox, its folder and its levers."""

    home: Path
    url: str

    def lever(self, name: str, body: Mapping[str, Any] | None = None) -> None:
        """Pull one."""
        requests.post(f"{self.url}/_sandbox/{name}", json=dict(body or {}), timeout=TIMEOUT).raise_for_status()

    def fail(self, platform: str, status: int, count: int) -> None:
        """The next requests to a platform are answered with `status`."""
        self.lever("faults", {"platform": platform, "status": status, "count": count})

    def add(self, platform: str, *records: Mapping[str, Any]) -> None:
        """Records in the platform's own shape."""
        self.lever("records", {"platform": platform, "records": records})

    def received(self, name: str) -> list[dict[str, Any]]:
        """Every message a receiver kept: it keeps those whose signature it verified."""
        found: list[dict[str, Any]] = []
        while True:
            answer = requests.get(f"{self.url}/_sandbox/webhooks/{name}", params={"after": len(found)}, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
            found += page["results"]
            if page["next"] is None:
                return found


@contextmanager
def platforms(home: Path) -> Iterator[Platforms]:
    """The sandbox as a process, its clock at NOW."""
    prepared(PACKAGES)
    for folder in (PACKAGES / "sandbox").glob("prepared-*"):
        shutil.copytree(folder, home / "sandbox" / folder.name)
    (home / "data-packages").symlink_to(PACKAGES / "data-packages")
    port = free_port()
    arguments = ["-m", "integrator_sandbox", "--home", str(home), "--port", str(port), "--now", NOW.isoformat()]
    arguments += ["--control", *(word for pair in SUBSET.items() for word in pair)]
    with Applications(home) as applications:
        yield Platforms(home, applications.start("sandbox", arguments, port).url)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    moment: datetime = NOW

    def __call__(self) -> datetime:
        """The moment."""
        return self.moment


def services_at(home: Path, database: Any, redis_url: str, clock: Clock) -> Services:
    """Services that wait little for a platform, and may send webhooks to loopback."""
    settings = Settings(home=home, allow_loopback_webhooks=True, allow_private_platforms=True, http_retries=1)
    return Services(settings, database, redis_url, clock)


def register_all(services: Services, sandbox: Platforms, people: Sequence[partners.Partner] = CAST) -> None:
    """The demo's partners, connections and webhook endpoints, without a login: those belong to the server."""
    now = services.clock()
    reference.load_rates(services.database)
    for partner in people:
        partners.register(services.database, partner, now)
        url = f"{sandbox.url}/_sandbox/webhooks/{partner.partner}"
        made = webhooks.add(services.database, partner.partner, url, now, allow_loopback=True)
        requests.put(url, json={"secret": made.secret}, timeout=TIMEOUT).raise_for_status()
    reference.load_holidays(services.database, [partner.region for partner in people], now)
    for partner in people:
        connect(services, sandbox, partner.partner)


def connect(services: Services, sandbox: Platforms, partner: str, credentials: Mapping[str, str] | None = None) -> None:
    """Save the partner's connection, with its own credentials or with others."""
    everyone = demo_connections(sandbox.url) + further_connections(sandbox.url)
    demo = next(one for one in everyone if one["partner"] == partner)
    account = demo_account(demo if credentials is None else {**demo, "credentials": dict(credentials)})
    with services.database.partner(partner) as connection:
        connections.save(connection, services.database.master, account, services.clock())


Version = tuple[str, int]
"""An insight's id and its version."""


@dataclass(frozen=True)
class Standing:
    """What one partner has at a moment: current documents, all versions, landed versions, publications, messages."""

    current: Mapping[str, str]
    versions: Mapping[Version, Mapping[str, Any]]
    landed: Mapping[str, int]
    publications: int
    messages: Sequence[Mapping[str, Any]]
    checked: frozenset[datetime]

    def sent(self) -> list[Version]:
        """The versions the receiver was told, in order of arrival."""
        return [(m["document"]["data"]["id"], m["document"]["data"]["insight_version"]) for m in self.messages]


def standing(services: Services, partner: str, messages: Sequence[Mapping[str, Any]]) -> Standing:
    """What there is now."""
    with services.database.partner(partner) as connection:
        served = [one for case in USE_CASES for one in insights.current(connection, partner, case)]
        versions = connection.execute(
            text("""select insight_id, insight_version, use_case, subject_id, status, rung, model_name, model_version,
              input_position, run_id, document, checked_at from insights.version where partner = :partner"""),
            {"partner": partner},
        ).mappings()
        found = {(row["insight_id"], row["insight_version"]): dict(row) for row in versions}
        landed = {
            kind: connection.execute(
                text(f"select count(*) from landing.{kind} where partner = :partner"), {"partner": partner}
            ).scalar_one()
            for kind in ("event", "contact", "sale")
        }
        publications = connection.execute(
            text("select count(*) from insights.publication_log where partner = :partner"), {"partner": partner}
        ).scalar_one()
        checked = connection.execute(
            text("select distinct checked_at from insights.current where partner = :partner"), {"partner": partner}
        ).scalars()
        return Standing(
            {one.insight_id: one.document for one in served}, found, landed, publications, messages, frozenset(checked)
        )


@dataclass(frozen=True)
class Night:
    """What a night came to, and what stood after it."""

    result: NightResult
    after: Mapping[str, Standing]
    materialized: Mapping[str, frozenset[str]]
    readiness: Mapping[str, Readiness]
    """Of the partner that came last, by use case."""

    def steps(self, partner: str) -> dict[tuple[str, str], str]:
        """Status by step and use case."""
        return {(entry.step, entry.use_case): entry.status for entry in self.result.steps if entry.partner == partner}


@dataclass
class Installation:
    """Services, platforms and Dagster; `night` runs one and looks at what it left."""

    services: Services
    sandbox: Platforms
    instance: DagsterInstance
    clock: Clock
    names: tuple[str, ...] = PARTNERS
    logins: Mapping[str, Login] = field(default_factory=dict)

    def move(self, moment: datetime, *, platforms_too: bool = True) -> None:
        """Time passes here, and at the platforms."""
        self.clock.moment = moment
        if platforms_too:
            self.sandbox.lever("clock", {"now": moment.isoformat()})

    def night(self, only: Iterable[str] | None = None) -> Night:
        """A night in this process."""
        return self.after(run_night(self.instance, self.services, None if only is None else list(only)))

    def after(self, result: NightResult) -> Night:
        """A run that has ended, and what stands."""
        reports = {report.use_case: report for report in readiness(self.services, self.names[-1])}
        return Night(result, self.look(), materialized_in(self.instance, result.run_id), reports)

    def look(self) -> dict[str, Standing]:
        """What every partner has now."""
        return {
            name: standing(self.services, name, self.sandbox.received(name) if name in PARTNERS else [])
            for name in self.names
        }


def materialized_in(instance: DagsterInstance, run_id: str) -> dict[str, frozenset[str]]:
    """The partitions that one run materialized, by asset."""
    found: dict[str, set[str]] = {}
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is not None and event.is_step_materialization and event.partition is not None:
            found.setdefault("/".join(event.asset_key.path), set()).add(event.partition)
    return {key: frozenset(partitions) for key, partitions in found.items()}
