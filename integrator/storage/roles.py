"""One PostgreSQL login per partner, `partner_<name>`: it reads its own insights and nothing else."""

import secrets
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from integrator.contracts.errors import NotFound
from integrator.storage.database import Database

GROUP = "integrator_partner"
# A host's own queries share the server with the night: bounded in number and in time.
CONNECTIONS = 10
STATEMENT_TIMEOUT = "30s"
# SUPERUSER may only be named when a role is made, even to deny it.
_CREATE = "create role {} inherit nosuperuser nocreatedb nocreaterole nobypassrls"
_ALTER = "alter role {} login connection limit {} password {}"


def role_of(partner: str) -> str:
    """The login's name, from which row-level security reads the partner."""
    return f"partner_{partner}"


def create_partner_role(database: Database, name: str) -> str | None:
    """Make the login with a fresh password; the address to connect with, shown this once, None when it is there."""
    with database.owner() as connection:
        return None if _exists(connection, role_of(name)) else _make(connection, database, role_of(name))


def rotate_partner_role(database: Database, name: str) -> str:
    """Another password for the login; `NotFound` when it was never made. Open connections go on."""
    with database.owner() as connection:
        if not _exists(connection, role_of(name)):
            raise NotFound(f"there is no login {role_of(name)!r}; `integrator partners add` makes it")
        return _write(connection, database, role_of(name))


def _exists(connection: Connection, role: str) -> bool:
    return connection.execute(text("select from pg_roles where rolname = :role"), {"role": role}).first() is not None


def _make(connection: Connection, database: Database, role: str) -> str:
    connection.exec_driver_sql(sql.SQL(_CREATE).format(sql.Identifier(role)).as_string())
    return _write(connection, database, role)


def _write(connection: Connection, database: Database, role: str) -> str:
    password = secrets.token_urlsafe(24)
    driver: Any = connection.connection.driver_connection
    # Only its verifier is sent: a statement may end up in the server's log or in an error's text.
    verifier = driver.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    identifier = sql.Identifier(role)
    for statement in (
        sql.SQL(_ALTER).format(identifier, sql.Literal(CONNECTIONS), sql.Literal(verifier)),
        sql.SQL("alter role {} set statement_timeout = {}").format(identifier, sql.Literal(STATEMENT_TIMEOUT)),
        sql.SQL("alter role {} set idle_in_transaction_session_timeout = '60s'").format(identifier),
        # Membership gives the rights of the group, never its identity: SET ROLE is refused.
        sql.SQL("grant {} to {} with inherit true, set false").format(sql.Identifier(GROUP), identifier),
    ):
        connection.exec_driver_sql(statement.as_string())
    url = database.url(role, password=password).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)
