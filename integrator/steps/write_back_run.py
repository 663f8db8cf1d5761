"""Writing insights back into platforms: what is newer than what each record was told, batch by batch, after the commit.

A connection is one process's turn, and no transaction of ours is open while its platform makes us wait. Killed in between,
the same values are written again. What a platform refuses for one record is written down with the version it refused,
and only a newer one is tried.
Partners take turns of a few batches, several at a time, so that neither a slow platform nor a large partner holds the rest.
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
from integrator.steps.turns import Busy, keep_taking_turns
from integrator.steps.write_back import Open, ambiguity, opened, records_of, state
from integrator.storage import insights, logs
from integrator.storage import write_back as stored
from integrator.storage.connections import PlatformConnection
from integrator.storage.failures import traced
from integrator.storage.write_back import Outcome, WriteBack

log = logging.getLogger(__name__)

AT_ONCE = 3
TURN = 10
"""Batches of one connection before others' turn."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Records written, those the platform does not take, and whether everything due was tried."""

    connection_id: str
    written: int = 0
    refused: int = 0
    complete: bool = True
    error: str | None = None


@dataclass
class _Batch:
    """What one call to the platform made known before it ended."""

    outcomes: list[Outcome] = field(default_factory=list)
    failure: IntegratorError | None = None


def run(
    services: Services, partner: str, connection_id: str, *,
    stop: threading.Event | None = None, batches: int | None = None,
) -> RunReport:  # fmt: skip
    """Write everything due now, or `batches` of it; `stop` ends it between batches, and the rest stays due.

    A failure of the whole is noted, with when it is tried again, and raised. `Conflict` where it is off, or another
    process is at it.
    """
    connection = connections.get(services, partner, connection_id)
    found = state(services, partner, connection_id)
    if found is None or found.status != "on":
        said = "off" if found is None else found.status
        raise Conflict(f"write-back of {connection_id} is {said}; plan and enable it first")
    if connection.status != "active":
        raise Conflict(f"connection {connection_id} is {connection.status}: {connection.status_reason}")
    try:
        with services.database.turns.taken(partner, f"write_back/{connection_id}") as ours:
            if not ours:
                raise Busy(f"write-back of {connection_id} is being written by another process")
            return _written(services, connection, stop, batches)
    except IntegratorError as error:
        _note(services, partner, found, error)
        raise


def run_due(services: Services, partner: str) -> list[RunReport]:
    """Every write-back of a partner that is due; one that fails is told in its report."""
    with services.database.partner(partner) as ours:
        names = stored.due(ours, partner, services.clock())
    return [_tried(services, partner, name) for name in names]


def keep_writing_back(services: Services, stop: threading.Event, *, poll_seconds: float = 2.0) -> None:
    """Write what becomes due until `stop` is set; a platform that is slow or away delays no other, up to `AT_ONCE`."""
    keep_taking_turns(
        services, stop, stored.due, lambda partner, name: _tried(services, partner, name, stop=stop, batches=TURN),
        what="write-back", at_once=AT_ONCE, poll_seconds=poll_seconds,
    )  # fmt: skip


def _tried(
    services: Services, partner: str, connection_id: str, *,
    stop: threading.Event | None = None, batches: int | None = None,
) -> RunReport:  # fmt: skip
    try:
        return run(services, partner, connection_id, stop=stop, batches=batches)
    except IntegratorError as error:
        log.warning("write-back of %s of %s: %s", connection_id, partner, error)
        return RunReport(connection_id=connection_id, complete=False, error=str(error))
    except Exception as error:  # a defect in one must not end the thread that serves all
        log.error("write-back of %s of %s failed: %s", connection_id, partner, traced(error))
        reason = f"a defect: {type(error).__name__}"
        _note_defect(services, partner, connection_id, reason)
        return RunReport(connection_id=connection_id, complete=False, error=reason)


def _note_defect(services: Services, partner: str, connection_id: str, reason: str) -> None:
    """Ours, not the platform's: it is tried again, at length."""
    now = services.clock()
    try:
        with services.database.partner(partner) as ours:
            stored.fail(ours, partner, connection_id, reason, now=now, again=now + LONGEST_WAIT)
    except (TransientError, SQLAlchemyError):
        log.warning("the failure of write-back of %s of %s could not be noted", connection_id, partner)


def _written(
    services: Services, connection: PlatformConnection, stop: threading.Event | None, batches: int | None
) -> RunReport:
    partner, name = connection.partner, connection.connection_id
    with services.database.partner(partner) as ours:
        head = insights.last_seq(ours, partner)  # before anything is read: what comes meanwhile is looked for again
    with opened(services, connection) as there:
        lacking = there.writer.lacking(there.session, there.account)
        if lacking:
            raise Conflict(f"{connection.platform} lacks what write-back needs: {'; '.join(lacking)}")
        report = _turn(services, connection, there, stop, batches)
    told = report.written + report.refused
    if report.complete or told:
        now = services.clock()
        with services.database.partner(partner) as ours:
            # What a turn left over stays due: only the end of it has seen everything up to the head.
            stored.advance(ours, partner, name, checked_seq=head if report.complete else 0, now=now)
            if told:
                facts = {"connection": name, "written": report.written, "refused": report.refused}
                logs.event(ours, partner, "write_back.written", now, facts)
    return report


def _turn(
    services: Services, connection: PlatformConnection, there: Open, stop: threading.Event | None, batches: int | None
) -> RunReport:
    """Batches until nothing is due, so many were written, or it is to stop."""
    name, written, refused, made = connection.connection_id, 0, 0, 0
    while made != batches and not (stop is not None and stop.is_set()):
        outcomes = _batch(services, connection, there)
        if not outcomes:
            return RunReport(connection_id=name, written=written, refused=refused)
        refused += sum(one.reason is not None for one in outcomes)
        written += sum(one.reason is None for one in outcomes)
        made += 1
    return RunReport(connection_id=name, written=written, refused=refused, complete=False)


def _batch(services: Services, connection: PlatformConnection, there: Open) -> list[Outcome]:
    """One batch, recorded as far as it was told also where the platform failed half way; empty when nothing is due."""
    partner, name = connection.partner, connection.connection_id
    use_cases = platform_spec(connection.platform).writes_back
    with services.database.partner(partner) as ours:
        held = stored.get(ours, partner, name)
        if held is None or held.status != "on":
            raise _switched(name)
        if (why := ambiguity(ours, connection)) is not None:  # an account may have been added since it was enabled
            raise Conflict(why)
        rows = stored.pending(ours, partner, name, connection.platform, use_cases, there.writer.batch)
    if not rows:
        return []
    made = _call(there, rows, held.withdrawn)
    with services.database.partner(partner) as ours:
        found = stored.get(ours, partner, name, lock=True)
        if found is None:  # removed meanwhile, with all that was told
            raise _switched(name)
        stored.record(ours, partner, name, rows, _lasting(made.outcomes, held, found), services.clock())
    if made.failure is not None:
        raise made.failure
    return made.outcomes


def _lasting(outcomes: Sequence[Outcome], held: WriteBack, found: WriteBack) -> list[Outcome]:
    """Without what was refused before it was switched: that is tried anew."""
    return [one for one in outcomes if _is_as(held, found) or one.reason is None]


def _is_as(was: WriteBack, found: WriteBack) -> bool:
    """Whether nobody switched it since."""
    return (was.status, was.next_attempt_at) == (found.status, found.next_attempt_at)


def _switched(name: str) -> Busy:
    return Busy(f"write-back of {name} is being written, or was switched just now")


def _call(there: Open, rows: Sequence[Mapping[str, Any]], withdrawn: str) -> _Batch:
    made = _Batch()
    values = {name: there.writer.values(record, withdrawn) for name, record in records_of(rows).items()}
    try:
        for told in there.writer.write(there.session, there.account, values):
            made.outcomes.append(Outcome(native_id=told.native_id, reason=told.reason))
    except IntegratorError as error:
        made.failure = error
    return made


def _note(services: Services, partner: str, was: WriteBack, error: IntegratorError) -> None:
    """A failure that may pass is tried again, less and less often and no sooner than the platform asks.

    What was switched meanwhile has a new beginning, and none of this.
    """
    if isinstance(error, Busy):
        return
    now, connection_id, again = services.clock(), was.connection_id, None
    found = state(services, partner, connection_id)
    if found is None or not _is_as(was, found):
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
