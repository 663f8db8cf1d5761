"""A host's table as it is: read from its catalogue, and judged against the layout. What does not fit is said all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, inspect, types
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql import quoted_name

from integrator.contracts.errors import InvalidInput, NotFound, invalid
from integrator.delivery.host_database.fields import KINDS, NULLABLE, known, misfit
from integrator.storage.host_databases import Layout

WITHDRAWN = ("mark", "delete")
VERSION = "insight_version"
# What tells one insight from another beside its subject's id: in the key, or the same for all of the table.
_APART = {"use_case": "use_cases", "platform": "platforms", "subject_kind": "subject_kinds"}
_LONGEST_NAME = 64


@dataclass(frozen=True)
class HostTable:
    """The table to write: our fields by the host's columns, with their types, and the server's dialect."""

    table: Table
    layout: Layout
    dialect: str

    def column(self, field: str) -> Column[Any]:
        """The column that takes a field."""
        return self.table.c[self.layout.columns[field]]


def require(layout: Layout) -> None:
    """`InvalidInput` unless the layout makes sense by itself: known fields, a version, a key that finds one insight."""
    for name in (layout.table, layout.schema, *layout.columns.values(), *layout.constants):
        if name is not None and (not 0 < len(name) <= _LONGEST_NAME or not name.isprintable()):
            raise invalid("name", name, f"1 to {_LONGEST_NAME} printable characters")
    for field in layout.columns:
        known(field, layout.use_cases)
    if VERSION not in layout.columns:
        raise InvalidInput(
            f"no column takes {VERSION}, by which older insights are kept from replacing newer", field="columns"
        )
    taken = [*layout.columns.values(), *layout.constants]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise invalid("columns", ", ".join(twice), "each column once")
    if layout.withdrawn not in WITHDRAWN:
        raise invalid("withdrawn", layout.withdrawn, WITHDRAWN)
    if layout.withdrawn == "mark" and "status" not in layout.columns:
        raise InvalidInput("withdrawn insights are marked by their status, and no column takes status; "
                           "map one, or let withdrawn be delete", field="withdrawn")  # fmt: skip
    _require_key(layout)


def _require_key(layout: Layout) -> None:
    for field in layout.key:
        if field not in ("insight_id", "subject_id", *_APART):
            raise invalid("key", field, ("insight_id", "subject_id", *_APART))
        if field not in layout.columns:
            raise InvalidInput(f"the key has {field}, and no column takes it", field="key")
    if "insight_id" in layout.key:
        return
    if "subject_id" not in layout.key:
        raise invalid("key", ", ".join(layout.key), "insight_id, or subject_id and what else tells insights apart")
    for field, only in _APART.items():
        if field not in layout.key and len(getattr(layout, only)) != 1:
            raise InvalidInput(
                f"subject ids of several {only} may be equal: put {field} into the key, or choose one of them",
                field="key",
            )


def opened(connection: Connection, layout: Layout) -> HostTable:
    """The table, if it is there and all of the layout fits it; `NotFound` and `InvalidInput` say what to mend."""
    catalogue, name = inspect(connection), connection.dialect.name
    if name == "sqlite" and layout.schema is not None:
        raise invalid("schema", layout.schema, "none: a SQLite file has no schemas")
    for odd in (layout.table, layout.schema or "", *layout.columns.values(), *layout.constants):
        # Neither its catalogue as SQLAlchemy reads it nor the driver's bulk insert gives these back as they are.
        if name in ("mysql", "mariadb") and ("`" in odd or "%" in odd):
            raise invalid("name", odd, "names without ` and % on MariaDB and MySQL")
    where = f"{layout.schema}.{layout.table}" if layout.schema else layout.table
    try:
        columns = catalogue.get_columns(layout.table, schema=layout.schema)
    except NoSuchTableError as error:
        raise NotFound(f"there is no table {where!r} in the host's database, or the login may not see it") from error
    faults = [*_columns_at_fault(layout, {one["name"]: one for one in columns}, name)]
    keys = _unique_keys(catalogue, layout)
    wanted = frozenset(layout.columns[field] for field in layout.key)
    if wanted not in keys:
        faults.append(f"no unique key over exactly {', '.join(sorted(wanted))}")
    others = [key for key in keys if key != wanted and key <= {*layout.columns.values(), *layout.constants}]
    if others and name in ("mysql", "mariadb"):
        shown = "; ".join(", ".join(sorted(key)) for key in others)
        faults.append(f"another unique key would catch the upsert: {shown}")
    if faults:
        raise InvalidInput(f"table {where!r} does not fit: {'; '.join(faults)}", field="columns")
    return HostTable(_table(layout, columns), layout, name)


def _columns_at_fault(layout: Layout, there: Mapping[str, Any], dialect: str) -> list[str]:
    faults = []
    for field, name in layout.columns.items():
        if name not in there:
            faults.append(f"column {name!r} is missing; there are: {', '.join(there)}")
            continue
        column = there[name]
        reason = misfit(field, column["type"])
        if reason:
            faults.append(f"column {name!r} {reason}")
        elif _loses_fractions(layout, field, column["type"]):
            faults.append(
                f"column {name!r} is whole and {field} has fractions; choose only attendance, or another type"
            )
        elif field in NULLABLE and not column["nullable"]:
            faults.append(f"column {name!r} may not be null, and {field} is where an insight is refused or withdrawn")
    faults += [f"column {name!r} of a constant is missing" for name in layout.constants if name not in there]
    given = {*layout.columns.values(), *layout.constants}
    faults += [
        f"column {name!r} needs a value and none is mapped to it"
        for name, column in there.items()
        if name not in given and _needs_value(column, dialect)
    ]
    return faults


def _loses_fractions(layout: Layout, field: str, column: types.TypeEngine[Any]) -> bool:
    return KINDS[field] == "number" and isinstance(column, types.Integer) and layout.use_cases != ("attendance",)


def _needs_value(column: Mapping[str, Any], dialect: str) -> bool:
    if column["nullable"] or column.get("default") is not None or column.get("computed") or column.get("identity"):
        return False
    # A lone whole primary key numbers itself in SQLite.
    numbers_itself = (
        dialect == "sqlite" and column.get("primary_key") == 1 and isinstance(column["type"], types.Integer)
    )
    return not (column.get("autoincrement") is True or numbers_itself)


def _unique_keys(catalogue: Any, layout: Layout) -> list[frozenset[str]]:
    at: dict[str, Any] = {"schema": layout.schema}
    keys = [catalogue.get_pk_constraint(layout.table, **at)["constrained_columns"]]
    keys += [one["column_names"] for one in catalogue.get_unique_constraints(layout.table, **at)]
    for index in catalogue.get_indexes(layout.table, **at):
        partial = any(name.endswith("_where") and value for name, value in index.get("dialect_options", {}).items())
        if index["unique"] and not partial and None not in index["column_names"]:
            keys.append(index["column_names"])
    return list(dict.fromkeys(frozenset(key) for key in keys if key))


def _table(layout: Layout, columns: Sequence[Any]) -> Table:
    """Only the columns that are written, every name quoted whatever it holds."""
    given = {*layout.columns.values(), *layout.constants}
    made = [Column(quoted_name(one["name"], True), one["type"]) for one in columns if one["name"] in given]
    schema = None if layout.schema is None else quoted_name(layout.schema, True)
    return Table(quoted_name(layout.table, True), MetaData(), *made, schema=schema)


def matching(connection: Connection, table: str, schema: str | None, use_cases: tuple[str, ...]) -> dict[str, str]:
    """The layout of a table whose columns are named as our fields: every field that has its column."""
    try:
        there = {one["name"] for one in inspect(connection).get_columns(table, schema=schema)}
    except NoSuchTableError as error:
        raise NotFound(f"there is no table {table!r} in the host's database, or the login may not see it") from error
    found = {}
    for field in KINDS:
        if field in there:
            try:
                known(field, use_cases)
            except InvalidInput:
                continue
            found[field] = field
    return found
