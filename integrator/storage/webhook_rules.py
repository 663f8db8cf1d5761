"""What may be asked of a webhook endpoint: its address and its wishes, checked. No SQL here."""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from integrator.contracts.errors import invalid
from integrator.contracts.insight import STATUSES, USE_CASES

EVENT_TYPES = ("insight.updated", "insight.withdrawn", "contact.erased", "endpoint.disabled", "webhook.test")
DEFAULT_EVENT_TYPES = ("insight.updated", "insight.withdrawn")
SUBJECT_KINDS = ("event", "series", "product", "tier", "contact")
LONGEST_URL = 2_000
LONGEST_PREFIX = 200
LANES = 16
# One message in a hundred seconds, to a thousand a second.
SLOWEST, FASTEST = 0.01, 1_000.0
# Spaces and control characters: a request line cannot carry them.
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which messages an endpoint wants, and how fast; an empty tuple and None mean no restriction.

    `statuses`, `subject_kinds`, `subject_prefix` and `minimum_change` choose among `insight.updated`; a withdrawal of what
    fits kind and prefix is always told. `minimum_change` is a share of the last value sent there (0.05: 5 %).
    `max_per_second` is in messages; `max_in_flight` is how many requests may be open at once.
    """

    event_types: tuple[str, ...] = DEFAULT_EVENT_TYPES
    use_cases: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    subject_kinds: tuple[str, ...] = ()
    subject_prefix: str | None = None
    minimum_change: float | None = None
    max_per_second: float | None = None
    max_in_flight: int = 4

    def __post_init__(self) -> None:
        """`InvalidInput` names the first value that is not allowed, and those that are."""
        if not self.event_types:
            raise invalid("event_types", list(self.event_types), f"at least one of {', '.join(EVENT_TYPES)}")
        for name, allowed in (
            ("event_types", EVENT_TYPES), ("use_cases", USE_CASES), ("statuses", STATUSES),
            ("subject_kinds", SUBJECT_KINDS),
        ):  # fmt: skip
            _require_among(name, getattr(self, name), allowed)
        prefix = self.subject_prefix
        if prefix is not None and not (0 < len(prefix) <= LONGEST_PREFIX and prefix.isprintable()):
            raise invalid("subject_prefix", prefix, f"1 to {LONGEST_PREFIX} printable characters")
        _require_between("minimum_change", self.minimum_change, 0.0001, 100.0)
        _require_between("max_per_second", self.max_per_second, SLOWEST, FASTEST)
        lanes: Any = self.max_in_flight
        if isinstance(lanes, bool) or not isinstance(lanes, int) or not 1 <= lanes <= LANES:
            raise invalid("max_in_flight", lanes, f"a whole number from 1 to {LANES}")


def check_url(url: str, *, allow_loopback: bool) -> None:
    """`InvalidInput` unless it is an https address (or http where loopback is allowed) without a user or a fragment.

    Where the name leads is checked when connecting, not here: it may lead elsewhere by then.
    """
    schemes = ("https", "http") if allow_loopback else ("https",)
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and (parts.port is None or parts.port > 0) and not _UNSENDABLE.search(url)
        well_formed = well_formed and (parts.path + parts.query).isascii() and len(url) <= LONGEST_URL
        # Brackets are for addresses of IPv6; a zone names an interface of ours.
        well_formed = well_formed and "%" not in parts.netloc and "\\" not in url
    except ValueError:
        well_formed = False
    if not well_formed or parts.scheme not in schemes or parts.username or parts.password or parts.fragment:
        raise invalid(
            "webhook address",
            url,
            f"{' or '.join(schemes)}://host[:port]/path, without user or fragment, percent-encoded",
        )


def _require_among(name: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for value in given:
        if value not in allowed:
            raise invalid(name, value, allowed)
    if len(set(given)) != len(given):
        raise invalid(name, list(given), "each value once")


def _require_between(name: str, value: float | None, least: float, most: float) -> None:
    if value is None:
        return
    given: Any = value
    if (
        isinstance(given, bool)
        or not isinstance(given, int | float)
        or not isfinite(given)
        or not least <= given <= most
    ):
        raise invalid(name, value, f"a number from {least:g} to {most:g}")
