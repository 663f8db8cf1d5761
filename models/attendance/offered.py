"""What a model made elsewhere is offered of attendance, column by column, and how it is asked. Not how it is judged."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from integrator.contracts.errors import PermanentError
from models.attendance.attributes import Encoder
from models.attendance.features import COLUMN, FEATURES
from models.attendance.grid import Floats
from models.attendance.panel import is_usable
from models.outside.contract import Outside

OWNER = "outside"
CADENCE = "cadence"
NUMBER, WORD = "number", "word"
Kinds = Mapping[str, str]
_PREFIX = "attributes."
_DIGITS = 6


def kinds_of(encoders: Sequence[Encoder]) -> dict[str, str]:
    """The partner's own fields that models read, and whether each is a number or a word; a word in one is one in all."""
    found: dict[str, str] = {}
    for encoder in encoders:
        for name, categories in encoder.kept.items():
            found[name] = NUMBER if categories is None and found.get(name) != WORD else WORD
    return dict(sorted(found.items()))


def offered(rows: Floats, encoded: Floats, encoder: Encoder, cadence: str, kinds: Kinds) -> pl.DataFrame:
    """The columns: `FEATURES` in people and steps, `cadence`, and each own field as `attributes.<name>`.

    `rows` and `encoded` are rows x features and rows x fields of `encoder`; NaN or null where not known.
    """
    columns = [pl.Series(name, rows[:, COLUMN[name]], dtype=pl.Float64) for name in FEATURES]
    columns.append(pl.Series(CADENCE, [cadence] * len(rows), dtype=pl.String))
    place = {name: number for number, name in enumerate(encoder.kept)}
    for name, kind in kinds.items():
        values = encoded[:, place[name]] if name in place else np.full(len(rows), np.nan)
        if kind == NUMBER:
            columns.append(pl.Series(_PREFIX + name, values, dtype=pl.Float64))
        else:
            columns.append(pl.Series(_PREFIX + name, _words(values, encoder.kept.get(name)), dtype=pl.String))
    return pl.DataFrame(columns)


def family_of(model: Outside) -> str:
    """What it is called among the candidates: `outside_` and what it was made with."""
    return f"{OWNER}_{model.flavor}"


class Elsewhere:
    """A model made elsewhere as one more family: from a matrix of features and encoded fields to people."""

    def __init__(self, model: Outside, kinds: Kinds) -> None:
        """`kinds` are the own fields it is offered, as `kinds_of` found them when it was judged."""
        self.model, self.kinds, self.name = model, dict(kinds), family_of(model)

    def wants(self) -> list[str]:
        """The columns it reads; InvalidInput for one that is not offered."""
        return self.model.wants(
            offered(np.empty((0, len(FEATURES))), np.empty((0, 0)), Encoder({}, {}), "", self.kinds)
        )

    def people(self, rows: Floats, encoded: Floats, encoder: Encoder, cadence: str) -> Floats:
        """Its answer to every row, not yet capped; NaN, unasked, where nothing was known of the unit before.

        PermanentError when it answers anything but finite numbers.
        """
        found = np.full(len(rows), np.nan)
        known = is_usable(rows)
        if known.any():
            answers = self.model.values(offered(rows[known], encoded[known], encoder, cadence, self.kinds))
            # Single precision answers a batch and a single row alike to seven digits only.
            found[known] = significant(answers)
        return found

    def probe(self, rows: Floats, encoder: Encoder, cadence: str) -> None:
        """PermanentError unless it answers rows whose own fields are not known: coming events may lack them."""
        try:
            self.people(rows, np.full((len(rows), len(encoder.kept)), np.nan), encoder, cadence)
        except PermanentError as error:
            raise PermanentError(f"asked without the attributes of the event, {error}") from error


def significant(values: Floats) -> Floats:
    """Rounded to six significant digits."""
    size = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values))))
    unit = 10.0 ** (size - (_DIGITS - 1))
    return np.asarray(np.round(values / unit) * unit)


def _words(codes: Floats, categories: list[str] | None) -> list[Any]:
    if categories is None:
        return [None] * len(codes)
    return [categories[int(code)] if np.isfinite(code) else None for code in codes]
