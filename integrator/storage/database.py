"""Connections by role. One transaction per use, committed at the edge.

`partner(name)` is a tenant's transaction: role `integrator_service`, row-level security bound to that partner.
`batch()` is the night's and dbt's: role `integrator_batch`, all partners. `owner()` is for migrations and roles only,
and sees no tenant's row.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.exc import InvalidatePoolError, OperationalError

from integrator.contracts.errors import Unavailable, invalid
from integrator.storage.crypto import MasterKey
from integrator.storage.turns import Turns

Role = Literal["integrator_service", "integrator_batch", "integrator_analyst"]
TRUSTED_SECONDS = 1.0
_USED = "integrator.used"
LOST = (
    exc.OperationalError, exc.InterfaceError, exc.TimeoutError, psycopg.OperationalError, psycopg.InterfaceError,
)  # fmt: skip
"""PostgreSQL went away, is coming up, or has no connection to give: by SQLAlchemy's word, or under COPY by psycopg's own.

Nobody knows what it committed.
"""
ROLES: tuple[Role, ...] = ("integrator_service", "integrator_batch", "integrator_analyst")


@dataclass(frozen=True)
class Address:
    """Where the database is and who owns it."""

    host: str
    port: int
    name: str
    owner: str
    password: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """From a `postgresql://owner:password@host:port/name` address."""
        parts = make_url(url)
        if not parts.drivername.startswith("postgres") or not (parts.host and parts.database and parts.username):
            shown = parts.render_as_string(hide_password=True)
            raise invalid("INTEGRATOR_DATABASE_URL", shown, "postgresql://owner:password@host:port/name")
        return cls(parts.host, parts.port or 5432, parts.database, parts.username, str(parts.password or ""))


class Database:
    """The engines of the service roles; cheap to make, connects on first use."""

    def __init__(self, address: Address, master: MasterKey) -> None:
        self.address = address
        self.master = master

    def url(self, role: str, *, driver: str = "psycopg", schema: str | None = None, password: str | None = None) -> URL:
        """An address for `role`; `schema` becomes the search path (Dagster's and MLflow's tables have one each)."""
        return URL.create(
            f"postgresql+{driver}",
            username=role,
            password=self.master.password(role) if password is None else password,
            host=self.address.host,
            port=self.address.port,
            database=self.address.name,
            query={"options": f"-csearch_path={schema}"} if schema else {},
        )

    def text_url(self, role: str, *, driver: str = "psycopg", schema: str | None = None) -> str:
        """The same as a string with its password, for tools that take one."""
        return self.url(role, driver=driver, schema=schema).render_as_string(hide_password=False)

    @cached_property
    def _service(self) -> Engine:
        return self._engine(self.url("integrator_service"))

    @cached_property
    def _batch(self) -> Engine:
        return self._engine(self.url("integrator_batch"))

    @cached_property
    def _owner(self) -> Engine:
        return self._engine(self.url(self.address.owner, password=self.address.password))

    @staticmethod
    def _engine(url: URL) -> Engine:
        engine = create_engine(url, pool_size=4, max_overflow=8, pool_use_lifo=True, hide_parameters=True)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", partial(_require_alive, engine))
        return engine

    @contextmanager
    def partner(self, name: str) -> Iterator[Connection]:
        """One tenant's transaction; rows of any other partner do not exist in it."""
        with _begin(self._service) as connection:
            connection.execute(text("select set_config('integrator.partner', :name, true)"), {"name": name})
            yield connection

    @contextmanager
    def service(self) -> Iterator[Connection]:
        """A transaction with no partner set: the registry, clients and signing keys, no tenant's row."""
        with _begin(self._service) as connection:
            yield connection

    @contextmanager
    def batch(self) -> Iterator[Connection]:
        """A transaction of the night over all partners."""
        with _begin(self._batch) as connection:
            yield connection

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        """A transaction of the tables' owner: migrations, roles and the registry."""
        with _begin(self._owner) as connection:
            yield connection

    @cached_property
    def turns(self) -> Turns:
        """Whose turn it is at far ends; all of this process's turns are on one connection."""
        return Turns(self)

    def outside_transactions(self) -> Connection:
        """A connection of the service role with no partner set, each statement by itself; whoever asks closes it.

        For locks that belong to a session and outlive transactions. `Unavailable` without a database.
        """
        return _connected(self._service).execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Give back every pooled connection."""
        for name in ("_service", "_batch", "_owner"):
            engine = self.__dict__.pop(name, None)
            if engine is not None:
                engine.dispose()


def _note_use(_: object, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _require_alive(engine: Engine, connection: Any, record: Any, _: object) -> None:
    """What has lain idle is asked whether it is still there; what was in use just now is taken at its word."""
    if time.monotonic() - record.info.get(_USED, 0.0) < TRUSTED_SECONDS:
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.dbapi.Error as error:  # type: ignore[union-attr]  # there is always a driver
        raise InvalidatePoolError from error


@contextmanager
def _begin(engine: Engine) -> Iterator[Connection]:
    connection = _connected(engine)
    with connection, connection.begin():
        yield connection


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as error:
        where = f"{engine.url.host}:{engine.url.port}/{engine.url.database} as {engine.url.username}"
        raise Unavailable(f"no connection to PostgreSQL at {where}: {str(error.orig).strip()}") from error
