"""What the steps work with: storage, cache, model registry and clock, opened once a process."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from integrator.embedded.session import open_storage
from integrator.settings import Clock, Settings
from integrator.storage.database import Database

if TYPE_CHECKING:
    from integrator.storage.cache import Cache
    from models.tracking import Tracking


@dataclass(frozen=True)
class Services:
    """Handed to every step; nothing in it is global."""

    settings: Settings
    database: Database
    redis_url: str
    clock: Clock

    @cached_property
    def cache(self) -> "Cache":
        """The cache of ready-made documents."""
        from integrator.storage.cache import Cache

        return Cache(self.redis_url)

    @cached_property
    def tracking(self) -> "Tracking":
        """The model registry, in PostgreSQL; importing it takes seconds, so only who trains or scores pays."""
        from models.tracking import Tracking

        artifacts = self.settings.root / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        return Tracking(
            uri=self.database.text_url("integrator_batch", driver="psycopg2", schema="mlflow"),
            artifact_root=artifacts.as_uri(),
        )


def open_services(settings: Settings, *, migrated: bool = True) -> Services:
    """Start what is not configured and open it."""
    storage = open_storage(settings, migrated=migrated)
    return Services(settings, storage.database, storage.redis_url, settings.clock())
