"""The models that a serving process keeps: loaded once, watched, swapped behind the back of whoever is asking.

Every second one small query tells whether an alias moved. A new version is loaded by the watcher's thread and tried
before it takes over; one that cannot be loaded or cannot predict is refused, and the one before goes on serving.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from integrator.contracts.errors import IntegratorError, Unavailable
from integrator.steps.live_models import Held, hold
from integrator.steps.services import Services
from integrator.storage import live_scores, logs, model_aliases
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
        """What serves; loaded now only where nothing is there yet. `Unavailable` when that fails."""
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
            try:
                held = hold(self._services, partner, use_case)
            except IntegratorError as error:
                if error.status in (404, 422):  # a partner or use case that is not there
                    raise
                self._refuse(key, error)
                raise Unavailable(f"the model of {use_case} cannot be loaded: {error}") from error
            self._keep(key, held)
            self._count("loaded")
            return held

    @property
    def refused(self) -> list[Refused]:
        """The versions that should serve and do not."""
        with self._guard:
            return list(self._refused.values())

    def look(self) -> None:
        """Load anew whatever is no longer current; what the watcher does every second."""
        with self._guard:
            held = dict(self._held)
        if not held:
            return
        names = {registered_name(use_case, partner) for partner, use_case in held}
        names |= {registered_name(use_case, POOLED) for _, use_case in held}
        with self._services.database.batch() as connection:
            champions = model_aliases.champions(connection, sorted(names))
        for key, one in held.items():
            if self._stop.is_set():
                return
            with self._guard:
                if self._held.get(key) is not one:  # given up, or loaded anew, since we began
                    continue
            wanted = (
                champions.get(registered_name(key[1], key[0])) or champions.get(registered_name(key[1], POOLED)) or ""
            )
            if one.is_current(champions):
                with self._guard:
                    self._refused.pop(key, None)
                self._recheck(key, one)
            elif self._may_try(key, wanted):
                self._swap(key, one, wanted)

    def _found(self, key: Key) -> Held | None:
        with self._guard:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def _keep(self, key: Key, held: Held, *, anew: bool = True) -> None:
        """In the place of what is held; without `anew` nothing is put there that was given up meanwhile."""
        with self._guard:
            if not anew and key not in self._held:
                return
            self._held[key], self._tried[key] = held, self._pulse()
            self._refused.pop(key, None)
            while len(self._held) > self._most:
                gone, _ = self._held.popitem(last=False)
                self._refused.pop(gone, None)
                self._loading.pop(gone, None)
                self._tried.pop(gone, None)

    def _watch(self) -> None:
        try:
            if self._warm:
                self._services.tracking.preload()
        except Exception:  # the first request pays for it then
            log.exception("what models need could not be made ready")
        while not self._stop.wait(WATCH_SECONDS):
            try:
                self.look()
            except (IntegratorError, SQLAlchemyError) as error:
                log.warning("the champions could not be looked up: %s", type(error).__name__)
            except Exception:  # a watcher that ends would leave old models serving without a word
                log.exception("the champions could not be looked up")

    def _may_try(self, key: Key, wanted: str) -> bool:
        refused = self._refused.get(key)
        is_due = self._pulse() - self._tried.get(key, 0.0) >= RETRIED_SECONDS
        return refused is None or refused.version != wanted or is_due

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

    def _recheck(self, key: Key, one: Held) -> None:
        """What does not follow from an alias: after every scoring, and every now and then."""
        with self._services.database.partner(key[0]) as connection:
            is_same = live_scores.scoring_of(connection, key[0], key[1]) == one.run_id
        now, tried = self._pulse(), self._tried.get(key)
        if tried is None or (is_same and now - tried < RECHECKED_SECONDS):
            return
        try:
            self._keep(key, hold(self._services, *key, before=one), anew=False)
        except Exception as error:  # it goes on as it was
            self._tried[key] = self._pulse()
            log.warning("%s of %s could not be looked at again: %s", key[1], key[0], type(error).__name__)

    def _refuse(self, key: Key, error: Exception, version: str = "") -> None:
        partner, use_case = key
        known = self._refused.get(key)
        told = str(error) if isinstance(error, IntegratorError) else type(error).__name__
        refused = Refused(
            partner=partner, use_case=use_case, version=version, reason=told, at=self._services.clock()
        )  # fmt: skip
        with self._guard:
            self._refused[key], self._tried[key] = refused, self._pulse()
        self._count("refused")
        log.warning("version %s of %s.%s is refused: %s", version or "?", use_case, partner, told)
        if known is not None and (known.version, known.reason) == (version, told):
            return  # once is enough for the partner's event log
        facts = {"use_case": use_case, "version": version, "reason": told}
        try:
            with self._services.database.partner(partner) as connection:
                logs.event(connection, partner, "model.refused_live", refused.at, facts)
        except (IntegratorError, SQLAlchemyError) as second:
            log.warning("that of %s.%s could not be kept: %s", use_case, partner, type(second).__name__)
