"""What a backtest on a file draws beside its figures, or says it could not draw."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from integrator.steps.backtest import Asked, BacktestReport, backtest
from models.base import TrainConfig
from models.registry import use_case
from tests.attendance_frames import synthetic_people
from tests.pricing_frames import shop

NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> BacktestReport:
    """A backtest of a small shop."""
    file = tmp_path_factory.mktemp("shop") / "shop.csv"
    shop(6, 84).select(
        "product", "sold_on", "quantity", "product_group", pl.col("unit_price", "unit_cost").cast(pl.Float64)
    ).write_csv(file)
    config = TrainConfig(candidates=("shrunk_loglog",))
    asked = Asked(use_case="pricing", file=file, currency="TWD", region="TW", timezone="Asia/Taipei", config=config)
    return backtest(asked, NOW)


def test_prices_are_drawn_on_their_demand(prices: BacktestReport) -> None:
    from models.pricing.pictures import pictures

    code = use_case("pricing")
    said = prices.trained.model.predict(code.rows(prices.prepared.live, prices.context))
    assert any(one.value is not None for one in said)
    assert prices.pictures["demand"].startswith(b"\x89PNG")
    again = pictures(code, prices.prepared, prices.trained, TrainConfig(), prices.context)
    assert again["demand"] == prices.pictures["demand"]


def test_where_no_price_is_named_none_is_drawn(prices: BacktestReport) -> None:
    from dataclasses import replace

    from models.pricing.pictures import pictures

    nothing = replace(prices.prepared, live=prices.prepared.live.clear())
    assert pictures(use_case("pricing"), nothing, prices.trained, TrainConfig(), prices.context) == {}


def _series(folder: Path, days: int) -> Path:
    first = date(2025, 1, 6)
    people = synthetic_people(days, level=300, seed=3)
    rows = [{"date": first + timedelta(days=i), "attendance": value} for i, value in enumerate(people)]
    pl.DataFrame(rows).write_csv(folder / "hall.csv")
    return folder / "hall.csv"


def test_a_history_too_short_to_hide_a_part_of_is_judged_and_says_so(tmp_path: Path) -> None:
    config = TrainConfig(candidates=("seasonal_naive",), horizon_days=14)
    report = backtest(Asked(use_case="attendance", file=_series(tmp_path, 48), config=config), NOW)
    assert set(report.pictures) == {"backtest"}
    assert [problem for problem in report.prepared.problems if "nothing is drawn of a held-out part" in problem]


def test_what_is_hidden_is_the_end_and_is_not_learned_from(tmp_path: Path) -> None:
    from models.attendance.pictures import _cut, _seen_from

    config = TrainConfig(candidates=("seasonal_naive",))
    report = backtest(Asked(use_case="attendance", file=_series(tmp_path, 70), config=config), NOW)
    assert report.pictures["forecast"].startswith(b"\x89PNG")
    training = report.prepared.training.with_columns(pl.lit("hall").alias("unit"))
    cut = _cut(training, config)
    assert cut == training["starts_at"].max() - timedelta(days=6)
    seen = _seen_from(training, cut)
    hidden = seen.filter(pl.col("starts_at") >= cut)
    assert hidden.height == 7
    assert hidden["attendance"].null_count() == 7
    assert set(hidden["status"]) == {"scheduled"} and not hidden["is_past"].any()
    assert seen.filter(pl.col("starts_at") < cut)["attendance"].null_count() == 0
