"""Forecasters made elsewhere: what they may learn from, and how they take part beside the naive rule.

A forecaster answers with people. It is one more family of forecasts: judged on the folds of our own, given to the
series where it is closer than the rule by enough, alone or weighed with it, and wrapped in the same intervals.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from integrator.contracts.errors import NotReady
from integrator.contracts.readiness import Readiness
from models.attendance import train
from models.attendance.features import Seen
from models.attendance.fitting import LEAST_SEASONS
from models.attendance.history import history_of, prepared
from models.attendance.offered import kinds_of, offered
from models.attendance.panel import encoded_steps, training_panel
from models.attendance.predict import AttendanceModel
from models.attendance.spec import USE_CASE
from models.base import Context, FittedModel, TrainConfig, Trained
from models.outside.contract import Outside


class OutsideAttendance:
    """See `models.outside.contract.OutsideUseCase`."""

    def readiness(self, training: pl.DataFrame, context: Context) -> Readiness:
        """As for a model of our own: judging takes as many steps as learning."""
        return USE_CASE.readiness(training, context)

    def table(self, training: pl.DataFrame, config: TrainConfig, context: Context) -> pl.DataFrame:
        """See `OutsideUseCase.table`: known steps, each as seen from several origins; `outcome` is people.

        `is_test` marks every step from the first fold's origin on: the choice for each series rests on all folds.
        NotReady where no fold fits into the history.
        """
        full = prepared(training, context.timezone)
        found = history_of(full, window_days=config.window_days)
        planned = train.planned(found, full, train.RULE_ALONE, config, context.language)
        if not planned:
            raise NotReady(f"attendance of {context.partner}: the history leaves no backtest on two origins")
        kinds = kinds_of([encoder for _, encoder, _ in planned])
        parts = []
        for grid, encoder, plan in planned:
            seen = Seen(grid, max(1, plan.horizon // 2))
            # From the first season on: our own models wait longer, and leave less of a short history to learn from.
            first = max(1, plan.first // LEAST_SEASONS)
            panel = training_panel(seen, encoded_steps(grid, encoder), plan.horizon, first)
            part = offered(panel.rows, panel.encoded, encoder, grid.cadence.name, kinds)
            parts.append(
                part.with_columns(
                    outcome=pl.Series(panel.people, dtype=pl.Float64),
                    is_test=pl.Series(panel.target >= plan.origins[0], dtype=pl.Boolean),
                )
            )
        return pl.concat(parts)

    def train(self, training: pl.DataFrame, model: Outside, config: TrainConfig, context: Context) -> Trained:
        """Judge a forecaster beside the rule, on the folds of our own candidates; NotReady as for those."""
        return train.train(training, config, context, model)

    def restore(self, state: Mapping[str, Any], model: Outside) -> FittedModel:
        """The model that gave `state`; Defect when it is of another version or not one around a model made elsewhere."""
        return AttendanceModel(state, model)


OUTSIDE = OutsideAttendance()
