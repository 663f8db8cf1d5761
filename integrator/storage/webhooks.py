"""`integrator.webhook_endpoint`: where a partner wants its messages, which of them, and how the endpoint is doing.

Its signing secrets are `webhook_secrets.py`'s.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound
from integrator.storage import webhook_secrets
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database
from integrator.storage.webhook_rules import Wanted, check_url

WANTED = tuple(Wanted.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Endpoint(Wanted):
    """One receiver. The secret is not part of it."""

    partner: str
    endpoint_id: str
    url: str
    status: str
    status_reason: str | None
    failing_since: datetime | None
    held_until: datetime | None
    is_slow: bool
    created_at: datetime

    @property
    def wanted(self) -> Wanted:
        """What is sent there, without where."""
        return Wanted(**{name: getattr(self, name) for name in WANTED})


@dataclass(frozen=True, kw_only=True)
class NewEndpoint(Endpoint):
    """With its signing secret (`whsec_…`), for whoever runs the receiver."""

    secret: str = field(repr=False)


_COLUMNS = ", ".join(Endpoint.__dataclass_fields__)


def add(
    database: Database, partner: str, url: str, now: datetime, *, allow_loopback: bool = False, **wanted: Any
) -> NewEndpoint:
    """Store an endpoint and give it a secret; `wanted` as in `Wanted`. `InvalidInput` names what is allowed."""
    with database.partner(partner) as connection:
        return insert(connection, database.master, partner, url, Wanted(**wanted), now, allow_loopback=allow_loopback)


def lock(connection: Connection, partner: str) -> None:
    """One change of a partner's list at a time, until the transaction ends."""
    connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended('webhooks:' || :partner, 0))"), {"partner": partner}
    )


def insert(
    connection: Connection, master: MasterKey, partner: str, url: str, wanted: Wanted, now: datetime,
    *, allow_loopback: bool = False,
) -> NewEndpoint:  # fmt: skip
    """`add` in a transaction that is there already."""
    check_url(url, allow_loopback=allow_loopback)
    endpoint_id, secret = webhook_secrets.new_id(), webhook_secrets.new_secret()
    columns = ("partner", "endpoint_id", "url", "secret", "created_at", *WANTED)
    row = connection.execute(
        text(f"""insert into integrator.webhook_endpoint ({", ".join(columns)})
          values ({", ".join(f":{name}" for name in columns)}) returning {_COLUMNS}"""),
        {
            "partner": partner, "endpoint_id": endpoint_id, "url": url, "created_at": now,
            "secret": webhook_secrets.seal(master, partner, endpoint_id, secret), **_stored(wanted),
        },
    ).one()  # fmt: skip
    return NewEndpoint(**endpoint_of(row._mapping).__dict__, secret=secret)


def change(connection: Connection, partner: str, endpoint_id: str, wanted: Wanted, url: str) -> Endpoint:
    """Another address or other wishes; `NotFound` when the partner has none such."""
    given = {**_stored(wanted), "url": url}
    row = connection.execute(
        text(f"""update integrator.webhook_endpoint set {", ".join(f"{name} = :{name}" for name in given)}
        where partner = :partner and endpoint_id = :endpoint_id returning {_COLUMNS}"""),
        {"partner": partner, "endpoint_id": endpoint_id, **given},
    ).one_or_none()
    return _there(row, partner, endpoint_id)


def for_partner(connection: Connection, partner: str) -> list[Endpoint]:
    """A partner's endpoints, oldest first."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from integrator.webhook_endpoint
        where partner = :partner order by created_at, endpoint_id"""),
        {"partner": partner},
    )
    return [endpoint_of(row._mapping) for row in rows]


def list_all(database: Database, partner: str) -> list[Endpoint]:
    """`for_partner` in a transaction of its own."""
    with database.partner(partner) as connection:
        return for_partner(connection, partner)


def get(connection: Connection, partner: str, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    """An endpoint, its row locked until the transaction ends if asked; `NotFound` when the partner has none such."""
    row = connection.execute(
        text(f"""select {_COLUMNS} from integrator.webhook_endpoint
        where partner = :partner and endpoint_id = :endpoint_id{" for update" if lock else ""}"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    ).one_or_none()
    return _there(row, partner, endpoint_id)


def remove(database: Database, partner: str, endpoint_id: str) -> None:
    """Forget an endpoint, what waits for it and what was sent there; `NotFound` when the partner has none such."""
    with database.partner(partner) as connection:
        delete(connection, partner, endpoint_id)


def delete(connection: Connection, partner: str, endpoint_id: str) -> None:
    """`remove` in a transaction that is there already."""
    values = {"partner": partner, "endpoint_id": endpoint_id}
    gone = connection.execute(
        text("delete from integrator.webhook_endpoint where partner = :partner and endpoint_id = :endpoint_id"), values
    ).rowcount
    if not gone:
        raise _missing(partner, endpoint_id)
    connection.execute(
        text("delete from ops.delivery_attempt where partner = :partner and endpoint_id = :endpoint_id"), values
    )


def mark_working(connection: Connection, partner: str, endpoint_id: str, *, is_slow: bool) -> None:
    """It took a message: no failure counts any more, and nothing is held."""
    connection.execute(
        text("""update integrator.webhook_endpoint
          set failing_since = null, failures = 0, held_until = null, is_slow = :is_slow
        where partner = :partner and endpoint_id = :endpoint_id
          and (failing_since is not null or failures > 0 or held_until is not null or is_slow <> :is_slow)"""),
        {"partner": partner, "endpoint_id": endpoint_id, "is_slow": is_slow},
    )


def mark_failing(connection: Connection, partner: str, endpoint_id: str, at: datetime) -> tuple[datetime, int] | None:
    """It took none: since when that has been so and how often in a row; None when it is gone."""
    row = connection.execute(
        text("""update integrator.webhook_endpoint
          set failing_since = coalesce(failing_since, :at), failures = failures + 1
        where partner = :partner and endpoint_id = :endpoint_id returning failing_since, failures"""),
        {"partner": partner, "endpoint_id": endpoint_id, "at": at},
    ).one_or_none()
    return None if row is None else (row.failing_since, row.failures)


def hold(connection: Connection, partner: str, endpoint_id: str, until: datetime) -> None:
    """Send nothing there before that moment."""
    connection.execute(
        text("""update integrator.webhook_endpoint set held_until = :until
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {"partner": partner, "endpoint_id": endpoint_id, "until": until},
    )


def disable(connection: Connection, partner: str, endpoint_id: str, reason: str) -> None:
    """Send nothing there any more, and say why."""
    connection.execute(
        text("""update integrator.webhook_endpoint set status = 'disabled', status_reason = :reason
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {"partner": partner, "endpoint_id": endpoint_id, "reason": reason},
    )


def enable(connection: Connection, partner: str, endpoint_id: str) -> None:
    """Send there again, as if nothing had been."""
    connection.execute(
        text("""update integrator.webhook_endpoint
          set status = 'active', status_reason = null, failing_since = null, failures = 0, held_until = null
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    )


def endpoint_of(facts: Any) -> Endpoint:
    """The endpoint in a row that has its columns, and maybe others."""
    given = {name: facts[name] for name in Endpoint.__dataclass_fields__}
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Endpoint(**plain)


def _stored(wanted: Wanted) -> dict[str, Any]:
    given = {name: getattr(wanted, name) for name in WANTED}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _there(row: Any, partner: str, endpoint_id: str) -> Endpoint:
    if row is None:
        raise _missing(partner, endpoint_id)
    return endpoint_of(row._mapping)


def _missing(partner: str, endpoint_id: str) -> NotFound:
    return NotFound(f"partner {partner!r} has no webhook endpoint {endpoint_id!r}")
