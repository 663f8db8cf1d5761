"""What every channel is: a part inside the publishing transaction, and a part after the commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the registry of channels is read when Dagster loads, which must stay short
    from sqlalchemy import Connection

    from integrator.settings import Settings
    from integrator.storage.cache import Cache
    from integrator.storage.database import Database


@dataclass(frozen=True)
class ChannelSpec:
    """Light facts of a channel."""

    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One publication of one partner's use case; new versions stand in the temporary table `publishing`."""

    partner: str
    use_case: str
    run_id: str
    at: datetime
    """When it was scored: `generated_at` and `checked_at` of what is new."""
    now: datetime
    stale_after: datetime
    as_of: datetime
    input_position: int
    confirmed: tuple[str, ...]
    """Insight ids that were looked at and did not change."""
    settings: "Settings"
    """Where channels beyond the database find their far end."""
    only: tuple[str, ...] | None = None
    """The insight ids it was about, new and confirmed; None: all of the use case, which is the night's."""


class Channel(Protocol):
    """A way out. `write` is atomic with the insight; `after` may fail without harm and be done again."""

    spec: ChannelSpec

    def write(self, connection: "Connection", publication: Publication) -> int:
        """Inside the transaction that publishes, under the partner's lock; how many rows or messages."""
        ...

    def after(self, database: "Database", cache: "Cache", publication: Publication) -> int:
        """After the commit; how many documents. Raises `TransientError` when the far end is away."""
        ...
