"""The durable queue: procrastinate's tables in the schema `queue`, worked on by the service role.

A job says "look after this endpoint" and nothing else: messages stay in the outbox, in the transaction of their insight.
At most one job per endpoint waits for now, and one per second for later (their queueing locks), so that a thousand new
messages are one job. procrastinate's `lock` is not used: with it a retry in two hours would bar the way for what is due
now. Who serves an endpoint is settled by its turn.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from integrator.contracts.errors import Unavailable
from integrator.storage.database import Database
from integrator.storage.failures import said
from integrator.storage.outbox import Due

if TYPE_CHECKING:
    from procrastinate import App

SCHEMA = "queue"
ROLE = "integrator_service"
TASK = "webhooks.serve"
QUICK, PATIENT = "webhooks", "webhooks_patient"


class Queue:
    """Calls for endpoints to be looked after; the worker is `worker.py`'s."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._app = _deferring_app()

    def call(self, partner: str, endpoints: Iterable[Due], *, delay: timedelta | None = None) -> int:
        """Have endpoints served now, or after `delay`; how many calls were new. `Unavailable` without a database."""
        at = None if delay is None else datetime.now(UTC) + max(delay, timedelta(0))
        made = 0
        try:
            with self._database.service() as connection:
                connection.exec_driver_sql(f"set local search_path to {SCHEMA}")
                for due in endpoints:
                    made += self._one(connection, partner, due, at)
        except DBAPIError as error:
            raise Unavailable(f"the queue was not reached: {said(error)}") from error
        return made

    def _one(self, connection: Any, partner: str, due: Due, at: datetime | None) -> int:
        from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

        name = f"{partner}/{due.endpoint_id}"
        job = self._app.configure_task(
            TASK,
            queue=PATIENT if due.is_patient else QUICK,
            queueing_lock=f"now:{name}" if at is None else f"at:{int(at.timestamp())}:{name}",
            schedule_at=at,
            connection=connection.connection.driver_connection,
        )
        try:
            with connection.begin_nested():
                job.defer(partner=partner, endpoint_id=due.endpoint_id)
        except AlreadyEnqueued:
            return 0
        except ConnectorException as error:
            raise Unavailable(f"the queue was not reached: {error.__cause__}") from error
        return 1


@cache
def _deferring_app() -> "App":
    """It holds no connection: each call brings its own."""
    from procrastinate import App, SyncPsycopgConnector

    return App(connector=SyncPsycopgConnector())


def connection_arguments(database: Database) -> Mapping[str, Any]:
    """How the worker's own pool connects."""
    url = database.url(ROLE, schema=SCHEMA).set(drivername="postgresql")
    return {"conninfo": url.render_as_string(hide_password=False)}
