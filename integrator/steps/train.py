"""Training: labelled rows → backtest of the candidates → the gate → a registered version, and the alias if it passed."""

import logging
from dataclasses import dataclass, replace

from integrator.contracts.readiness import Readiness
from integrator.steps.challenge import challenge
from integrator.steps.contexts import context_of, with_coming
from integrator.steps.earlier import retired_by_label
from integrator.steps.models import readable_champion
from integrator.steps.outside import Judged, judge, waiting
from integrator.steps.readiness import reached
from integrator.steps.retraining import enough, rest
from integrator.steps.services import Services
from integrator.storage import quality, training_facts
from models.base import TrainConfig, Trained, UseCaseSpec
from models.gate import Verdict
from models.registry import use_case as code_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What training came to.

    `kept` is the champion's version when there was no need to train, else None; `rests` says why the gate's last refusal
    stands for now. `trained`, `version`, `card` and `verdict`
    are None when nothing was trained: the champion was kept, or `readiness` says what is still missing. `outside` says
    what became of models made elsewhere.
    """

    readiness: Readiness | None = None
    trained: Trained | None = None
    version: str | None = None
    card: str | None = None
    verdict: Verdict | None = None
    kept: str | None = None
    rests: str | None = None
    rows: int = 0
    outside: tuple[Judged, ...] = ()

    @property
    def promoted(self) -> bool:
        """Whether the alias `champion` moved."""
        own = self.verdict is not None and self.verdict.promote
        return own or any(judged.promoted for judged in self.outside)

    @property
    def outcome(self) -> str:
        """What training came to, in a few words."""
        return "; ".join((self._own, *(_told(judged) for judged in self.outside)))

    @property
    def _own(self) -> str:
        if self.kept is not None:
            return f"champion {self.kept} kept, nothing trained"
        if self.rests is not None:
            return self.rests
        if self.verdict is None:
            return f"not ready: {self.readiness}"
        return f"version {self.version} {'promoted' if self.verdict.promote else 'not promoted'}"


def train(
    services: Services, partner: str, use_case: str, config: TrainConfig, *, run_id: str, only_missing: bool = False
) -> TrainReport:
    """Train one partner's model of a use case and let the gate decide; too little data is a report, not an error.

    With `only_missing` a partner that has a champion that can be read keeps it, unless a model made elsewhere waits to be
    judged, and one whose challenger the gate refused is not trained again before there is more to learn from, or the rest
    of `INTEGRATOR_RETRAIN_REST_DAYS` is over. `config.promote` off registers the version, with its figures, and leaves
    the champion where it is.
    """
    champion = readable_champion(services, partner, use_case, run_id=run_id)
    if champion is not None and retired_by_label(services, code_of(use_case).spec, partner, champion, run_id=run_id):
        champion = None
    kept = champion.version if only_missing and champion is not None else None
    elsewhere = waiting(services, partner, use_case, again=not only_missing)
    if kept is not None and not elsewhere:
        return TrainReport(kept=kept)

    code = code_of(use_case)
    if only_missing and champion is None and not elsewhere:
        resting = _resting(services, partner, code.spec)
        if resting is not None:
            return resting
    from integrator.storage.frames import read_features

    labelled = read_features(services.database, code.spec.training_relation, partner)
    frame = with_coming(services, code.spec, partner, labelled)
    context = context_of(services, partner, frame)
    readiness = code.readiness(frame, context)
    if not readiness.ready:
        return TrainReport(readiness=_remember_readiness(services, partner, readiness), rows=labelled.height)

    own = None
    if kept is None:
        own = challenge(
            services, use_case, code.train(frame, config, context), champion, context,
            promote=config.promote, rows=labelled.height, run_id=run_id,
        )  # fmt: skip
    judged = judge(services, use_case, elsewhere, frame, config, context, rows=labelled.height, run_id=run_id)
    report = TrainReport(
        readiness=_remember_readiness(services, partner, readiness),
        kept=kept,
        rows=labelled.height,
        outside=tuple(judged),
    )
    if own is None:
        return report
    return replace(report, trained=own.trained, version=own.version, card=own.card, verdict=own.verdict)


def _resting(services: Services, partner: str, spec: UseCaseSpec) -> TrainReport | None:
    """Why the gate's last refusal stands for now; None where training may come to something else."""
    with services.database.partner(partner) as connection:
        last = training_facts.last_refused(connection, partner, spec.name)
    if last is None:
        return None
    with services.database.batch() as connection:
        rows = training_facts.labelled_of(connection, spec.training_relation, partner)
    needed, until = enough(services.settings, last.rows), last.at + rest(services.settings)
    if rows - last.rows >= needed or services.clock() >= until:
        return None
    why = (
        f"refused by the gate on {last.at:%Y-%m-%d} and not trained again: {rows - last.rows} new outcomes since, "
        f"{needed:.0f} are enough; otherwise on {until:%Y-%m-%d}"
    )
    return TrainReport(rests=why, rows=rows)


def _told(judged: Judged) -> str:
    if judged.challenge is None:
        return f"version {judged.wraps}, made elsewhere, not judged: {judged.reason}"
    done = "promoted" if judged.promoted else "not promoted"
    return f"version {judged.wraps}, made elsewhere, judged as version {judged.challenge.version} and {done}"


def _remember_readiness(services: Services, partner: str, readiness: Readiness) -> Readiness:
    """Stored with the rung that serves: enough data is not yet a model, for the gate may have let nothing through."""
    found = reached(services, partner, readiness)
    with services.database.partner(partner) as connection:
        quality.remember_readiness(connection, partner, found, services.clock())
    return found
