"""Applying a revision's SQL file inside Alembic's transaction."""

from importlib.resources import files
from typing import Any

from alembic import op


def run_sql(name: str) -> None:
    """Execute `sql/name` as it stands: no parameter is read in it, so percent signs and colons are plain text."""
    script = files("integrator.storage.migrations").joinpath("sql", name).read_text(encoding="utf-8")
    driver: Any = op.get_bind().connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(script)


def run_queue_schema() -> None:
    """procrastinate's tables and functions as installed, in the schema `queue`.

    Its names are unqualified, there and in its functions: whoever works with it has `queue` as the search path. It makes
    sure of plpgsql, which every database has, and passes over being refused that.
    """
    from procrastinate.schema import SchemaManager

    driver: Any = op.get_bind().connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute("set local search_path to queue")
        cursor.execute(SchemaManager.get_schema())
        cursor.execute("set local search_path to default")
