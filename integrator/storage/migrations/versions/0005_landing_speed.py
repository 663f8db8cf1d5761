"""landing_speed: see ../sql/0005_landing_speed.sql, one statement list so that it can be read as SQL."""

from integrator.storage.migrations.runner import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the SQL file."""
    run_sql("0005_landing_speed.sql")
