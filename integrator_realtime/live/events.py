"""The events of a stream, as bytes (WHATWG HTML §9.2). Documents are canonical JSON: one line, as every channel has it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from integrator.contracts.insight import rfc3339
from integrator.storage.insights import Served
from integrator.storage.live import Freshness

HEARTBEAT = b": still here\n\n"
RETRY = b"retry: 2000\n\n"
REASONS = {
    "token_expired": "the token, or API key, has ended; come back with a fresh one",
    "revoked": "the token, or its client, was revoked",
    "origin_removed": "the page's origin is no longer registered",
    "slow": "nothing was read for too long; come back with Last-Event-ID",
    "shutdown": "this process ends; come back with Last-Event-ID",
    "unavailable": "a service behind this one did not answer; come back with Last-Event-ID",
}


@dataclass(frozen=True, slots=True)
class News:
    """A published version, ready to be sent: the document under its `published_seq`, its freshness behind it."""

    served: Served
    document: bytes

    @classmethod
    def of(cls, served: Served) -> "News":
        """Made once, however many streams it goes to."""
        head = f"event: insight\nid: {served.published_seq}\ndata: "
        return cls(served, f"{head}{served.document}\n\n".encode())

    def event(self, now: datetime) -> bytes:
        """The document and how fresh it is now."""
        return self.document + freshness(self.served.insight_id, Freshness.of(self.served), now)


def freshness(insight_id: str, fresh: Freshness, now: datetime) -> bytes:
    """How fresh a version is; without an id, for it moves no cursor. `at` is this service's clock."""
    facts = {
        "id": insight_id, "insight_version": fresh.insight_version, "checked_at": rfc3339(fresh.checked_at),
        "stale_after": rfc3339(fresh.stale_after), "stale": is_stale(fresh, now), "at": rfc3339(now),
    }  # fmt: skip
    return _event("freshness", facts)


def is_stale(fresh: Freshness, now: datetime) -> bool:
    """Past its time, by this service's clock."""
    return now.astimezone(UTC) > fresh.stale_after


def cursor(seq: int) -> bytes:
    """Where the stream stands: what was published up to `seq` needs no asking for."""
    return _event(f"cursor\nid: {seq}", {"published_seq": seq})


def end(reason: str) -> bytes:
    """The last event of a stream that the service ends: one of `REASONS`."""
    return _event("end", {"reason": reason, "detail": REASONS[reason]})


def _event(name: str, facts: dict[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(facts)}\n\n".encode()
