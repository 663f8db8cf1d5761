"""The use case `pricing` as the steps see it; everything heavy is imported when it is called."""

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from integrator.contracts.insight import Subject
from integrator.contracts.readiness import Readiness
from models.base import Context, FeatureRow, FittedModel, TrainConfig, Trained, UseCaseSpec
from models.registry import spec


class Pricing:
    """See `models.base.UseCase`."""

    @property
    def spec(self) -> UseCaseSpec:
        """The light facts."""
        return spec("pricing")

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """Weeks of sales and products at several prices, against what a model of one's own needs."""
        from models.pricing import train

        return train.readiness(training, context)

    def train(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
        """Backtest all candidates, fit the best on everything; raises `NotReady` with the counts."""
        from models.pricing import train

        return train.train(training, config, context)

    def rows(
        self, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """One feature row per product sold in the last 28 days of the data."""
        from models.pricing.rows import feature_rows

        return feature_rows(live, context, subjects)

    def subject_of(self, row: FeatureRow) -> Subject:
        """The product or tier of a row."""
        from models.pricing.rows import subject_of

        return subject_of(row["platform"], row["product"], row["tier"])

    def rule(self) -> FittedModel:
        """Keep the current price."""
        from models.pricing.predict import KeepPrice

        return KeepPrice()

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The model that gave `state`."""
        from models.pricing import predict

        return predict.restore(state)


USE_CASE = Pricing()
