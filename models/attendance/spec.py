"""The attendance use case: the protocol's methods, each a line into the module that does the work."""

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from integrator.contracts.insight import Subject
from integrator.contracts.readiness import Readiness
from models import registry
from models.base import Context, FeatureRow, FittedModel, TrainConfig, Trained, UseCaseSpec


class Attendance:
    """Expected people at events and series; heavy imports happen inside the methods."""

    @property
    def spec(self) -> UseCaseSpec:
        """The registry's entry."""
        return registry.spec("attendance")

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """Steps and known attendances of the longest series, or past events with sales, against what a model needs."""
        from models.attendance.booking.readiness import requirement
        from models.attendance.history import history_of, prepared
        from models.attendance.readiness import readiness

        full = prepared(training, context.timezone)
        return readiness(history_of(full), context.language, requirement(full, context.language))

    def train(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> Trained:
        """Backtest all candidates over all of the partner's series and fit the best; raises `NotReady`."""
        from models.attendance.train import train

        return train(training, config, context)

    def rows(
        self, live: pl.DataFrame, context: Context, history: pl.DataFrame | None = None,
        subjects: Collection[Subject] | None = None,
    ) -> list[FeatureRow]:  # fmt: skip
        """Every scheduled event within its cadence's horizon or on sale, and every series with or lately with one."""
        from models.attendance.rows import rows

        return rows(live, context, subjects)

    def subject_of(self, row: FeatureRow) -> Subject:
        """The event or series of a row."""
        return Subject(**row["subject"])

    def rule(self) -> FittedModel:
        """The last known same step: the same weekday, hour or month."""
        from models.attendance.rule import RuleModel

        return RuleModel()

    def restore(self, state: Mapping[str, Any]) -> FittedModel:
        """The model that gave `state`."""
        from models.attendance.predict import AttendanceModel

        return AttendanceModel(state)


USE_CASE = Attendance()
