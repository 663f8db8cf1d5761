"""What writing would change in a host's table, without changing anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, types

from integrator.delivery.host_database.table import VERSION, HostTable
from integrator.delivery.host_database.write import Insight, key_of, row_of, stored

SAMPLE = 10


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Rows to add, change and delete; those that are the same, and those the host holds a newer version of.

    `sample` shows some of what would change: the key, and each column's old and new value.
    """

    add: int = 0
    change: int = 0
    delete: int = 0
    same: int = 0
    newer: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)

    def __add__(self, other: "Difference") -> "Difference":
        return Difference(
            add=self.add + other.add, change=self.change + other.change, delete=self.delete + other.delete,
            same=self.same + other.same, newer=self.newer + other.newer, sample=(self.sample + other.sample)[:SAMPLE],
        )  # fmt: skip


def difference(connection: Connection, target: HostTable, insights: Sequence[Insight]) -> Difference:
    """Of these insights against what the table holds now."""
    rows = [(one, row_of(target, one)) for one in insights]
    there = dict(stored(connection, target, [row for _, row in rows])) if rows else {}
    total = Difference()
    for insight, row in rows:
        total += _one(target, insight, row, there.get(key_of(target, row)))
    return total


def _one(target: HostTable, insight: Insight, row: Mapping[str, Any], old: Mapping[str, Any] | None) -> Difference:
    version = target.layout.columns[VERSION]
    deleted = target.layout.withdrawn == "delete" and insight["status"] == "withdrawn"
    if old is None:
        return Difference(same=1) if deleted else _said(target, Difference(add=1), {}, row)
    if old[version] is not None and int(old[version]) > int(row[version]):
        return Difference(newer=1)
    if deleted:
        return _said(target, Difference(delete=1), old, dict.fromkeys(row))
    changed = {name for name, value in row.items() if not _equal(old[name], value, target.table.c[name].type)}
    if not changed:
        return Difference(same=1)
    return _said(target, Difference(change=1), old, {name: row[name] for name in row if name in changed})


def _said(target: HostTable, counted: Difference, old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    whole = {**new, **old} if old else new
    key = dict(zip(target.layout.key, key_of(target, whole), strict=True))
    changes = {name: {"old": plain(old.get(name)), "new": plain(value)} for name, value in new.items()}
    return replace(counted, sample=[{"key": key, "columns": changes}])


def _equal(old: Any, new: Any, column: types.TypeEngine[Any]) -> bool:
    if old is None or new is None:
        return old is new
    if isinstance(column, types.JSON) and isinstance(old, str) and isinstance(new, str):
        return bool(json.loads(old) == json.loads(new))  # a binary JSON keeps no bytes
    if isinstance(new, Decimal | float | int) and not isinstance(old, str):
        # A double, or a single, is not the decimal it was made of.
        return abs(float(old) - float(new)) <= 1e-6 * max(1.0, abs(float(new)))
    return bool(old == new)


def plain(value: Any) -> Any:
    """As JSON has it: numbers as numbers, moments as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, datetime) else value
