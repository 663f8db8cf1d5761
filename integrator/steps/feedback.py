"""Feedback from a partner's application: items read, held against the insights they name, kept once, answered once.

A bad item is told with its place, field and reason, and never keeps its neighbours from being taken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from integrator.contracts.errors import InvalidInput
from integrator.contracts.feedback import Feedback, FeedbackError, FeedbackResult, read, require_said
from integrator.steps.push import AnsweredMeanwhile, Push, call_of, content, encoded, keeping, kept, require_few
from integrator.steps.services import Services
from integrator.storage import outcomes, partners
from integrator.storage.idempotency import Call
from integrator.storage.landing_reading import Form
from integrator.storage.outcomes import Decision, Foreseen, Outcome, Target
from integrator.storage.partners import Partner
from integrator.storage.quarantine import storable

KIND = "feedback"
DAY = timedelta(days=1)
LONGEST_PERIOD = timedelta(days=366)
LONGEST_VALUE = 100


@dataclass(frozen=True)
class Taken:
    """The answer's body, and what it says; `replayed` when it was given before."""

    body: bytes
    result: FeedbackResult = field(default_factory=FeedbackResult)
    replayed: bool = False


@dataclass
class _Item:
    """One item on its way: where it stood, what it says, and which insight it is found to mean."""

    index: int
    raw: bytes
    said: Feedback
    target: Target | None = None
    outcome: Outcome | None = None
    decision: Decision | None = None


def take(services: Services, what: Push) -> Taken:
    """Keep the items of a body, already inflated, in one transaction, and answer after its commit.

    `InvalidInput` when the body as a whole cannot be read, holds too many items, or comes under the key of another.
    """
    body = content(what)
    call = call_of(services, what, body)
    answered = kept(services, call) if call is not None else None
    if answered is not None:
        return Taken(answered, replayed=True)
    require_few(body, what.form, services.settings.push_most_records)
    try:
        result = _keep(services, what.partner, body, what.form, call)
    except AnsweredMeanwhile:
        assert call is not None
        return Taken(kept(services, call) or b"", replayed=True)  # for 12 h, so it is there
    return Taken(encoded(result), result)


def _keep(services: Services, partner: str, body: bytes, form: Form, call: Call | None) -> FeedbackResult:
    now = services.clock()
    errors: list[FeedbackError] = []
    items = list(_read_all(elements(body, form), errors))
    keep = keeping(services, call)
    with services.database.partner(partner) as connection:
        entry = partners.get(connection, partner)
        named = _named(connection, partner, items, errors, now)
        meant = list(_meant(connection, entry, named, errors, now))
        accepted = _write(connection, partner, meant, now)
        result = FeedbackResult(accepted, len(meant) - accepted, sorted(errors, key=lambda one: one.index))
        if keep is not None:
            keep(connection, result)
    return result


def elements(body: bytes, form: Form) -> list[tuple[int, bytes]]:
    """The items with their places from 0: elements of an array, or lines; empty lines count and are skipped."""
    if form == "ndjson":
        return [(number, line) for number, line in enumerate(body.split(b"\n")) if line.strip()]
    try:
        return [(number, bytes(raw)) for number, raw in enumerate(msgspec.json.decode(body, type=list[msgspec.Raw]))]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"the body is no JSON array: {error}") from error


def _read_all(raws: Iterable[tuple[int, bytes]], errors: list[FeedbackError]) -> Iterable[_Item]:
    for index, raw in raws:
        try:
            yield _Item(index, raw, read(raw))
        except InvalidInput as error:
            errors.append(refused(index, raw, error))


def _named(
    connection: Connection, partner: str, items: Sequence[_Item], errors: list[FeedbackError], now: datetime
) -> list[_Item]:
    """The items whose insight there is, with it."""
    ids = outcomes.by_id(connection, partner, {one.said.id for one in items if one.said.id is not None})
    subjects = {(str(one.said.use_case), named.id) for one in items if (named := one.said.names_subject) is not None}
    found = outcomes.by_subject(connection, partner, subjects)
    good: list[_Item] = []
    for one in items:
        try:
            one.target = _target(one.said, ids, found)
            require_said(one.said, one.target.use_case)
            _require_past(one.said, now)
            good.append(one)
        except InvalidInput as error:
            errors.append(refused(one.index, one.raw, error))
    return good


def _target(said: Feedback, ids: Mapping[str, Target], subjects: Mapping[tuple[str, str], Sequence[Target]]) -> Target:
    named = said.names_subject
    if named is None:
        target = ids.get(str(said.id))
        if target is None:
            raise InvalidInput("there is no insight of that id", field="id")
        if said.use_case not in (None, target.use_case):
            raise InvalidInput(f"is not that insight's use case; allowed: {target.use_case}", field="use_case")
        return target
    place = "subject_id" if said.subject_id is not None else "subject"
    fitting = [
        target for target in subjects.get((str(said.use_case), named.id), ())
        if named.kind in (None, target.subject_kind) and named.platform in (None, target.platform)
    ]  # fmt: skip
    if not fitting:
        raise InvalidInput(f"there is no {said.use_case} insight about it", field=place)
    if len(fitting) > 1:
        choices = ", ".join(f"{target.platform} ({target.subject_kind})" for target in fitting)
        raise InvalidInput(f"means several insights; name its platform and kind: {choices}", field=place)
    return fitting[0]


def _require_past(said: Feedback, now: datetime) -> None:
    for name, moment in (("at", said.at), ("from", said.begins), ("to", said.ends)):
        if moment is not None and moment > now:
            raise InvalidInput(f"lies ahead of {now.isoformat()}; allowed: what has happened", field=name)


def _meant(
    connection: Connection, entry: Partner, items: Sequence[_Item], errors: list[FeedbackError], now: datetime
) -> Iterable[_Item]:
    """The items that make sense, with what is to be written."""
    versions = outcomes.published(
        connection, entry.partner, {one.target.insight_id for one in items if one.target and one.said.insight_version}
    )
    asked = {
        (one.target.insight_id, one.said.at or now) for one in items
        if one.target and one.target.use_case == "attendance" and one.said.has_outcome
    }  # fmt: skip
    foreseen = outcomes.foreseen(connection, entry.partner, asked)
    for one in items:
        assert one.target is not None
        try:
            version = _version(one.said, one.target, versions)
            if one.said.has_outcome:
                seen = foreseen.get((one.target.insight_id, one.said.at or now), Foreseen())
                one.outcome = _outcome(one.said, one.target, entry, seen, now)
            if one.said.decision is not None:
                one.decision = Decision(
                    target=one.target, insight_version=version, decision=one.said.decision,
                    reason_code=one.said.reason_code, decided_at=one.said.at or now,
                )  # fmt: skip
            yield one
        except InvalidInput as error:
            errors.append(refused(one.index, one.raw, error))


def _version(said: Feedback, target: Target, versions: set[tuple[str, int]]) -> int:
    if said.insight_version is None:
        return target.insight_version
    if (target.insight_id, said.insight_version) not in versions:
        raise InvalidInput(f"was never published; allowed: 1 to {target.insight_version}", field="insight_version")
    return said.insight_version


def _outcome(said: Feedback, target: Target, entry: Partner, seen: Foreseen, now: datetime) -> Outcome:
    if target.use_case == "pricing":
        return _sold(said, target, entry)
    moment = said.at
    if target.use_case == "attendance":
        moment = _began(said, target, entry, seen, now)
    if moment is None:
        raise InvalidInput("is missing; allowed: when it happened, RFC 3339 with an offset", field="at")
    value = said.actual if target.use_case == "attendance" else float(bool(said.converted))
    return _made(target, moment, moment, value)


def _began(said: Feedback, target: Target, entry: Partner, seen: Foreseen, now: datetime) -> datetime | None:
    """When it began, as the insight knows it, so that both ways of hearing of one event name one moment.

    A series' date may be said loosely: the only event of that local day is the one meant.
    """
    if target.subject_kind == "event":
        moment = seen.event_at or said.at
        if moment is not None and moment > now:
            raise InvalidInput(f"the event begins at {moment.isoformat()}; allowed: what has happened", field="at")
        return moment
    if said.at is None or said.at in seen.horizon:
        return said.at
    zone = ZoneInfo(entry.timezone)
    day = said.at.astimezone(zone).date()
    same = [moment for moment in seen.horizon if moment.astimezone(zone).date() == day]
    return same[0] if len(same) == 1 else said.at


def _sold(said: Feedback, target: Target, entry: Partner) -> Outcome:
    if said.price_taken is None:
        raise InvalidInput("is missing; allowed: the price taken", field="price_taken")
    if said.currency not in (None, entry.currency):
        raise InvalidInput(f"is not the partner's currency; allowed: {entry.currency}", field="currency")
    begins, ends = _period(said)
    return _made(target, begins, ends, said.quantity, price=said.price_taken, currency=entry.currency)


def _period(said: Feedback) -> tuple[datetime, datetime]:
    """From and to; `at` alone means the day up to it."""
    if said.begins is None and said.ends is None:
        if said.at is None:
            raise InvalidInput("is missing; allowed: at, or from and to", field="at")
        return said.at - DAY, said.at
    if said.begins is None or said.ends is None:
        raise InvalidInput("is missing; allowed: from and to together", field="from" if said.begins is None else "to")
    if not timedelta(0) < said.ends - said.begins <= LONGEST_PERIOD:
        raise InvalidInput(
            f"is not after from, or too long after; allowed: up to {LONGEST_PERIOD.days} days", field="to"
        )
    return said.begins, said.ends


def _made(target: Target, begins: datetime, ends: datetime, value: float | None, **money: Any) -> Outcome:
    return Outcome(
        use_case=target.use_case, subject_kind=target.subject_kind, subject_id=target.subject_id,
        platform=target.platform, happened_at=ends, begins_at=begins, value=value, **money,
    )  # fmt: skip


def _write(connection: Connection, partner: str, items: Sequence[_Item], now: datetime) -> int:
    """How many items said something new; of two that say the same in one body, one did."""
    changed = outcomes.write(connection, partner, (one.outcome for one in items if one.outcome), now)
    decided = outcomes.decide(connection, partner, (one.decision for one in items if one.decision), now)
    accepted = 0
    for one in reversed(items):  # the last word of a body on one thing is the one that was written
        news = one.outcome is not None and one.outcome.key in changed
        if news and one.outcome is not None:
            changed.discard(one.outcome.key)
        version = (one.decision.target.insight_id, one.decision.insight_version) if one.decision else ("", 0)
        news = news or version in decided
        decided.discard(version)
        accepted += news
    return accepted


def refused(index: int, raw: bytes, error: InvalidInput) -> FeedbackError:
    """What to tell of an item that was not taken; a value that looks like a person's is not repeated."""
    return FeedbackError(index, storable(error.field), _shown(raw, error.field), storable(str(error)) or "not allowed")


def _shown(raw: bytes, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, Mapping | list) or "@" in str(value):
        return None
    return storable(str(value)[:LONGEST_VALUE])
