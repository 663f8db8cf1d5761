"""files: see ../sql/0010_files.sql, one statement list so that it can be read as SQL."""

from integrator.storage.migrations.runner import run_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file."""
    run_sql("0010_files.sql")
