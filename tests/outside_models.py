"""A data scientist's side of a model made elsewhere: what is learned from, and how it gets into MLflow."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from integrator.steps.services import Services
from models.base import TrainConfig
from models.registry import outside
from tests.lead_frames import CONTEXT, leads

USE_CASE = "lead_score"
CONFIG = TrainConfig(candidates=("logistic",))


def offered() -> pl.DataFrame:
    """What a data scientist is given to learn from: rows that the judging does not use."""
    code = outside(USE_CASE)
    assert code is not None
    return code.table(leads(), CONFIG, CONTEXT).filter(~pl.col("is_test"))


def fitted(columns: Sequence[str]) -> Any:
    """A logistic regression as somebody else would make it, scikit-learn alone."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    table = offered()
    made = make_pipeline(SimpleImputer(keep_empty_features=True), LogisticRegression(max_iter=500))
    return made.fit(table.select(columns).to_numpy().astype(np.float32), table["outcome"].to_numpy().astype(int))


def registered(services: Services, partner: str, log: Callable[[Any], Any], use_case: str = USE_CASE) -> None:
    """What a data scientist does: log a model to MLflow and register it under the use case's and the partner's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        services.tracking.preload()
        mlflow.set_tracking_uri(services.tracking.uri)
        mlflow.set_registry_uri(services.tracking.uri)
        with mlflow.start_run(experiment_id=experiment(services, mlflow)):
            info = log(mlflow)
        client = mlflow.MlflowClient()
        if not client.search_registered_models(f"name='{use_case}.{partner}'"):
            client.create_registered_model(f"{use_case}.{partner}")
        client.create_model_version(f"{use_case}.{partner}", info.model_uri, model_id=info.model_id)


def experiment(services: Services, mlflow: Any) -> str:
    found = mlflow.get_experiment_by_name("elsewhere")
    return str(found.experiment_id if found else mlflow.create_experiment("elsewhere", services.settings.root.as_uri()))


def onnx(columns: Sequence[str], model: Any | None = None) -> Callable[[Any], Any]:
    """An ONNX graph with one input per column, of `model` or of a regression of leads."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    kinds = [("features", FloatTensorType([None, len(columns)]))]
    made = fitted(columns) if model is None else model
    graph = to_onnx(made, initial_types=kinds, options={"zipmap": False} if hasattr(made, "classes_") else None)

    def log(mlflow: Any) -> Any:
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(inputs=Schema([ColSpec("float", name) for name in columns]))
        return mlflow.onnx.log_model(graph, name="model", signature=signature, pip_requirements=["onnxruntime"])

    return log
