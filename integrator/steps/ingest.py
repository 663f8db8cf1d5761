"""Pulling a partner's platforms into landing, page by page; a connection that fails stops alone.

What is new comes first. Backfills follow it, some pages at a time, so that they never keep it waiting.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from integrator.contracts.errors import IntegratorError, PermanentError, TransientError
from integrator.contracts.records import LandingResult
from integrator.platforms.base import Account, Page, Window
from integrator.platforms.http import HttpPolicy
from integrator.platforms.registry import platform as platform_named
from integrator.platforms.registry import spec as platform_spec
from integrator.steps.ingest_page import FieldsMet, land_backfill, land_page, note_drift
from integrator.steps.services import Services
from integrator.storage import backfills, connections, logs
from integrator.storage.backfills import Backfill
from integrator.storage.connections import PlatformConnection
from integrator.storage.failures import traced

OnPage = Callable[[LandingResult], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestReport:
    """What a pull did over all of a partner's connections of one platform; not `complete` when its time was up."""

    connections: int = 0
    pages: int = 0
    landed: LandingResult = field(default_factory=LandingResult)
    complete: bool = True


@dataclass(frozen=True)
class _Run:
    """One call of `ingest`: where it ends, and whom it tells."""

    services: Services
    kind: str
    on_page: OnPage | None
    deadline: float | None

    def is_over(self) -> bool:
        """Whether the time given is used up."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def accounts(services: Services, partner: str, platform: str | None = None) -> list[PlatformConnection]:
    """A partner's connections, of one platform if it is named."""
    with services.database.partner(partner) as connection:
        return connections.for_partner(connection, services.database.master, partner, platform)


def ingest(
    services: Services,
    partner: str,
    platform: str,
    kind: str,
    *,
    on_page: OnPage | None = None,
    connection_id: str | None = None,
    seconds: float | None = None,
    with_backfills: bool = True,
) -> IngestReport:
    """Pull what is new of one kind, then go on with backfills of it within their bounds.

    Every active connection is pulled whatever becomes of the others; the first failure is raised after the last.
    A permanent failure stops its connection until its settings are saved again; paused ones are left alone. After
    `seconds` it stops between two pages, and the next call goes on there.
    """
    platform_spec(platform).require_kind(kind)
    report = IngestReport()
    failures: list[Exception] = []
    run = _Run(services, kind, on_page, None if seconds is None else time.monotonic() + seconds)
    pulled: list[PlatformConnection] = []
    for account in accounts(services, partner, platform):
        if account.status == "paused" or connection_id not in (None, account.connection_id):
            continue
        if account.status == "failed":
            failures.append(PermanentError(f"connection {account.connection_id} is stopped: {account.status_reason}"))
            continue
        try:
            report = _pull(run, account, report)
            pulled.append(account)
        except Exception as error:  # a defect in one connection must not keep the others from being pulled
            _note_failure(services, account, error)
            failures.append(error)
    if with_backfills and not run.is_over():
        report = _backfills(run, pulled, report)
    if failures:
        raise failures[0]
    return report


def has_news(services: Services, partner: str, platform: str) -> bool:
    """Whether a pull of any active connection would find anything; a few requests each, for the sensor.

    A backfill that has not come to its end is news, for it goes on with the next pull.
    """
    source = platform_named(platform)
    for account in accounts(services, partner, platform):
        if account.status != "active":
            continue
        with services.database.partner(partner) as connection:
            cursors = {
                kind: connections.cursor(connection, partner, account.connection_id, kind) for kind in source.spec.kinds
            }
            waiting = backfills.of_connection(connection, partner, account.connection_id, waiting=True)
        if waiting or source.has_news(seen(services, account), cursors):
            return True
    return False


def check(services: Services, account: PlatformConnection) -> list[str]:
    """The permissions an account lacks, by the platform's own names; a wrong credential raises `Unauthorized`."""
    return platform_named(account.platform).check(seen(services, account))


def seen(services: Services, account: PlatformConnection) -> Account:
    """A connection as its platform sees it."""
    return Account(account.settings, account.credentials, services.clock, policy(services, account))


def policy(services: Services, account: PlatformConnection | None = None) -> HttpPolicy:
    """How patient to be with a platform; an account's rotated credentials are stored as they come."""
    settings = services.settings
    patient = HttpPolicy(
        read_timeout=settings.http_timeout_seconds, attempts=settings.http_retries + 1,
        allow_private=settings.allow_private_platforms,
    )  # fmt: skip
    if account is None:
        return patient
    partner, name, database = account.partner, account.connection_id, services.database

    def keep(fresh: Mapping[str, str]) -> None:
        with database.partner(partner) as connection:
            connections.keep_credentials(connection, database.master, partner, name, fresh)

    return replace(patient, keep=keep)


def _pull(run: _Run, account: PlatformConnection, report: IngestReport) -> IngestReport:
    services, source = run.services, platform_named(account.platform)
    partner, name, kind = account.partner, account.connection_id, run.kind
    with services.database.partner(partner) as connection:
        cursor = connections.cursor(connection, partner, name, kind)
    pages = source.pull(seen(services, account), kind, cursor)
    count, landed, complete = 0, LandingResult(), True
    met = FieldsMet()
    for page in _ahead(pages, run.is_over):
        result = land_page(services, account, page)
        met.add(page)
        landed, count = landed + result, count + 1
        if run.on_page is not None:
            run.on_page(landed)
        complete = not run.is_over()
    now = services.clock()
    with services.database.partner(partner) as connection:
        if complete:
            connections.mark_synced(connection, partner, name, now)
        note_drift(connection, account, kind, met, now)
        if landed.accepted or landed.quarantined:
            logs.event(connection, partner, "connection.pulled", now, {
                "connection": name, "kind": kind, "accepted": landed.accepted, "unchanged": landed.unchanged,
                "quarantined": landed.quarantined,
            })  # fmt: skip
    return IngestReport(
        report.connections + 1, report.pages + count, report.landed + landed, report.complete and complete
    )


def _backfills(run: _Run, pulled: list[PlatformConnection], report: IngestReport) -> IngestReport:
    """Go on with the backfills of these connections; one that fails is told and keeps nothing else from going on."""
    services = run.services
    for account in pulled:
        with services.database.partner(account.partner) as connection:
            waiting = backfills.of_connection(connection, account.partner, account.connection_id, waiting=True)
        budget = _Budget(services.settings.backfill_pages, time.monotonic() + services.settings.backfill_seconds)
        for backfill in waiting:
            if backfill.kind != run.kind or budget.is_used(run):
                continue
            try:
                pages, landed = _go_on(run, account, backfill, budget)
                report = replace(report, pages=report.pages + pages, landed=report.landed + landed)
            except Exception as error:
                _note_backfill_failure(services, account, backfill, error)
    return report


@dataclass
class _Budget:
    """What a connection's backfills may still take in this run."""

    pages: int
    deadline: float

    def is_used(self, run: _Run) -> bool:
        """Whether it is used up, or the run's own time is."""
        return self.pages <= 0 or time.monotonic() >= self.deadline or run.is_over()


def _go_on(run: _Run, account: PlatformConnection, backfill: Backfill, budget: _Budget) -> tuple[int, LandingResult]:
    services = run.services
    pages = platform_named(account.platform).pull(
        seen(services, account), backfill.kind, backfill.cursor, Window(backfill.since, backfill.until)
    )
    count, landed, finished = 0, LandingResult(), False
    # One at a time and none ahead: a page that is not landed in this run would be asked for in vain.
    for page in pages:
        landed += land_backfill(services, account, backfill, page)
        count, finished = count + 1, page.cursor.get("done") is True
        budget.pages -= 1
        if finished or budget.is_used(run):
            break
    else:
        with services.database.partner(account.partner) as connection:
            backfills.end(connection, backfill, "done", None, services.clock())
    return count, landed


def _ahead(pages: Iterator[Page], is_over: Callable[[], bool]) -> Iterator[Page]:
    """The same pages, one read ahead: while PostgreSQL lands one, the next is fetched and mapped."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pull") as reader:
        coming = reader.submit(next, pages, None)
        while (page := coming.result()) is not None:
            if is_over():
                yield page
                return
            coming = reader.submit(next, pages, None)
            yield page


def _note_failure(services: Services, account: PlatformConnection, error: Exception) -> None:
    """A defect of ours is not the account's fault: it is told, and tried again the next time."""
    known = isinstance(error, IntegratorError)
    permanent = isinstance(error, PermanentError)
    reason = str(error) if known else f"a defect in {account.platform}: {type(error).__name__}"
    if not known:
        log.error("pulling %s of %s failed: %s", account.connection_id, account.partner, traced(error))
    with services.database.partner(account.partner) as connection:
        if permanent:
            connections.set_status(connection, account.partner, account.connection_id, "failed", reason)
        logs.event(connection, account.partner, "connection.failed", services.clock(), {
            "connection": account.connection_id, "reason": reason, "permanent": permanent,
        })  # fmt: skip


def _note_backfill_failure(
    services: Services, account: PlatformConnection, backfill: Backfill, error: Exception
) -> None:
    reason = str(error) if isinstance(error, IntegratorError) else f"a defect: {type(error).__name__}"
    status = "waiting" if isinstance(error, TransientError) else "failed"
    if not isinstance(error, IntegratorError):
        log.error("backfill %s of %s failed: %s", backfill.backfill_id, account.partner, traced(error))
    now = services.clock()
    with services.database.partner(account.partner) as connection:
        backfills.end(connection, backfill, status, reason, now)
        logs.event(connection, account.partner, "backfill.failed", now, {
            "connection": account.connection_id, "backfill": backfill.backfill_id, "reason": reason,
            "permanent": status == "failed",
        })  # fmt: skip
