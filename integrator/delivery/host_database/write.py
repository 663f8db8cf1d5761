"""Writing insights into a host's table: one upsert a batch, guarded by `insight_version` in the database itself."""

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, case, delete, or_, select, text, tuple_
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import Delete, Insert

from integrator.contracts.errors import Conflict, InvalidInput
from integrator.delivery.host_database.address import LOCK_SECONDS, STATEMENT_SECONDS
from integrator.delivery.host_database.failures import judged
from integrator.delivery.host_database.fields import fitted, value_of
from integrator.delivery.host_database.table import VERSION, HostTable

Insight = Mapping[str, Any]
SILENT_SECONDS = 90.0


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection; whatever the database or its driver refuses is one of our errors, also what comes later on it."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        # Without its cause, which repeats the statement with a row's values.
        raise judged(error, "the host's database") from None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One transaction with limits of time that end with it: a pool in between hands nothing of ours on."""
    with connection.begin(), _deadline(connection):
        if connection.dialect.name == "postgresql":
            for name, value in (
                ("statement_timeout", f"{STATEMENT_SECONDS}s"), ("lock_timeout", f"{LOCK_SECONDS}s"), ("timezone", "UTC")
            ):  # fmt: skip
                connection.execute(text("select set_config(:name, :value, true)"), {"name": name, "value": value})
        yield


@contextmanager
def _deadline(connection: Connection) -> Iterator[None]:
    """Cut the line to a PostgreSQL that has fallen silent: its own limits are its own, and libpq waits for ever.

    PyMySQL has a limit for each read, and SQLite's file is here.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "postgresql":
        yield
        return
    timer = threading.Timer(SILENT_SECONDS, _cut, (driver.fileno(),))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(line: int) -> None:
    with socket.socket(fileno=os.dup(line)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def write(connection: Connection, target: HostTable, insights: Sequence[Insight]) -> int:
    """All of them in one transaction, withdrawn ones as the layout says; how many rows were sent.

    The same insights again change nothing, and an older version never replaces a newer one. `InvalidInput` names the
    insight that the table does not take.
    """
    deleting = target.layout.withdrawn == "delete"
    gone = [row_of(target, one) for one in insights if deleting and one["status"] == "withdrawn"]
    kept = [row_of(target, one) for one in insights if not (deleting and one["status"] == "withdrawn")]
    try:
        with transaction(connection):
            if gone:
                connection.execute(
                    _removal(target), [_named(target, row, (*target.layout.key, VERSION)) for row in gone]
                )
            if kept:
                connection.execute(upsert(target), [_bound(target, row) for row in kept])
                _verify(connection, target, kept)
    except SQLAlchemyError as error:
        failure = judged(error, f"writing {len(insights)} insights from {insights[0]['insight_id']} on")
        if isinstance(failure, InvalidInput) and len(insights) > 1:
            return _each(connection, target, insights)
        raise failure from None
    return len(insights)


def _each(connection: Connection, target: HostTable, insights: Sequence[Insight]) -> int:
    """Half by half, until the insight at fault stands alone and is named; those before it are written."""
    middle = len(insights) // 2
    return write(connection, target, insights[:middle]) + write(connection, target, insights[middle:])


def row_of(target: HostTable, insight: Insight) -> dict[str, Any]:
    """The host's columns of an insight, constants among them."""
    row: dict[str, Any] = dict(target.layout.constants)
    for field, name in target.layout.columns.items():
        column = target.table.c[name].type
        try:
            row[name] = fitted(field, value_of(insight, field), column, target.dialect)
        except InvalidInput as error:
            raise InvalidInput(f"insight {insight['insight_id']}: {error}", field=field) from error
    return row


def upsert(target: HostTable) -> Insert:
    """One row's statement; values are bound as `b0`, `b1`, … in the order of the table's columns."""
    table = target.table
    values = {column: bindparam(f"b{n}", type_=column.type) for n, column in enumerate(table.c)}
    version = target.column(VERSION)
    key = [target.column(field) for field in target.layout.key]
    others = [column for column in table.c if column not in set(key)]
    if target.dialect in ("mysql", "mariadb"):
        made = mysql.insert(table).values(values)
        new = made.inserted
        newer = or_(version.is_(None), version <= new[version.name])
        # The version last: what stands before it is compared with the one that was there.
        order = sorted(others, key=lambda column: column is version)
        changes = [(column.name, case((newer, new[column.name]), else_=column)) for column in order]
        return made.on_duplicate_key_update(changes)
    dialect: Any = postgresql if target.dialect == "postgresql" else sqlite
    made = dialect.insert(table).values(values)
    new = made.excluded
    upserting: Insert = made.on_conflict_do_update(
        index_elements=key, set_={column.name: new[column.name] for column in others},
        where=or_(version.is_(None), version <= new[version.name]),
    )  # fmt: skip
    return upserting


def _removal(target: HostTable) -> Delete:
    version = target.column(VERSION)
    named = {field: bindparam(f"k{n}", type_=target.column(field).type) for n, field in enumerate(target.layout.key)}
    bound: ColumnElement[Any] = bindparam(f"k{len(named)}", type_=version.type)
    found = and_(*(target.column(field) == value for field, value in named.items()))
    return delete(target.table).where(found, or_(version.is_(None), version <= bound))


def _named(target: HostTable, row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    return {f"k{n}": row[target.layout.columns[field]] for n, field in enumerate(fields)}


def _bound(target: HostTable, row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"b{n}": row[column.name] for n, column in enumerate(target.table.c)}


def _verify(connection: Connection, target: HostTable, rows: Sequence[Mapping[str, Any]]) -> None:
    """MariaDB and MySQL compare texts by their collation: two subjects may meet in one row, and neither would know.

    So what was written is looked for by its exact key.
    """
    if target.dialect not in ("mysql", "mariadb"):
        return
    there = {key for key, _ in stored(connection, target, rows)}
    for row in rows:
        if key_of(target, row) not in there:
            shown = ", ".join(str(part) for part in key_of(target, row))
            raise Conflict(
                f"the row of {shown} is taken by another subject that the column's collation holds for equal; "
                "give the key's columns a binary collation, such as utf8mb4_bin"
            )


def stored(
    connection: Connection, target: HostTable, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """The host's rows with the keys of these, as its columns hold them."""
    key = [target.column(field) for field in target.layout.key]
    wanted = [key_of(target, row) for row in rows]
    found = select(target.table).where(
        tuple_(*key).in_(wanted) if len(key) > 1 else key[0].in_([one[0] for one in wanted])
    )
    for row in connection.execute(found):
        facts = dict(zip(target.table.c.keys(), row, strict=True))
        yield key_of(target, facts), facts


def key_of(target: HostTable, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row's key, in the layout's order."""
    return tuple(row[target.layout.columns[field]] for field in target.layout.key)
