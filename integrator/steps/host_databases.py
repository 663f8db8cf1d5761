"""A partner's host databases, managed: what the command line and the API both do. Addresses go in and never come out.

Keeping the tables in step with what is published is `host_sync`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import invalid
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import host_databases, insights, logs
from integrator.storage.host_databases import HostDatabase, Layout

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from integrator.delivery.host_database.difference import Difference
    from integrator.delivery.host_database.table import HostTable

NAME_LENGTH = 100
DIFF_ROWS = 1000
KEY = ("insight_id",)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A host database as a partner names it; without `columns` every field goes to the column of its name."""

    name: str | None = None
    address: str = field(repr=False)
    tls: str = "verify"
    table: str
    schema: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    key: Sequence[str] = KEY
    use_cases: Sequence[str] = ()
    platforms: Sequence[str] = ()
    subject_kinds: Sequence[str] = ()
    withdrawn: str = "mark"


def save(services: Services, actor: Actor, wanted: Wanted) -> HostDatabase:
    """Check a table against its layout and keep it, active; what does not fit is not kept.

    Raises `InvalidInput`, `NotFound`, `Unauthorized`, `Forbidden` (permanent), `Unavailable` (transient).
    """
    from integrator.delivery.host_database.address import parse, shown

    target = HostDatabase(
        partner=actor.partner, name=wanted.name or wanted.table, address=wanted.address,
        shown_address=shown(parse(wanted.address, wanted.tls)), tls=wanted.tls, layout=_layout(wanted),
    )  # fmt: skip
    if not 0 < len(target.name) <= NAME_LENGTH or not target.name.isprintable() or "/" in target.name:
        raise invalid("name", target.name, f"1 to {NAME_LENGTH} printable characters, no slash")
    if not wanted.columns:
        target = replace(target, layout=_by_name(services, target))
    with reached(services, target):
        pass
    now = services.clock()
    with services.database.partner(target.partner) as connection:
        host_databases.save(connection, services.database.master, target, now)
        facts = {"address": target.shown_address, "table": target.layout.table, "tls": target.tls}
        logs.audit(connection, actor.name, target.partner, "host_database.save", target.name, now, facts)
    return target


def listed(services: Services, partner: str) -> list[dict[str, Any]]:
    """All of them with their status and their last error; `waiting` is how many publications are still to come."""
    with services.database.partner(partner) as connection:
        rows = host_databases.list_all(connection, partner)
        head = insights.last_seq(connection, partner)
    return [_seen(row, head) for row in rows]


def detail(services: Services, partner: str, name: str) -> dict[str, Any]:
    """One of them; `NotFound` names those there are."""
    get(services, partner, name)
    return next(row for row in listed(services, partner) if row["name"] == name)


def get(services: Services, partner: str, name: str) -> HostDatabase:
    """One of them, with its address; `NotFound` names those there are."""
    with services.database.partner(partner) as connection:
        return host_databases.get(connection, services.database.master, partner, name)


def check(services: Services, partner: str, name: str) -> None:
    """Look whether the table is there and still fits; raises as `save` does."""
    with reached(services, get(services, partner, name)):
        pass


def difference(services: Services, partner: str, name: str) -> "Difference":
    """What writing everything current would change in the table; nothing is changed."""
    from integrator.delivery.host_database.difference import Difference
    from integrator.delivery.host_database.difference import difference as between

    target, total, after = get(services, partner, name), Difference(), 0
    with reached(services, target) as (connection, table):
        while True:
            with services.database.partner(partner) as ours:
                rows = host_databases.page(ours, partner, target.layout, after=after, limit=DIFF_ROWS)
            if not rows:
                return total
            total += between(connection, table, rows)
            after = int(rows[-1]["published_seq"])


def pause(services: Services, actor: Actor, name: str) -> None:
    """Write nothing there until it is resumed, but the batch under way; what is published meanwhile is written then."""
    _set(services, actor, name, "paused", f"by {actor.name}", "host_database.pause")


def resume(services: Services, actor: Actor, name: str) -> None:
    """Write there again, from where it had come to."""
    _set(services, actor, name, "active", None, "host_database.resume")


def remove(services: Services, actor: Actor, name: str) -> None:
    """Forget it and its address; what was written stays in the host's table."""
    get(services, actor.partner, name)
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        host_databases.remove(connection, actor.partner, name)
        logs.audit(connection, actor.name, actor.partner, "host_database.remove", name, now, {})


@contextmanager
def reached(services: Services, target: HostDatabase) -> "Iterator[tuple[Connection, HostTable]]":
    """A connection to the host's database, and its table, which fits; raises as `save` does."""
    from integrator.delivery.host_database.address import engine, parse
    from integrator.delivery.host_database.table import opened, require
    from integrator.delivery.host_database.write import connected, transaction

    require(target.layout)
    made = engine(parse(target.address, target.tls), target.tls, target.partner, rules(services))
    try:
        with connected(made) as connection:
            with transaction(connection):
                table = opened(connection, target.layout)
            yield connection, table
    finally:
        made.dispose()


def rules(services: Services) -> Any:
    """What this installation allows of addresses."""
    from integrator.delivery.host_database.address import Rules
    from integrator.security.addresses import Guard

    settings = services.settings
    guard = Guard(allow_loopback=settings.allow_loopback_webhooks, allow_private=settings.allow_private_host_databases)
    return Rules(guard, settings.host_database_folder)


def _layout(wanted: Wanted) -> Layout:
    return Layout(
        table=wanted.table, schema=wanted.schema, columns=dict(wanted.columns), constants=dict(wanted.constants),
        key=tuple(wanted.key), use_cases=tuple(wanted.use_cases), platforms=tuple(wanted.platforms),
        subject_kinds=tuple(wanted.subject_kinds), withdrawn=wanted.withdrawn,
    )  # fmt: skip


def _by_name(services: Services, target: HostDatabase) -> Layout:
    """The layout with every field whose column has its name."""
    from integrator.delivery.host_database.address import engine, parse
    from integrator.delivery.host_database.table import matching
    from integrator.delivery.host_database.write import connected, transaction

    made = engine(parse(target.address, target.tls), target.tls, target.partner, rules(services))
    try:
        with connected(made) as connection, transaction(connection):
            found = matching(connection, target.layout.table, target.layout.schema, target.layout.use_cases)
    finally:
        made.dispose()
    return replace(target.layout, columns=found)


def _seen(row: Mapping[str, Any], head: int) -> dict[str, Any]:
    names = ("name", "shown_address", "tls", "status", "status_reason", "rows_written", "last_error", "last_synced_at")
    layout = row["layout"]
    return {
        **{("address" if name == "shown_address" else name): row[name] for name in names},
        "table": layout["table"], "behind": row["cursor"] < head, "failing_since": row["failing_since"],
        "next_attempt_at": row["next_attempt_at"] if row["attempts"] else None, "layout": layout,
    }  # fmt: skip


def _set(services: Services, actor: Actor, name: str, status: str, reason: str | None, action: str) -> None:
    get(services, actor.partner, name)
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        host_databases.set_status(connection, actor.partner, name, status, reason, now)
        logs.audit(connection, actor.name, actor.partner, action, name, now, {})


def shown(found: "Difference") -> dict[str, Any]:
    """A difference as JSON has it."""
    return asdict(found)
