"""A model made elsewhere, loaded: asked by the columns of its signature. ONNX runs here, anything else as its pyfunc.

The pyfunc comes in as an object; only `models.tracking` imports MLflow.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from integrator.contracts.errors import PermanentError, invalid
from models.outside.contract import Input, answered, asked, matrix, named, tensor_width

Floats = NDArray[np.float64]
_OWN_FLAVOR = "python_function"


class Loaded:
    """See `models.outside.contract.Outside`."""

    def __init__(self, pyfunc: Any, onnx: bytes | None = None) -> None:
        """`pyfunc` as MLflow loads it, its signature given; `onnx` the graph where it is one."""
        signature = pyfunc.metadata.signature
        if signature is None or signature.inputs is None:
            raise invalid("signature of the model", None, "a signature that names its inputs")
        schema = signature.inputs
        self._pyfunc = pyfunc
        self._flavor = next((name for name in pyfunc.metadata.flavors if name != _OWN_FLAVOR), _OWN_FLAVOR)
        self._columns = None
        self._inputs: list[Input] = []
        if schema.is_tensor_spec():
            self._columns = _width(schema.inputs)
        else:
            self._inputs = [Input(str(one.name), str(getattr(one.type, "name", one.type))) for one in schema.inputs]
        self._session = None if onnx is None else _session(onnx)

    @property
    def flavor(self) -> str:
        """See `Outside.flavor`."""
        return self._flavor

    def wants(self, table: pl.DataFrame, left_out: Mapping[str, str] = {}) -> list[str]:
        """See `Outside.wants`."""
        if self._columns is not None:
            return tensor_width(table, self._columns, left_out)
        return named(table, [wanted.name for wanted in self._inputs], left_out)

    def values(self, table: pl.DataFrame) -> Floats:
        """See `Outside.values`."""
        if not table.height:
            return np.empty(0)
        given: Any = matrix(table, self._columns) if self._columns is not None else dict(asked(table, self._inputs))
        try:
            result = self._run(given)
        except PermanentError:
            raise
        except Exception as error:  # what a stranger's code raises has no class of ours
            raise PermanentError(
                f"the {self._flavor} model failed: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        return answered(result, table.height)

    def _run(self, given: Any) -> Any:
        import pandas as pd

        if self._session is not None:
            return _onnx(self._session, given)
        # Data goes to stdout, and some libraries write a progress bar there.
        with redirect_stdout(io.StringIO()):
            return self._pyfunc.predict(given if isinstance(given, np.ndarray) else pd.DataFrame(given))


def _width(specs: Any) -> int:
    """Columns of the one tensor (-1, n) that a bare signature may have."""
    shapes = [tuple(spec.shape) for spec in specs]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise invalid("shape of the model's input", shapes, "one tensor of [-1, columns], or inputs by name")
    return int(shapes[0][1])


def _session(graph: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # threads that share a busy machine's cores wait for each other
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _onnx(session: Any, given: Any) -> dict[str, Any]:
    """Every output by name. A graph has one input of all columns, or one of each name."""
    wanted = session.get_inputs()
    if isinstance(given, np.ndarray):
        feed = {wanted[0].name: given}
    elif len(wanted) == 1 and wanted[0].name not in given:
        feed = {wanted[0].name: np.column_stack(list(given.values())).astype(_element(wanted[0]))}
    else:
        feed = {one.name: np.asarray(given[one.name], dtype=_element(one)).reshape(-1, 1) for one in wanted}
    outputs = [one.name for one in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, feed), strict=True))


def _element(one: Any) -> str:
    """numpy's name for `tensor(float)`."""
    kind = str(one.type).removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64", "string": "object"}.get(kind, kind)
