"""connections: see ../sql/0008_connections.sql, one statement list so that it can be read as SQL."""

from integrator.storage.migrations.runner import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file."""
    run_sql("0008_connections.sql")
