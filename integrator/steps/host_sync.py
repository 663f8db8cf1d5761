"""Keeping hosts' tables in step: from each one's cursor over `published_seq`, after the commit, a batch at a time.

A table is one process's turn, and no transaction of ours is open while its database makes us wait. Killed in between, the
same insights are written again, which changes nothing; a cursor moves only from where it was read. What is published
while a database is away is written later, in order; one table that fails keeps no other waiting.
"""

import logging
import random
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Conflict, IntegratorError, NotFound, PermanentError, TransientError
from integrator.steps.host_databases import get, reached
from integrator.steps.services import Services
from integrator.steps.turns import Busy, keep_taking_turns
from integrator.storage import host_databases, insights, logs
from integrator.storage.failures import traced
from integrator.storage.host_databases import HostDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from integrator.delivery.host_database.table import HostTable

log = logging.getLogger(__name__)

BATCH = 1000
AT_ONCE = 4
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(days=5)


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """Rows that were sent to one host's table, and whether it holds everything now."""

    name: str
    written: int = 0
    complete: bool = True
    error: str | None = None


def sync(
    services: Services, partner: str, name: str, *, whole: bool = False, stop: threading.Event | None = None
) -> SyncReport:
    """Write what was published since the last time, or everything current with `whole`; `stop` ends it between batches.

    A failure is noted, with when it is tried again, and raised. `Conflict` when it is paused, stopped or being written.
    """
    target = get(services, partner, name)
    if target.status != "active":
        raise Conflict(f"host database {name} is {target.status}: {target.status_reason}; resume it first")
    if whole:
        with services.database.partner(partner) as connection:
            host_databases.restart(connection, partner, name)
    try:
        return _written(services, target, stop)
    except IntegratorError as error:
        _note(services, target, error)
        raise


def sync_due(services: Services, partner: str) -> list[SyncReport]:
    """Every table of a partner that is due; one that fails is told in its report."""
    with services.database.partner(partner) as connection:
        names = host_databases.due(connection, partner, services.clock())
    return [_tried(services, partner, name) for name in names]


def keep_syncing(services: Services, stop: threading.Event, *, poll_seconds: float = 0.5) -> None:
    """Keep all partners' tables in step until `stop` is set; a table that is slow or away delays no other."""
    keep_taking_turns(
        services, stop, host_databases.due, lambda partner, name: _tried(services, partner, name, stop),
        what="host databases", at_once=AT_ONCE, poll_seconds=poll_seconds,
    )  # fmt: skip


def _tried(services: Services, partner: str, name: str, stop: threading.Event | None = None) -> SyncReport:
    try:
        if (sealed := _cannot_open(services, partner, name)) is not None:
            return SyncReport(name=name, complete=False, error=sealed)
        return sync(services, partner, name, stop=stop)
    except IntegratorError as error:
        log.warning("host database %s of %s: %s", name, partner, error)
        return SyncReport(name=name, complete=False, error=str(error))
    except Exception as error:  # a defect in one must not end the thread that serves all
        log.error("host database %s of %s was not written: %s", name, partner, traced(error))
        _note_defect(services, partner, name, error)
        return SyncReport(name=name, complete=False, error=f"a defect: {type(error).__name__}")


def _cannot_open(services: Services, partner: str, name: str) -> str | None:
    """Why its address cannot be opened (its key was dropped), which stops the table; None where it can."""
    try:
        get(services, partner, name)
    except NotFound:
        raise
    except PermanentError as error:
        now = services.clock()
        with services.database.partner(partner) as connection:
            host_databases.fail(connection, partner, name, str(error), now=now, again=None)
        return str(error)
    return None


def _written(services: Services, target: HostDatabase, stop: threading.Event | None) -> SyncReport:
    with services.database.turns.taken(target.partner, f"host_database/{target.name}") as ours:
        if not ours:
            raise _changed(target.name)
        total = 0
        with reached(services, target) as (connection, table):
            while True:
                sent, more = _batch(services, target, connection, table)
                total += sent
                if not more or (stop is not None and stop.is_set()):
                    return SyncReport(name=target.name, written=total, complete=not more)


def _batch(services: Services, target: HostDatabase, host: "Connection", table: "HostTable") -> tuple[int, bool]:
    """One batch, and whether there may be another; raises `Conflict` where it is not what was opened any more."""
    from integrator.delivery.host_database.write import write

    partner, name = target.partner, target.name
    with services.database.partner(partner) as connection:
        held = host_databases.find(connection, services.database.master, partner, name)
        if held is None or not _is(held, target) or held.status != "active":
            raise _changed(name)
        # Read before the page: what is published in between has a higher number, and is not passed over.
        head = insights.last_seq(connection, partner)
        rows = host_databases.page(connection, partner, held.layout, after=held.cursor, limit=BATCH)
    written = write(host, table, rows) if rows else 0
    full = len(rows) == BATCH
    reached_seq = int(rows[-1]["published_seq"]) if rows else 0
    cursor = reached_seq if full else max(head, reached_seq)
    with services.database.partner(partner) as connection:
        if not host_databases.advance(connection, held, cursor=cursor, written=written, now=services.clock()):
            raise _changed(name)
    return written, full


def _is(held: HostDatabase, target: HostDatabase) -> bool:
    """Whether it was neither saved anew nor removed and added again."""
    return (held.revision, held.created_at) == (target.revision, target.created_at)


def _changed(name: str) -> Busy:
    return Busy(f"host database {name} is being written, or was changed just now")


def _note(services: Services, target: HostDatabase, error: IntegratorError) -> None:
    """A failure that may pass is tried again, less and less often; five days of it, or another, stop the table."""
    if isinstance(error, Busy):
        return
    now = services.clock()
    again = None
    if isinstance(error, TransientError):
        given_up = target.failing_since is not None and now - target.failing_since >= GIVEN_UP_AFTER
        again = None if given_up else next_attempt(now, target.attempts, f"{target.partner}/{target.name}")
    with services.database.partner(target.partner) as connection:
        noted = host_databases.fail(
            connection, target.partner, target.name, str(error), now=now, again=again, was=target
        )
        if noted and (again is None or target.failing_since is None):
            logs.event(connection, target.partner, "host_database.failed", now, {
                "name": target.name, "reason": str(error), "permanent": again is None,
            })  # fmt: skip


def _note_defect(services: Services, partner: str, name: str, error: Exception) -> None:
    """Ours, not the table's: it is tried again, at length."""
    now = services.clock()
    try:
        with services.database.partner(partner) as connection:
            reason = f"a defect: {type(error).__name__}"
            host_databases.fail(connection, partner, name, reason, now=now, again=now + LONGEST_WAIT)
    except (TransientError, SQLAlchemyError):
        log.warning("the failure of host database %s of %s could not be noted", name, partner)


def next_attempt(now: datetime, failed: int, name: str) -> datetime:
    """Doubled with every failure before, up to a quarter of an hour, with a tenth of jitter that `name` seeds."""
    wait = min(FIRST_WAIT * 2.0 ** min(failed, 20), LONGEST_WAIT)
    jitter: float = random.Random(f"{name} {failed}").random()
    return now + wait * (1 + 0.1 * jitter)
