"""Opening storage for a process: what is configured, else what the wheels bring, migrated either way."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integrator.embedded import postgres, redis
from integrator.settings import Settings
from integrator.storage.crypto import load_master_key
from integrator.storage.database import Address, Database
from integrator.storage.migrate import migrate


@dataclass(frozen=True)
class Storage:
    """The two stores every application uses."""

    database: Database
    redis_url: str


def open_storage(settings: Settings, *, migrated: bool = True) -> Storage:
    """Start what is not running and not configured; safe to call from many processes at once."""
    master = load_master_key(settings)
    home = settings.root
    with _lock(home):
        if settings.database_url is not None:
            address = Address.parse(settings.database_url.get_secret_value())
        else:
            address = postgres.start(home, master)
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else redis.start(home, master)
        database = Database(address, master)
        if migrated:
            migrate(database)
    return Storage(database, redis_url)


def close_storage(settings: Settings) -> list[str]:
    """Stop the embedded servers of this home; the names of those that were running."""
    with _lock(settings.root):
        stopped = {"postgres": postgres.stop(settings.root), "redis": redis.stop(settings.root)}
    return [name for name, was_running in stopped.items() if was_running]


@contextmanager
def _lock(home: Path) -> Iterator[None]:
    """One process of this home starts or stops servers at a time."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
