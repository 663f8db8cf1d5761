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
