"""The use case `lead_score` as the steps see it; everything heavy is imported when it is called."""

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from integrator.contracts.insight import Subject
from integrator.contracts.readiness import Readiness
from models.base import Context, FeatureRow, FittedModel, TrainConfig, Trained, UseCaseSpec
from models.memo import Memo
from models.registry import spec


class LeadScore:
    """See `models.base.UseCase`."""

    @property
    def spec(self) -> UseCaseSpec:
        """The light facts."""
        return spec("lead_score")

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """Conversions, snapshots and days of history, against what a model of one's own needs."""
        from models.lead_score import train

        return train.readiness(training, context)

    def train(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
        """Backtest all candidates, fit the best on everything; raises `NotReady` with the counts."""
        from models.lead_score import train

        return train.train(training, config, context)

    def rows(
        self, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """One feature row per open lead; with `history` (the training frame) each carries the recent conversion rate.

        The rule needs that rate: without it, and without a model, a lead is refused.
        """
        from models.lead_score.rows import feature_rows

        known = RECENT(history) if history is not None and len(history) else None
        rows = feature_rows(live, context.language, rates=known, earlier=context.earlier)
        if subjects is None:
            return rows
        return [row for row in rows if self.subject_of(row) in subjects]

    def subject_of(self, row: FeatureRow) -> Subject:
        """The lead of a row."""
        return Subject("contact", str(row["contact_id"]), str(row["platform"]))

    def rule(self) -> FittedModel:
        """The recent conversion rate, from the rows that carry it."""
        from models.lead_score.rates import BaseRate

        return BaseRate()

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The model that gave `state`."""
        from models.lead_score import predict

        return predict.restore(state)


def _recent(history: pl.DataFrame) -> dict[str, Any] | None:
    from models.lead_score import rates, train

    data, _ = train.labelled(history, TrainConfig())
    return rates.recent(data.rows, data.outcome, data.moments, data.persons, data.horizon_seconds)


RECENT = Memo(_recent)
"""The recent conversion rate of a training frame."""
USE_CASE = LeadScore()
