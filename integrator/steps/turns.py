"""Far ends of all partners served at once, a turn each: what is due is asked of PostgreSQL, the work is somebody else's."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import Conflict, TransientError
from integrator.steps.services import Services
from integrator.storage import partners

log = logging.getLogger(__name__)

Due = Callable[[Connection, str, datetime], Sequence[str]]
"""The names of a partner's far ends that are due at a moment."""


class Busy(Conflict):
    """Another process is at it, or it was changed just now: nothing has failed, and there is nothing to note."""


def keep_taking_turns(
    services: Services, stop: threading.Event, due: Due, work: Callable[[str, str], object], *,
    what: str, at_once: int, poll_seconds: float,
) -> None:  # fmt: skip
    """Call `work(partner, name)` for what becomes due until `stop` is set, each far end once at a time.

    One that is slow or away delays no other, up to `at_once`; what came first goes first. `work` raises nothing. With
    `stop`, turns that have not begun are given up, and those that have are waited for.
    """
    running: dict[tuple[str, str], Future[object]] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix=what) as pool:
        while not stop.is_set():
            running = {key: future for key, future in running.items() if not future.done()}
            for key in _everywhere(services, due, what):
                if key not in running:  # behind those that wait already
                    running[key] = pool.submit(work, *key)
            stop.wait(poll_seconds)
        pool.shutdown(cancel_futures=True)


def _everywhere(services: Services, due: Due, what: str) -> list[tuple[str, str]]:
    try:
        with services.database.service() as connection:
            names = [entry.partner for entry in partners.list_all(connection)]
        found = []
        for partner in names:
            with services.database.partner(partner) as connection:
                found += [(partner, name) for name in due(connection, partner, services.clock())]
        return found
    except (TransientError, SQLAlchemyError) as error:
        log.warning("%s waits: %s", what, type(error).__name__)
        return []
