"""The feature rows behind a reaction, read from the views: of the touched keys, and where a row is made from all, of all.

The night's own table stands for what was not touched since; the views, which are its logic, for what was.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from integrator.steps.services import Services
from integrator.storage import frames
from integrator.storage import touched as storage
from integrator.storage.touched import Hit
from models.base import UseCaseSpec

if TYPE_CHECKING:
    import polars as pl


def frame_of(
    services: Services, connection: Connection, partner: str, spec: UseCaseSpec, hits: Collection[Hit]
) -> "pl.DataFrame":
    """The frame that `rows` of the use case is given, as known now to this transaction."""
    if not spec.rows_need_all:
        return _live(connection, partner, spec, hits)
    night = frames.read_features(services.database, f"features.{spec.relation}", partner)
    if not night.height:
        return frames.read_live(connection, f"features.{spec.relation}_view", partner)
    position = int(night["input_position"][0])
    since = storage.hits(connection, partner, spec.relation, storage.since(connection, partner, position))
    return laid_over(night, _live(connection, partner, spec, {*hits, *since}), spec.touched_key, {*hits, *since})


def laid_over(frame: "pl.DataFrame", fresh: "pl.DataFrame", key: str, hits: Collection[Hit]) -> "pl.DataFrame":
    """`frame` with all rows of the hits' keys replaced by `fresh`: a key without a fresh row is gone."""
    import polars as pl

    replaced = pl.DataFrame(
        {"platform": [hit.subject_platform for hit in hits], key: [hit.key for hit in hits]},
        schema={"platform": pl.String, key: pl.String},
    )
    kept = frame.join(replaced.unique(), on=["platform", key], how="anti")
    return pl.concat([kept, fresh.select(frame.columns)])


def _live(connection: Connection, partner: str, spec: UseCaseSpec, hits: Collection[Hit]) -> "pl.DataFrame":
    keys = sorted({hit.key for hit in hits})
    platforms = sorted({hit.subject_platform for hit in hits})
    return frames.read_rows(connection, f"features.{spec.relation}_view", partner, spec.touched_key, keys, platforms)
