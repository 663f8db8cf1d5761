"""The insight: one versioned statement about one subject, the same bytes in every channel.

The document is canonical JSON (RFC 8785); additive changes only within ``insight/v1``. Freshness
(checked_at, stale_after) is not part of it, so that an unchanged insight keeps its bytes.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec
import rfc8785

SCHEMA: Literal["insight/v1"] = "insight/v1"
UseCase = Literal["attendance", "pricing", "lead_score"]
USE_CASES: tuple[UseCase, ...] = get_args(UseCase)
STATUSES = ("ready", "fallback", "refused", "withdrawn")
RUNGS = ("rule", "pooled", "partner")
Status = Literal["ready", "fallback", "refused", "withdrawn"]
Rung = Literal["rule", "pooled", "partner"]


class Subject(msgspec.Struct, frozen=True):
    """What an insight is about; ``id`` is native to ``platform``."""

    kind: Literal["event", "series", "product", "tier", "contact"]
    id: str
    platform: str


class Interval(msgspec.Struct, frozen=True):
    """A range that holds the truth with probability ``level``, in the insight's unit."""

    level: float
    low: float
    high: float


class Confidence(msgspec.Struct, frozen=True):
    """How far to trust it: realized ``coverage`` of the interval on the backtest, and on how many cases."""

    label: Literal["high", "medium", "low"]
    coverage: float | None
    observations: int


class Contribution(msgspec.Struct, frozen=True):
    """One additive part of value minus baseline, in the insight's unit."""

    factor: str
    label: str
    effect: float
    actionable: bool


class Explanation(msgspec.Struct, frozen=True):
    """baseline + sum of effects = value, exactly, after rounding to the unit's precision."""

    summary: str
    baseline: float | None
    contributions: list[Contribution]


class ModelRef(msgspec.Struct, frozen=True):
    """The registered model, or the naive rule, that made it."""

    name: str
    version: str


class Source(msgspec.Struct, frozen=True):
    """What it was made from: the platforms, how many records, known as of when."""

    platforms: list[str]
    records: int
    as_of: str


class Insight(msgspec.Struct, frozen=True, kw_only=True):
    """The document. ``value`` and ``interval`` are null when refused or withdrawn."""

    id: str
    insight_version: int
    status: Status
    partner: str
    use_case: Literal["attendance", "pricing", "lead_score"]
    subject: Subject
    value: float | None
    unit: str
    interval: Interval | None
    confidence: Confidence
    explanation: Explanation
    details: dict[str, Any]
    rung: Rung
    model: ModelRef
    source: Source
    generated_at: str
    schema: Literal["insight/v1"] = "insight/v1"


def canonical(document: Insight) -> bytes:
    """The document's bytes, RFC 8785, as stored and as sent."""
    return rfc8785.dumps(msgspec.to_builtins(document))


def parse(data: bytes | str) -> Insight:
    """The insight in stored bytes."""
    return msgspec.json.decode(data, type=Insight)


def insight_id(partner: str, use_case: str, subject: Subject) -> str:
    """A subject's insight keeps one id for life: 26 base-32 characters of SHA-256 over its address."""
    address = "\x1f".join((partner, use_case, subject.kind, subject.platform, subject.id))
    digest = base64.b32encode(hashlib.sha256(address.encode()).digest()).decode().lower()
    return f"ins_{digest[:26]}"


def rfc3339(moment: datetime) -> str:
    """UTC, whole seconds, with Z: the way every moment stands in a document."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document; unknown fields are allowed, as `v1` may grow."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **msgspec.json.schema(Insight),
    }
