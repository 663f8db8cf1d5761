"""Train: one asset `model/{use_case}` per use case, with its gate as a check, from the registry of use cases."""

import base64
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    Config,
    MetadataValue,
    asset,
)
from pydantic import Field

from integrator_dagster.checks.gate import gate_result, gate_spec
from integrator_dagster.outcomes import NOTHING, Metadata, each_partner
from integrator_dagster.partitions import ONE_RUN, PARTNERS
from integrator_dagster.resources.integrator import Integrator
from integrator_dagster.work import Work
from models.base import TrainConfig, UseCaseSpec
from models.card import figures
from models.markdown import bullets, table
from models.registry import USE_CASES

if TYPE_CHECKING:
    from integrator.steps.outside import Judged
    from integrator.steps.runs import Progress
    from integrator.steps.services import Services
    from integrator.steps.train import TrainReport
    from models.base import Choice

GROUP = "train"
SAMPLE_ROWS = 5
CHOICE_ROWS = 50


class Training(Config):
    """What to turn for one training; empty means the use case's own default."""

    window_days: int | None = Field(None, gt=0, description="Learn from the last so many days only.")
    horizon_days: int | None = Field(None, gt=0, description="How far ahead to predict.")
    candidates: list[str] | None = Field(None, description="Compare only these; the naive rule is always among them.")
    excluded_attributes: list[str] = Field([], description="Custom fields that the model must not use.")
    allowed_attributes: list[str] = Field(
        [], description="Custom fields known beforehand, that the leak check must not drop."
    )
    promote: bool = Field(True, description="Let the gate move the champion; off, the version is only registered.")
    force: bool = Field(True, description="Train even where there is a champion; the night turns this off.")

    def config(self) -> TrainConfig:
        """The same for the models."""
        return TrainConfig(
            window_days=self.window_days,
            horizon_days=self.horizon_days,
            candidates=None if self.candidates is None else tuple(self.candidates),
            excluded_attributes=tuple(self.excluded_attributes),
            allowed_attributes=tuple(self.allowed_attributes),
            promote=self.promote,
        )


def model_key(use_case: str) -> AssetKey:
    """`model/attendance`."""
    return AssetKey(["model", use_case])


def op_name(use_case: str) -> str:
    """The name under which run config addresses the training of a use case."""
    return model_key(use_case).to_python_identifier()


def train_assets(work: Work) -> list[AssetsDefinition]:
    """One asset for each use case."""
    return [_model(work, spec) for spec in USE_CASES]


def _model(work: Work, spec: UseCaseSpec) -> AssetsDefinition:
    key = model_key(spec.name)

    @asset(
        key=key,
        deps=[AssetKey(["features", spec.training_relation])],
        description=f"{spec.name}: candidates compared on a time-ordered backtest; the alias `champion` moves only "
        f"through the gate. Learns from features.{spec.training_relation}. One registered model per partner.",
        group_name=GROUP,
        kinds={"mlflow", "scikitlearn"},
        owners=["team:integrator"],
        tags={"step": GROUP, "use_case": spec.name},
        partitions_def=PARTNERS,
        backfill_policy=ONE_RUN,
        dagster_type=NOTHING,
        check_specs=[gate_spec(key)],
    )
    def model(context: AssetExecutionContext, config: Training, integrator: Integrator) -> Iterator[Any]:
        services = integrator.services
        reports: dict[str, TrainReport] = {}
        failures: dict[str, str] = {}

        def train(partner: str, use_case: str, progress: "Progress") -> Metadata:
            try:
                report = work.train(services, partner, use_case, config.config(), context.run.run_id, not config.force)
            except Exception as error:
                failures[partner] = f"{type(error).__name__}: {error}"
                raise
            reports[partner] = report
            progress.rows, progress.note = report.rows, report.outcome
            return {**facts(report), **tracked(work, services, partner, use_case, report.version)}

        ended = list(each_partner(context, services, step=GROUP, key=key, body=train, use_cases=(spec.name,)))
        yield gate_result(key, reports, failures)
        yield from ended

    return model


def facts(report: "TrainReport") -> Metadata:
    """What a data scientist looks for on the page: verdict, figures, the backtest's picture, sample rows, the card."""
    found: Metadata = {"outcome": report.outcome, "promoted": report.promoted}
    if report.readiness is not None:
        found["readiness"] = MetadataValue.md(bullets(report.readiness.requirements))
    if report.outside:
        found["made_elsewhere"] = MetadataValue.md(table(outside_rows(report.outside)))
    if report.trained is None or report.verdict is None:
        return found
    backtest = report.trained.backtest
    found |= {
        "version": report.version,
        "gate": MetadataValue.md(bullets(report.verdict.reasons)),
        "chosen": backtest.chosen,
        "observations": backtest.observations,
        "candidates": MetadataValue.md(table(figures(score) for score in backtest.scores)),
        "choices": MetadataValue.md(table(choice_rows(report.trained.choices), most=CHOICE_ROWS)),
        "sample": MetadataValue.md(table(report.trained.sample[:SAMPLE_ROWS])),
        "data_hash": report.trained.data_hash,
        "params": MetadataValue.json({name: str(value) for name, value in report.trained.params.items()}),
    }
    chosen = backtest.score(backtest.chosen)
    found[backtest.gate_metric] = float(chosen.metrics[backtest.gate_metric])
    if chosen.coverage is not None:
        found["coverage"] = float(chosen.coverage)
    if report.card is not None:
        found["model_card"] = MetadataValue.md(report.card)
    if report.trained.dropped:
        left_out = (f"{name}: {why}" for name, why in report.trained.dropped.items())
        found["left_out"] = MetadataValue.md(bullets(left_out))
    if backtest.plot_png:
        picture = base64.b64encode(backtest.plot_png).decode()
        found["backtest"] = MetadataValue.md(f"![backtest](data:image/png;base64,{picture})")
    return found


def outside_rows(outside: "Sequence[Judged]") -> list[dict[str, Any]]:
    """Models made elsewhere as lines of a table: what became of each, with its own figures."""
    rows = []
    for judged in outside:
        row: dict[str, Any] = {"version": judged.wraps, "promoted": judged.promoted, "why": judged.reason}
        if judged.challenge is not None:
            scores = judged.challenge.trained.backtest.scores
            own = next(score for score in scores if not score.is_rule)
            row |= {"judged_as": judged.challenge.version, **figures(own)}
        rows.append(row)
    return rows


def choice_rows(choices: "Sequence[Choice]") -> list[dict[str, Any]]:
    """What was chosen per subject, as lines of a table: first those where the choice cost or won most."""

    def spread(choice: "Choice") -> float:
        known = [score for score in choice.scores.values() if score == score]
        return max(known) - min(known) if known else 0.0

    ordered = sorted(choices, key=lambda choice: (-spread(choice), choice.subject))
    return [
        {"subject": choice.subject, "family": choice.family, **choice.scores, "observations": choice.observations,
         "why": choice.why}
        for choice in ordered
    ]  # fmt: skip


def tracked(work: Work, services: "Services", owner: str, use_case: str, version: str | None) -> Metadata:
    """The way from this page to MLflow's: an address while `integrator up` serves it, else its place there."""
    if version is None:
        return {}
    page = work.run_page(services, owner, use_case, version)
    return {"mlflow": MetadataValue.url(page) if "://" in page else MetadataValue.text(page)}
