"""Whose turn it is at a far end: one sender at a time, in all processes together.

An advisory lock of PostgreSQL's, held by one connection per process for as long as any far end is served: whoever is
killed gives all its turns back at once, and no transaction stays open while a far end makes us wait.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Unavailable

if TYPE_CHECKING:
    from integrator.storage.database import Database

# A machine that loses its power says nothing: the server finds out in half a minute instead of two hours.
_FIND_OUT = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4"
_NAME = "hashtextextended('turn:' || :partner || '/' || :name, 0)"
_TAKE = text(f"select pg_try_advisory_lock({_NAME})")
_GIVE_BACK = text(f"select pg_advisory_unlock({_NAME})")


class Turns:
    """The turns of one process; any number of threads. It has one connection while it has any turn.

    A session that is lost takes its turns with it, unseen by those who have them: what they write down of the far end
    must hold also where a second one was there.
    """

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._mutex = threading.Lock()
        self._held: dict[tuple[str, str], int] = {}
        self._connection: Connection | None = None

    @contextmanager
    def taken(self, partner: str, name: str) -> Iterator[bool]:
        """Whether the turn is ours while the block lasts; False where somebody else has it. Raises as `take` does."""
        if not self.take(partner, name):
            yield False
            return
        try:
            yield True
        finally:
            self.give_back(partner, name)

    def take(self, partner: str, name: str) -> bool:
        """Whether the turn is this thread's now; False while somebody else has it. `Unavailable` without a database.

        `name` says what kind of far end it is, and which: `webhook/we_1`.
        """
        with self._mutex:
            if (partner, name) in self._held:
                return False
            try:
                return self._taken(partner, name)
            except SQLAlchemyError as error:
                self._lose()
                raise Unavailable(f"no turn at {name}: PostgreSQL did not answer") from error

    def give_back(self, partner: str, name: str) -> None:
        """Let the next one; a connection that was lost has given it back already, maybe to another thread of ours."""
        with self._mutex:
            if self._held.get((partner, name)) != threading.get_ident() or self._connection is None:
                return
            del self._held[partner, name]
            try:
                self._connection.execute(_GIVE_BACK, {"partner": partner, "name": name})
            except SQLAlchemyError:
                self._lose()
                return
            self._rest()

    def _taken(self, partner: str, name: str) -> bool:
        if self._connection is None:
            self._connection = self._database.outside_transactions()
            self._connection.execute(text(_FIND_OUT))
        taken: bool = self._connection.execute(_TAKE, {"partner": partner, "name": name}).scalar_one()
        if taken:
            self._held[partner, name] = threading.get_ident()
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
