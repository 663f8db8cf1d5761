"""The registry of partners, and their data keys."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from integrator.contracts.currencies import CURRENCIES
from integrator.contracts.errors import Conflict, NotFound, PermanentError, invalid
from integrator.contracts.validation import known_zone
from integrator.storage.crypto import KEY_BYTES, MasterKey
from integrator.storage.database import Database

NAME = re.compile(r"^[a-z][a-z0-9_]{1,39}$")
REGION = re.compile(r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")
LANGUAGE = re.compile(r"^[a-z]{2,3}$")
RESERVED = ("pooled",)
CURRENT_KEY = """
select key_id, wrapped from integrator.data_key where partner = :partner and dropped_at is null
order by created_at desc, key_id limit 1
"""
COLUMNS = "partner, timezone, currency, region, default_processing, pooling, language, created_at"


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A company that integrates us: our tenant."""

    partner: str
    timezone: str
    currency: str
    region: str
    default_processing: str = "granted"
    pooling: bool = False
    language: str = "en"
    created_at: datetime | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.partner) or self.partner in RESERVED:
            raise invalid("partner", self.partner, f"{NAME.pattern}, not {', '.join(RESERVED)}")
        if not known_zone(self.timezone):
            raise invalid("timezone", self.timezone, "an IANA name such as Europe/Berlin")
        if self.currency not in CURRENCIES:
            raise invalid("currency", self.currency, "an ISO 4217 code in use, such as EUR")
        if not REGION.fullmatch(self.region):
            raise invalid("region", self.region, "an ISO 3166 country or 3166-2 region, such as DE or DE-BY")
        if self.default_processing not in ("granted", "denied"):
            raise invalid("default_processing", self.default_processing, ("granted", "denied"))
        if not LANGUAGE.fullmatch(self.language):
            raise invalid("language", self.language, "an ISO 639 code such as en or de")


def register(database: Database, partner: Partner, now: datetime) -> bool:
    """Add a partner with a data key of its own; True when it is new, `Conflict` when it differs from what is there."""
    facts = {**partner.__dict__, "created_at": now}
    with database.owner() as connection:
        added = connection.execute(
            text(f"""insert into integrator.partner ({COLUMNS}) values (:partner, :timezone, :currency, :region,
            :default_processing, :pooling, :language, :created_at) on conflict do nothing"""),
            facts,
        ).rowcount
    if not added:
        with database.service() as connection:
            there = get(connection, partner.partner)
        wanted = {k: v for k, v in partner.__dict__.items() if k != "created_at"}
        differing = {k: (getattr(there, k), v) for k, v in wanted.items() if getattr(there, k) != v}
        if differing:
            shown = ", ".join(f"{k} is {old!r}, not {new!r}" for k, (old, new) in differing.items())
            raise Conflict(f"partner {partner.partner!r} exists with other settings: {shown}")
    with database.partner(partner.partner) as connection:
        if _current_key(connection, partner.partner) is None:
            add_data_key(connection, database.master, partner.partner, now)
    return bool(added)


def language_of(database: Database, partner: str) -> str:
    """The language of a partner that is registered, else English."""
    with database.service() as connection:
        found: str | None = connection.execute(
            text("select language from integrator.partner where partner = :partner"), {"partner": partner}
        ).scalar_one_or_none()
    return found or "en"


def set_language(database: Database, partner: str, language: str) -> bool:
    """Change the language of a partner's sentences; whether that changed anything."""
    with database.owner() as connection:
        changed = connection.execute(
            text(
                "update integrator.partner set language = :language where partner = :partner and language <> :language"
            ),
            {"partner": partner, "language": language},
        ).rowcount
    return bool(changed)


def get(connection: Connection, name: str) -> Partner:
    """One partner by name; `NotFound` lists those there are."""
    row = connection.execute(
        text(f"select {COLUMNS} from integrator.partner where partner = :partner"), {"partner": name}
    ).one_or_none()
    if row is None:
        names = [p.partner for p in list_all(connection)]
        raise NotFound(f"partner {name!r} is not registered; there are: {', '.join(names) or 'none'}")
    return Partner(**row._mapping)


def list_all(connection: Connection) -> list[Partner]:
    """Every partner, by name."""
    rows = connection.execute(text(f"select {COLUMNS} from integrator.partner order by partner"))
    return [Partner(**row._mapping) for row in rows]


def pooling_count(connection: Connection) -> int:
    """How many partners consent to pooling; for comparing with what is needed, never to be shown."""
    count: int = connection.execute(text("select count(*) from integrator.partner where pooling")).scalar_one()
    return count


@dataclass(frozen=True)
class DataKey:
    """A partner's own encryption key; dropping it shreds what it protects."""

    key_id: str
    raw: bytes


def add_data_key(connection: Connection, master: MasterKey, partner: str, now: datetime) -> DataKey:
    """A fresh key, wrapped by the master key; it becomes the current one."""
    key = DataKey(f"dk_{secrets.token_hex(8)}", secrets.token_bytes(KEY_BYTES))
    connection.execute(
        # Later than those there are, also by a clock that stands still: the latest is the current one.
        text("""insert into integrator.data_key (partner, key_id, wrapped, created_at)
        select :partner, :key_id, :wrapped, greatest(cast(:now as timestamptz),
          max(created_at) + interval '1 microsecond') from integrator.data_key where partner = :partner"""),
        {"partner": partner, "key_id": key.key_id, "wrapped": master.wrap(key.raw, _purpose(partner)), "now": now},
    )
    return key


def data_key(connection: Connection, master: MasterKey, partner: str, key_id: str | None = None) -> DataKey:
    """The named key, or the current one; `PermanentError` when it was dropped or there is none."""
    row = _current_key(connection, partner) if key_id is None else _named_key(connection, partner, key_id)
    return unwrapped(master, partner, row, key_id)


def unwrapped(master: MasterKey, partner: str, row: Sequence[Any] | None, key_id: str | None = None) -> DataKey:
    """A row of key id and wrapped key, as `CURRENT_KEY` reads it, as the key; `PermanentError` when there is none."""
    if row is None or row[1] is None:
        raise PermanentError(f"partner {partner!r} has no data key {key_id or '(current)'}; it may have been dropped")
    return DataKey(row[0], master.unwrap(bytes(row[1]), _purpose(partner)))


def _purpose(partner: str) -> str:
    return f"data_key:{partner}"


def _current_key(connection: Connection, partner: str) -> Row[tuple[str, bytes]] | None:
    return connection.execute(text(CURRENT_KEY), {"partner": partner}).one_or_none()


def _named_key(connection: Connection, partner: str, key_id: str) -> Row[tuple[str, bytes]] | None:
    return connection.execute(
        text("select key_id, wrapped from integrator.data_key where partner = :partner and key_id = :key_id"),
        {"partner": partner, "key_id": key_id},
    ).one_or_none()
