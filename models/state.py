"""A fitted model's state as bytes: builtins, numpy, scipy and scikit-learn only, checked when written and when read.

A pickled class of ours would freeze its import path, and a pickle may run what it names: both are refused here.
What the bytes are kept in, and under which version, is `models.tracking`'s business.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrator.contracts.errors import Defect

_PLAIN = ("numpy", "sklearn", "scipy", "collections", "builtins", "copyreg", "_codecs", "datetime")
_DANGEROUS = {"eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "input", "breakpoint"}
_REBUILDING = {"scalar", "encode"}


def plain_pickle(state: Mapping[str, Any]) -> bytes:
    """The state's bytes, read back once to be sure that they hold nothing of ours; Defect otherwise."""
    if not isinstance(state.get("state_version"), int):
        raise Defect(f"a model's state needs an int state_version, received {state.get('state_version')!r}")
    data = pickle.dumps(dict(state), protocol=5)
    _PlainUnpickler(io.BytesIO(data)).load()
    return data


def read_state(path: Path) -> dict[str, Any]:
    """What `plain_pickle` was given; Defect when the file holds anything else."""
    with path.open("rb") as file:
        try:
            state = _PlainUnpickler(file).load()
        except Defect:
            raise
        except Exception as error:  # a broken pickle raises whatever its bytes happen to say
            raise Defect(f"a model's state cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(state, dict):
        raise Defect(f"a model's state is a dict, received {type(state).__name__}")
    return state


class _PlainUnpickler(pickle.Unpickler):
    """Refuses what is not a class, or a function that rebuilds one, of builtins, numpy, scipy and scikit-learn."""

    def find_class(self, module: str, name: str) -> Any:
        refused = Defect(f"a model's state holds {module}.{name}; allowed: classes of {', '.join(_PLAIN)}")
        # A dotted name would walk from an allowed module to whatever that module has imported.
        if module.split(".")[0] not in _PLAIN or "." in name or (module == "builtins" and name in _DANGEROUS):
            raise refused
        found = super().find_class(module, name)
        if str(getattr(found, "__module__", module)).split(".")[0] not in _PLAIN:
            raise refused
        # Functions that rebuild an object are private or these; the public ones run code and open files.
        if not isinstance(found, type) and not name.startswith("_") and name not in _REBUILDING:
            raise refused
        return found
