"""A challenger before the gate: judged against the champion, registered with its card, remembered. Not how it was trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from integrator.steps.services import Services
from integrator.storage import logs, quality
from models.base import Context, Trained
from models.card import model_card
from models.gate import Verdict, gate
from models.versions import LoadedModel, registered_name

RUN_TAG = "dagster_run_id"
"""On a version and its run in MLflow: which run of ours trained it."""


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A challenger as it was registered, and what the gate said."""

    trained: Trained
    version: str
    card: str
    verdict: Verdict


def challenge(
    services: Services,
    use_case: str,
    trained: Trained,
    champion: LoadedModel | None,
    context: Context,
    *,
    promote: bool,
    rows: int,
    run_id: str,
    wraps: str | None = None,
) -> Challenge:
    """Let the gate decide and register the version; with `promote` off the champion stays where it is.

    `wraps` is the version of the model made elsewhere that this one asks.
    """
    verdict = gate(trained.backtest, champion.backtest if champion else None)
    if not promote:
        verdict = replace(
            verdict, promote=False, reasons=("Promotion was switched off for this run.", *verdict.reasons)
        )
    now = services.clock()
    card = partial(_card, use_case, trained, verdict, context, now, rows)
    version = services.tracking.log(
        use_case, context.partner, trained, verdict=verdict, now=now, card=card, tags={RUN_TAG: run_id}, wraps=wraps
    )
    learned_from = rows if promote and wraps is None else None
    _remember(services, context.partner, use_case, trained, version, verdict, now, run_id, learned_from)
    return Challenge(trained=trained, version=version, card=card(version), verdict=verdict)


def _card(
    use_case: str, trained: Trained, verdict: Verdict, context: Context, now: datetime, rows: int, version: str
) -> str:
    title = f"{registered_name(use_case, context.partner)}, version {version}"
    return model_card(use_case, trained, verdict, context, title=title, now=now, rows=rows)


def _remember(
    services: Services,
    partner: str,
    use_case: str,
    trained: Trained,
    version: str,
    verdict: Verdict,
    now: datetime,
    run_id: str,
    rows: int | None,
) -> None:
    """`rows`: of our own training whose promotion was the gate's to say; a refused one rests until there are more."""
    figures = [
        quality.Figure(score.candidate, metric, value)
        for score in trained.backtest.scores
        for metric, value in _measured(score.metrics, score.coverage).items()
    ]
    with services.database.partner(partner) as connection:
        quality.remember(connection, partner, use_case, f"{use_case}.{partner}", version, figures, now)
        logs.event(
            connection, partner, "model.promoted" if verdict.promote else "model.refused", now,
            {"use_case": use_case, "version": version, "candidate": trained.backtest.chosen,
             "reasons": list(verdict.reasons), "run_id": run_id, "rows": rows},
        )  # fmt: skip


def _measured(metrics: Mapping[str, float], coverage: float | None) -> dict[str, float]:
    found = dict(metrics) if coverage is None else {**metrics, "coverage": coverage}
    return {name: float(value) for name, value in found.items() if value == value}
