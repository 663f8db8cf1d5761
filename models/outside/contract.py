"""The seam to a model made elsewhere: the columns it may ask for and the numbers it must answer. No MLflow, no use case.

A use case offers a *table*: a polars frame with one row per subject, numbers as Float64 (NaN where not known), truth as
0 and 1, words as text. A model names the columns it wants in its signature; one with a bare tensor gets all numbers, in
the table's order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import PermanentError, invalid
from integrator.contracts.readiness import Readiness
from models.base import Context, FittedModel, TrainConfig, Trained

Floats = NDArray[np.float64]
KINDS: Mapping[str, str] = {
    "float": "float32", "double": "float64", "integer": "int32", "long": "int64", "boolean": "bool", "string": "object",
}  # fmt: skip
"""Types of a signature's inputs, and numpy's names for them."""
ANSWERS = ("value", "probability", "probabilities", "prediction", "predictions")
"""What an output may be called; a model with several outputs is read by the first of these it has, else by its last."""


@dataclass(frozen=True)
class Input:
    """One input of a signature; `kind` is a key of `KINDS`."""

    name: str
    kind: str


@runtime_checkable
class Outside(Protocol):
    """A loaded model of somebody else's."""

    @property
    def flavor(self) -> str:
        """What it was made with: onnx, tensorflow, sklearn and the like."""
        ...

    def wants(self, table: pl.DataFrame, left_out: Mapping[str, str] = {}) -> list[str]:
        """The columns of the table that it reads, in the table's order; InvalidInput for one that is not there.

        `left_out` are columns that are kept from it, with the reason: a refusal tells it.
        """
        ...

    def values(self, table: pl.DataFrame) -> Floats:
        """One finite number for each row of the table; PermanentError when it asks or answers otherwise."""
        ...


@runtime_checkable
class OutsideUseCase(Protocol):
    """How a use case lets models made elsewhere take part: `OUTSIDE` in its `outside.py`."""

    def table(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> pl.DataFrame:
        """What a model is offered for the labelled rows, and its answer: the columns, then `outcome` and `is_test`.

        `is_test` marks the rows a challenger is judged on: a model that has seen them flatters itself.
        """
        ...

    def train(self, training: pl.DataFrame, model: Outside, config: TrainConfig, context: Context) -> Trained:
        """Judge `model` on the splits of the use case's own candidates, and learn its calibration and intervals."""
        ...

    def restore(self, state: Mapping[str, Any], model: Outside) -> FittedModel:
        """The model that gave `state`, around `model`."""
        ...

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """What is there and what judging a model of somebody's own needs."""
        ...


def numbers(table: pl.DataFrame) -> list[str]:
    """The table's columns of numbers, in their order."""
    return [name for name, kind in table.schema.items() if kind == pl.Float64]


def named(table: pl.DataFrame, wanted: Sequence[str], left_out: Mapping[str, str]) -> list[str]:
    """The wanted columns in the table's order; InvalidInput for one not there, with its reason from `left_out`."""
    for name in wanted:
        if name in left_out:
            raise invalid("input of the model", f"{name} ({left_out[name]})", table.columns)
        if name not in table.columns:
            raise invalid("input of the model", name, table.columns)
    return [name for name in table.columns if name in set(wanted)]


def tensor_width(table: pl.DataFrame, columns: int, left_out: Mapping[str, str]) -> list[str]:
    """The numbers that a bare tensor of so many columns gets, -1 taking any; InvalidInput tells what is left out."""
    found = numbers(table)
    if columns not in (-1, len(found)):
        allowed = f"{len(found)}, the numbers of the table: {found}"
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(left_out.items()))
        raise invalid(
            "columns of the model's tensor", columns, f"{allowed}; left out: {reasons}" if reasons else allowed
        )
    return found


def matrix(table: pl.DataFrame, columns: int) -> NDArray[np.float32]:
    """All numbers of the table, rows x columns, for a model with a bare tensor of so many columns; -1 takes any."""
    names = tensor_width(table, columns, {})
    return table.select(names).to_numpy().astype(np.float32)


def asked(table: pl.DataFrame, inputs: Sequence[Input]) -> "Mapping[str, NDArray[Any]]":
    """The columns a signature names, each of its own type; PermanentError names the input and what there is."""
    return {wanted.name: _column(table, wanted) for wanted in inputs}


def _column(table: pl.DataFrame, wanted: Input) -> "NDArray[Any]":
    if wanted.name not in table.columns:
        raise invalid("input of the model", wanted.name, table.columns)
    if wanted.kind not in KINDS:
        raise invalid(f"type of the model's input {wanted.name!r}", wanted.kind, KINDS)
    found = table[wanted.name]
    if wanted.kind == "string":
        if found.dtype == pl.Float64:
            raise invalid(f"type of the model's input {wanted.name!r}", "string", "float or double: it is a number")
        return np.asarray(found.to_numpy(), dtype=object)
    if found.dtype != pl.Float64:
        raise invalid(f"type of the model's input {wanted.name!r}", wanted.kind, "string: it is a word")
    known = found.to_numpy()
    if wanted.kind in ("integer", "long", "boolean") and not np.isfinite(known).all():
        raise invalid(f"type of the model's input {wanted.name!r}", wanted.kind, "float or double: values are missing")
    return known.astype(KINDS[wanted.kind])


def answered(result: Any, rows: int) -> Floats:
    """The numbers in what a model returned: an array, a frame, or several outputs by name; PermanentError if none.

    Two columns are the probabilities of no and yes: the second counts.
    """
    values = np.asarray(_output(result))
    if values.ndim == 2 and values.shape[1] in (1, 2):
        values = values[:, -1]
    if values.ndim != 1 or len(values) != rows or values.dtype.kind not in "fiub":
        shape, kind = list(values.shape), values.dtype
        raise PermanentError(f"the model answered {shape} of {kind} to {rows} rows; allowed: [{rows}] numbers")
    found = values.astype(np.float64)
    unknown = int((~np.isfinite(found)).sum())
    if unknown:
        raise PermanentError(f"the model answered no number to {unknown} of {rows} rows; allowed: finite numbers")
    return found


def _output(result: Any) -> Any:
    if hasattr(result, "columns"):  # a pandas frame: its columns are its outputs, two of probabilities stay together
        named = [name for name in ANSWERS if name in result.columns]
        return result[named[0]].to_numpy() if named else result.to_numpy()
    if isinstance(result, Mapping):
        named = [name for name in ANSWERS if name in result] or list(result)[-1:]
        if not named:
            raise PermanentError("the model answered nothing; allowed: one output of numbers")
        return result[named[0]]
    return result
