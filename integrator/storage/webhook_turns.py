"""Whose turn it is at a webhook endpoint: one sender at a time, in all processes together.

An advisory lock of PostgreSQL's, held by one connection per process for as long as it serves the endpoint: whoever is
killed gives all its turns back at once, and no transaction stays open while a receiver makes us wait.
"""

import threading
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Unavailable
from integrator.storage.database import Database

# A machine that loses its power says nothing: the server finds out in half a minute instead of two hours.
_FIND_OUT = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4"
_NAME = "hashtextextended('webhook:' || :partner || '/' || :endpoint_id, 0)"
_TAKE = text(f"select pg_try_advisory_lock({_NAME})")
_GIVE_BACK = text(f"select pg_advisory_unlock({_NAME})")


class Turns:
    """The turns of one process; any number of threads. It has a connection while it has a turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._held: set[tuple[str, str]] = set()
        self._connection: Connection | None = None

    def take(self, partner: str, endpoint_id: str) -> bool:
        """Whether the turn is ours now; False while somebody else has it. `Unavailable` without a database."""
        with self._mutex:
            if (partner, endpoint_id) in self._held:
                return False
            try:
                return self._taken(partner, endpoint_id)
            except SQLAlchemyError as error:
                self._lose()
                raise Unavailable(f"no turn at {endpoint_id}: PostgreSQL did not answer") from error

    def give_back(self, partner: str, endpoint_id: str) -> None:
        """Let the next one; a connection that was lost has given it back already."""
        with self._mutex:
            if (partner, endpoint_id) not in self._held or self._connection is None:
                return
            self._held.discard((partner, endpoint_id))
            try:
                self._connection.execute(_GIVE_BACK, {"partner": partner, "endpoint_id": endpoint_id})
            except SQLAlchemyError:
                self._lose()
                return
            self._rest()

    def _taken(self, partner: str, endpoint_id: str) -> bool:
        if self._connection is None:
            self._connection = self._database.outside_transactions()
            self._connection.execute(text(_FIND_OUT))
        taken: bool = self._connection.execute(_TAKE, {"partner": partner, "endpoint_id": endpoint_id}).scalar_one()
        if taken:
            self._held.add((partner, endpoint_id))
        self._rest()
        return taken

    def _rest(self) -> None:
        if not self._held and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _lose(self) -> None:
        """The session is over on the server, with all its locks, whatever state it was in."""
        self._held.clear()
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None
