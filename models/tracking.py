"""MLflow behind our words: log a training, move the aliases, load models back. Only importer of mlflow.

One experiment and one registered model `{use_case}.{partner}`. The tracking database is written directly, no
server in between. A logged model is a pyfunc made from code (`models/served.py`) over a pickled *state*
(`models.state`). What a version is, apart from MLflow, is in `models.versions`.
"""

import json
import logging
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrator.contracts.errors import Conflict, NotFound, PermanentError
from integrator.contracts.insight import rfc3339
from models.base import Backtest, Choice, FeatureRow, FittedModel, Trained
from models.gate import Verdict
from models.outside.loaded import Loaded
from models.registry import restored
from models.state import plain_pickle, read_state
from models.versions import (
    CHALLENGER,
    CHAMPION,
    JUDGED_AS,
    NOT_JUDGED,
    LoadedModel,
    VersionInfo,
    backtest_facts,
    backtest_of,
    challenger_of,
    choice_facts,
    choices_of,
    described,
    info_of,
    key_of,
    measured,
    registered_name,
    requirements,
    text_of,
    verdict_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATE_FILE = "state.pkl"
BACKTEST_FILE = "backtest.json"
CHOICES_FILE = "choices.json"
CARD_FILE = "model_card.md"
SERVED = Path(__file__).with_name("served.py")
OUTSIDE = "outside"
"""The folder, among a version's files, of the model made elsewhere that it asks."""
_ROW_COLUMN = "row"
_IMPORTING = threading.Lock()
_SAMPLE_ROWS = 5


def _mlflow() -> Any:
    """MLflow, imported by one thread while the others wait.

    Its modules import each other in circles. Threads that begin it together meet that as a deadlock, which Python breaks
    by an error, and what stays behind is half a package on which every later call fails.
    """
    with _IMPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.pyfunc

        return mlflow


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

    def log(
        self,
        use_case: str,
        partner: str,
        trained: Trained,
        *,
        verdict: Verdict,
        now: datetime,
        card: Callable[[str], str] | None = None,
        tags: Mapping[str, str] | None = None,
        wraps: str | None = None,
    ) -> str:
        """Register `trained` as a new version and return it.

        A verdict that promotes makes it champion, any other makes it the challenger that runs in the champion's
        shadow. `card` is given the version and returns its model card; `tags` go on the run and on the version.
        `wraps` is the version of a model made elsewhere that this one asks: its files go into the new version, so
        that nothing done to the other changes what this one says.
        """
        mlflow = _mlflow()

        name = registered_name(use_case, partner)
        told = {**verdict_tags(trained, verdict, now), **(tags or {})}
        with self._quietly() as client:
            run = client.create_run(self._experiment(client, name), run_name=f"{name} {rfc3339(now)}")
            run_id = run.info.run_id
            self._describe(client, run_id, trained, verdict, now, told)
            with mlflow.start_run(run_id=run_id):
                logged = self._log_model(use_case, trained, name, wraps)
            version = self._register(client, name, run_id, logged)
            if wraps is not None:
                client.set_model_version_tag(name, wraps, JUDGED_AS, version)
            for key, value in told.items():
                client.set_model_version_tag(name, version, key, value)
            if card is not None:
                self._log_card(client, name, version, run_id, card(version))
            if verdict.promote:
                client.set_registered_model_alias(name, CHAMPION, version)
            self._settle_challenger(client, name)
        return version

    def champion(self, use_case: str, partner: str) -> LoadedModel | None:
        """The version that the alias points to, or None when nothing was ever promoted."""
        version = self.champion_version(use_case, partner)
        return None if version is None else self.load(use_case, partner, version)

    def champion_version(self, use_case: str, partner: str) -> str | None:
        """The champion's version alone: one small query, to see whether the alias moved."""
        return self._aliased(use_case, partner, CHAMPION)

    def challenger_version(self, use_case: str, partner: str) -> str | None:
        """The version that runs in the champion's shadow, or None: the newest above it that never passed the gate."""
        return self._aliased(use_case, partner, CHALLENGER)

    def load(self, use_case: str, partner: str, version: str) -> LoadedModel:
        """Version `version`, read from the artifacts anew each time; NotFound names the versions there are."""
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            found = self._version(client, name, version)
            folder = _downloaded(found.source, name, version)
            params = dict(client.get_run(found.run_id).data.params) if found.run_id else {}
        return LoadedModel(
            name=name,
            version=str(found.version),
            model=_restored(use_case, folder, _file(folder, STATE_FILE, name, version)),
            backtest=backtest_of(json.loads(_file(folder, BACKTEST_FILE, name, version).read_text())),
            params=params,
            data_hash=found.tags.get("data_hash", ""),
        )

    def backtest(self, use_case: str, partner: str, version: str) -> Backtest:
        """What the gate compares, without the model: there even where the model cannot be read any more."""
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            folder = _downloaded(self._version(client, name, version).source, name, version)
        return backtest_of(json.loads(_file(folder, BACKTEST_FILE, name, version).read_text()))

    def outside(self, use_case: str, partner: str, version: str) -> Loaded:
        """The model made elsewhere that was registered as `version`; NotFound, or PermanentError when it does not load."""
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            return _outside(_downloaded(self._version(client, name, version).source, name, version))

    def card(self, use_case: str, partner: str, version: str) -> str:
        """A version's model card; NotFound when it was registered without one."""
        return self._artifact(use_case, partner, version, CARD_FILE)

    def choices(self, use_case: str, partner: str, version: str) -> list[Choice]:
        """What a version's training chose per subject; NotFound when it did not say."""
        return choices_of(json.loads(self._artifact(use_case, partner, version, CHOICES_FILE)))

    def page(self, use_case: str, partner: str, version: str) -> str:
        """Where MLflow's own page shows the run of a version, to be put behind its address."""
        with self._quietly() as client:
            found = self._version(client, registered_name(use_case, partner), version)
            run = client.get_run(found.run_id)
        return f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    def promote(self, use_case: str, partner: str, version: str, *, verdict: Verdict) -> None:
        """Move the alias to `version`; Conflict, with the gate's reasons, unless the verdict promotes."""
        if not verdict.promote:
            raise Conflict(f"version {version} may not become champion: {' '.join(verdict.reasons)}")
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            self._version(client, name, version)
            client.set_model_version_tag(name, version, "promoted", "true")
            client.set_model_version_tag(name, version, "gate_reasons", json.dumps(list(verdict.reasons)))
            client.set_registered_model_alias(name, CHAMPION, version)
            self._settle_challenger(client, name)

    def rollback_target(self, use_case: str, partner: str, version: str | None = None) -> str:
        """The version a rollback goes to: `version`, by default the newest promoted one before the champion.

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
        return target

    def rollback(self, use_case: str, partner: str, version: str | None = None) -> str:
        """Move the alias back to `rollback_target`; returns it."""
        target = self.rollback_target(use_case, partner, version)
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            client.set_registered_model_alias(name, CHAMPION, target)
            self._settle_challenger(client, name)
        return target

    def retire(self, use_case: str, partner: str, reason: str) -> None:
        """Take the champion's alias away: nothing serves under that name until a version passes the gate again.

        A retired version keeps its artifacts, so that what it said can be explained, and can not be rolled back to;
        `reason` stands where the gate's reasons stood.
        """
        name = registered_name(use_case, partner)
        version = self.champion_version(use_case, partner)
        if version is None:
            return
        with self._quietly() as client:
            client.set_model_version_tag(name, version, "promoted", "false")
            client.set_model_version_tag(name, version, "gate_reasons", json.dumps([reason]))
            client.delete_registered_model_alias(name, CHAMPION)

    def refuse(self, use_case: str, partner: str, version: str, reason: str) -> None:
        """Say on a version made elsewhere why it could not be judged; it is tried again by the next training."""
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            client.set_model_version_tag(name, version, JUDGED_AS, NOT_JUDGED)
            client.set_model_version_tag(name, version, "gate_reasons", json.dumps([reason[:4000]]))

    def versions(self, use_case: str, partner: str) -> list[VersionInfo]:
        """Every version, newest first; empty when nothing was ever logged."""
        with self._quietly() as client:
            return self._versions(client, registered_name(use_case, partner))

    @contextmanager
    def _quietly(self) -> "Iterator[MlflowClient]":
        """MLflow without telemetry, chatter or warnings, pointed at our database."""
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow = _mlflow()
            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
            if mlflow.get_tracking_uri() != self.uri:
                mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            yield mlflow.MlflowClient(self.uri, self.uri)

    def _aliased(self, use_case: str, partner: str, alias: str) -> str | None:
        with self._quietly() as client:
            try:
                return str(client.get_model_version_by_alias(registered_name(use_case, partner), alias).version)
            except _mlflow().exceptions.MlflowException as error:
                if _missing(error):
                    return None
                raise

    def _versions(self, client: "MlflowClient", name: str) -> list[VersionInfo]:
        try:
            aliases = client.get_registered_model(name).aliases
        except _mlflow().exceptions.MlflowException as error:
            if _missing(error):
                return []
            raise
        found = client.search_model_versions(f"name='{name}'")
        infos = [info_of(str(entry.version), entry.tags, aliases) for entry in found]
        return sorted(infos, key=lambda info: -int(info.version))

    def _settle_challenger(self, client: "MlflowClient", name: str) -> None:
        """After the champion moved or a version came: whom the alias `challenger` belongs to now."""
        infos = self._versions(client, name)
        due = challenger_of(infos)
        if due is None and any(info.challenger for info in infos):
            client.delete_registered_model_alias(name, CHALLENGER)
        elif due is not None:
            client.set_registered_model_alias(name, CHALLENGER, due)

    def _artifact(self, use_case: str, partner: str, version: str, file: str) -> str:
        """The text of a file that the training left beside the model."""
        name = registered_name(use_case, partner)
        with self._quietly() as client:
            run_id = self._version(client, name, version).run_id
            there = {entry.path for entry in client.list_artifacts(run_id)} if run_id else set()
            if file not in there:
                raise NotFound(f"version {version} of {name} has no {file}; there are {sorted(there)}")
            return Path(client.download_artifacts(run_id, file)).read_text(encoding="utf-8")

    def _log_card(self, client: "MlflowClient", name: str, version: str, run_id: str, card: str) -> None:
        """The card as a file of the run, and at the head of both pages."""
        client.log_text(run_id, card, CARD_FILE)
        client.set_tag(run_id, "mlflow.note.content", described(card))
        client.update_model_version(name, version, description=described(card))

    def _experiment(self, client: "MlflowClient", name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=f"{self.artifact_root}/{name}"))
            except _mlflow().exceptions.MlflowException:
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _describe(
        self,
        client: "MlflowClient",
        run_id: str,
        trained: Trained,
        verdict: Verdict,
        now: datetime,
        tags: Mapping[str, str],
    ) -> None:
        """Params, the metrics of every candidate, tags and artifacts, in one batch each."""
        entities = _mlflow().entities
        stamp = int(now.timestamp() * 1000)
        metrics = [
            entities.Metric(key_of(f"{score.candidate}.{metric}"), value, stamp, 0)
            for score in trained.backtest.scores
            for metric, value in measured(score).items()
        ]
        params = {**trained.params, "chosen": trained.backtest.chosen, "gate_metric": trained.backtest.gate_metric}
        client.log_batch(
            run_id,
            metrics=metrics,
            params=[entities.Param(key_of(key), text_of(value)) for key, value in params.items()],
            tags=[entities.RunTag(key, value) for key, value in tags.items()],
        )
        client.log_dict(run_id, dict(trained.dropped), "dropped_attributes.json")
        client.log_text(run_id, json.dumps(choice_facts(trained.choices), indent=1), CHOICES_FILE)
        client.log_dict(run_id, {"promote": verdict.promote, "reasons": list(verdict.reasons)}, "verdict.json")
        if trained.backtest.plot_png:
            with tempfile.TemporaryDirectory() as folder:
                picture = Path(folder) / "backtest.png"
                picture.write_bytes(trained.backtest.plot_png)
                client.log_artifact(run_id, str(picture))

    def _log_model(self, use_case: str, trained: Trained, name: str, wraps: str | None) -> Any:
        """The pyfunc with its state and its backtest; signature and requirements given, not inferred (18 s)."""
        mlflow = _mlflow()

        with tempfile.TemporaryDirectory() as folder, self._quietly() as client:
            state, backtest = Path(folder) / STATE_FILE, Path(folder) / BACKTEST_FILE
            state.write_bytes(plain_pickle(trained.model.state()))
            backtest.write_text(json.dumps(backtest_facts(trained.backtest)))
            artifacts = {"state": str(state), "backtest": str(backtest)}
            if wraps is not None:
                source = _downloaded(self._version(client, name, wraps).source, name, wraps)
                artifacts[OUTSIDE] = str(shutil.copytree(source, Path(folder) / OUTSIDE))
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=str(SERVED),
                artifacts=artifacts,
                model_config={"use_case": use_case},
                signature=_signature(),
                pip_requirements=list(requirements()),
                metadata={"sample": _dumps(list(trained.sample)[:_SAMPLE_ROWS])},
            )

    def _register(self, client: "MlflowClient", name: str, run_id: str, logged: Any) -> str:
        """The next version of `name`; by the client, since logging with a name prints to stderr."""
        try:
            client.create_registered_model(name)
        except _mlflow().exceptions.MlflowException as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        version = client.create_model_version(
            name, logged.model_uri, run_id, await_creation_for=None, model_id=logged.model_id
        )
        return str(version.version)

    def _version(self, client: "MlflowClient", name: str, version: str) -> Any:
        try:
            return client.get_model_version(name, version)
        except _mlflow().exceptions.MlflowException as error:
            if not _missing(error):
                raise
            there = [str(entry.version) for entry in client.search_model_versions(f"name='{name}'")]
            raise NotFound(f"no version {version!r} of {name}; there are {there}") from error


def serve() -> None:
    """Called by `models/served.py` alone: hands MLflow the wrapper around `FittedModel`.

    In: a frame with one text column `row`, a feature row as JSON. Out: a frame of `value`, `low`, `high`, `status`.
    """
    import mlflow
    import pandas as pd

    class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """A use case's model behind MLflow's pyfunc interface."""

        def load_context(self, context: Any) -> None:
            state = Path(context.artifacts["state"])
            self.model = _restored(context.model_config["use_case"], state.parent, state)

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


def _signature() -> Any:
    mlflow = _mlflow()
    types = mlflow.types
    number = [types.ColSpec(types.DataType.double, name, required=False) for name in ("value", "low", "high")]
    return mlflow.models.ModelSignature(
        inputs=types.Schema([types.ColSpec(types.DataType.string, _ROW_COLUMN)]),
        outputs=types.Schema([*number, types.ColSpec(types.DataType.string, "status")]),
    )


def _dumps(rows: Sequence[FeatureRow]) -> str:
    return json.dumps(rows, sort_keys=True)


def _downloaded(source: str, name: str, version: str) -> Path:
    mlflow = _mlflow()
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=source))
    except (mlflow.exceptions.MlflowException, FileNotFoundError) as error:
        raise NotFound(f"the files of version {version} of {name} are gone: {error}") from error


def _file(folder: Path, file: str, name: str, version: str) -> Path:
    """A file of a logged model; NotFound when the version was not logged by a training of ours."""
    for found in folder.rglob(file):
        return found
    raise NotFound(f"version {version} of {name} holds no {file}: it was not logged by a training")


def _restored(use_case: str, folder: Path, state: Path) -> FittedModel:
    """The model behind a state, around the model made elsewhere that lies in its files, if one does."""
    inner = next(folder.rglob(f"{OUTSIDE}/MLmodel"), None)
    return restored(use_case, read_state(state), None if inner is None else _outside(inner.parent))


def _outside(folder: Path) -> Loaded:
    """A model made elsewhere, from its files; PermanentError, not ours to mend, whatever goes wrong inside them."""
    mlflow = _mlflow()

    try:
        model = mlflow.pyfunc.load_model(str(folder))
        graph = mlflow.onnx.load_model(str(folder)).SerializeToString() if "onnx" in model.metadata.flavors else None
    except Exception as error:
        raise PermanentError(f"the model made elsewhere cannot be loaded: {type(error).__name__}: {error}") from error
    return Loaded(model, graph)


def _missing(error: Exception) -> bool:
    return getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
