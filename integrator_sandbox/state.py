"""One sandbox: its clock, its data on the timeline, its limits and faults. What is served from it is elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from integrator_sandbox.limits import Bucket, Faults, SlidingWindow
from integrator_sandbox.prepare import prepared
from integrator_sandbox.timeline import anchor


@dataclass(frozen=True)
class Subset:
    """How much of the data to serve, for fast tests: the first sites, products and contacts, the latest
    days of the fairs; None for all."""

    sites: int | None = None
    products: int | None = None
    contacts: int | None = None
    days: int | None = None


@dataclass
class Sandbox:
    """State of one running sandbox. ``fixed`` stops its clock; nothing after the clock is ever shown."""

    home: Path
    fixed: datetime | None = None
    subset: Subset = Subset()
    control: bool = False
    token_seconds: float = 1800.0
    faults: Faults = field(default_factory=Faults)
    pretix_limit: SlidingWindow = field(default_factory=lambda: SlidingWindow(360, 60.0))
    hubspot_limit: SlidingWindow = field(default_factory=lambda: SlidingWindow(190, 10.0))
    hubspot_search_limit: SlidingWindow = field(default_factory=lambda: SlidingWindow(4, 1.0))
    shopify_bucket: Bucket = field(default_factory=lambda: Bucket(1000.0, 1000.0))
    hubspot_tokens: dict[str, float] = field(default_factory=dict)
    extra: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    gone: dict[str, dict[str, datetime]] = field(default_factory=dict)
    written: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """What was written to a platform's records, by native id and field."""
    requests: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    """Platforms that keep their own state, by name."""

    def now(self) -> datetime:
        """The sandbox's clock, UTC."""
        return (self.fixed or datetime.now(UTC)).astimezone(UTC)

    @property
    def clock(self) -> Callable[[], datetime]:
        """`now` as something to hand on."""
        return self.now

    @cached_property
    def anchor(self) -> datetime:
        """The moment the data's dates are placed around."""
        return anchor(self.home, self.now())

    @cached_property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The prepared data, by partner."""
        return prepared(self.home)

    def injected(self, platform: str) -> list[dict[str, Any]]:
        """Records a test has added, in the platform's own shape."""
        return self.extra.setdefault(platform, [])

    def writes(self, platform: str) -> dict[str, dict[str, Any]]:
        """What was written to a platform, by native id; each with the time of the last write under ``""``."""
        return self.written.setdefault(platform, {})

    def removed(self, platform: str) -> dict[str, datetime]:
        """What a test has deleted at a platform: native ids and when."""
        return self.gone.setdefault(platform, {})
