"""`ops.request_log`, written behind the requests' back: a thread empties what they leave twice a second.

The same thread notes when a client was last heard of, by token or API key, every half minute at most.
"""

import logging
import threading
from collections import deque
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import IntegratorError
from integrator.storage import clients
from integrator.storage.database import Database
from integrator.storage.request_log import RequestEntry, append
from integrator_realtime.metrics import Metrics

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
HELD = 20_000
USE_NOTED_EVERY = timedelta(seconds=30)


class RequestLog:
    """`put` never waits; what finds no room is counted and lost."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database, self._metrics = database, metrics
        self._left: deque[RequestEntry] = deque()  # no queue: that would wake the thread for every single entry
        self._used: dict[str, datetime] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join(timeout=10)

    def put(self, entry: RequestEntry) -> None:
        """Hand over one entry."""
        if len(self._left) < HELD:
            self._left.append(entry)
        else:
            self._metrics.add("integrator_request_log_dropped_total")

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        entries = [self._left.popleft() for _ in range(len(self._left))]
        entries.sort(key=lambda entry: entry.partner)
        for partner, group in groupby(entries, key=lambda entry: entry.partner):
            mine = list(group)
            try:
                with self._database.partner(partner) as connection:
                    append(connection, partner, mine)
                    for client_id, at in self._newly_used(mine).items():
                        clients.mark_used(connection, partner, [client_id], at)
            except (IntegratorError, SQLAlchemyError) as error:
                self._metrics.add("integrator_request_log_dropped_total", len(mine))
                log.warning("%d request log entries of %s lost: %s", len(mine), partner, type(error).__name__)

    def _newly_used(self, entries: list[RequestEntry]) -> dict[str, datetime]:
        latest: dict[str, datetime] = {}
        for entry in entries:
            before = self._used.get(entry.client_id)
            if before is None or entry.at >= before + USE_NOTED_EVERY:
                latest[entry.client_id] = max(entry.at, latest.get(entry.client_id, entry.at))
        self._used.update(latest)
        return latest
