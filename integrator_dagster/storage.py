"""Dagster's own storage: the product's database, schema `dagster`, found the way everything else of ours finds it.

Named in dagster.yaml, so that a plain `dagster dev` works with nothing configured.
"""

from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

STATEMENT_TIMEOUT_MS = 60_000
POOL_RECYCLE_SECONDS = 3600
MAX_OVERFLOW = 20


class EmbeddedStorage(DagsterPostgresStorage):
    """PostgreSQL storage whose address comes from Settings, or from the embedded server, which is started if need be."""

    @classmethod
    def config_type(cls) -> Any:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "EmbeddedStorage":
        """Open storage as `integrator_batch`; dagster-postgres needs psycopg2."""
        from integrator.embedded.session import open_storage
        from integrator.settings import load_settings

        database = open_storage(load_settings()).database
        address = database.text_url("integrator_batch", driver="psycopg2", schema="dagster")
        database.close()  # Dagster has connections of its own
        storage = cls(postgres_url=address, inst_data=inst_data)
        # Dagster opens a connection for every event it writes, about 20 ms with password authentication, and a night
        # has some 600 of them: 12 s. Held connections, which it uses in its web server, take 2 s.
        for part in (storage.event_log_storage, storage.run_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                STATEMENT_TIMEOUT_MS, pool_recycle=POOL_RECYCLE_SECONDS, max_overflow=MAX_OVERFLOW
            )
        return storage
