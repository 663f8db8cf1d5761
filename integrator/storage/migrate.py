"""Bringing a database to the newest revision, and giving the service roles their passwords."""

import warnings
from importlib.resources import files

from sqlalchemy import text

from integrator.storage.database import ROLES, Database

LOCK = 0x1D7E6A70


def migrate(database: Database) -> None:
    """Apply what is missing; idempotent, one process at a time."""
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("integrator.storage").joinpath("migrations")))
    with database.owner() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # alembic's own, about path_separator
            upgrade(config, "head")
        for role in ROLES:
            password = database.master.password(role).replace("'", "''")
            connection.exec_driver_sql(f"alter role {role} password '{password}'")
