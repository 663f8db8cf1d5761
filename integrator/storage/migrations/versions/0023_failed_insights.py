"""failed_insights: see ../sql/0023_failed_insights.sql, one statement list so that it can be read as SQL."""

from integrator.storage.migrations.runner import run_sql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file."""
    run_sql("0023_failed_insights.sql")
