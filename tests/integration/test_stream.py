"""Streaming: what a record touches is published at once, by the night's own logic, and the night has nothing to add."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import parse
from integrator.steps.services import Services
from integrator.steps.stream import Touched, react
from tests.integration.dbt_runs import Dbt
from tests.streaming import contact, current, event, furnish, land, publish_all, sale

MODELS = ("--resource-type", "model")


@pytest.fixture(scope="module")
def dbt(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(services.database, tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="module")
def house(services: Services, dbt: Dbt) -> Iterator[Services]:
    """Two partners after their first night."""
    for partner in ("alpha", "beta"):
        furnish(services, partner)
    assert react(services, "alpha", [Touched("sale", "direct", "line1")], run_id="stream").waits_for_night
    dbt.night(services.clock(), *MODELS)
    for partner in ("alpha", "beta"):
        publish_all(services, partner, "night-1")
    yield services


def test_a_sale_moves_its_event_its_series_its_product_and_its_buyer(house: Services) -> None:
    now = house.clock()
    before = {name: current(house, "alpha", name) for name in ("attendance", "pricing", "lead_score")}
    done = react(house, "alpha", land(house, "alpha", "sale", [sale(900, now, quantity=40)]), run_id="stream")
    assert (done.records, done.failed, done.withdrawn) == (1, 0, 0) and done.changed >= 1
    after = {name: current(house, "alpha", name) for name in before}
    moved = {
        (name, subject) for name, found in after.items() for subject, served in found.items()
        if served.checked_at is not None and served != before[name].get(subject)
    }  # fmt: skip
    assert ("pricing", "seat0") in moved, "forty seats sold today are demand"
    assert {subject for _, subject in moved} <= {"show1", "late", "seat0", "guest20"}, "and nobody else's number"


def test_done_again_it_changes_nothing(house: Services) -> None:
    touched = land(house, "alpha", "sale", [sale(901, house.clock())])
    react(house, "alpha", touched, run_id="stream")
    again = react(house, "alpha", touched, run_id="stream")
    assert again.changed == 0 and again.unchanged == again.scored > 0


def test_the_night_comes_to_the_same(house: Services, dbt: Dbt) -> None:
    """A new show, a new guest, one known by a second address, a sale, a capacity: streamed, then a night, no new version."""
    now = house.clock()
    news = [
        *land(house, "beta", "event", [event(4, now, native_id="extra", capacity=80)]),
        *land(house, "beta", "event", [event(2, now, capacity=50, updated_at=now.isoformat())]),
        *land(house, "beta", "contact", [contact(301, now)]),
        *land(house, "beta", "contact", [contact(302, now, email="GUEST7@example.com ", source="fair")]),
        *land(house, "beta", "sale", [sale(902, now), sale(903, now, contact_id="guest301", product="seat9")]),
    ]
    streamed = react(house, "beta", news, run_id="stream")
    assert streamed.changed >= 3 and streamed.failed == 0
    crosswalk = "select native_id, person_id, is_canonical, matched_by from harmonized.identity where partner = 'beta'"
    with house.database.batch() as connection:
        known = set(connection.execute(text(crosswalk)).all())
    said = {name: current(house, "beta", name) for name in ("attendance", "pricing", "lead_score")}
    assert "guest301" in said["lead_score"] and "guest302" not in said["lead_score"], "one person, one insight"
    dbt.night(now, *MODELS)
    with house.database.batch() as connection:
        assert set(connection.execute(text(crosswalk)).all()) == known
    assert publish_all(house, "beta", "night-2") == {
        "attendance": (0, 0), "pricing": (0, 0), "lead_score": (0, 0),
    }  # fmt: skip
    for name, found in said.items():
        assert {k: v.document for k, v in current(house, "beta", name).items()} == {
            k: v.document for k, v in found.items()
        }


def test_withdrawn_consent_conversion_and_a_cancelled_show_are_taken_back(house: Services) -> None:
    now = house.clock()
    assert current(house, "alpha", "lead_score")["guest21"].status != "withdrawn"
    later = {"updated_at": now.isoformat()}
    news = [
        *land(house, "alpha", "contact", [contact(21, now, consent={"processing": "denied", "pooling": "denied"}, **later)]),
        *land(house, "alpha", "contact", [contact(22, now, converted_at=now.isoformat(), **later)]),
        *land(house, "alpha", "event", [event(5, now, status="cancelled", **later)]),
    ]  # fmt: skip
    assert react(house, "alpha", news, run_id="stream").withdrawn == 3
    leads, shows = current(house, "alpha", "lead_score"), current(house, "alpha", "attendance")
    assert {leads["guest21"].status, leads["guest22"].status, shows["show5"].status} == {"withdrawn"}
    assert parse(leads["guest21"].document).value is None
    assert shows["show6"].status != "withdrawn", "what was not touched is not taken back for not being asked about"


def test_an_older_batch_does_not_overwrite_the_stream(house: Services) -> None:
    """The batch read before the record came and publishes after: its touched subjects are discarded, the rest stands."""
    from integrator.steps.publish import publish
    from integrator.steps.score import score

    score(house, "alpha", "pricing", run_id="long-batch")
    react(house, "alpha", land(house, "alpha", "sale", [sale(905, house.clock(), quantity=70)]), run_id="stream")
    streamed = current(house, "alpha", "pricing")["seat1"]
    report = publish(house, "alpha", "pricing", run_id="long-batch")
    assert report.discarded >= 1
    assert current(house, "alpha", "pricing")["seat1"] == streamed


def test_no_partner_moves_another(house: Services) -> None:
    before = {name: current(house, "beta", name) for name in ("attendance", "pricing", "lead_score")}
    touched = land(house, "alpha", "sale", [sale(906, house.clock(), quantity=9)])
    react(house, "beta", touched, run_id="stream")
    assert react(house, "beta", [Touched("contact", "direct", "nobody")], run_id="stream").scored == 0
    assert {name: current(house, "beta", name) for name in before} == before
    with house.database.partner("beta") as connection:
        rows = connection.execute(
            text("select * from harmonized.renew_identities('alpha', array['direct'], array['guest1'])")
        )
        assert rows.all() == [("direct", "guest1")], "only what was asked; alpha's rows are not there for beta"
    with house.database.batch() as connection:
        kept = connection.execute(
            text("select count(*) from harmonized.identity where partner = 'alpha' and native_id = 'guest1'")
        )
        assert kept.scalar_one() == 1


def test_an_unknown_kind_is_refused(house: Services) -> None:
    with pytest.raises(InvalidInput, match="'order' is not allowed; allowed: event, contact, sale"):
        react(house, "alpha", [Touched("order", "direct", "1")], run_id="stream")
