"""A model made elsewhere takes part: registered in MLflow, judged by the gate, served, told, explained again, rolled back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from integrator.contracts.insight import parse
from integrator.settings import Settings
from integrator.steps.explain import explain
from integrator.steps.outside import offered
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import TrainReport, train
from integrator.storage import insights, logs
from integrator.storage.partners import Partner, register
from models.base import TrainConfig
from models.outside.contract import numbers
from models.registry import outside
from tests.integration.attendance_features import MOMENT, make_relations, put_features
from tests.integration.lead_features import put_leads
from tests.lead_frames import CONTEXT, leads
from tests.outside_models import CONFIG, USE_CASE, fitted, onnx, registered

COLUMNS = ("visits", "wanted_on", "purchases")


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    return Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: CONTEXT.as_of)


@pytest.fixture
def partner(installation: Services, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name.removeprefix("test_")[:30].rstrip("_"))
    register(installation.database, Partner(partner=name, timezone="UTC", currency="USD", region="US"), CONTEXT.as_of)
    put_leads(installation, name)
    return name


def trained(services: Services, partner: str, *, only_missing: bool = False) -> TrainReport:
    return train(services, partner, USE_CASE, CONFIG, run_id="run", only_missing=only_missing)


def test_an_onnx_model_goes_through_the_gate_serves_and_is_told_again(installation: Services, partner: str) -> None:
    registered(installation, partner, onnx(COLUMNS))
    report = trained(installation, partner)
    (judged,) = report.outside
    assert judged.challenge is not None, judged.reason
    backtest = judged.challenge.trained.backtest
    assert report.trained is not None and backtest.split == report.trained.backtest.split, "judged on the same rows"
    assert {one.candidate for one in backtest.scores} == {"base_rate", "outside_onnx"}
    assert "made elsewhere" in judged.challenge.card
    assert installation.tracking.champion_version(USE_CASE, partner) in (report.version, judged.challenge.version)
    # Whoever won, the one made elsewhere is made to serve and has to be told like any other.
    installation.tracking.promote(
        USE_CASE, partner, judged.challenge.version, verdict=allowed(judged.challenge.verdict)
    )
    done = score(installation, partner, USE_CASE, run_id="night")
    assert done.model_version == judged.challenge.version and done.by_outcome["success"] == done.rows > 0
    publish(installation, partner, USE_CASE, run_id="night")
    with installation.database.partner(partner) as connection:
        served = insights.current(connection, partner, USE_CASE)
    documents = [parse(one.document) for one in served]
    for document in documents:
        effects = sum(part.effect for part in document.explanation.contributions)
        assert document.value == pytest.approx((document.explanation.baseline or 0) + effects, abs=1e-9)
        assert {part.factor for part in document.explanation.contributions} <= {*COLUMNS, "other"}
        assert document.confidence.coverage is not None and document.details["family"] == "outside_onnx"
    assert len({document.value for document in documents}) > 5
    assert explain(installation, documents[0].id, partner=partner).identical


def allowed(verdict: Any) -> Any:
    return replace(verdict, promote=True)


def forecaster(table: pl.DataFrame, columns: Sequence[str]) -> Any:
    """What a data scientist makes of the rows that judge nobody."""
    from sklearn.linear_model import LinearRegression

    learned = table.filter(~pl.col("is_test"))
    return LinearRegression().fit(learned.select(columns).to_numpy(), learned["outcome"].to_numpy())


def test_a_forecaster_of_attendance_is_judged_serves_and_is_told_again(installation: Services) -> None:
    partner, use_case, columns = "forecasts", "attendance", ["same_4_mean", "smoothed", "lead"]
    services = Services(installation.settings, installation.database, installation.redis_url, lambda: MOMENT)
    register(services.database, Partner(partner=partner, timezone="UTC", currency="USD", region="US"), MOMENT)
    make_relations(services)
    put_features(services, 100, partner=partner)
    config = TrainConfig(candidates=("seasonal_mean",))
    table = offered(services, partner, use_case, config)
    registered(services, partner, onnx(columns, forecaster(table, columns)), use_case)
    report = train(services, partner, use_case, config, run_id="run")
    (judged,) = report.outside
    assert judged.challenge is not None, judged.reason
    assert report.trained is not None and judged.challenge.trained.backtest.split == report.trained.backtest.split
    assert judged.challenge.trained.backtest.score("outside_onnx").coverage is not None
    assert "made elsewhere" in judged.challenge.card
    version = judged.challenge.version
    services.tracking.promote(use_case, partner, version, verdict=allowed(judged.challenge.verdict))
    done = score(services, partner, use_case, run_id="night")
    assert done.model_version == version and done.by_outcome["success"] > 20 and not done.by_outcome["failure"]
    publish(services, partner, use_case, run_id="night")
    with services.database.partner(partner) as connection:
        documents = [parse(one.document) for one in insights.current(connection, partner, use_case)]
    told = [one for one in documents if one.details["family"] in ("outside_onnx", "combination")]
    assert len(told) > 20 and len({one.value for one in told}) > 10
    for document in told:
        effects = sum(part.effect for part in document.explanation.contributions)
        assert document.value == pytest.approx((document.explanation.baseline or 0) + effects, abs=1e-9)
        assert "outside_onnx" in {one["candidate"] for one in document.details["alternatives"]}
    assert explain(services, told[0].id, partner=partner).identical


def test_what_cannot_be_judged_is_told_on_its_version_and_harms_nothing_else(
    installation: Services, partner: str
) -> None:
    def broken(mlflow: Any) -> Any:
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(inputs=Schema([ColSpec("double", "shoe_size")]))
        return mlflow.sklearn.log_model(
            fitted(["visits"]),
            name="model",
            signature=signature,
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )

    registered(installation, partner, broken)
    report = trained(installation, partner)
    (judged,) = report.outside
    assert judged.challenge is None and "'shoe_size'" in judged.reason and "visits" in judged.reason
    assert report.version is not None and report.trained is not None
    info = next(one for one in installation.tracking.versions(USE_CASE, partner) if one.version == judged.wraps)
    assert info.made_elsewhere and "'shoe_size'" in info.reasons[0]
    assert installation.tracking.challenger_version(USE_CASE, partner) != judged.wraps
    with installation.database.partner(partner) as connection:
        (told,) = logs.events(connection, partner, kind="model.not_judged")
    assert told["data"]["version"] == judged.wraps
    assert trained(installation, partner, only_missing=True).outside == (), "the night does not try it again and again"


def test_a_night_judges_what_came_since_and_trains_nothing_else(installation: Services, partner: str) -> None:
    own = trained(installation, partner)
    assert own.promoted
    registered(installation, partner, onnx(["visits"]))
    night = trained(installation, partner, only_missing=True)
    assert night.kept == own.version and night.trained is None
    (judged,) = night.outside
    assert judged.challenge is not None and not judged.promoted, "one column is no match for all of them"
    assert installation.tracking.champion_version(USE_CASE, partner) == own.version
    assert installation.tracking.challenger_version(USE_CASE, partner) == judged.challenge.version
    assert trained(installation, partner, only_missing=True).outside == ()


def test_the_table_holds_numbers_words_and_which_rows_judge() -> None:
    code = outside(USE_CASE)
    assert code is not None
    table = code.table(leads(), TrainConfig(excluded_attributes=("visits",)), CONTEXT)
    assert {"age_days", "stage", "plan", "wanted_on", "is_mobile", "outcome", "is_test"} <= set(table.columns)
    assert not {"visits", "token", "empty"} & set(table.columns)
    assert table["stage"].dtype == table["plan"].dtype == pl.String
    assert {"age_days", "wanted_on", "is_mobile", "outcome"} <= set(numbers(table))
    assert 0.15 < table["is_test"].mean() < 0.35  # type: ignore[operator]
    assert table["wanted_on"].min() >= 0, "days from the scoring on"  # type: ignore[operator]
