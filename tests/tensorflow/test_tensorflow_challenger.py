"""A TensorFlow model takes part as a challenger; `make test-tensorflow` installs the optional extra first."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import train
from integrator.storage import insights
from integrator.storage.partners import Partner, register
from models.gate import Verdict
from models.outside.contract import matrix, numbers
from tests.integration.lead_features import put_leads
from tests.lead_frames import CONTEXT
from tests.outside_models import CONFIG, USE_CASE, offered, registered

PARTNER = "keras"


@pytest.fixture(scope="module")
def services(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: CONTEXT.as_of)
    register(database, Partner(partner=PARTNER, timezone="UTC", currency="USD", region="US"), CONTEXT.as_of)
    put_leads(made, PARTNER)
    return made


def network() -> Callable[[Any], Any]:
    """A small network over all numbers, given as one tensor, as Keras likes them."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.keras.utils.set_random_seed(7)
    table = offered().drop("outcome", "is_test")
    known, outcome = matrix(table, -1), offered()["outcome"].to_numpy()
    normal = tf.keras.layers.Normalization()
    normal.adapt(known)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input((len(numbers(table)),)),
            normal,
            tf.keras.layers.Dense(8, activation="relu"),
            tf.keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(known, outcome, epochs=20, batch_size=64, verbose=0)

    def log(mlflow: Any) -> Any:
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, known.shape[1]))]))
        return mlflow.tensorflow.log_model(
            model, name="model", signature=signature, pip_requirements=["tensorflow-cpu"]
        )

    return log


def test_a_tensorflow_model_is_judged_serves_and_is_told_again(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    registered(services, PARTNER, network())
    capsys.readouterr()
    report = train(services, PARTNER, USE_CASE, CONFIG, run_id="run")
    (judged,) = report.outside
    assert judged.challenge is not None, judged.reason
    scores = {one.candidate: one.metrics for one in judged.challenge.trained.backtest.scores}
    assert scores["outside_tensorflow"]["auc"] > 0.6 > scores["base_rate"]["auc"]
    verdict = Verdict(promote=True, reasons=("Promoted to see it serve.",))
    services.tracking.promote(USE_CASE, PARTNER, judged.challenge.version, verdict=verdict)
    done = score(services, PARTNER, USE_CASE, run_id="night")
    assert done.model_version == judged.challenge.version and done.by_outcome["success"] == done.rows > 0
    publish(services, PARTNER, USE_CASE, run_id="night")
    with services.database.partner(PARTNER) as connection:
        served = insights.current(connection, PARTNER, USE_CASE)
    assert explain(services, served[0].insight_id, partner=PARTNER).identical
    assert "━" not in capsys.readouterr().out, "a progress bar on stdout is no data"
