"""Training: labelled rows → backtest of the candidates → the gate → a registered version, and the alias if it passed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from integrator.contracts.readiness import Readiness
from integrator.steps.earlier import retired_by_label
from integrator.steps.models import readable_champion
from integrator.steps.readiness import reached
from integrator.steps.services import Services
from integrator.storage import logs, partners, quality
from models.base import Context, TrainConfig, Trained
from models.card import model_card
from models.gate import Verdict, gate
from models.registry import use_case as code_of
from models.versions import registered_name

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)
RUN_TAG = "dagster_run_id"
"""On a version and its run in MLflow: which run of ours trained it."""


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What training came to.

    `kept` is the champion's version when there was no need to train, else None. `trained`, `version`, `card` and `verdict`
    are None when nothing was trained: the champion was kept, or `readiness` says what is still missing.
    """

    readiness: Readiness | None = None
    trained: Trained | None = None
    version: str | None = None
    card: str | None = None
    verdict: Verdict | None = None
    kept: str | None = None
    rows: int = 0

    @property
    def promoted(self) -> bool:
        """Whether the alias `champion` moved."""
        return self.verdict is not None and self.verdict.promote

    @property
    def outcome(self) -> str:
        """What training came to, in a few words."""
        if self.kept is not None:
            return f"champion {self.kept} kept, nothing trained"
        if self.verdict is None:
            return f"not ready: {self.readiness}"
        return f"version {self.version} {'promoted' if self.promoted else 'not promoted'}"


def train(
    services: Services, partner: str, use_case: str, config: TrainConfig, *, run_id: str, only_missing: bool = False
) -> TrainReport:
    """Train one partner's model of a use case and let the gate decide; too little data is a report, not an error.

    With `only_missing` a partner that has a champion that can be read keeps it untouched. `config.promote` off registers the
    version, with its figures, and leaves the champion where it is.
    """
    champion = readable_champion(services, partner, use_case, by=run_id)
    if champion is not None and retired_by_label(services, code_of(use_case).spec, partner, champion, run_id=run_id):
        champion = None
    if only_missing and champion is not None:
        return TrainReport(kept=champion.version)

    code = code_of(use_case)
    from integrator.storage.frames import read_features

    frame = read_features(services.database, code.spec.training_relation, partner)
    context = _context(services, partner, frame)
    readiness = code.readiness(frame, context)
    if not readiness.ready:
        return TrainReport(readiness=_remember_readiness(services, partner, readiness), rows=frame.height)

    trained = code.train(frame, config, context)
    verdict = gate(trained.backtest, champion.backtest if champion else None)
    if not config.promote:
        verdict = replace(
            verdict, promote=False, reasons=("Promotion was switched off for this run.", *verdict.reasons)
        )
    now = services.clock()
    card = partial(_card, use_case, trained, verdict, context, now, frame.height)
    version = services.tracking.log(
        use_case, partner, trained, verdict=verdict, now=now, card=card, tags={RUN_TAG: run_id}
    )
    _remember(services, partner, use_case, trained, version, verdict, now, run_id)
    now_ready = _remember_readiness(services, partner, readiness)
    return TrainReport(
        readiness=now_ready, trained=trained, version=version, card=card(version), verdict=verdict, rows=frame.height
    )


def _card(
    use_case: str, trained: Trained, verdict: Verdict, context: Context, now: datetime, rows: int, version: str
) -> str:
    title = f"{registered_name(use_case, context.partner)}, version {version}"
    return model_card(use_case, trained, verdict, context, title=title, now=now, rows=rows)


def _context(services: Services, partner: str, frame: "pl.DataFrame") -> Context:
    """The moment of the features, not of the training: what they were not told, the model must not know either."""
    with services.database.partner(partner) as connection:
        entry = partners.get(connection, partner)
    newest = frame["as_of"].max() if frame.height else None
    return Context(
        partner=partner, timezone=entry.timezone, currency=entry.currency, region=entry.region,
        as_of=newest if isinstance(newest, datetime) else services.clock(),
    )  # fmt: skip


def _remember(
    services: Services,
    partner: str,
    use_case: str,
    trained: Trained,
    version: str,
    verdict: Verdict,
    now: datetime,
    run_id: str,
) -> None:
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
             "reasons": list(verdict.reasons), "run_id": run_id},
        )  # fmt: skip


def _measured(metrics: Mapping[str, float], coverage: float | None) -> dict[str, float]:
    found = dict(metrics) if coverage is None else {**metrics, "coverage": coverage}
    return {name: float(value) for name, value in found.items() if value == value}


def _remember_readiness(services: Services, partner: str, readiness: Readiness) -> Readiness:
    """Stored with the rung that serves: enough data is not yet a model, for the gate may have let nothing through."""
    found = reached(services, partner, readiness)
    with services.database.partner(partner) as connection:
        quality.remember_readiness(connection, partner, found, services.clock())
    return found
