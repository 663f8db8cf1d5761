"""What a stored model may hold: anything that would run code when it is read is refused, plain numbers are not."""

import collections
import pickle
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from integrator.contracts.errors import Defect
from models.registry import USE_CASES, use_case
from models.state import plain_pickle, read_state


class Runs:
    """A pickle that calls `function` when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.how = (function, arguments)

    def __reduce__(self) -> Any:
        return self.how


def by_name(module: str, name: str, *, argument: str = "x") -> bytes:
    """The same for a function that is only named, dotted if need be (protocol 4)."""
    out = b"\x80\x04"
    for text in (module, name):
        raw = text.encode()
        out += b"\x8c" + bytes([len(raw)]) + raw
    raw = argument.encode()
    return out + b"\x93" + b"\x8c" + bytes([len(raw)]) + raw + b"\x85R."


PLAIN: dict[str, Any] = {
    "builtins": {"state_version": 1, "a": [1, 2.5, None, True, "x", b"y", (1,), {2}, frozenset({3})]},
    "numpy": {"state_version": 1, "a": np.arange(6.0).reshape(2, 3), "b": np.float64(1.5), "c": np.bool_(True)},
    "text arrays": {"state_version": 1, "a": np.array(["x", "yy"]), "o": np.array([None, "z"], dtype=object)},
    "dates": {"state_version": 1, "d": date(2026, 1, 1), "t": datetime(2026, 1, 1, tzinfo=UTC)},
    "dicts": {"state_version": 1, "o": collections.OrderedDict(a=1), "c": collections.Counter("aab")},
    "random": {"state_version": 1, "r": np.random.RandomState(3), "g": np.random.default_rng(3)},
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_things_come_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / "state.pkl"
    path.write_bytes(plain_pickle(PLAIN[name]))
    assert repr(read_state(path)) == repr(PLAIN[name]) or name == "random"


def test_fitted_estimators_come_back_and_predict_the_same(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((80, 2))
    with threadpool_limits(limits=1):
        boosted = HistGradientBoostingRegressor(max_iter=3, early_stopping=False).fit(x, x[:, 0])
    logistic = LogisticRegression().fit(x, x[:, 0] > 0)
    path = tmp_path / "state.pkl"
    path.write_bytes(plain_pickle({"state_version": 1, "boosted": boosted, "logistic": logistic}))
    found = read_state(path)
    np.testing.assert_array_equal(found["boosted"].predict(x), boosted.predict(x))
    np.testing.assert_array_equal(found["logistic"].predict(x), logistic.predict(x))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "__import__"),
        ("builtins", "getattr"),
        ("builtins", "globals"),
        ("builtins", "open"),
        ("collections", "_sys.breakpointhook"),
        ("collections", "_sys.exit"),
        ("datetime", "sys.exit"),
        ("numpy", "load"),
        ("numpy", "save"),
        ("numpy", "fromfile"),
        ("numpy.testing", "rundocs"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.f2py", "os.system"),
        ("numpy.f2py", "run_main"),
        ("sklearn.utils", "os.system"),
        ("sklearn.datasets", "fetch_openml"),
        ("scipy.io", "loadmat"),
        ("copyreg", "pickle"),
        ("models.tracking", "Tracking"),
        ("joblib", "load"),
    ],
)
def test_what_would_run_something_is_refused(module: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "state.pkl"
    path.write_bytes(by_name(module, name))
    with pytest.raises(Defect, match="a model's state holds"):
        read_state(path)


def test_a_module_borrowed_by_an_allowed_one_is_refused(tmp_path: Path) -> None:
    """A class counts as that of the module it was made in, not of the one it is asked from."""
    path = tmp_path / "state.pkl"
    path.write_bytes(by_name("numpy.testing._private.utils", "partial"))
    with pytest.raises(Defect, match="utils.partial"):
        read_state(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x05",
        b"no pickle",
        plain_pickle(PLAIN["numpy"])[:-40],
        by_name("numpy", "gone"),
        by_name("numpy.gone", "x"),
    ],
)
def test_a_broken_state_is_a_defect_that_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.pkl"
    path.write_bytes(content)
    with pytest.raises(Defect, match="cannot be read"):
        read_state(path)


def test_a_reduced_call_inside_a_state_is_refused_when_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(Defect):
        plain_pickle({"state_version": 1, "x": Runs(Path.touch, target)})
    assert not target.exists()


@pytest.mark.parametrize("version", [None, "1", 1.0])
def test_a_state_needs_a_version(version: Any) -> None:
    with pytest.raises(Defect, match="needs an int state_version"):
        plain_pickle({"state_version": version})


@pytest.mark.parametrize("content", [[1, 2], "text", None])
def test_what_is_no_dict_is_no_state(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(Defect, match="a model's state is a dict"):
        read_state(path)


def test_every_use_case_s_rule_has_a_plain_state() -> None:
    for spec in USE_CASES:
        case = use_case(spec.name)
        assert plain_pickle(case.rule().state())
