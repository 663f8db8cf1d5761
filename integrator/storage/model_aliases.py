"""Which version the alias `champion` names, read from MLflow's own table: to see within a second that one was moved.

Asked every second by every process that serves, so one small query for all of its models, and no MLflow for it.
Whoever moves an alias does so through MLflow: see `models.tracking`.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text


def champions(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Registered model → version, of those of `names` that have a champion; the night's role alone may read it."""
    rows = connection.execute(
        text("""select name, version from mlflow.registered_model_aliases
        where alias = 'champion' and name = any(:names)"""),
        {"names": list(names)},
    )
    return {row.name: str(row.version) for row in rows}
