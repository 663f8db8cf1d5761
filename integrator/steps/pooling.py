"""The pooled rung: trained from the partners who consented, judged for each partner it may serve, taken down when consent is.

Consent is asked here, before any frame is read, and again before a trained model is promoted. What one partner brings is
named nowhere but in that partner's own lines of `ops.pooled_contribution` and `ops.pooled_standing`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from integrator.contracts.errors import NotReady
from integrator.steps.contexts import context_at
from integrator.steps.readiness import note_reached
from integrator.steps.services import Services
from integrator.storage import logs, partners, pooling
from integrator.storage.failures import traced
from integrator.storage.partners import Partner
from integrator.storage.pooling import Standing
from models import registry
from models.base import Context, FittedModel, Trained
from models.card import model_card
from models.gate import Verdict
from models.pooling.base import POOLED, HeldOut, Judgement, Limits, Member, PooledTraining, PooledUseCase
from models.pooling.sharing import consented, nameless, verdict
from models.versions import registered_name

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)

Outcome = Literal["not_pooled", "kept", "too_few_partners", "trained", "failed"]


@dataclass(frozen=True, kw_only=True)
class PooledReport:
    """What the pooled step came to for one use case. Counts of partners stay inside: nobody is named, nobody is counted.

    `version` is the one that serves from now on or was just refused; `retired` says that the champion was taken down because
    a partner it had learned from took its consent back; `reason` is that of a training that broke, and `has_failures` that
    the rows of some partner could not be used or judged: that partner's own event log says why.
    """

    outcome: Outcome
    version: str | None = None
    trained: Trained | None = None
    card: str | None = None
    verdict: Verdict | None = None
    retired: bool = False
    reason: str | None = None
    has_failures: bool = False

    @property
    def promoted(self) -> bool:
        """Whether a new pooled champion stands."""
        return self.verdict is not None and self.verdict.promote


def pool(services: Services, use_case: str, *, run_id: str, only_missing: bool = False) -> PooledReport:
    """The whole rung for one use case: train it if that is due, judge it for every partner it may serve, note what each reached.

    Whatever breaks in it is in the report: it is nobody's own model, and stops nobody's night.
    """
    try:
        report = train_pooled(services, use_case, run_id=run_id, only_missing=only_missing)
    except Exception as error:
        log.error("%s.%s could not be trained: %s", use_case, POOLED, traced(error))
        # The type alone: a message may repeat a value of somebody's rows, and this one is read by everybody's operator.
        report = PooledReport(outcome="failed", reason=type(error).__name__)
    with services.database.service() as connection:
        names = [entry.partner for entry in partners.list_all(connection)]
    judge: Callable[[str], Standing | None] | None = None
    for partner in names:
        try:
            # A broken edit of its code is met here once more, and no partner is the worse for it.
            judge = judge or _judge(services, use_case)
            judge(partner)
            note_reached(services, partner, use_case)
        except Exception as error:  # one partner's rows stop nobody else
            log.error("%s.%s could not be judged for %s: %s", use_case, POOLED, partner, traced(error))
            report = replace(report, has_failures=True)
            facts = {"use_case": use_case, "run_id": run_id, "reason": type(error).__name__}
            _event(services, partner, "pooled.not_judged", facts)
    return report


def train_pooled(services: Services, use_case: str, *, run_id: str, only_missing: bool = False) -> PooledReport:
    """Train the pooled model of a use case from all consenting partners and let its gate decide.

    A champion that learned from a partner who has since withdrawn is taken down first, whatever comes of the training;
    with `only_missing` any other champion is kept. One partner's broken rows leave that partner out, never the others.
    """
    code = registry.pooled(use_case)
    if code is None:
        return PooledReport(outcome="not_pooled")
    limits = Limits(
        least_partners=services.settings.pooling_least_partners,
        largest_share=services.settings.pooling_largest_share,
    )
    consenting = _consenting(services)
    retired = _retire_if_withdrawn(services, use_case, set(consenting), run_id)
    champion = services.tracking.champion_version(use_case, POOLED)
    if only_missing and champion is not None:
        return PooledReport(outcome="kept", version=champion, retired=retired)
    if len(consenting) < limits.least_partners:
        return PooledReport(outcome="too_few_partners", retired=retired)
    members, has_failures = _members(services, code, use_case, consenting, run_id)
    try:
        training = code.train(list(members.values()), limits)
    except NotReady as error:
        log.info("%s.%s is not trained: %s", use_case, POOLED, error)
        return PooledReport(outcome="too_few_partners", retired=retired, has_failures=has_failures)
    version, card, decided = _register(services, use_case, training, members, champion)
    return PooledReport(
        outcome="trained", version=version, trained=training.trained, card=card, verdict=decided, retired=retired,
        has_failures=has_failures,
    )  # fmt: skip


def _judge(services: Services, use_case: str) -> Callable[[str], Standing | None]:
    """A function that judges the pooled champion, loaded once, on one partner's own rows and remembers its standing.

    A partner that it learned from keeps the standing of that training, which had left it out. None for a partner that is
    none of its concern: one without consent, with a model of its own, or where there is no pooled champion. Where judging
    breaks the partner keeps its rule, its standing says so, and the error goes on.
    """
    code = registry.pooled(use_case)
    version = None if code is None else services.tracking.champion_version(use_case, POOLED)
    loaded: list[FittedModel] = []
    with services.database.batch() as connection:
        learned_from = set() if version is None else pooling.contributors(connection, use_case, version)

    def judge(partner: str) -> Standing | None:
        with services.database.partner(partner) as connection:
            entry = partners.get(connection, partner)
        receives = entry.pooling and services.tracking.champion_version(use_case, partner) is None
        if code is None or version is None or not receives:
            with services.database.partner(partner) as connection:
                pooling.forget_standing(connection, partner, use_case)
            return None
        if partner in learned_from:
            with services.database.partner(partner) as connection:
                return pooling.standing(connection, partner, use_case)
        try:
            if not loaded:
                loaded.append(services.tracking.load(use_case, POOLED, version).model)
            found = _judged(services, code, loaded[0], entry, use_case, version)
        except Exception:
            _remember(
                services, partner, use_case,
                Standing(model_version=version, reason="failed", observations=0, metric=""),
            )  # fmt: skip
            raise
        _remember(services, partner, use_case, found)
        return found

    return judge


def _judged(
    services: Services, code: PooledUseCase, model: FittedModel, entry: Partner, use_case: str, version: str
) -> Standing:
    from integrator.storage.frames import read_features

    frame = read_features(services.database, registry.spec(use_case).training_relation, entry.partner)
    found = code.judge(model, frame, context_at(entry, _newest(frame, services.clock())))
    return Standing(
        model_version=version, reason=found.reason, observations=found.observations, metric=found.metric,
        pooled_value=found.pooled, rule_value=found.rule,
    )  # fmt: skip


def _consenting(services: Services) -> dict[str, Partner]:
    with services.database.service() as connection:
        return {entry.partner: entry for entry in partners.list_all(connection) if entry.pooling}


def _retire_if_withdrawn(services: Services, use_case: str, consenting: set[str], run_id: str) -> bool:
    version = services.tracking.champion_version(use_case, POOLED)
    if version is None:
        return False
    with services.database.batch() as connection:
        gone = pooling.contributors(connection, use_case, version) - consenting
    if not gone:
        return False
    services.tracking.retire(use_case, POOLED, "A partner that it had learned from took its consent back.")
    for partner in sorted(gone):
        _event(services, partner, "pooled.retired", {"use_case": use_case, "version": version, "run_id": run_id})
    return True


def _members(
    services: Services, code: PooledUseCase, use_case: str, consenting: Mapping[str, Partner], run_id: str
) -> tuple[dict[str, Member], bool]:
    """What each consenting partner brings, and whether anybody's rows broke."""
    from integrator.storage.frames import read_features

    found: dict[str, Member] = {}
    has_failures = False
    for partner, entry in consenting.items():
        try:
            frame = consented(read_features(services.database, registry.spec(use_case).training_relation, partner))
            as_of = _newest(frame, services.clock())
            member = code.member(frame, nameless(context_at(entry, as_of), as_of))
        except Exception as error:  # whatever one partner's rows raise, the others' model must not miss
            log.error("rows of %s could not be pooled for %s: %s", partner, use_case, traced(error))
            has_failures = True
            facts = {"use_case": use_case, "run_id": run_id, "reason": type(error).__name__}
            _event(services, partner, "pooled.left_out", facts)
            continue
        if member is not None:
            found[partner] = member
    return found, has_failures


def _register(
    services: Services,
    use_case: str,
    training: PooledTraining,
    members: Mapping[str, Member],
    champion_version: str | None,
) -> tuple[str, str, Verdict]:
    """A new version and its card, with the gate's word and a last look at consent; each member's line says that it was in it."""
    champion = services.tracking.load(use_case, POOLED, champion_version) if champion_version is not None else None
    decided = verdict(training, champion.backtest if champion else None)
    if set(members) - set(_consenting(services)):
        reason = "Consent was withdrawn while it was trained."
        decided = replace(decided, promote=False, reasons=(reason, *decided.reasons))
    now = services.clock()
    held = replace(decided, promote=False)
    card = partial(_card, use_case, training.trained, decided, now)
    version = services.tracking.log(use_case, POOLED, training.trained, verdict=held, now=now, card=card)
    # Contributions before the alias: a champion whose members are not known could not be taken down again.
    for (partner, member), held_out in zip(members.items(), training.held_out, strict=True):
        if held_out is None:
            continue
        standing = _standing(version, training.trained.backtest.gate_metric, held_out)
        with services.database.partner(partner) as connection:
            pooling.remember_contribution(connection, partner, use_case, version, member.rows, now)
            if decided.promote:
                pooling.remember_standing(connection, partner, use_case, standing, now)
            logs.event(
                connection, partner, "pooled.contributed", now,
                {"use_case": use_case, "version": version, "rows": member.rows, "promoted": decided.promote},
            )  # fmt: skip
    if decided.promote:
        services.tracking.promote(use_case, POOLED, version, verdict=decided)
    return version, card(version), decided


def _standing(version: str, metric: str, held_out: HeldOut) -> Standing:
    """A contributor's standing is that of the training that left it out: the final model has seen its rows."""
    found = Judgement(metric=metric, observations=held_out.cases, pooled=held_out.pooled, rule=held_out.rule)
    return Standing(
        model_version=version, reason=found.reason, observations=found.observations, metric=metric,
        pooled_value=found.pooled, rule_value=found.rule,
    )  # fmt: skip


def _card(use_case: str, trained: Trained, decided: Verdict, now: datetime, version: str) -> str:
    own = "each partner's own"
    context = Context(partner=POOLED, timezone=own, currency=own, region=own, as_of=now)
    title = f"{registered_name(use_case, POOLED)}, version {version}"
    return model_card(use_case, trained, decided, context, title=title, now=now, rung=POOLED)


def _remember(services: Services, partner: str, use_case: str, found: Standing) -> None:
    with services.database.partner(partner) as connection:
        pooling.remember_standing(connection, partner, use_case, found, services.clock())


def _event(services: Services, partner: str, kind: str, facts: Mapping[str, object]) -> None:
    with services.database.partner(partner) as connection:
        logs.event(connection, partner, kind, services.clock(), facts)


def _newest(frame: "pl.DataFrame", clock_now: datetime) -> datetime:
    newest = frame["as_of"].max() if frame.height and "as_of" in frame.columns else None
    return newest if isinstance(newest, datetime) else clock_now
