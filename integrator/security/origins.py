"""Origins of pages that may show a partner's insights: what one looks like, and which a partner has registered.

An origin is compared as text, byte by byte, with what browsers send; so it is taken in that form alone (RFC 6454 §6.2).
"""

import ipaddress
import re
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from integrator.contracts.errors import InvalidInput, NotFound, invalid
from integrator.storage import logs, partners, widget_origins
from integrator.storage.database import Database

ALLOWED = "https://host or https://host:port as browsers send it, in small letters; http for loopback alone"
LONGEST = 255
MOST = 100
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def origin_of(text: str) -> str:
    """The text, if it is an origin a page of a partner may have; else `InvalidInput`, for `*` and `null` too."""
    try:
        parts = urlsplit(text)
        good = len(text) <= LONGEST and _written_by_browsers(text, parts) and _is_allowed(parts)
    except ValueError:
        good = False
    if not good:
        raise invalid("origin", text, ALLOWED)
    return text


def add(database: Database, partner: str, origin: str, now: datetime) -> bool:
    """Register an origin; False when it was registered. `InvalidInput` for what is none, or one too many."""
    origin_of(origin)
    with database.partner(partner) as connection:
        partners.get(connection, partner)
        known = {row["origin"] for row in widget_origins.for_partner(connection, partner)}
        if len(known | {origin}) > MOST:
            raise InvalidInput(f"partner {partner!r} has {MOST} origins; allowed: {MOST}", field="origin")
        added = widget_origins.add(connection, partner, origin, now)
        if added:
            logs.event(connection, partner, "widget_origin.added", now, {"origin": origin})
    return added


def remove(database: Database, partner: str, origin: str, now: datetime) -> None:
    """Forget an origin: its pages are refused within seconds. `NotFound` when the partner has none such."""
    if "\x00" in origin:
        raise NotFound(f"partner {partner!r} has no origin {origin!r}")
    with database.partner(partner) as connection:
        if not widget_origins.remove(connection, partner, origin):
            raise NotFound(f"partner {partner!r} has no origin {origin!r}")
        logs.event(connection, partner, "widget_origin.removed", now, {"origin": origin})


def list_all(database: Database, partner: str) -> list[dict[str, Any]]:
    """A partner's origins, oldest first."""
    with database.partner(partner) as connection:
        return widget_origins.for_partner(connection, partner)


def _written_by_browsers(text: str, parts: SplitResult) -> bool:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    return text == f"{parts.scheme}://{host}{port}" and parts.port not in (0, _DEFAULT_PORTS.get(parts.scheme))


def _is_allowed(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
        named, loopback = host == str(address), address.is_loopback
    except ValueError:
        named, loopback = all(_LABEL.fullmatch(label) for label in host.split(".")), host == "localhost"
    return named and (parts.scheme == "https" or (parts.scheme == "http" and loopback))
