"""Write-back managed: a dry run first, then on or off, and what became of it. Writing itself is `write_back_run`'s."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Conflict, NotReady, invalid
from integrator.platforms.registry import spec as platform_spec
from integrator.platforms.registry import writer
from integrator.steps import connections, ingest
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import connections as accounts
from integrator.storage import logs
from integrator.storage import write_back as stored
from integrator.storage.connections import PlatformConnection
from integrator.storage.write_back import WITHDRAWN, WriteBack

if TYPE_CHECKING:
    from sqlalchemy import Connection as SQLConnection

    from integrator.platforms.base import Account
    from integrator.platforms.http import Session
    from integrator.platforms.write_back import Record, Values, Writer

SAMPLE = 10


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A dry run: how many records would be written, some of them with their values before and after, what is missing."""

    platform: str
    due: int
    lacking: list[str]
    sample: list[dict[str, Any]]
    at: datetime


@dataclass(frozen=True)
class Open:
    """A platform with its account, ready to be written to."""

    writer: "Writer"
    session: "Session"
    account: "Account"


def plan(services: Services, actor: Actor, connection_id: str, *, withdrawn: str | None = None) -> Plan:
    """Say what would be written, and write nothing; only after it can write-back be enabled.

    Raises as `connections.check` does; `InvalidInput` for a platform that takes nothing back.
    """
    connection = connections.get(services, actor.partner, connection_id)
    use_cases = platform_spec(connection.platform).writes_back
    before = state(services, actor.partner, connection_id)
    chosen = withdrawn or (before.withdrawn if before else WITHDRAWN[0])
    if chosen not in WITHDRAWN:
        raise invalid("withdrawn", chosen, WITHDRAWN)
    with opened(services, connection) as there:
        lacking = there.writer.lacking(there.session, there.account)
        with services.database.partner(actor.partner) as ours:
            asked = (ours, actor.partner, connection_id, connection.platform, use_cases)
            due = stored.due_count(*asked)
            records = records_of(stored.pending(*asked, SAMPLE))
            if (why := ambiguity(ours, connection)) is not None:
                lacking = [why, *lacking]
        held = there.writer.read(there.session, there.account, list(records)) if records and not lacking else {}
        sample = [_compared(record, there.writer.values(record, chosen), held) for record in records.values()]
    now = services.clock()
    made = Plan(platform=connection.platform, due=due, lacking=lacking, sample=sample, at=now)
    with services.database.partner(actor.partner) as ours:
        facts = {"due": due, "lacking": lacking}
        stored.save_plan(ours, actor.partner, connection_id, chosen, facts, now)
        logs.audit(ours, actor.name, actor.partner, "write_back.plan", connection_id, now, facts)
    return made


def enable(services: Services, actor: Actor, connection_id: str) -> None:
    """Switch it on; makes the platform's fields where it lets us.

    `NotReady` without a dry run, `Conflict` beside another account of the platform, or where fields are missing still,
    each said with how to add it.
    """
    connection = connections.get(services, actor.partner, connection_id)
    before = state(services, actor.partner, connection_id)
    if before is None or before.planned_at is None:
        raise NotReady(f"write-back of {connection_id} needs a dry run first: `integrator write-back plan`")
    with services.database.partner(actor.partner) as ours:
        if (why := ambiguity(ours, connection)) is not None:
            raise Conflict(why)
    with opened(services, connection) as there:
        lacking = there.writer.prepare(there.session, there.account)
    if lacking:
        raise Conflict(f"{connection.platform} lacks what write-back needs: {'; '.join(lacking)}")
    _set(services, actor, connection_id, "on", None, "write_back.enable")


def disable(services: Services, actor: Actor, connection_id: str) -> None:
    """Write nothing more; what was written stays."""
    connections.get(services, actor.partner, connection_id)
    _set(services, actor, connection_id, "off", f"by {actor.name}", "write_back.disable")


def status(services: Services, partner: str, connection_id: str) -> dict[str, Any]:
    """Whether it is on, what was written, what is due, and which records the platform does not take."""
    connection = connections.get(services, partner, connection_id)
    use_cases = platform_spec(connection.platform).writes_back
    writer(connection.platform)
    found = state(services, partner, connection_id)
    with services.database.partner(partner) as ours:
        counted = stored.counts(ours, partner, connection_id)
        due = stored.due_count(ours, partner, connection_id, connection.platform, use_cases)
        refused = stored.refused(ours, partner, connection_id)
    names = ("status", "status_reason", "withdrawn", "planned_at", "last_error", "failing_since", "last_written_at")
    shown = {name: getattr(found, name) if found else None for name in names}
    return {
        "connection_id": connection_id, "platform": connection.platform, **shown,
        "status": found.status if found else "off", "due": due, **counted, "refusals": refused,
    }  # fmt: skip


def state(services: Services, partner: str, connection_id: str) -> WriteBack | None:
    """As it is stored; None before the first dry run."""
    with services.database.partner(partner) as ours:
        return stored.get(ours, partner, connection_id)


@contextmanager
def opened(services: Services, connection: PlatformConnection) -> Iterator[Open]:
    """The platform's way back with a session of this account."""
    found = writer(connection.platform)
    account = ingest.seen(services, connection)
    with found.opened(account) as session:
        yield Open(found, session, account)


def ambiguity(ours: "SQLConnection", connection: PlatformConnection) -> str | None:
    """Why nothing may be written: with several accounts of a platform, an insight does not say whose record it is about."""
    others = accounts.others(ours, connection.partner, connection.connection_id, connection.platform)
    if not others:
        return None
    return (
        f"there are other connections to {connection.platform}: {', '.join(others)}; write-back needs "
        f"{connection.connection_id} to be the only one, for one id may be another record in each account"
    )


def records_of(rows: Sequence[Mapping[str, Any]]) -> "dict[str, Record]":
    """Rows of `pending` as the platform's records, by native id."""
    from integrator.platforms.write_back import Record

    grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["native_id"]].append(row)
    return {native_id: Record(native_id=native_id, insights=tuple(told)) for native_id, told in grouped.items()}


def _compared(record: "Record", new: "Values", held: "Mapping[str, Values]") -> dict[str, Any]:
    old = held.get(record.native_id)
    return {
        "native_id": record.native_id,
        "there": old is not None,
        "fields": {name: {"old": (old or {}).get(name), "new": value} for name, value in new.items()},
    }


def _set(services: Services, actor: Actor, connection_id: str, status: str, reason: str | None, action: str) -> None:
    now = services.clock()
    with services.database.partner(actor.partner) as ours:
        stored.set_status(ours, actor.partner, connection_id, status, reason, now)
        logs.audit(ours, actor.name, actor.partner, action, connection_id, now, {})
