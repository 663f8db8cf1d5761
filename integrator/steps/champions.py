"""The models that a serving process keeps: loaded once, watched, swapped behind the back of whoever is asking.

Every second one small look tells whether an alias moved or a scoring was made. A new version is loaded by the watcher's
thread and tried before it takes over; one that cannot be loaded or cannot predict is refused, and the one before goes on
serving. That one is in this process's memory alone: a process that starts while the champion is broken has nothing to
serve, and answers `Unavailable` until the champion can be loaded or the alias goes back to a version that can.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import IntegratorError, TransientError, Unavailable
from integrator.steps.live_models import Held, hold
from integrator.steps.services import Services
from integrator.storage import live_scores, logs, model_aliases
from integrator.storage.database import LOST
from integrator.storage.failures import said, traced
from models.pooling.base import POOLED
from models.versions import registered_name

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
RECHECKED_SECONDS = 30.0
"""How old what does not follow from an alias may be: settings of the partner, rates of the rule, a pooled judgement."""
RETRIED_SECONDS = 30.0
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A version that should serve and does not; it is tried again after a while, or when the alias moves once more."""

    partner: str
    use_case: str
    version: str
    reason: str
    at: datetime


class Champions:
    """One per process, for all of its threads; `most` models are kept, the least lately asked goes first."""

    def __init__(
        self, services: Services, most: int, count: Callable[[str], None] = lambda _: None,
        pulse: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`count` is told of every model `loaded`, `swapped` and `refused`; `pulse` are seconds that only go forward."""
        self._services, self._most, self._count, self._pulse = services, most, count, pulse
        self._tried: dict[Key, float] = {}
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._refused: dict[Key, Refused] = {}
        self._guard = threading.Lock()
        self._loading: dict[Key, threading.Lock] = {}
        self._stop = threading.Event()
        self._warm = False
        self._thread = threading.Thread(target=self._watch, name="champions", daemon=True)

    def start(self, *, warm: bool = False) -> None:
        """Begin watching; with `warm` make ready first what the first load of a process would wait for."""
        self._warm = warm
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=20)

    def get(self, partner: str, use_case: str) -> Held:
        """What serves; loaded now only where nothing is there yet.

        `Unavailable` when that fails, and at once for `RETRIED_SECONDS` after it failed, unless the alias moves.
        """
        key = (partner, use_case)
        found = self._found(key)
        if found is not None:
            return found
        with self._guard:
            mine = self._loading.setdefault(key, threading.Lock())
        with mine:  # many ask at once, one loads
            found = self._found(key)
            if found is not None:
                return found
            return self._load(key)

    @property
    def refused(self) -> list[Refused]:
        """The versions that should serve and do not."""
        with self._guard:
            return list(self._refused.values())

    def look(self) -> None:
        """Load anew whatever is no longer current; what the watcher does every second."""
        with self._guard:
            held = dict(self._held)
            missing = {key: one for key, one in self._refused.items() if key not in held}
        if not held and not missing:
            return
        with self._services.database.batch() as connection:
            champions = model_aliases.champions(connection, _names([*held, *missing]))
            scorings = live_scores.scorings(connection, list(held))
        for key, refused in missing.items():
            if refused.version != _wanted(champions, key):  # the next who asks may try
                self._forgive(key, refused)
        for key, one in held.items():
            if self._stop.is_set():
                return
            with self._guard:
                if self._held.get(key) is not one:  # given up, or loaded anew, since we began
                    continue
            wanted = _wanted(champions, key)
            if one.is_current(champions):
                with self._guard:
                    self._refused.pop(key, None)
                self._recheck(key, one, scorings.get(key))
            elif self._may_try(key, wanted):
                self._swap(key, one, wanted)

    def _found(self, key: Key) -> Held | None:
        """What is held; None where it may be loaded, `Unavailable` where that failed just now."""
        with self._guard:
            found, refused = self._held.get(key), self._refused.get(key)
            if found is not None:
                self._held.move_to_end(key)
            elif refused is not None and not self._is_due(key):
                raise Unavailable(f"the model of {key[1]} cannot be loaded: {refused.reason}")
            return found

    def _load(self, key: Key) -> Held:
        try:
            held = hold(self._services, *key)
        except (TransientError, *LOST):  # the database was away, which says nothing of the model
            raise
        except Exception as error:  # whatever a broken version raises, as when the watcher loads it
            if isinstance(error, IntegratorError) and error.status in (404, 422):  # a partner that is not there
                raise
            self._refuse(key, error, self._named(key))
            raise Unavailable(f"the model of {key[1]} cannot be loaded: {said(error)}") from error
        self._keep(key, held)
        self._count("loaded")
        return held

    def _keep(self, key: Key, held: Held, *, anew: bool = True) -> None:
        """In the place of what is held; without `anew` nothing is put there that was given up meanwhile."""
        with self._guard:
            if not anew and key not in self._held:
                return
            self._held[key], self._tried[key] = held, self._pulse()
            self._refused.pop(key, None)
            while len(self._held) > self._most:
                gone = self._dispensable(key)
                del self._held[gone]
                self._refused.pop(gone, None)
                self._loading.pop(gone, None)
                self._tried.pop(gone, None)

    def _named(self, key: Key) -> str:
        """The version that an alias names, of which nothing could be loaded; empty where that cannot be told either."""
        try:
            with self._services.database.batch() as connection:
                return _wanted(model_aliases.champions(connection, _names([key])), key)
        except (IntegratorError, SQLAlchemyError):
            return ""

    def _dispensable(self, newest: Key) -> Key:
        """The least lately asked of those that could be loaded again; of the others half of the places are kept."""
        spared = [key for key in reversed(self._held) if key in self._refused][: self._most // 2]
        return next(key for key in self._held if key != newest and key not in spared)

    def _forgive(self, key: Key, refused: Refused) -> None:
        with self._guard:
            if self._refused.get(key) is refused and key not in self._held:
                del self._refused[key]
                self._tried.pop(key, None)

    def _watch(self) -> None:
        try:
            if self._warm:
                self._services.tracking.preload()
        except Exception as error:  # the first request pays for it then
            log.warning("what models need could not be made ready: %s", traced(error))
        while not self._stop.wait(WATCH_SECONDS):
            try:
                self.look()
            except (IntegratorError, SQLAlchemyError) as error:
                log.warning("the champions could not be looked up: %s", type(error).__name__)
            except Exception as error:  # a watcher that ends would leave old models serving without a word
                log.error("the champions could not be looked up: %s", traced(error))

    def _may_try(self, key: Key, wanted: str) -> bool:
        refused = self._refused.get(key)
        return refused is None or refused.version != wanted or self._is_due(key)

    def _is_due(self, key: Key) -> bool:
        return key not in self._tried or self._pulse() - self._tried[key] >= RETRIED_SECONDS

    def _swap(self, key: Key, before: Held, wanted: str) -> None:
        try:
            held = hold(self._services, *key, before=before)
        except Exception as error:  # whatever a broken version raises: the one before goes on serving
            self._refuse(key, error, wanted)
            return
        self._keep(key, held, anew=False)
        if (held.serving.name, held.serving.version) != (before.serving.name, before.serving.version):
            self._count("swapped")
            log.info("%s %s serves in place of %s", held.serving.name, held.serving.version, before.serving.version)

    def _recheck(self, key: Key, one: Held, run_id: str | None) -> None:
        """What does not follow from an alias: after every scoring, and every now and then."""
        now, tried = self._pulse(), self._tried.get(key)
        if tried is None or (run_id == one.run_id and now - tried < RECHECKED_SECONDS):
            return
        try:
            self._keep(key, hold(self._services, *key, before=one), anew=False)
        except Exception as error:  # it goes on as it was
            self._tried[key] = self._pulse()
            log.warning("%s of %s could not be looked at again: %s", key[1], key[0], type(error).__name__)

    def _refuse(self, key: Key, error: Exception, version: str = "") -> None:
        partner, use_case = key
        known = self._refused.get(key)
        told = said(error)
        refused = Refused(
            partner=partner, use_case=use_case, version=version, reason=told, at=self._services.clock()
        )  # fmt: skip
        with self._guard:
            self._refused[key], self._tried[key] = refused, self._pulse()
        self._count("refused")
        shown = told if isinstance(error, IntegratorError) else traced(error)
        log.warning("version %s of %s.%s is refused: %s", version or "?", use_case, partner, shown)
        if known is not None and (known.version, known.reason) == (version, told):
            return  # once is enough for the partner's event log
        facts = {"use_case": use_case, "version": version, "reason": told}
        try:
            with self._services.database.partner(partner) as connection:
                logs.event(connection, partner, "model.refused_live", refused.at, facts)
        except (IntegratorError, SQLAlchemyError) as second:
            log.warning("that of %s.%s could not be kept: %s", use_case, partner, type(second).__name__)


def _names(keys: Collection[Key]) -> list[str]:
    """The registered models that may serve these."""
    own = {registered_name(use_case, partner) for partner, use_case in keys}
    return sorted(own | {registered_name(use_case, POOLED) for _, use_case in keys})


def _wanted(champions: Mapping[str, str], key: Key) -> str:
    """The version that should serve: the partner's own, else the pooled one; empty where the rule does."""
    partner, use_case = key
    return champions.get(registered_name(use_case, partner)) or champions.get(registered_name(use_case, POOLED)) or ""
