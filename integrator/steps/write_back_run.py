"""Writing insights back into platforms: what is newer than what each record was told, batch by batch, after the commit.

The row of `integrator.write_back` stays locked from reading to recording. Killed in between, the same values are written
again. What a platform refuses for one record is written down with the version it refused, and only a newer one is tried.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Conflict, IntegratorError, RateLimited, TransientError
from integrator.platforms.registry import spec as platform_spec
from integrator.steps import connections
from integrator.steps.host_sync import GIVEN_UP_AFTER, LONGEST_WAIT, next_attempt
from integrator.steps.services import Services
from integrator.steps.write_back import Open, opened, records_of, state
from integrator.storage import host_databases, logs, partners
from integrator.storage import write_back as stored
from integrator.storage.connections import PlatformConnection
from integrator.storage.write_back import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Records written, and those the platform does not take."""

    connection_id: str
    written: int = 0
    refused: int = 0
    error: str | None = None


@dataclass
class _Batch:
    """What one call to the platform made known before it ended."""

    outcomes: list[Outcome] = field(default_factory=list)
    failure: IntegratorError | None = None


def run(services: Services, partner: str, connection_id: str) -> RunReport:
    """Write everything due now. A failure of the whole is noted, with when it is tried again, and raised.

    `Conflict` where it is off, or another process is at it.
    """
    connection = connections.get(services, partner, connection_id)
    found = state(services, partner, connection_id)
    if found is None or found.status != "on":
        said = "off" if found is None else found.status
        raise Conflict(f"write-back of {connection_id} is {said}; plan and enable it first")
    if connection.status != "active":
        raise Conflict(f"connection {connection_id} is {connection.status}: {connection.status_reason}")
    try:
        return _written(services, connection)
    except IntegratorError as error:
        _note(services, partner, connection_id, error)
        raise


def run_due(services: Services, partner: str) -> list[RunReport]:
    """Every write-back of a partner that is due; one that fails is told in its report."""
    with services.database.partner(partner) as ours:
        names = stored.due(ours, partner, services.clock())
    return [_tried(services, partner, name) for name in names]


def keep_writing_back(services: Services, stop: threading.Event, *, poll_seconds: float = 2.0) -> None:
    """Write what becomes due until `stop` is set; a partner whose platform fails harms no other."""
    while not stop.is_set():
        try:
            with services.database.service() as connection:
                names = [entry.partner for entry in partners.list_all(connection)]
            for name in names:
                if not stop.is_set():
                    run_due(services, name)
        except (TransientError, SQLAlchemyError) as error:
            log.warning("write-back waits: %s", type(error).__name__)
        stop.wait(poll_seconds)


def _tried(services: Services, partner: str, connection_id: str) -> RunReport:
    try:
        return run(services, partner, connection_id)
    except IntegratorError as error:
        log.warning("write-back of %s of %s: %s", connection_id, partner, error)
        return RunReport(connection_id=connection_id, error=str(error))
    except Exception as error:  # a defect in one must not end the thread that serves all
        log.exception("write-back of %s of %s failed", connection_id, partner)
        now = services.clock()
        with services.database.partner(partner) as ours:
            reason = f"a defect: {type(error).__name__}"
            stored.fail(ours, partner, connection_id, reason, now=now, again=now + LONGEST_WAIT)
        return RunReport(connection_id=connection_id, error=reason)


def _written(services: Services, connection: PlatformConnection) -> RunReport:
    partner, name = connection.partner, connection.connection_id
    with services.database.partner(partner) as ours:
        head = host_databases.head(ours, partner)  # before anything is read: what comes meanwhile is looked for again
    written = refused = 0
    with opened(services, connection) as there:
        lacking = there.writer.lacking(there.session, there.account)
        if lacking:
            raise Conflict(f"{connection.platform} lacks what write-back needs: {'; '.join(lacking)}")
        while True:
            outcomes = _batch(services, connection, there)
            if not outcomes:
                break
            refused += sum(one.reason is not None for one in outcomes)
            written += sum(one.reason is None for one in outcomes)
    now = services.clock()
    with services.database.partner(partner) as ours:
        stored.advance(ours, partner, name, checked_seq=head, now=now)
        if written or refused:
            facts = {"connection": name, "written": written, "refused": refused}
            logs.event(ours, partner, "write_back.written", now, facts)
    return RunReport(connection_id=name, written=written, refused=refused)


def _batch(services: Services, connection: PlatformConnection, there: Open) -> list[Outcome]:
    """One batch, recorded as far as it was told also where the platform failed half way; empty when nothing is due."""
    partner, name = connection.partner, connection.connection_id
    use_cases = platform_spec(connection.platform).writes_back
    with services.database.partner(partner) as ours:
        held = stored.get(ours, partner, name, lock=True)
        if held is None or held.status != "on":
            raise Conflict(f"write-back of {name} is being written, or was switched just now")
        rows = stored.pending(ours, partner, name, connection.platform, use_cases, there.writer.batch)
        if not rows:
            return []
        made = _call(there, rows, held.withdrawn)
        stored.record(ours, partner, name, rows, made.outcomes, services.clock())
    if made.failure is not None:
        raise made.failure
    return made.outcomes


def _call(there: Open, rows: Sequence[Mapping[str, Any]], withdrawn: str) -> _Batch:
    made = _Batch()
    values = {name: there.writer.values(record, withdrawn) for name, record in records_of(rows).items()}
    try:
        for told in there.writer.write(there.session, there.account, values):
            made.outcomes.append(Outcome(native_id=told.native_id, reason=told.reason))
    except IntegratorError as error:
        made.failure = error
    return made


def _note(services: Services, partner: str, connection_id: str, error: IntegratorError) -> None:
    """A failure that may pass is tried again, less and less often and no sooner than the platform asks."""
    if isinstance(error, Conflict) and "being written" in str(error):
        return
    now, found, again = services.clock(), state(services, partner, connection_id), None
    if found is None:
        return
    if isinstance(error, TransientError) and not (found.failing_since and now - found.failing_since >= GIVEN_UP_AFTER):
        again = next_attempt(now, found.attempts, f"{partner}/{connection_id}")
        if isinstance(error, RateLimited) and error.retry_after is not None:
            again = max(again, now + timedelta(seconds=error.retry_after))
    with services.database.partner(partner) as ours:
        stored.fail(ours, partner, connection_id, str(error), now=now, again=again)
        if again is None or found.failing_since is None:
            logs.event(ours, partner, "write_back.failed", now, {
                "connection": connection_id, "reason": str(error), "permanent": again is None,
            })  # fmt: skip
