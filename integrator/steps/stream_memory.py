"""What a process keeps between reactions, so that each costs only what is new: models, partners' frames, their histories.

All of it can be lost, and none of it is believed blindly: a frame is the night's table of the night it was read in, with
everything laid over it that was touched since, looked up each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from integrator.steps.champions import Champions
from integrator.steps.services import Services
from integrator.storage import frames
from integrator.storage import touched as storage
from integrator.storage.touched import Hit
from models.base import UseCaseSpec

if TYPE_CHECKING:
    import polars as pl

MOST_FRAMES = 64
"""Of partners and relations; the least lately used goes first."""
Key = tuple[str, str]


@dataclass(frozen=True)
class _Held:
    night: int
    frame: "pl.DataFrame"
    upto: int
    """All transactions below have been laid over it."""


class Memory:
    """One per process, for all of its threads; a partner is worked on by one of them at a time."""

    def __init__(self, services: Services, champions: Champions | None = None) -> None:
        """`champions` may be shared with whoever else serves; without them models are kept here, and looked at once."""
        self.champions = champions or Champions(services, services.settings.live_models)
        self._services = services
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._guard = threading.Lock()

    def history(self, partner: str, relation: str) -> "pl.DataFrame":
        """All of a partner's rows of a table that only the night writes."""
        with self._services.database.partner(partner) as connection:
            night = frames.night_of(connection, relation, partner) or 0
        held = self._found((partner, relation))
        if held is None or held.night != night:
            held = self._keep((partner, relation), _Held(night, self._read(relation, partner), 0))
        return held.frame

    def frame(self, connection: Connection, partner: str, spec: UseCaseSpec, hits: Collection[Hit]) -> "pl.DataFrame":
        """All of a partner's live rows, as known now to this transaction; the hits' keys are read anew."""
        relation, key = f"features.{spec.relation}", (partner, spec.relation)
        night = frames.night_of(connection, relation, partner)
        if night is None:  # whoever came after the last night is small
            return frames.read_live(connection, f"{relation}_view", partner)
        held = self._found(key)
        if held is None or held.night != night:
            held = _Held(night, self._read(relation, partner), night)
        floor = storage.oldest_running(connection)
        since = storage.hits(connection, partner, spec.relation, storage.since(connection, partner, held.upto))
        fresh = {*hits, *since}
        frame = laid_over(held.frame, live_rows(connection, partner, spec, fresh), spec.touched_key, fresh)
        self._keep(key, _Held(night, frame, floor))
        return frame

    def _read(self, relation: str, partner: str) -> "pl.DataFrame":
        return frames.read_features(self._services.database, relation, partner)

    def _found(self, key: Key) -> _Held | None:
        with self._guard:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def _keep(self, key: Key, held: _Held) -> _Held:
        with self._guard:
            self._held[key] = held
            self._held.move_to_end(key)
            while len(self._held) > MOST_FRAMES:
                self._held.popitem(last=False)
        return held


def laid_over(frame: "pl.DataFrame", fresh: "pl.DataFrame", key: str, hits: Collection[Hit]) -> "pl.DataFrame":
    """`frame` with all rows of the hits' keys replaced by `fresh`: a key without a fresh row is gone."""
    import polars as pl

    replaced = pl.DataFrame(
        {"platform": [hit.subject_platform for hit in hits], key: [hit.key for hit in hits]},
        schema={"platform": pl.String, key: pl.String},
    )
    kept = frame.join(replaced.unique(), on=["platform", key], how="anti")
    return pl.concat([kept, fresh.select(frame.columns)])


def live_rows(connection: Connection, partner: str, spec: UseCaseSpec, hits: Collection[Hit]) -> "pl.DataFrame":
    """The rows of the hits' keys, from the view."""
    keys = sorted({hit.key for hit in hits})
    platforms = sorted({hit.subject_platform for hit in hits})
    return frames.read_rows(connection, f"features.{spec.relation}_view", partner, spec.touched_key, keys, platforms)
