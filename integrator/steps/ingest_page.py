"""What lands together with one page of a platform: its records, the cursor, what is gone, and the fields it showed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from integrator.contracts.records import LandingResult
from integrator.platforms.base import CustomField, Page
from integrator.steps.services import Services
from integrator.storage import backfills, connections, fields, landing, landing_delete, logs
from integrator.storage.backfills import Backfill
from integrator.storage.connections import PlatformConnection
from integrator.storage.landing_reading import read_payloads


def land_page(services: Services, account: PlatformConnection, page: Page) -> LandingResult:
    """Records, cursor and the listing's deletions, in one transaction.

    After a listing that is not believed the cursor stays, so that the next pull lists again.
    """
    now = services.clock()

    def within(connection: Connection, _: LandingResult) -> None:
        _restore_shown(connection, account, page, now)
        if page.listing is None or _is_believed(connection, account, page, now):
            connections.move_cursor(connection, account.partner, account.connection_id, page.kind, page.cursor, now)

    return _land(services, account, page, now, within)


def land_backfill(services: Services, account: PlatformConnection, backfill: Backfill, page: Page) -> LandingResult:
    """Records and the backfill's own cursor, in one transaction; older versions become history."""
    now = services.clock()

    def within(connection: Connection, landed: LandingResult) -> None:
        backfills.advance(connection, backfill, page.cursor, landed, now)

    return _land(services, account, page, now, within)


def _land(
    services: Services, account: PlatformConnection, page: Page, now: datetime, within: landing.Within
) -> LandingResult:
    return landing.land(
        services.database, account.partner, account.platform, read_payloads(page.kind, page.records), now=now,
        allowed_attributes=account.allowed_attributes, within=within,
    )  # fmt: skip


def _restore_shown(connection: Connection, account: PlatformConnection, page: Page, now: datetime) -> None:
    """What the platform shows alive now is not deleted, whatever an earlier listing said; the next one has to show it."""
    last = {record.get("native_id"): record.get("deleted_at") for record in page.records}
    alive = [native_id for native_id, gone in last.items() if isinstance(native_id, str) and gone is None]
    landing_delete.restore(connection, account.partner, account.platform, page.kind, alive, now)
    if page.scope is not None:
        landing_delete.show(connection, _listed(account, page, page.scope), alive)


def _listed(account: PlatformConnection, page: Page, scope: str) -> landing_delete.ListedScope:
    return landing_delete.ListedScope(account.partner, account.platform, account.connection_id, page.kind, scope)


def _is_believed(connection: Connection, account: PlatformConnection, page: Page, now: datetime) -> bool:
    """Land what the listing says is gone, unless it is doubted."""
    assert page.listing is not None
    partner, name, scope = account.partner, account.connection_id, page.listing.scope
    found = landing_delete.compare(connection, _listed(account, page, scope), page.listing.ids, now)
    told = {"connection": name, "kind": page.kind, "scope": scope, "shown": found.shown, "before": found.before}
    if found.doubted:
        logs.event(connection, partner, "listing.doubted", now, told)
    elif found.deleted or found.restored:
        logs.event(
            connection, partner, "listing.compared", now, told | {"deleted": found.deleted, "restored": found.restored}
        )
    return not found.doubted


@dataclass
class FieldsMet:
    """The custom fields that the pages of one pull showed."""

    records: int = 0
    carried: Counter[str] = field(default_factory=Counter)
    types: dict[str, str] = field(default_factory=dict)
    described: Mapping[str, CustomField] | None = None

    def add(self, page: Page) -> None:
        """Count a page's attributes."""
        self.described = page.fields if page.fields is not None else self.described
        self.records += len(page.records)
        for record in page.records:
            attributes = record.get("attributes")
            if isinstance(attributes, Mapping):
                self.carried.update(list(attributes))
                self.types.update({name: _type(value) for name, value in attributes.items() if value is not None})

    def seen(self) -> dict[str, fields.Seen]:
        """By attribute; the platform's own description wins over what the records happened to hold."""
        shown = {name: fields.Seen(kind, None, self.carried[name]) for name, kind in self.types.items()}
        for name, one in (self.described or {}).items():
            shown[name] = fields.Seen(one.type, one.label, self.carried[name])
        return shown


def note_drift(connection: Connection, account: PlatformConnection, kind: str, met: FieldsMet, now: datetime) -> None:
    """Remember the fields and tell what changed among them."""
    if not met.records and met.described is None:
        return
    drift = fields.remember(
        connection, account.partner, account.platform, kind, met.seen(), met.records,
        described=met.described is not None, now=now,
    )  # fmt: skip
    for change in drift:
        logs.event(connection, account.partner, "schema.drift", now, {
            "connection": account.connection_id, "platform": account.platform, "kind": kind, **vars(change),
        })  # fmt: skip


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string"
