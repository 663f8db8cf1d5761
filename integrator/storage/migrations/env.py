"""Alembic's entry: the connection is handed over by `integrator.storage.migrate`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="public")
with context.begin_transaction():
    context.run_migrations()
