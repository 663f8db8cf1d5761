"""Landing what has a place in a log: once, in order, with its position; refusals told before anything is committed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Unavailable
from integrator.steps import quarantine as steps
from integrator.steps import records_in
from integrator.steps.records_in import Message, Read
from integrator.steps.services import Services
from integrator.storage import quarantine
from integrator.storage.database import Database
from integrator.storage.landing_merge import stage
from integrator.storage.landing_placed import LandedHere, Placed, Refusal, Refused, land_placed
from integrator.storage.stream_offsets import Place

NOW = datetime(2026, 3, 16, 12, 0, tzinfo=UTC)
TOLD: list[tuple[Placed, Refusal]] = []


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """A topic of the test's own."""
    return Place("cluster", request.node.name, 0)


def sale(place: Place, offset: int, native_id: str = "s-1", quantity: int = 1, **changes: Any) -> Placed:
    payload = (
        f'{{"native_id": "{native_id}", "product": "ticket", "sold_at": "2026-03-01T10:00:00Z", "quantity": {quantity},'
        ' "unit_price": "25.00", "currency": "EUR", "status": "paid"}'
    ).encode()
    return replace(Placed(place, offset, NOW, "direct", "sale", native_id, payload), **changes)


def event(place: Place, offset: int, native_id: str) -> Placed:
    payload = (
        f'{{"native_id": "{native_id}", "starts_at": "2026-04-01T19:00:00Z", "timezone": "UTC", "status": "scheduled"}}'
    ).encode()
    return Placed(place, offset, NOW, "shop", "event", native_id, payload)


def gone(place: Place, offset: int, native_id: str, platform: str | None = None, at: datetime = NOW) -> Placed:
    return Placed(place, offset, at, platform, "sale", native_id, None)


def tell(refused: Refused) -> None:
    TOLD.extend(refused)


def land(services: Services, *things: Placed, partner: str = "alpha", tell: Any = tell) -> LandedHere:
    return land_placed(services.database, partner, things, now=NOW, attributes_of=lambda _: (), tell=tell)


def versions(services: Services, native_id: str, partner: str = "alpha") -> list[tuple[int, bool]]:
    with services.database.partner(partner) as connection:
        rows = connection.execute(
            text("""select quantity, deleted_at is not null as is_gone from landing.sale where partner = :partner
              and native_id = :id order by valid_from, version_id"""),
            {"partner": partner, "id": native_id},
        )
        return [(row.quantity, row.is_gone) for row in rows]


def position(services: Services, place: Place, partner: str = "alpha") -> int | None:
    with services.database.partner(partner) as connection:
        rows = connection.execute(
            text("""select last_offset from integrator.stream_offset
            where cluster_id = :cluster_id and topic_id = :topic_id and partition = :partition"""),
            asdict(place),
        )
        return rows.scalar_one_or_none()


def test_kinds_and_platforms_land_in_one_transaction_with_the_position(services: Services, place: Place) -> None:
    other = replace(place, partition=1)
    done = land(services, sale(place, 3, "mix"), event(place, 4, "gala"), sale(other, 9, "mix-2", platform="shop"))
    assert (done.result.accepted, done.skipped) == (3, 0)
    assert done.touched == {("sale", "direct", "mix"), ("event", "shop", "gala"), ("sale", "shop", "mix-2")}
    assert (position(services, place), position(services, other)) == (4, 9)
    assert position(services, place, "beta") is None


def test_what_has_landed_is_skipped_and_only_that(services: Services, place: Place) -> None:
    things = [sale(place, offset, "aba", quantity) for offset, quantity in enumerate((1, 2, 1))]
    assert land(services, *things).result.accepted == 3
    again = land(services, *things, sale(place, 3, "aba", 5))
    assert (again.skipped, again.result.accepted) == (3, 1)
    assert land(services, *things).skipped == 3
    assert versions(services, "aba") == [(1, False), (2, False), (1, False), (5, False)]


def test_a_topic_made_anew_has_positions_of_its_own(services: Services, place: Place) -> None:
    land(services, sale(place, 10, "anew"))
    done = land(services, sale(replace(place, topic_id=f"{place.topic_id}-2"), 0, "anew", 7))
    assert (done.skipped, done.result.accepted) == (0, 1)


def test_records_and_deletions_go_in_their_order(services: Services, place: Place) -> None:
    done = land(
        services, sale(place, 0, "turns"), gone(place, 1, "turns"), sale(place, 2, "turns", 2), gone(place, 3, "never")
    )
    assert (done.result.accepted, done.result.unchanged) == (3, 1)
    assert versions(services, "turns") == [(1, False), (1, True), (2, False)]


def test_a_deletion_counts_from_when_it_was_said(services: Services, place: Place) -> None:
    early = sale(place, 0, "said")
    assert early.payload is not None
    since = early.payload.replace(b'"quantity"', b'"updated_at": "2026-03-10T00:00:00Z", "quantity"')
    later = since.replace(b"2026-03-10", b"2026-03-12").replace(b'"quantity": 1', b'"quantity": 2')
    land(services, replace(early, payload=since))
    land(
        services, gone(place, 1, "said", at=datetime(2026, 3, 11, tzinfo=UTC)), replace(early, offset=2, payload=later)
    )
    assert versions(services, "said") == [(1, False), (1, True), (2, False)]
    land(services, gone(place, 3, "said", at=NOW + timedelta(days=400)))
    with services.database.partner("alpha") as connection:
        latest = connection.execute(
            text("select max(deleted_at) from landing.sale where partner = 'alpha' and native_id = 'said'")
        ).scalar_one()
    assert latest == NOW, "no later than our clock"


def test_a_deletion_that_may_mean_several_is_refused_and_one_named_is_done(services: Services, place: Place) -> None:
    land(services, sale(place, 0, "two"), sale(place, 1, "two", platform="shop"))
    TOLD.clear()
    done = land(services, gone(place, 2, "two"))
    ((thing, why),) = done.refused
    assert (thing.offset, why.reason, TOLD) == (2, "platform-ambiguous", done.refused)
    assert "direct, shop" in why.words
    land(services, gone(place, 3, "two", "shop"), gone(place, 4, "two"))
    assert sorted(versions(services, "two")) == [(1, False), (1, False), (1, True), (1, True)]


def test_what_is_refused_is_in_quarantine_and_told_before_the_commit(services: Services, place: Place) -> None:
    bad = sale(place, 1, "odd", -1)
    filed = replace(sale(place, 2), kind="person", refusal=Refusal("kind-unknown", "kind", "is no kind of record"))

    def away(refused: Sequence[tuple[Placed, Refusal]]) -> None:
        assert [why.reason for _, why in refused] == ["kind-unknown", "record-invalid"]
        raise Unavailable("brokers are away")

    with pytest.raises(Unavailable):
        land(services, sale(place, 0, "good"), bad, filed, tell=away)
    assert (versions(services, "good"), position(services, place)) == ([], None)
    done = land(services, sale(place, 0, "good"), bad, filed)
    assert (done.result.accepted, done.result.quarantined) == (1, 2)
    with services.database.partner("alpha") as connection:
        waiting = quarantine.waiting(connection, "alpha")
    kinds = {entry.kind: entry for entry in waiting}
    assert {"sale", "person"} <= set(kinds)
    replayed = steps.replay(services, "alpha", kinds["person"].quarantine_id)
    assert (replayed.replayed, replayed.refused) == (0, 1)
    assert "event, contact, sale" in replayed.errors[0].reason


def test_a_partner_sees_nothing_of_anothers_position(services: Services, place: Place) -> None:
    land(services, sale(place, 5, "mine"))
    assert (position(services, place), position(services, place, "beta")) == (5, None)
    with services.database.partner("beta") as connection:
        assert connection.execute(text("select count(*) from ops.stream_relay")).scalar_one() == 0
    assert land(services, sale(place, 5, "theirs"), partner="beta").result.accepted == 1


def test_what_postgres_refuses_for_good_is_found_by_halves(services: Services, place: Place) -> None:
    """A record that reads well and that PostgreSQL does not take: here by a constraint an operator has added."""
    with services.database.owner() as connection:
        connection.execute(text("alter table landing.sale add constraint no_seven check (quantity <> 7) not valid"))
    try:
        things = [sale(place, number, f"half-{number}", 7 if number == 5 else 1) for number in range(9)]
        reads = [Read(Message(place, one.offset, b"", one.payload, NOW), "alpha", one) for one in things]
        told: list[tuple[Message, Refusal]] = []
        done = records_in.land(services, "alpha", reads, told.extend)
    finally:
        with services.database.owner() as connection:
            connection.execute(text("alter table landing.sale drop constraint no_seven"))
    assert (done.result.accepted, done.result.quarantined) == (8, 1)
    assert [(message.offset, why.reason, why.words) for message, why in told] == [
        (5, "refused", "could not be stored: IntegrityError")
    ]
    assert position(services, place) == 8


def test_what_copy_refuses_for_good_is_found_by_halves(services: Services, place: Place) -> None:
    """COPY's refusals come as the driver's own errors: here of a session whose staging table has a constraint more."""
    own = replace(services, database=Database(services.database.address, services.database.master))
    try:
        with own.database.partner(
            "alpha"
        ) as connection:  # the only session there is; landing gets it back from the pool
            stage(connection, "sale", b"")
            connection.execute(text("alter table incoming_sale add constraint no_seven check (quantity <> 7)"))
        things = [sale(place, number, f"copied-{number}", 7 if number == 3 else 1) for number in range(6)]
        reads = [Read(Message(place, one.offset, b"", one.payload, NOW), "alpha", one) for one in things]
        told: list[tuple[Message, Refusal]] = []
        done = records_in.land(own, "alpha", reads, told.extend)
    finally:
        own.database.close()
    assert (done.result.accepted, done.result.quarantined) == (5, 1)
    assert [(message.offset, why.words) for message, why in told] == [(3, "could not be stored: CheckViolation")]
    assert position(services, place) == 5
