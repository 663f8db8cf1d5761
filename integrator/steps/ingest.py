"""Pulling a partner's platforms into landing, page by page; a connection that fails stops alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from integrator.contracts.errors import IntegratorError, PermanentError
from integrator.contracts.records import LandingResult
from integrator.platforms.base import Page
from integrator.platforms.http import HttpPolicy
from integrator.platforms.registry import platform as platform_named
from integrator.platforms.registry import spec as platform_spec
from integrator.steps.services import Services
from integrator.storage import connections, landing, logs
from integrator.storage.connections import PlatformConnection
from integrator.storage.landing import CursorUpdate

OnPage = Callable[[LandingResult], None]


@dataclass(frozen=True)
class IngestReport:
    """What a pull did over all of a partner's connections of one platform."""

    connections: int = 0
    pages: int = 0
    landed: LandingResult = field(default_factory=LandingResult)


def accounts(services: Services, partner: str, platform: str | None = None) -> list[PlatformConnection]:
    """A partner's connections, of one platform if it is named."""
    with services.database.partner(partner) as connection:
        return connections.for_partner(connection, services.database.master, partner, platform)


def ingest(
    services: Services, partner: str, platform: str, kind: str, *, on_page: OnPage | None = None
) -> IngestReport:
    """Pull what is new of one kind.

    Every active connection is pulled whatever becomes of the others; the first failure is raised after the last.
    A permanent failure stops its connection until its settings are saved again; paused ones are left alone.
    """
    platform_spec(platform).require_kind(kind)
    report = IngestReport()
    failures: list[IntegratorError] = []
    for account in accounts(services, partner, platform):
        if account.status == "paused":
            continue
        if account.status == "failed":
            failures.append(PermanentError(f"connection {account.connection_id} is stopped: {account.status_reason}"))
            continue
        try:
            report = _pull(services, account, kind, report, on_page)
        except IntegratorError as error:
            _note_failure(services, account, error)
            failures.append(error)
    if failures:
        raise failures[0]
    return report


def has_news(services: Services, partner: str, platform: str) -> bool:
    """Whether a pull of any active connection would find anything; a few requests each, for the sensor."""
    source = platform_named(platform)
    for account in accounts(services, partner, platform):
        if account.status != "active":
            continue
        with services.database.partner(partner) as connection:
            cursors = {
                kind: connections.cursor(connection, partner, account.connection_id, kind) for kind in source.spec.kinds
            }
        if source.has_news(
            account.settings, account.credentials, cursors, clock=services.clock, http=_policy(services)
        ):
            return True
    return False


def check(services: Services, account: PlatformConnection) -> list[str]:
    """The permissions an account lacks, by the platform's own names; a wrong credential raises `Unauthorized`."""
    return platform_named(account.platform).check(account.settings, account.credentials, http=_policy(services))


def _pull(
    services: Services, account: PlatformConnection, kind: str, report: IngestReport, on_page: OnPage | None
) -> IngestReport:
    source = platform_named(account.platform)
    partner, name = account.partner, account.connection_id
    with services.database.partner(partner) as connection:
        cursor = connections.cursor(connection, partner, name, kind)
    pages = source.pull(
        kind, account.settings, account.credentials, cursor, clock=services.clock, http=_policy(services)
    )
    count, landed = 0, LandingResult()
    for page in _ahead(pages):
        result = _land(services, account, page)
        landed, count = landed + result, count + 1
        if on_page is not None:
            on_page(landed)
    now = services.clock()
    with services.database.partner(partner) as connection:
        connections.mark_synced(connection, partner, name, now)
        if landed.accepted or landed.quarantined:
            logs.event(connection, partner, "connection.pulled", now, {
                "connection": name, "kind": kind, "accepted": landed.accepted, "unchanged": landed.unchanged,
                "quarantined": landed.quarantined,
            })  # fmt: skip
    return IngestReport(report.connections + 1, report.pages + count, report.landed + landed)


def _ahead(pages: Iterator[Page]) -> Iterator[Page]:
    """The same pages, one read ahead: while PostgreSQL lands one, the next is fetched and mapped."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pull") as reader:
        coming = reader.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = reader.submit(next, pages, None)
            yield page


def _land(services: Services, account: PlatformConnection, page: Page) -> LandingResult:
    return landing.write(
        services.database, account.partner, account.platform, page.kind, page.records, now=services.clock(),
        cursor=CursorUpdate(account.connection_id, page.kind, page.cursor),
        allowed_attributes=account.allowed_attributes,
    )  # fmt: skip


def _note_failure(services: Services, account: PlatformConnection, error: IntegratorError) -> None:
    permanent = isinstance(error, PermanentError)
    with services.database.partner(account.partner) as connection:
        if permanent:
            connections.set_status(connection, account.partner, account.connection_id, "failed", str(error))
        logs.event(connection, account.partner, "connection.failed", services.clock(), {
            "connection": account.connection_id, "reason": str(error), "permanent": permanent,
        })  # fmt: skip


def _policy(services: Services) -> HttpPolicy:
    settings = services.settings
    return HttpPolicy(read_timeout=settings.http_timeout_seconds, attempts=settings.http_retries + 1)
