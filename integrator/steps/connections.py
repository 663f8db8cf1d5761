"""A partner's connections, managed: what the command line and the API both do. Credentials go in and never come out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from integrator.contracts.errors import Conflict, IntegratorError, invalid
from integrator.platforms.registry import platform as platform_named
from integrator.platforms.registry import spec as platform_spec
from integrator.steps import ingest
from integrator.steps.services import Services
from integrator.storage import backfills, connections, fields, host_databases, logs, reconciliation
from integrator.storage.connections import PlatformConnection
from integrator.storage.reconciliation import Here

NAME_LENGTH = 100
LAST_CHANGES = 20
DRIFT = ("kind", "attribute", "change", "was", "now")
RESERVED = ("authorize", "callback", "rotate")  # addresses of their own beside a connection's


@dataclass(frozen=True)
class Actor:
    """Who acts for which partner: a client's id, or `cli`."""

    partner: str
    name: str


@dataclass(frozen=True)
class Reconciled:
    """One kind, counted there and here; `gap` is what is missing here, None where the platform cannot count."""

    connection_id: str
    kind: str
    counted: int | None
    landed: int
    deleted: int
    quarantined: int
    gap: int | None
    reason: str


def save(services: Services, actor: Actor, account: PlatformConnection) -> list[str]:
    """Check an account and keep it, active; the permissions it lacks. What opens nothing is not kept."""
    if account.partner != actor.partner:
        raise invalid("partner", account.partner, (actor.partner,))
    name = account.connection_id
    if not 0 < len(name) <= NAME_LENGTH or not name.isprintable() or "/" in name or name in RESERVED:
        allowed = f"1 to {NAME_LENGTH} printable characters, no slash, not {', '.join(RESERVED)}"
        raise invalid("connection_id", name, allowed)
    platform_spec(account.platform).require(account.settings, account.credentials)
    _require_same_platform(services, account)
    missing = ingest.check(services, account)
    now = services.clock()
    with services.database.partner(account.partner) as connection:
        connections.save(connection, services.database.master, account, now)
        facts = {"platform": account.platform, "missing": missing}
        logs.audit(connection, actor.name, account.partner, "connection.save", name, now, facts)
    return missing


def listed(services: Services, partner: str) -> list[dict[str, Any]]:
    """All connections as people see them; `last_drift` is when their custom fields last changed."""
    found = []
    for account in ingest.accounts(services, partner):
        with services.database.partner(partner) as connection:
            last = logs.events(connection, partner, 1, kind="schema.drift", about=account.connection_id)
        found.append({**shown(account), "last_drift": last[0]["at"] if last else None})
    return found


def shown(account: PlatformConnection) -> dict[str, Any]:
    """A connection without its credentials."""
    names = ("connection_id", "platform", "status", "status_reason", "last_synced_at")
    return {name: getattr(account, name) for name in names}


def detail(services: Services, partner: str, connection_id: str) -> dict[str, Any]:
    """One connection with its settings, backfills, custom fields and their last changes, without its credentials."""
    account = get(services, partner, connection_id)
    with services.database.partner(partner) as connection:
        stretches = backfills.of_connection(connection, partner, connection_id)
        custom = [
            {"kind": kind, **asdict(known)}
            for kind in platform_spec(account.platform).kinds
            for known in fields.known(connection, partner, account.platform, kind).values()
        ]
        drift = logs.events(connection, partner, LAST_CHANGES, kind="schema.drift", about=connection_id)
    return {
        **shown(account),
        "settings": dict(account.settings),
        "allowed_attributes": list(account.allowed_attributes),
        "backfills": [_stretch(one) for one in stretches],
        "fields": custom,
        "drift": [{"at": one["at"], **{name: one["data"][name] for name in DRIFT}} for one in drift],
    }


def get(services: Services, partner: str, connection_id: str) -> PlatformConnection:
    """One connection, with its credentials; `NotFound` names those there are."""
    with services.database.partner(partner) as connection:
        return connections.get(connection, services.database.master, partner, connection_id)


def check(services: Services, partner: str, connection_id: str) -> list[str]:
    """The permissions that are missing, by the platform's own names; a wrong credential raises `Unauthorized`."""
    return ingest.check(services, get(services, partner, connection_id))


def sync(
    services: Services, actor: Actor, connection_id: str | None = None, *, seconds: float | None = None
) -> list[dict[str, Any]]:
    """Pull what is new of every kind, then go on with backfills; counts by platform and kind, and what failed.

    One connection, or all. After `seconds` it stops between two pages: `complete` says whether it had come to the end.
    """
    chosen = _chosen(services, actor.partner, connection_id)
    kinds = [(name, kind) for name in sorted({a.platform for a in chosen}) for kind in platform_spec(name).kinds]
    rows = [
        _pulled(services, actor.partner, platform, kind, connection_id, seconds=seconds, with_backfills=False)
        for platform, kind in kinds
    ]
    if all(row["complete"] for row in rows):
        for row, (platform, kind) in zip(rows, kinds, strict=True):
            if _has_backfill(services, chosen, kind):
                again = _pulled(services, actor.partner, platform, kind, connection_id, seconds=seconds)
                for name in ("pages", "accepted", "unchanged", "quarantined"):
                    row[name] += again[name]
    return rows


def backfill(
    services: Services, actor: Actor, connection_id: str, since: datetime, until: datetime | None, kind: str | None
) -> list[dict[str, Any]]:
    """Have a stretch of the past pulled again, of one kind or all; it goes on with every pull until it is done."""
    account = get(services, actor.partner, connection_id)
    spec = platform_spec(account.platform)
    if kind is not None:
        spec.require_kind(kind)
    now = services.clock()
    end = until or now
    with services.database.partner(actor.partner) as connection:
        for one in (kind,) if kind else spec.kinds:
            made = backfills.add(connection, actor.partner, connection_id, one, since, end, now)
            facts = {"backfill": made, "kind": one, "since": since.isoformat(), "until": end.isoformat()}
            logs.audit(connection, actor.name, actor.partner, "connection.backfill", connection_id, now, facts)
    return stretches(services, actor.partner, connection_id)


def stretches(services: Services, partner: str, connection_id: str) -> list[dict[str, Any]]:
    """A connection's backfills and how far they have come."""
    with services.database.partner(partner) as connection:
        return [_stretch(one) for one in backfills.of_connection(connection, partner, connection_id)]


def pause(services: Services, actor: Actor, connection_id: str) -> None:
    """Leave it alone until it is resumed."""
    _set(services, actor, connection_id, "paused", f"by {actor.name}", "connection.pause")


def resume(services: Services, actor: Actor, connection_id: str) -> None:
    """Pull it again, from where it had come to."""
    _set(services, actor, connection_id, "active", None, "connection.resume")


def remove(services: Services, actor: Actor, connection_id: str) -> None:
    """Forget an account, its credentials and where it had come to; what landed stays."""
    get(services, actor.partner, connection_id)
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        connections.remove(connection, actor.partner, connection_id)
        logs.audit(connection, actor.name, actor.partner, "connection.remove", connection_id, now, {})


def rotate(services: Services, actor: Actor) -> list[str]:
    """Make a fresh data key and seal all of the partner's credentials and addresses with it; the connections' names."""
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        sealed = connections.rotate(connection, services.database.master, actor.partner, now)
        facts = {
            "connections": sealed,
            "host_databases": host_databases.reseal(connection, services.database.master, actor.partner),
        }
        logs.audit(connection, actor.name, actor.partner, "connection.rotate", actor.partner, now, facts)
    return sealed


def reconcile(services: Services, partner: str, connection_id: str) -> list[Reconciled]:
    """Per kind: counted at the platform, here, and why they may differ.

    What is here is known by platform; with several accounts on one, their counts are taken together.
    """
    account = get(services, partner, connection_id)
    fellows = [one for one in ingest.accounts(services, partner, account.platform) if one.status != "failed"]
    rows = []
    for kind in platform_spec(account.platform).kinds:
        counts = [_count(services, one, kind) for one in (fellows or [account])]
        there = sum(count for count in counts if count is not None) if None not in counts else None
        with services.database.partner(partner) as connection:
            here = reconciliation.counted(connection, partner, account.platform, kind)
            stored = connections.cursor(connection, partner, connection_id, kind)
        gap = None if there is None else there - here.landed - here.quarantined
        reason = _reason(account, here, gap, pulled=stored is not None)
        rows.append(Reconciled(connection_id, kind, there, here.landed, here.deleted, here.quarantined, gap, reason))
    return rows


def _count(services: Services, account: PlatformConnection, kind: str) -> int | None:
    return platform_named(account.platform).count(ingest.seen(services, account), kind)


def _reason(account: PlatformConnection, here: Here, gap: int | None, *, pulled: bool) -> str:
    if gap is None:
        return "the platform cannot say how many it has"
    if gap == 0:
        return "nothing is missing" if not here.quarantined else "all are here, some wait in quarantine"
    if gap < 0:
        return "more are here than there: deleted at the platform and not told, or pushed by another way"
    if not pulled:
        return "never pulled yet: sync it"
    if account.status != "active":
        return f"the connection is {account.status}: {account.status_reason}"
    if here.quarantined:
        return "look into the quarantine, then sync: new ones may have come since"
    return "new ones may have come since the last sync, or the platform counts test records: sync, then backfill"


def _chosen(services: Services, partner: str, connection_id: str | None) -> Sequence[PlatformConnection]:
    if connection_id is not None:
        account = get(services, partner, connection_id)
        if account.status == "paused":
            raise Conflict(f"connection {connection_id} is paused; resume it first")
        return [account]
    return ingest.accounts(services, partner)


def _pulled(
    services: Services, partner: str, platform: str, kind: str, connection_id: str | None, **more: Any
) -> dict[str, Any]:
    """One kind of one platform; a failure is told in the row, so that the other kinds are pulled."""
    row: dict[str, Any] = {
        "platform": platform, "kind": kind, "pages": 0, "accepted": 0, "unchanged": 0, "quarantined": 0,
        "complete": True, "error": None, "exit_code": 0,
    }  # fmt: skip
    try:
        report = ingest.ingest(services, partner, platform, kind, connection_id=connection_id, **more)
    except IntegratorError as error:
        return row | {"complete": False, "error": str(error), "exit_code": error.exit_code}
    landed = report.landed
    return row | {
        "pages": report.pages, "accepted": landed.accepted, "unchanged": landed.unchanged,
        "quarantined": landed.quarantined, "complete": report.complete,
    }  # fmt: skip


def _has_backfill(services: Services, chosen: Sequence[PlatformConnection], kind: str) -> bool:
    return any(
        one["kind"] == kind and one["status"] == "waiting"
        for account in chosen
        for one in stretches(services, account.partner, account.connection_id)
    )


def _set(services: Services, actor: Actor, connection_id: str, status: str, reason: str | None, action: str) -> None:
    get(services, actor.partner, connection_id)
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        connections.set_status(connection, actor.partner, connection_id, status, reason)
        logs.audit(connection, actor.name, actor.partner, action, connection_id, now, {})


def _require_same_platform(services: Services, account: PlatformConnection) -> None:
    """Another platform under an old name would go on at a cursor that is not its own."""
    with services.database.partner(account.partner) as connection:
        there = connections.for_partner(
            connection, services.database.master, account.partner, connection_id=account.connection_id
        )
    if there and there[0].platform != account.platform:
        raise invalid(f"platform of connection {account.connection_id}", account.platform, (there[0].platform,))


def _stretch(one: backfills.Backfill) -> dict[str, Any]:
    names = (
        "backfill_id",
        "kind",
        "since",
        "until",
        "status",
        "reason",
        "pages",
        "accepted",
        "unchanged",
        "quarantined",
    )
    return {name: getattr(one, name) for name in names}


def account_of(
    partner: str, platform: str, connection_id: str | None, settings: Mapping[str, Any],
    credentials: Mapping[str, str], allowed_attributes: Sequence[str] = (),
) -> PlatformConnection:  # fmt: skip
    """An account as it was named; by its platform's name unless it has one of its own."""
    made = PlatformConnection(
        partner=partner, connection_id=connection_id or platform, platform=platform, settings=dict(settings),
        credentials=dict(credentials),
    )  # fmt: skip
    return replace(made, allowed_attributes=tuple(allowed_attributes))
