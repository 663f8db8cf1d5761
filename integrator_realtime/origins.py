"""Which partners' pages an origin is: all registered origins, read from PostgreSQL once a second at most."""

import asyncio
import logging
import time

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from integrator.contracts.errors import TransientError
from integrator.storage import widget_origins
from integrator.storage.database import Database

log = logging.getLogger(__name__)

FRESH_SECONDS = 1.0


class Origins:
    """One per process. While PostgreSQL is away, what was read last holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, frozenset[str]] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def partners(self, origin: str) -> frozenset[str]:
        """The partners who registered this origin."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            async with self._reading:
                if time.monotonic() - self._read_at > FRESH_SECONDS:
                    await self._read()
        return self._known.get(origin, frozenset())

    async def _read(self) -> None:
        try:
            self._known = await run_in_threadpool(self._from_tables)
        except (TransientError, SQLAlchemyError) as error:
            log.warning("the registered origins could not be read: %s", type(error).__name__)
        self._read_at = time.monotonic()

    def _from_tables(self) -> dict[str, frozenset[str]]:
        with self._database.service() as connection:
            return widget_origins.partners_by_origin(connection)
