"""One partner's rows of a feature relation as a polars frame, fast, with dtypes that never depend on the data.

The schema comes from the database's column types, so that an empty frame, a column of nulls and a full one look alike:
integers are Int64, numeric and floating point Float64, timestamptz Datetime(us, UTC), jsonb and all else text.
"""

import io
from collections.abc import Sequence
from typing import Any

import polars as pl
from psycopg import sql
from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound, invalid
from integrator.storage.database import Database

INTEGERS = {"int2", "int4", "int8"}
FLOATS = {"float4", "float8", "numeric"}
MOMENTS = {"timestamptz", "timestamp"}
ALL = sql.SQL("true")
_UTC = pl.Datetime("us", "UTC")


def read_features(database: Database, relation: str, partner: str) -> pl.DataFrame:
    """All of one partner's rows of `relation` (`schema.name`, or a name in `features`).

    A frame with the relation's columns in their order; `NotFound` when there is no such relation.
    COPY to CSV, read in parallel by polars: about a million rows a second.
    """
    with database.batch() as connection:
        columns = columns_of(connection, relation)
        data = _copy_out(connection, relation, columns, partner)
    return _frame(columns, data)


def night_of(connection: Connection, relation: str, partner: str) -> int | None:
    """The input position of the night that wrote a partner's rows of a table; None without rows. It writes all, so any tells."""
    query = sql.SQL("select input_position from {} where partner = %(partner)s limit 1").format(
        sql.Identifier(*_split(relation))
    )
    found: int | None = connection.exec_driver_sql(query.as_string(), {"partner": partner}).scalar_one_or_none()
    return found


def read_live(connection: Connection, relation: str, partner: str) -> pl.DataFrame:
    """All of a partner's rows of a view, in the caller's transaction: slow, and as of its moment."""
    columns = columns_of(connection, relation)
    return _frame(columns, _copy_out(connection, relation, columns, partner))


def read_rows(
    connection: Connection, relation: str, partner: str, column: str, values: Sequence[str], platforms: Sequence[str]
) -> pl.DataFrame:
    """A partner's rows of `relation` whose `column` is one of `values`, on these platforms: the frame as `read_features` has it.

    In the caller's transaction, with its rights and at the moment it has set; of a view, the few rows reach its indexes.
    """
    columns = columns_of(connection, relation)
    where = sql.SQL("{} = any({}::text[]) and platform = any({}::text[])").format(
        sql.Identifier(column), sql.Literal(list(values)), sql.Literal(list(platforms))
    )
    return _frame(columns, _copy_out(connection, relation, columns, partner, where))


def input_position(database: Database, relation: str, frame: pl.DataFrame) -> int:
    """How far into the input `frame` has read: the newest `input_position` of its rows.

    Of a frame without rows it is that of the whole relation, and of an empty relation the oldest transaction that may
    still bring something, so that "nothing to score any more" is ordered among the other scorings too.
    """
    if frame.height:
        newest = frame["input_position"].max()
        if not isinstance(newest, int):
            raise invalid(f"input_position of {relation}", newest, "an integer")
        return newest
    schema, name = _split(relation)
    with database.batch() as connection:
        query = sql.SQL("select max(input_position) from {}").format(sql.Identifier(schema, name))
        found: int | None = connection.exec_driver_sql(query.as_string()).scalar_one()
        if found is None:
            oldest = text("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            found = connection.execute(oldest).scalar_one()
    return int(found)


def any_value(database: Database, relation: str, column: str, partner: str) -> Any:
    """The value of a column that is the same in all of a partner's rows; None without rows."""
    schema, name = _split(relation)
    query = sql.SQL("select {} from {} where partner = %(partner)s limit 1").format(
        sql.Identifier(column), sql.Identifier(schema, name)
    )
    with database.batch() as connection:
        return connection.exec_driver_sql(query.as_string(), {"partner": partner}).scalar_one_or_none()


def _split(relation: str) -> tuple[str, str]:
    schema, dot, name = relation.rpartition(".")
    return (schema, name) if dot else ("features", name)


def columns_of(connection: Connection, relation: str) -> dict[str, str]:
    """A relation's columns and their types, in order; `NotFound` when there is no such relation."""
    schema, name = _split(relation)
    rows = connection.execute(
        text("""select a.attname, t.typname from pg_attribute a
          join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
          join pg_type t on t.oid = a.atttypid
        where n.nspname = :schema and c.relname = :name and a.attnum > 0 and not a.attisdropped
        order by a.attnum"""),
        {"schema": schema, "name": name},
    )
    columns = {row.attname: row.typname for row in rows}
    if not columns:
        raise NotFound(f"relation {schema}.{name} does not exist; run harmonize and features first")
    return columns


def _frame(columns: dict[str, str], data: io.BytesIO) -> pl.DataFrame:
    frame = pl.read_csv(data, schema={name: _wire(kind) for name, kind in columns.items()})
    return frame.select(_typed(name, kind) for name, kind in columns.items())


def _copy_out(
    connection: Connection, relation: str, columns: dict[str, str], partner: str,
    where: sql.Composable = ALL,
) -> io.BytesIO:  # fmt: skip
    query = sql.SQL("copy (select {} from {} where partner = {} and {}) to stdout (format csv, header true)").format(
        sql.SQL(", ").join(_sent(name, kind) for name, kind in columns.items()),
        sql.Identifier(*_split(relation)),
        sql.Literal(partner),
        where,
    )
    buffer = io.BytesIO()
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(query) as pipe:
        for block in pipe:
            buffer.write(block)
    buffer.seek(0)
    return buffer


def _sent(name: str, kind: str) -> sql.Composable:
    """What PostgreSQL sends: moments as microseconds, truth as 0 and 1, so that little has to be parsed."""
    column = sql.Identifier(name)
    if kind in MOMENTS:
        return sql.SQL("(extract(epoch from {c}) * 1000000)::bigint as {c}").format(c=column)
    if kind == "bool":
        return sql.SQL("{c}::integer as {c}").format(c=column)
    if kind in INTEGERS | FLOATS | {"date"}:
        return column
    return sql.SQL("{c}::text as {c}").format(c=column)


def _wire(kind: str) -> pl.DataType:
    if kind in INTEGERS | MOMENTS | {"bool"}:
        return pl.Int64()
    if kind in FLOATS:
        return pl.Float64()
    return pl.String()


def _typed(name: str, kind: str) -> pl.Expr:
    column = pl.col(name)
    if kind in MOMENTS:
        return column.cast(_UTC)
    if kind == "bool":
        return column.cast(pl.Boolean)
    if kind == "date":
        return column.str.to_date("%Y-%m-%d")
    return column
