"""What a training is given from the tables: labelled rows, and those to come, to see what will be known of them."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from integrator.settings import Settings
from integrator.steps.contexts import with_coming
from integrator.steps.services import Services
from integrator.steps.train import TrainReport, train
from integrator.storage.frames import read_features
from integrator.storage.partners import Partner, register
from models.base import TrainConfig
from models.registry import spec
from tests.attendance_frames import frame, series, synthetic_people, training
from tests.feature_tables import put

MOMENT = datetime(2026, 3, 16, 6, tzinfo=UTC)
PARTNER = "terrace"


@pytest.fixture(scope="module")
def services(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """A terrace that knows the weather of every evening past and of none to come, and the band of both."""
    made = Services(Settings(home=tmp_path_factory.mktemp("home")), database, server.redis_url, lambda: MOMENT)
    register(database, Partner(partner=PARTNER, timezone="Europe/London", currency="GBP", region="GB-ENG"), MOMENT)
    live = frame(series("evenings", synthetic_people(120, level=200, seed=3)))
    number = pl.int_range(pl.len())
    band = pl.format('"band": {}', 1 + number % 2)
    known = pl.concat_str(pl.lit('{"temperature": '), number % 17, pl.lit(", "), band, pl.lit("}"))
    ahead = pl.concat_str(pl.lit("{"), band, pl.lit("}"))
    live = live.with_columns(attributes=pl.when("is_past").then(known).otherwise(ahead))
    put(database, "attendance", PARTNER, live, at=MOMENT, position=1)
    put(database, "attendance_training", PARTNER, training(live), at=MOMENT, position=1)
    return made


@pytest.fixture(scope="module")
def report(services: Services) -> TrainReport:
    config = TrainConfig(candidates=("exponential_smoothing",))
    return train(services, PARTNER, "attendance", config, run_id="run-1")


def test_a_field_that_no_coming_event_has_is_not_learned_from(report: TrainReport) -> None:
    assert report.trained is not None
    assert "only known afterwards" in report.trained.dropped["temperature"]
    assert "band" not in report.trained.dropped


def test_rows_to_come_are_counted_nowhere(services: Services, report: TrainReport) -> None:
    labelled = read_features(services.database, "attendance_training", PARTNER)
    whole = with_coming(services, spec("attendance"), PARTNER, labelled)
    ahead = whole.filter(~pl.col("is_past"))
    assert ahead.height > 0 and whole.height == labelled.height + ahead.height
    assert whole.filter("is_past")["event_id"].sort().equals(labelled["event_id"].sort())
    assert report.rows == labelled.height


def test_other_use_cases_are_given_their_labelled_rows_alone(services: Services) -> None:
    labelled = read_features(services.database, "attendance_training", PARTNER)
    assert with_coming(services, spec("lead_score"), PARTNER, labelled) is labelled
