"""webhooks: see ../sql/0018_webhooks.sql; the queue's own tables come from the library that works on them."""

from alembic import op

from integrator.storage.migrations.runner import run_queue_schema, run_sql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file, then the queue's schema, and let the service role work with it."""
    run_sql("0018_webhooks.sql")
    run_queue_schema()
    op.execute("grant select, insert, update, delete on all tables in schema queue to integrator_service")
    op.execute("grant usage on all sequences in schema queue to integrator_service")
