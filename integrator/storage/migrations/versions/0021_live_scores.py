"""live_scores: see ../sql/0021_live_scores.sql, one statement list so that it can be read as SQL."""

from integrator.storage.migrations.runner import run_sql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file."""
    run_sql("0021_live_scores.sql")
