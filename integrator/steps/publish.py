"""Publishing: what was scored becomes versions of insights, in one transaction per partner and use case.

The partner's lock is taken first and held to the end. What was scored on older input, or by an older model on the same
input, than what stands is discarded; only then does a version grow. A subject of the last publication that has no row
any longer is withdrawn, once; one whose row failed keeps what stands. The night publishes a scoring of all subjects, the
stream one of the few that a record touched.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Connection

from integrator.contracts.errors import NotFound, TransientError
from integrator.contracts.insight import Insight, canonical, insight_id, parse
from integrator.delivery.base import Publication
from integrator.delivery.registry import channels
from integrator.steps import price_decisions
from integrator.steps.documents import Made, document, is_news, withdrawn
from integrator.steps.predictions import decode, rule_name
from integrator.steps.services import Services
from integrator.steps.serving import serving
from integrator.storage import insights, logs, prediction_log, scored
from integrator.storage.insights import Standing
from integrator.storage.scored import Scoring
from models import registry
from models.pooling.base import POOLED
from models.versions import registered_name

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    """`rows` stand as of this scoring: changed (withdrawn ones among them) or unchanged. `discarded` were older."""

    rows: int
    changed: int
    unchanged: int
    withdrawn: int
    discarded: int
    messages: int


@dataclass
class _Plan:
    """What one scoring does to what stands."""

    fresh: list[tuple[int | None, Insight]] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    withdrawn: int = 0
    discarded: int = 0


def publish(services: Services, partner: str, use_case: str, *, run_id: str) -> PublishReport:
    """Publish the last scoring; said twice, the second changes nothing. `NotFound` when nothing was ever scored.

    `checked_at` is the moment of the scoring, so that publishing an old scoring again makes nothing look fresh.
    """
    with services.database.partner(partner) as connection:
        insights.lock(connection, partner)
        scoring = scored.last(connection, partner, use_case)
        if scoring is None:
            raise NotFound(f"{use_case} of {partner} was never scored; run the score step first")
        published = _published(services, connection, scoring, scored.predictions(connection, partner, use_case), run_id)
    tell(services, published.publication)
    return published.report


def publish_some(
    services: Services, connection: Connection, scoring: Scoring, rows: Sequence[tuple[int, str, str]],
    asked: frozenset[str],
) -> "Published":  # fmt: skip
    """Publish a scoring of some subjects alone, in the caller's transaction; `tell` is the caller's, after its commit.

    The caller took the partner's lock *before* it read the input, so what stands is no newer than this. `rows` are
    (ordinal, prediction, feature row); `asked` the insights that it was about: those without a row, made or failed, are
    withdrawn, of all others nothing is said.
    """
    scored.stage(connection, rows)
    stands = insights.highest_position(connection, scoring.partner, asked)
    scoring = replace(scoring, input_position=max(scoring.input_position, stands))
    predictions = ((ordinal, prediction) for ordinal, prediction, _ in rows)
    return _published(services, connection, scoring, predictions, scoring.run_id, asked)


def tell(services: Services, publication: Publication) -> None:
    """What the channels do after the commit; one that cannot be reached is logged and makes it good by itself."""
    for way in channels():
        _after(services, way.spec.name, publication)


@dataclass(frozen=True)
class Published:
    """What a publication came to, and what the channels are to be told once it is committed."""

    report: PublishReport
    publication: Publication


def _published(
    services: Services, connection: Connection, scoring: Scoring, predictions: Iterable[tuple[int, str]], run_id: str,
    asked: frozenset[str] | None = None,
) -> Published:  # fmt: skip
    """Under the partner's lock; `asked` None: the scoring is of all there is."""
    partner, use_case = scoring.partner, scoring.use_case
    standing = insights.standing(connection, partner, use_case, asked)
    plan = _plan(scoring, predictions, standing, _ModelOrder(services, partner, use_case))
    insights.stage(connection, (_row(ordinal, insight) for ordinal, insight in plan.fresh))
    publication = Publication(
        partner=partner, use_case=use_case, run_id=run_id, at=scoring.scored_at, now=services.clock(),
        stale_after=scoring.scored_at + timedelta(hours=registry.spec(use_case).stale_after_hours),
        as_of=scoring.as_of, input_position=scoring.input_position, confirmed=tuple(plan.confirmed), settings=services.settings,
        only=None if asked is None else (*(insight.id for _, insight in plan.fresh), *plan.confirmed),
    )  # fmt: skip
    prediction_log.write_staged(
        connection, partner, use_case, run_id, source="last" if asked is None else "staged",
        at=scoring.scored_at, as_of=scoring.as_of, input_position=scoring.input_position,
    )  # fmt: skip
    written = {way.spec.name: way.write(connection, publication) for way in channels()}
    price_decisions.keep(connection, partner, use_case, run_id, publication.only)
    report = PublishReport(
        rows=len(plan.fresh) + len(plan.confirmed), changed=len(plan.fresh), unchanged=len(plan.confirmed),
        withdrawn=plan.withdrawn, discarded=plan.discarded, messages=written["webhook"],
    )  # fmt: skip
    if asked is None or plan.fresh:
        facts = {"use_case": use_case, "run_id": run_id, "failed": scoring.failure_count, **report.__dict__}
        logs.event(connection, partner, "insights.published", publication.now, facts)
    return Published(report, publication)


def fill_cache(services: Services, partner: str, use_case: str) -> int:
    """Put all current documents of a use case into the cache; how many were newer than what it held."""
    from integrator.delivery.cache.channel import fill

    return fill(services.database, services.cache, partner, use_case)


def _after(services: Services, name: str, publication: Publication) -> None:
    from integrator.delivery.registry import channel

    try:
        channel(name).after(services.database, services.cache, publication)
    except TransientError as error:
        # What is committed is published: the cache expires by itself and lookups go to PostgreSQL until then.
        log.warning("channel %s of %s was not reached: %s", name, publication.partner, error)
        with services.database.partner(publication.partner) as connection:
            logs.event(
                connection, publication.partner, "channel.unreached", publication.now,
                {"channel": name, "use_case": publication.use_case, "reason": str(error)},
            )  # fmt: skip


def _plan(
    scoring: Scoring, predictions: Iterable[tuple[int, str]], standing: Mapping[str, Standing], order: "_ModelOrder"
) -> _Plan:
    made = made_of(scoring)
    plan = _Plan()
    seen: set[str] = set()
    for ordinal, text in predictions:
        prediction = decode(text)
        identity = insight_id(scoring.partner, scoring.use_case, prediction.subject)
        if identity in seen:
            plan.discarded += 1
            continue
        seen.add(identity)
        last = standing.get(identity)
        if last is None:
            plan.fresh.append((ordinal, document(prediction, made, 1)))
        elif order.is_older(scoring, last):
            plan.discarded += 1
        else:
            candidate = document(prediction, made, last.insight_version + 1)
            if is_news(candidate, parse(last.document)):
                plan.fresh.append((ordinal, candidate))
            else:
                plan.confirmed.append(identity)
    # Whose row failed is still there, and keeps what stands. A failed row that does not say whom it is about may be any
    # of those missing: then none is taken back.
    if scoring.failure_count <= len(scoring.failed_insights):
        for taken_back in _no_longer_scored(standing, seen.union(scoring.failed_insights), scoring, made):
            plan.fresh.append((None, taken_back))
            plan.withdrawn += 1
    return plan


def _no_longer_scored(
    standing: Mapping[str, Standing], seen: set[str], scoring: Scoring, made: Made
) -> Iterator[Insight]:
    for identity, last in standing.items():
        if identity not in seen and last.status != "withdrawn" and scoring.input_position >= last.input_position:
            yield withdrawn(parse(last.document), made)


def made_of(scoring: Scoring) -> Made:
    """What the documents of a scoring have in common."""
    return Made(
        partner=scoring.partner, use_case=scoring.use_case, model_name=scoring.model_name,
        model_version=scoring.model_version, as_of=scoring.as_of, at=scoring.scored_at,
    )  # fmt: skip


class _ModelOrder:
    """Which of two statements is older, by (input position, model).

    On the same input what serves the partner now wins whatever its number, so that a rollback, and a pooled model taken
    down, are published; only where neither of two is that does the higher rung stand, and on one rung the higher version.
    The ladder is asked once, and only if two models meet.
    """

    def __init__(self, services: Services, partner: str, use_case: str) -> None:
        self._services, self._partner, self._use_case = services, partner, use_case
        self._serving: tuple[str, str] | None = None

    def is_older(self, scoring: Scoring, last: Standing) -> bool:
        """Whether `scoring` must not replace `last`."""
        if scoring.input_position != last.input_position:
            return scoring.input_position < last.input_position
        mine, theirs = (scoring.model_name, scoring.model_version), (last.model_name, last.model_version)
        if mine == theirs or mine == self._current():
            return False
        return theirs == self._current() or self._rank(mine) < self._rank(theirs)

    def _current(self) -> tuple[str, str]:
        if self._serving is None:
            now = serving(self._services, self._partner, self._use_case)
            self._serving = now.name, now.version
        return self._serving

    def _rank(self, model: tuple[str, str]) -> tuple[int, int]:
        """Rung, then version: the rule comes before the pooled models, and these before the partner's own."""
        name, version = model
        rungs = [
            rule_name(self._use_case),
            registered_name(self._use_case, POOLED),
            registered_name(self._use_case, self._partner),
        ]
        return rungs.index(name) if name in rungs else -1, int(version) if version.isdecimal() else -1


def _plain(value: float | None) -> Decimal | None:
    """The number as the document writes it: 216 people are no 216.0."""
    return None if value is None else Decimal(f"{value:.15g}")


def _row(ordinal: int | None, insight: Insight) -> tuple[object, ...]:
    interval = insight.interval
    return (
        ordinal, insight.id, insight.insight_version,
        insight.subject.kind, insight.subject.id, insight.subject.platform,
        insight.status, _plain(insight.value), insight.unit,
        _plain(interval.low if interval else None), _plain(interval.high if interval else None),
        interval and interval.level,
        insight.confidence.label, insight.rung, insight.model.name, insight.model.version,
        insight.explanation.summary, json.dumps(insight.details), canonical(insight).decode(),
    )  # fmt: skip
