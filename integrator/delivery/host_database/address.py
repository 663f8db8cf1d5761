"""A host database's address: which are allowed, and connecting to what was judged and to nothing else.

A name is resolved once, every address it has is judged (`security.addresses`), and the connection goes to a judged
one; TLS verifies the name. SQLite files lie below a folder of the partner's own and are never made by us.
"""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from integrator.contracts.errors import Forbidden, InvalidInput, invalid
from integrator.security.addresses import Guard

DRIVERS: Mapping[str, str] = {
    "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql", "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql", "mariadb+pymysql": "mariadb+pymysql",
    "sqlite": "sqlite", "sqlite+pysqlite": "sqlite",
}  # fmt: skip
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
TLS = ("verify", "require", "off")
ALLOWED = (
    "postgresql://, mysql:// or mariadb:// with user:password@host[:port]/database, or sqlite:///file, without a query"
)
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
LOCK_SECONDS = 10
LARGEST = 2000


@dataclass(frozen=True)
class Rules:
    """What this installation allows: network addresses by `guard`, SQLite files of a partner below `folder`."""

    guard: Guard
    folder: Path | None


def parse(text: str, tls: str = "verify") -> URL:
    """The address with our driver; `InvalidInput` says what is allowed, and never repeats a password."""
    if tls not in TLS:
        raise invalid("tls", tls, TLS)
    if len(text) > LARGEST or not text.isprintable():
        raise InvalidInput(f"this address cannot be read; allowed: {ALLOWED}", field="address")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput(f"this address cannot be read; allowed: {ALLOWED}", field="address") from error
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        raise invalid("address", url.drivername, DRIVERS)
    if url.query:
        raise invalid("a query in the address", ", ".join(url.query), "none: TLS is an option of its own")
    if driver == "sqlite":
        if not url.database or url.database == ":memory:" or url.host or url.database.startswith("file:"):
            raise InvalidInput("a SQLite address names a file; allowed: sqlite:///file", field="address")
    elif not (url.host and url.username and url.password and url.database):
        raise InvalidInput(f"the address {shown(url)} lacks a part; allowed: {ALLOWED}", field="address")
    return url.set(drivername=driver)


def shown(url: URL) -> str:
    """The address for people, its password hidden."""
    return url.render_as_string(hide_password=True)


def engine(url: URL, tls: str, partner: str, rules: Rules) -> Engine:
    """An engine that connects once, to a judged address; `Forbidden` or `InvalidInput` where it must not.

    JSON goes in and comes out as text: a document keeps its bytes.
    """
    name = url.get_backend_name()
    as_text: dict[str, Any] = {"json_serializer": str, "json_deserializer": _text} if name != "sqlite" else {}
    if name == "sqlite":
        made = create_engine("sqlite://", poolclass=NullPool, hide_parameters=True)
        file = sqlite_file(url, partner, rules.folder)
        event.listen(made, "do_connect", lambda *_: _open_file(file), retval=True)
        return made
    port = url.port or PORTS[name]
    judged = _judged(rules.guard, str(url.host), port, tls)
    if name == "postgresql":
        return create_engine(
            url.set(port=port),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args=_postgres(judged, tls),
            use_native_hstore=False,
            **as_text,
        )
    made = create_engine(url.set(port=port), poolclass=NullPool, hide_parameters=True, **as_text)
    event.listen(made, "do_connect", lambda *_: _open_mysql(url, judged, port, tls), retval=True)
    return made


def sqlite_file(url: URL, partner: str, folder: Path | None) -> Path:
    """The file, below the partner's own part of the allowed folder, links followed; `InvalidInput` otherwise."""
    if folder is None:
        raise Forbidden("SQLite files are not allowed here; INTEGRATOR_HOST_DATABASE_FOLDER names where they may lie")
    own = Path(os.path.realpath(folder / partner))
    file = Path(os.path.realpath(own / str(url.database)))
    if own not in file.parents:
        raise InvalidInput(
            "this SQLite file is not allowed; allowed: files below the partner's own folder", field="address"
        )
    return file


def _judged(guard: Guard, host: str, port: int, tls: str) -> str:
    try:
        return guard.address("https" if tls != "off" else "http", host, port)
    except Forbidden as error:
        # Not the guard's own words: they tell what our name server says of a name.
        allowed = "public addresses with TLS"
        raise invalid("host of the address", host, allowed) from error


def _postgres(judged: str, tls: str) -> dict[str, Any]:
    """libpq's own words, so that nothing of the environment or of our home is taken."""
    arguments: dict[str, Any] = {
        "hostaddr": judged, "connect_timeout": CONNECT_SECONDS, "application_name": "integrator",
        "sslcertmode": "disable", "gssencmode": "disable", "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "prepare_threshold": None,
    }  # fmt: skip
    if tls == "verify":
        return {**arguments, "sslmode": "verify-full", "sslrootcert": _authorities()}
    return {**arguments, "sslmode": "require" if tls == "require" else "disable"}


def _authorities() -> str:
    """The file with the certificate authorities of this machine; libpq in the wheel knows none by itself."""
    from certifi import where

    return ssl.get_default_verify_paths().cafile or where()


def _open_mysql(url: URL, judged: str, port: int, tls: str) -> Any:
    import pymysql

    options: dict[str, Any] = {"ssl_disabled": True} if tls == "off" else {"ssl": _context(tls)}
    connection = pymysql.connect(
        host=url.host, port=port, user=url.username, password=str(url.password), database=url.database,
        charset="utf8mb4", connect_timeout=CONNECT_SECONDS, read_timeout=STATEMENT_SECONDS,
        write_timeout=STATEMENT_SECONDS, local_infile=False, defer_connect=True, client_flag=_FOUND_ROWS,
        # Strict, or a text too long would be cut without a word; moments are sent in UTC.
        init_command="set time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
        f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
        **options,
    )  # fmt: skip
    try:
        sock = socket.create_connection((judged, port), CONNECT_SECONDS)
    except OSError as error:
        raise pymysql.err.OperationalError(2003, f"no connection ({type(error).__name__})") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect(sock)
    return connection


_FOUND_ROWS = 2  # CLIENT.FOUND_ROWS, as SQLAlchemy's dialect sets it


def _context(tls: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if tls == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _open_file(file: Path) -> Any:
    """Open what is there: `mode=rw` makes no file, and no other file can be attached."""
    import sqlite3

    connection = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=LOCK_SECONDS)
    attaching = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in attaching else sqlite3.SQLITE_OK)
    return connection


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
