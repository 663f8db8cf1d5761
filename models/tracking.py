"""MLflow behind our words: log a training, move the alias `champion`, load models back. Only importer of mlflow.

One experiment and one registered model `{use_case}.{partner}`. The tracking database is written directly, no
server in between. A logged model is a pyfunc made from code (`models/served.py`) over a pickled *state*: builtins,
numpy and scikit-learn only, checked when it is written and again when it is read.
"""

import io
import json
import logging
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Conflict, Defect, NotFound
from integrator.contracts.insight import rfc3339
from models.base import Backtest, FeatureRow, FittedModel, Score, Trained
from models.gate import Verdict
from models.registry import use_case as code_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
STATE_FILE = "state.pkl"
BACKTEST_FILE = "backtest.json"
SERVED = Path(__file__).with_name("served.py")
_PLAIN = ("numpy", "sklearn", "scipy", "collections", "builtins", "copyreg", "_codecs", "datetime")
_DANGEROUS = {"eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "input", "breakpoint"}
_REBUILDING = {"scalar", "encode"}
_ROW_COLUMN = "row"
_SAMPLE_ROWS = 5


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A registered version, ready to predict, with the backtest that the gate compares a challenger with."""

    name: str
    version: str
    model: FittedModel
    backtest: Backtest
    params: Mapping[str, str]
    data_hash: str


@dataclass(frozen=True, kw_only=True)
class VersionInfo:
    """One line of `models list`; `reasons` are the gate's."""

    version: str
    champion: bool
    candidate: str
    metrics: Mapping[str, float]
    promoted: bool
    reasons: tuple[str, ...]
    logged_at: str
    data_hash: str


class Tracking:
    """The model registry over one MLflow database; cheap to make, nothing is opened before the first call."""

    def __init__(self, uri: str, artifact_root: str) -> None:
        """`uri` is a SQLAlchemy address with MLflow's schema as search path, `artifact_root` a folder or bucket."""
        self.uri = uri
        self.artifact_root = artifact_root.rstrip("/")

    def preload(self) -> None:
        """Import MLflow and let it make its tables, ahead of need: 3 s, 10 s the first time."""
        with self._quietly() as client:
            client.search_registered_models(max_results=1)

    def log(self, use_case: str, partner: str, trained: Trained, *, verdict: Verdict, now: datetime) -> str:
        """Register `trained` as a new version and return it; a verdict that promotes moves the alias too."""
        import mlflow

        name = registered_name(use_case, partner)
        with self._quietly() as client:
            run = client.create_run(self._experiment(client, name), run_name=f"{name} {rfc3339(now)}")
            run_id = run.info.run_id
            self._describe(client, run_id, trained, verdict, now)
            with mlflow.start_run(run_id=run_id):
                logged = self._log_model(use_case, trained)
            version = self._register(client, name, run_id, logged)
            for key, value in _verdict_tags(trained, verdict, now).items():
                client.set_model_version_tag(name, version, key, value)
            if verdict.promote:
                client.set_registered_model_alias(name, CHAMPION, version)
        return version

    def champion(self, use_case: str, partner: str) -> LoadedModel | None:
        """The version that the alias points to, or None when nothing was ever promoted."""
        version = self.champion_version(use_case, partner)
        return None if version is None else self.load(use_case, partner, version)

    def champion_version(self, use_case: str, partner: str) -> str | None:
        """The champion's version alone: one small query, to see whether the alias moved."""
        from mlflow.exceptions import MlflowException

        with self._quietly() as client:
            try:
                return str(client.get_model_version_by_alias(registered_name(use_case, partner), CHAMPION).version)
            except MlflowException as error:
                if _missing(error):
                    return None
                raise

    def load(self, use_case: str, partner: str, version: str) -> LoadedModel:
        """Version `version`, read from the artifacts anew each time; NotFound names the versions there are."""
        import mlflow

        name = registered_name(use_case, partner)
        with self._quietly() as client:
            found = self._version(client, name, version)
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=found.source))
            run = client.get_run(found.run_id)
        return LoadedModel(
            name=name,
            version=str(found.version),
            model=code_of(use_case).restore(_read_state(next(folder.rglob(STATE_FILE)))),
            backtest=_backtest(json.loads(next(folder.rglob(BACKTEST_FILE)).read_text())),
            params=dict(run.data.params),
            data_hash=found.tags.get("data_hash", ""),
        )

    def promote(self, use_case: str, partner: str, version: str, *, verdict: Verdict) -> None:
        """Move the alias to `version`; Conflict, with the gate's reasons, unless the verdict promotes."""
        if not verdict.promote:
            raise Conflict(f"version {version} may not become champion: {' '.join(verdict.reasons)}")
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            self._version(client, name, version)
            client.set_model_version_tag(name, version, "promoted", "true")
            client.set_registered_model_alias(name, CHAMPION, version)

    def rollback(self, use_case: str, partner: str, version: str | None = None) -> str:
        """Move the alias back to `version`, by default the newest promoted one before the champion; returns it.

        Only a version that passed the gate once may come back: Conflict otherwise, NotFound when there is none.
        """
        known = {info.version: info for info in self.versions(use_case, partner)}
        current = next((info.version for info in known.values() if info.champion), None)
        earlier = [v for v, info in known.items() if info.promoted and (current is None or int(v) < int(current))]
        target = version or (max(earlier, key=int) if earlier else None)
        name = registered_name(use_case, partner)
        if target is None or target not in known:
            raise NotFound(
                f"no version {target or 'before the champion'} of {name}; there are {sorted(known, key=int)}"
            )
        if not known[target].promoted:
            raise Conflict(f"version {target} of {name} never passed the gate: {' '.join(known[target].reasons)}")
        with self._quietly() as client:
            client.set_registered_model_alias(name, CHAMPION, target)
        return target

    def versions(self, use_case: str, partner: str) -> list[VersionInfo]:
        """Every version, newest first; empty when nothing was ever logged."""
        from mlflow.exceptions import MlflowException

        name = registered_name(use_case, partner)
        with self._quietly() as client:
            try:
                model = client.get_registered_model(name)
            except MlflowException as error:
                if _missing(error):
                    return []
                raise
            champion = str(model.aliases.get(CHAMPION, ""))
            found = client.search_model_versions(f"name='{name}'")
            infos = [_info(entry, champion) for entry in found]
        return sorted(infos, key=lambda info: -int(info.version))

    @contextmanager
    def _quietly(self) -> "Iterator[MlflowClient]":
        """MLflow without telemetry, chatter or warnings, pointed at our database."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow

            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
            if mlflow.get_tracking_uri() != self.uri:
                mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            yield mlflow.MlflowClient(self.uri, self.uri)

    def _experiment(self, client: "MlflowClient", name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=f"{self.artifact_root}/{name}"))
            except MlflowException:
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _describe(self, client: "MlflowClient", run_id: str, trained: Trained, verdict: Verdict, now: datetime) -> None:
        """Params, the metrics of every candidate, tags and artifacts, in one batch each."""
        from mlflow.entities import Metric, Param, RunTag

        stamp = int(now.timestamp() * 1000)
        metrics = [
            Metric(_key(f"{score.candidate}.{metric}"), value, stamp, 0)
            for score in trained.backtest.scores
            for metric, value in _measured(score).items()
        ]
        params = {**trained.params, "chosen": trained.backtest.chosen, "gate_metric": trained.backtest.gate_metric}
        client.log_batch(
            run_id,
            metrics=metrics,
            params=[Param(_key(key), _text(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in _verdict_tags(trained, verdict, now).items()],
        )
        client.log_dict(run_id, dict(trained.dropped), "dropped_attributes.json")
        client.log_dict(run_id, {"promote": verdict.promote, "reasons": list(verdict.reasons)}, "verdict.json")
        if trained.backtest.plot_png:
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "backtest.png"
                picture.write_bytes(trained.backtest.plot_png)
                client.log_artifact(run_id, str(picture))

    def _log_model(self, use_case: str, trained: Trained) -> Any:
        """The pyfunc with its state and its backtest; signature and requirements given, not inferred (18 s)."""
        import mlflow

        with tempfile.TemporaryDirectory() as folder:
            state, backtest = Path(folder) / STATE_FILE, Path(folder) / BACKTEST_FILE
            state.write_bytes(_plain_pickle(trained.model.state()))
            backtest.write_text(json.dumps(_facts(trained.backtest)))
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=str(SERVED),
                artifacts={"state": str(state), "backtest": str(backtest)},
                model_config={"use_case": use_case},
                signature=_signature(),
                pip_requirements=list(_requirements()),
                metadata={"sample": _dumps(list(trained.sample)[:_SAMPLE_ROWS])},
            )

    def _register(self, client: "MlflowClient", name: str, run_id: str, logged: Any) -> str:
        """The next version of `name`; by the client, since logging with a name prints to stderr."""
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        version = client.create_model_version(
            name, logged.model_uri, run_id, await_creation_for=None, model_id=logged.model_id
        )
        return str(version.version)

    def _version(self, client: "MlflowClient", name: str, version: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version(name, version)
        except MlflowException as error:
            if not _missing(error):
                raise
            there = [str(entry.version) for entry in client.search_model_versions(f"name='{name}'")]
            raise NotFound(f"no version {version!r} of {name}; there are {there}") from error


def registered_name(use_case: str, partner: str) -> str:
    """The registered model's name, as in an insight's `model.name`."""
    return f"{use_case}.{partner}"


def serve() -> None:
    """Called by `models/served.py` alone: hands MLflow the wrapper around `FittedModel`.

    In: a frame with one text column `row`, a feature row as JSON. Out: a frame of `value`, `low`, `high`, `status`.
    """
    import mlflow
    import pandas as pd

    class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """A use case's model behind MLflow's pyfunc interface."""

        def load_context(self, context: Any) -> None:
            self.model = code_of(context.model_config["use_case"]).restore(
                _read_state(Path(context.artifacts["state"]))
            )

        def predict(
            self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
        ) -> pd.DataFrame:
            found = self.model.predict([json.loads(row) for row in model_input[_ROW_COLUMN]])
            return pd.DataFrame(
                {
                    "value": [p.value for p in found],
                    "low": [p.interval.low if p.interval else None for p in found],
                    "high": [p.interval.high if p.interval else None for p in found],
                    "status": [p.status for p in found],
                }
            ).astype({"value": "float64", "low": "float64", "high": "float64"})

    mlflow.models.set_model(Served())


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


def _plain_pickle(state: Mapping[str, Any]) -> bytes:
    """The state's bytes, read back once to be sure that they hold nothing of ours; Defect otherwise."""
    if not isinstance(state.get("state_version"), int):
        raise Defect(f"a model's state needs an int state_version, received {state.get('state_version')!r}")
    data = pickle.dumps(dict(state), protocol=5)
    _PlainUnpickler(io.BytesIO(data)).load()
    return data


def _read_state(path: Path) -> dict[str, Any]:
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


@cache
def _requirements() -> tuple[str, ...]:
    """Pinned to what is installed: what the model was trained with."""
    return tuple(
        f"{name}=={metadata.version(name)}" for name in ("mlflow", "numpy", "polars", "prophet", "scikit-learn")
    )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    number = [ColSpec(DataType.double, name, required=False) for name in ("value", "low", "high")]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, _ROW_COLUMN)]),
        outputs=Schema([*number, ColSpec(DataType.string, "status")]),
    )


def _verdict_tags(trained: Trained, verdict: Verdict, now: datetime) -> dict[str, str]:
    backtest = trained.backtest
    return {
        "promoted": str(verdict.promote).lower(),
        "gate_reasons": json.dumps(list(verdict.reasons)),
        "data_hash": trained.data_hash,
        "candidate": backtest.chosen,
        "metrics": json.dumps(_measured(backtest.score(backtest.chosen))),
        "logged_at": rfc3339(now),
    }


def _info(entry: Any, champion: str) -> VersionInfo:
    tags = entry.tags
    return VersionInfo(
        version=str(entry.version),
        champion=str(entry.version) == champion,
        candidate=tags.get("candidate", ""),
        metrics=json.loads(tags.get("metrics", "{}")),
        promoted=tags.get("promoted") == "true",
        reasons=tuple(json.loads(tags.get("gate_reasons", "[]"))),
        logged_at=tags.get("logged_at", ""),
        data_hash=tags.get("data_hash", ""),
    )


def _measured(score: Score) -> dict[str, float]:
    coverage = {} if score.coverage is None else {"coverage": score.coverage}
    return {key: float(value) for key, value in {**score.metrics, **coverage}.items() if value == value}


def _facts(backtest: Backtest) -> dict[str, Any]:
    """Everything of a backtest but its picture, as JSON."""
    scores = [
        {
            "candidate": s.candidate,
            "is_rule": s.is_rule,
            "metrics": dict(s.metrics),
            "coverage": s.coverage,
            "coverage_cases": s.coverage_cases,
            "segments": dict(s.segments),
        }
        for s in backtest.scores
    ]
    return {
        "gate_metric": backtest.gate_metric,
        "chosen": backtest.chosen,
        "scores": scores,
        "observations": backtest.observations,
        "split": backtest.split,
        "level": backtest.level,
    }


def _backtest(facts: Mapping[str, Any]) -> Backtest:
    return Backtest(**{**facts, "scores": tuple(Score(**score) for score in facts["scores"])})


def _dumps(rows: Sequence[FeatureRow]) -> str:
    return json.dumps(rows, sort_keys=True)


def _key(name: str) -> str:
    """MLflow's alphabet for metric and param names."""
    return "".join(char if char.isalnum() or char in "_-. /" else "_" for char in name)[:250]


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, default=str))[:6000]


def _missing(error: Exception) -> bool:
    return getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
