"""`integrator.webhook_endpoint`: where a partner wants its messages; signing secrets are wrapped by the master key."""

import re
import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound, invalid
from integrator.contracts.insight import USE_CASES
from integrator.storage.crypto import MasterKey
from integrator.storage.database import Database

EVENT_TYPES = ("insight.updated", "insight.withdrawn", "contact.erased", "endpoint.disabled", "webhook.test")
DEFAULT_EVENT_TYPES = ("insight.updated", "insight.withdrawn")
SECRET_BYTES = 32
# Spaces and control characters: a request line cannot carry them.
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One receiver; `use_cases` empty means all. The secret is not part of it."""

    partner: str
    endpoint_id: str
    url: str
    event_types: tuple[str, ...]
    use_cases: tuple[str, ...]
    status: str
    status_reason: str | None
    failing_since: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewEndpoint(Endpoint):
    """With its signing secret (`whsec_…`), for whoever runs the receiver."""

    secret: str = field(repr=False)


_COLUMNS = ", ".join(Endpoint.__dataclass_fields__)


def add(
    database: Database, partner: str, url: str, now: datetime,
    *, event_types: Sequence[str] = DEFAULT_EVENT_TYPES, use_cases: Sequence[str] = (), allow_loopback: bool = False,
) -> NewEndpoint:  # fmt: skip
    """Store an endpoint and give it a secret; `InvalidInput` names what is allowed."""
    check_url(url, allow_loopback=allow_loopback)
    for event_type in event_types:
        if event_type not in EVENT_TYPES:
            raise invalid("event type", event_type, EVENT_TYPES)
    for use_case in use_cases:
        if use_case not in USE_CASES:
            raise invalid("use case", use_case, USE_CASES)
    endpoint = NewEndpoint(
        partner=partner, endpoint_id=f"we_{secrets.token_hex(10)}", url=url, event_types=tuple(event_types),
        use_cases=tuple(use_cases), status="active", status_reason=None, failing_since=None, created_at=now,
        secret="whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
    )  # fmt: skip
    sealed = database.master.wrap(endpoint.secret.encode(), _purpose(partner, endpoint.endpoint_id))
    with database.partner(partner) as connection:
        connection.execute(
            text("""insert into integrator.webhook_endpoint (partner, endpoint_id, url, secret, event_types, use_cases,
                status, created_at)
              values (:partner, :endpoint_id, :url, :sealed, :event_types, :use_cases, :status, :created_at)"""),
            {**endpoint.__dict__, "event_types": list(event_types), "use_cases": list(use_cases), "sealed": sealed},
        )
    return endpoint


def check_url(url: str, *, allow_loopback: bool) -> None:
    """`InvalidInput` unless it is an https address (or http where loopback is allowed) without a user or a fragment.

    Where the name leads is checked when connecting, not here: it may lead elsewhere by then.
    """
    schemes = ("https", "http") if allow_loopback else ("https",)
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not _UNSENDABLE.search(url)
        well_formed = well_formed and (parts.path + parts.query).isascii()
    except ValueError:
        well_formed = False
    if not well_formed or parts.scheme not in schemes or parts.username or parts.password or parts.fragment:
        raise invalid(
            "webhook address",
            url,
            f"{' or '.join(schemes)}://host[:port]/path, without user or fragment, percent-encoded",
        )


def for_partner(connection: Connection, partner: str) -> list[Endpoint]:
    """A partner's endpoints, oldest first."""
    rows = connection.execute(
        text(f"""select {_COLUMNS} from integrator.webhook_endpoint
        where partner = :partner order by created_at, endpoint_id"""),
        {"partner": partner},
    )
    return [_endpoint(dict(row._mapping)) for row in rows]


def list_all(database: Database, partner: str) -> list[Endpoint]:
    """`for_partner` in a transaction of its own."""
    with database.partner(partner) as connection:
        return for_partner(connection, partner)


def secret(database: Database, partner: str, endpoint_id: str) -> str:
    """An endpoint's signing secret; `NotFound` when the partner has none such."""
    with database.partner(partner) as connection:
        return get(connection, database.master, partner, endpoint_id)[1]


def get(connection: Connection, master: MasterKey, partner: str, endpoint_id: str) -> tuple[Endpoint, str]:
    """An endpoint and its secret; `NotFound` when the partner has none such."""
    row = connection.execute(
        text(f"""select {_COLUMNS}, secret from integrator.webhook_endpoint
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {"partner": partner, "endpoint_id": endpoint_id},
    ).one_or_none()
    if row is None:
        raise NotFound(f"partner {partner!r} has no webhook endpoint {endpoint_id!r}")
    facts = dict(row._mapping)
    opened = master.unwrap(bytes(facts.pop("secret")), _purpose(partner, endpoint_id))
    return _endpoint(facts), opened.decode()


def remove(database: Database, partner: str, endpoint_id: str) -> None:
    """Forget an endpoint and what waits for it; `NotFound` when the partner has none such."""
    with database.partner(partner) as connection:
        gone = connection.execute(
            text("delete from integrator.webhook_endpoint where partner = :partner and endpoint_id = :endpoint_id"),
            {"partner": partner, "endpoint_id": endpoint_id},
        ).rowcount
    if not gone:
        raise NotFound(f"partner {partner!r} has no webhook endpoint {endpoint_id!r}")


def mark_health(
    connection: Connection, partner: str, endpoint_id: str, *, failing_at: datetime | None
) -> datetime | None:
    """Remember since when it fails without a success in between (None: it works); returns that moment."""
    found: datetime | None = connection.execute(
        text("""update integrator.webhook_endpoint
          set failing_since = case when cast(:at as timestamptz) is null then null else coalesce(failing_since, :at) end
        where partner = :partner and endpoint_id = :endpoint_id returning failing_since"""),
        {"partner": partner, "endpoint_id": endpoint_id, "at": failing_at},
    ).scalar_one_or_none()
    return found


def disable(connection: Connection, partner: str, endpoint_id: str, reason: str) -> None:
    """Send nothing there any more, and say why."""
    connection.execute(
        text("""update integrator.webhook_endpoint set status = 'disabled', status_reason = :reason
        where partner = :partner and endpoint_id = :endpoint_id"""),
        {"partner": partner, "endpoint_id": endpoint_id, "reason": reason},
    )


def _endpoint(facts: dict[str, object]) -> Endpoint:
    for name in ("event_types", "use_cases"):
        facts[name] = tuple(facts[name])  # type: ignore[arg-type]
    return Endpoint(**facts)  # type: ignore[arg-type]


def _purpose(partner: str, endpoint_id: str) -> str:
    return f"webhook:{partner}:{endpoint_id}"
