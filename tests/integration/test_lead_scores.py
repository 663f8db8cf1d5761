"""Lead scores through the steps: a trend from what was said before, and one horizon for training and scoring."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from integrator.contracts.insight import parse
from integrator.settings import Settings
from integrator.steps.harmonize import Window, dbt_env
from integrator.steps.publish import publish
from integrator.steps.score import score
from integrator.steps.services import Services
from integrator.steps.train import train
from integrator.storage import insights, logs, prediction_log
from integrator.storage.partners import Partner, register
from models.base import TrainConfig
from tests.integration.lead_features import MOMENT, make_relations, put
from tests.lead_frames import leads

USE_CASE = "lead_score"
CONFIG = TrainConfig(candidates=("logistic",))
PARTNER = "travel"


@pytest.fixture(scope="module")
def installation(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: MOMENT)
    make_relations(made)
    register(made.database, Partner(partner=PARTNER, timezone="UTC", currency="EUR", region="DE"), MOMENT)
    return made


def live(as_of: datetime, visits: int) -> pl.DataFrame:
    """Twelve open leads, each with so many visits."""
    frame = leads(120, visits=lambda i, converted, rng: visits)
    return frame.drop("converted").head(12).with_columns(as_of=pl.lit(as_of))


def trends(services: Services, as_of: datetime, visits: int, *, run_id: str, position: int) -> set[str]:
    put(services, "lead_score", live(as_of, visits), partner=PARTNER, position=position)
    assert score(services, PARTNER, USE_CASE, run_id=run_id).by_outcome["success"] == 12
    publish(services, PARTNER, USE_CASE, run_id=run_id)
    with services.database.partner(PARTNER) as connection:
        return {parse(one.document).details["trend"] for one in insights.current(connection, PARTNER, USE_CASE)}


def test_a_trend_needs_a_week_and_a_changed_horizon_trains_anew(installation: Services) -> None:
    put(installation, "lead_score_training", leads(), partner=PARTNER, position=1)
    first = train(installation, PARTNER, USE_CASE, CONFIG, run_id="train-1", only_missing=True)
    assert first.promoted, first.verdict
    assert trends(installation, MOMENT, 0, run_id="night-1", position=2) == {"not_enough_information"}
    early = MOMENT + timedelta(days=6)
    assert trends(installation, early, 7, run_id="night-2", position=3) == {"not_enough_information"}
    assert trends(installation, early + timedelta(days=1), 7, run_id="night-3", position=4) == {"improving"}
    with installation.database.partner(PARTNER) as connection:
        assert len(prediction_log.last_values(connection, PARTNER, USE_CASE, early, 30)) == 12
        assert prediction_log.last_values(connection, PARTNER, USE_CASE, early, 14) == {}, "another label's"
        assert prediction_log.last_values(connection, "beta", USE_CASE, early) == {}

    kept = train(installation, PARTNER, USE_CASE, CONFIG, run_id="train-2", only_missing=True)
    assert kept.kept == first.version
    shorter = leads().with_columns(horizon_days=pl.lit(14))
    put(installation, "lead_score_training", shorter, partner=PARTNER, position=5)
    again = train(installation, PARTNER, USE_CASE, CONFIG, run_id="train-3", only_missing=True)
    assert again.kept is None and again.promoted and again.trained is not None
    assert again.trained.params["horizon_days"] == 14
    with installation.database.partner(PARTNER) as connection:
        (event,) = logs.events(connection, PARTNER, kind="model.retired")
    assert event["data"]["reason"].startswith("Its outcome counts within 30 days, that of the rows within 14")

    asked = live(early + timedelta(days=2), 7).with_columns(horizon_days=pl.lit(14))
    put(installation, "lead_score", asked, partner=PARTNER, position=6)
    score(installation, PARTNER, USE_CASE, run_id="night-4")
    publish(installation, PARTNER, USE_CASE, run_id="night-4")
    with installation.database.partner(PARTNER) as connection:
        found = [parse(one.document) for one in insights.current(connection, PARTNER, USE_CASE)]
    assert {one.details["horizon_days"] for one in found} == {14}
    assert {one.details["trend"] for one in found} == {"not_enough_information"}
    assert all("within 14 days" in one.explanation.summary for one in found)


def test_the_setting_reaches_dbt_through_the_environment(installation: Services) -> None:
    window = Window(low="0", high="1", fingerprint="f", rebuild=False)
    given = dbt_env(installation.database, window, MOMENT, lead_horizon_days=14)
    assert given["INTEGRATOR_DBT_LEAD_HORIZON_DAYS"] == "14"
    assert "INTEGRATOR_DBT_LEAD_HORIZON_DAYS" not in dbt_env(installation.database, window, MOMENT)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Settings(lead_horizon_days=0)
