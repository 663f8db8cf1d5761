"""Small pushes that came at once, landed in one transaction: each has its own answer, and none fails for another."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from integrator.contracts.errors import Unavailable
from integrator.contracts.records import LandingResult
from integrator.steps.push import (
    AnsweredMeanwhile,
    Push,
    Pushed,
    allowed_attributes,
    call_of,
    content,
    encoded,
    push,
    pushed,
    require_few,
)
from integrator.steps.services import Services
from integrator.storage import idempotency
from integrator.storage.database import LOST
from integrator.storage.idempotency import Call
from integrator.storage.landing_reading import Reading, read_body
from integrator.storage.landing_together import land_together
from integrator.storage.partners import DataKey

SWEPT_ONCE_IN = 16

Outcome = Pushed | Exception


@dataclass(frozen=True)
class _Read:
    """One push, read: where it stands among the others, and what its answer is kept under."""

    place: int
    reading: Reading
    call: Call | None


def push_together(services: Services, whats: Sequence[Push]) -> list[Outcome]:
    """What became of each push of one partner, platform and kind: an answer, or why there is none."""
    outcomes: list[Outcome | None] = [None] * len(whats)
    read: list[_Read] = []
    for place, what in enumerate(whats):
        try:
            read.append(_read(services, place, what))
        except Exception as error:
            outcomes[place] = error if what.key is None else None  # with a key, it may have been answered before
    for one, outcome in zip(read, _landed(services, whats[0], read), strict=True):
        outcomes[one.place] = outcome
    return [outcome or _alone(services, what) for outcome, what in zip(outcomes, whats, strict=True)]


def _read(services: Services, place: int, what: Push) -> _Read:
    body = content(what)
    require_few(body, what.form, services.settings.push_most_records)
    return _Read(place, read_body(what.kind, body, what.form), call_of(services, what, body))


def _landed(services: Services, like: Push, read: Sequence[_Read]) -> Sequence[Outcome | None]:
    """None for each where they cannot be landed together."""
    if not read:
        return []
    calls = [one.call for one in read]

    def keep(connection: Connection, key: DataKey, results: Sequence[LandingResult]) -> None:
        _keep(services, connection, key, calls, results)

    try:
        results = land_together(
            services.database, like.partner, like.platform, [one.reading for one in read], now=services.clock(),
            allowed_attributes=allowed_attributes(services, like.partner, like.platform), within=keep,
        )  # fmt: skip
    except (Unavailable, *LOST) as error:  # to try one by one would only take longer to say so
        return [error] * len(read)
    except Exception:  # landed one by one, it is told to whom it belongs
        return [None] * len(read)
    return [pushed(result) for result in results]


def _keep(
    services: Services, connection: Connection, key: DataKey, calls: Sequence[Call | None],
    results: Sequence[LandingResult],
) -> None:  # fmt: skip
    """Keep the answers, in an order that all groups share, so that no two wait for each other."""
    now = services.clock()
    keyed = [(call, result) for call, result in zip(calls, results, strict=True) if call is not None]
    for call, result in sorted(keyed, key=lambda pair: (pair[0].client_id, pair[0].key)):
        if call.digest[0] % SWEPT_ONCE_IN == 0:
            idempotency.sweep(connection, call.partner, now)
        if not idempotency.keep_under(connection, key, call, 200, encoded(result), now):
            raise AnsweredMeanwhile


def _alone(services: Services, what: Push) -> Outcome:
    try:
        return push(services, what)
    except Exception as error:
        return error
