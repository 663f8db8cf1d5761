"""The worker: takes calls from the queue and has endpoints served, until it is stopped.

Two pools of threads: one for endpoints that answer, one for those that are failing, slow or limited, so that these never
take the place of those. A sweep finds what no call was made for: a process died between its commit and the call.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import TransientError
from integrator.delivery.webhook.dispatcher import Delivered, Dispatcher
from integrator.delivery.webhook.queue import PATIENT, QUICK, TASK, Queue, connection_arguments
from integrator.settings import Clock
from integrator.storage import outbox, outbox_log
from integrator.storage.database import Database
from integrator.storage.failures import said, traced
from integrator.storage.outbox import Due

if TYPE_CHECKING:
    from procrastinate import App

log = logging.getLogger(__name__)

# A turn of one endpoint; what is left then waits behind the other endpoints.
TURN_SECONDS = 5.0
BUSY_AGAIN = timedelta(seconds=1)
POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
TIDY_SECONDS = 3_600.0
_LOOK = 0.1


@dataclass(frozen=True)
class Worker:
    """One per process; `run` blocks."""

    database: Database
    clock: Clock
    dispatcher: Dispatcher
    names: Callable[[], list[str]]
    """The partners there are."""
    at_once: int
    """Endpoints served at once; as many again that are patient."""
    told: Callable[[Delivered], None]
    """Hears what each turn came to."""
    keep: timedelta
    """How long what was sent is remembered."""
    sweep_seconds: float = 10.0

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop`; returns early, to be run again, when the database is lost."""
        # It says of every job that it begins and ends; a service does hundreds a minute.
        logging.getLogger("procrastinate").setLevel(logging.WARNING)
        with ThreadPoolExecutor(2 * self.at_once + 2, thread_name_prefix="webhooks") as pool:
            asyncio.run(self._run(stop, pool))

    async def _run(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        from procrastinate import App, PsycopgConnector

        app = App(connector=PsycopgConnector(**connection_arguments(self.database), min_size=1, max_size=4))
        queue = Queue(self.database)
        loop = asyncio.get_running_loop()

        async def aside(work: Callable[..., None], *arguments: object) -> None:
            await loop.run_in_executor(pool, work, *arguments)

        @app.task(name=TASK)
        async def serve(partner: str, endpoint_id: str) -> None:
            await aside(self._serve, queue, partner, endpoint_id, stop)

        async with app.open_async():
            await self._stalled(app)
            workers = [asyncio.create_task(self._work(app, name)) for name in (QUICK, PATIENT)]
            others = [
                asyncio.create_task(self._every(self.sweep_seconds, lambda: aside(self._sweep, queue, stop))),
                asyncio.create_task(self._every(TIDY_SECONDS, lambda: aside(self._tidy, stop))),
                asyncio.create_task(self._every(STALLED_SECONDS, lambda: self._stalled(app))),
            ]
            try:
                while not stop.is_set() and not any(task.done() for task in (*workers, *others)):
                    await asyncio.sleep(_LOOK)
            finally:
                for task in (*workers, *others):
                    task.cancel()
                await asyncio.gather(*workers, *others, return_exceptions=True)
        for task in others:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _work(self, app: "App", queue: str) -> None:
        # Finished jobs are deleted: what there is to do stands in the outbox, and what was done in its log.
        await app.run_worker_async(
            queues=[queue], name=queue, concurrency=self.at_once, install_signal_handlers=False, delete_jobs="always",
            fetch_job_polling_interval=POLL_SECONDS, update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
        )  # fmt: skip

    @staticmethod
    async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(seconds)

    @staticmethod
    async def _stalled(app: "App") -> None:
        """Jobs of workers that died are taken off; what they had left to do stands in the outbox, for the sweep.

        Put back, they would stand in the way of the call that was made since, and it of them.
        """
        from procrastinate.exceptions import ConnectorException
        from procrastinate.jobs import Status

        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            try:
                await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
            except ConnectorException:  # another process was faster
                log.info("job %s of a dead worker is gone already", job.id)

    def _sweep(self, queue: Queue, stop: threading.Event) -> None:
        for partner in self.names():
            if stop.is_set():
                return
            with self.database.partner(partner) as connection:
                due = outbox.due_endpoints(connection, partner, self.clock())
            if due:
                queue.call(partner, due)

    def _tidy(self, stop: threading.Event) -> None:
        """Forget what is older than is kept, some thousand rows a transaction."""
        before = self.clock() - self.keep
        for partner in self.names():
            while not stop.is_set():
                with self.database.partner(partner) as connection:
                    if not outbox_log.forget(connection, partner, before):
                        break

    def _serve(self, queue: Queue, partner: str, endpoint_id: str, stop: threading.Event) -> None:
        """One turn, and the call for the next; a failure is logged, and the sweep comes back to it."""
        try:
            served = self.dispatcher.serve(partner, endpoint_id, seconds=TURN_SECONDS, stop=stop)
            self.told(served.total)
            if served.left == "busy":
                queue.call(partner, [Due(endpoint_id, False)], delay=BUSY_AGAIN)
                return
            with self.database.partner(partner) as connection:
                now = self.clock()
                at = outbox.next_due(connection, partner, endpoint_id)
                ready = [
                    due for due in outbox.due_endpoints(connection, partner, now) if due.endpoint_id == endpoint_id
                ]
            if ready:
                queue.call(partner, ready)
            elif at is not None:
                queue.call(partner, [Due(endpoint_id, True)], delay=at - now)
        except (TransientError, SQLAlchemyError) as error:
            log.warning("webhooks of %s wait: %s", partner, said(error))
        except Exception as error:
            log.error("webhooks of %s were not sent to %s: %s", partner, endpoint_id, traced(error))
