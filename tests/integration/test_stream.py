"""Streaming: what a record touches is published at once, by the night's own logic, and the night has nothing to add."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import parse
from integrator.contracts.price_rules import PriceRule
from integrator.steps.champions import Champions
from integrator.steps.live_models import Held
from integrator.steps.runs import exclude, recorded
from integrator.steps.services import Services
from integrator.steps.stream import Touched, react
from integrator.steps.stream_memory import Memory
from integrator.steps.stream_reactor import TRIES, Reactor, Turn
from integrator.storage import price_rules, webhooks
from models.base import FeatureRow, FittedModel, Prediction
from tests.integration.dbt_runs import Dbt
from tests.integration.dbt_runs import land as dbt_land
from tests.pushing import caller
from tests.streaming import Service, contact, current, event, furnish, land, publish_all, sale, wait


class Hooks(BaseHTTPRequestHandler):
    """A host's receiver; it takes everything and keeps the bodies."""

    url: str
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def hooks() -> Iterator[type[Hooks]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
    Hooks.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Hooks
    server.shutdown()
    server.server_close()


MODELS = ("--resource-type", "model")


@pytest.fixture(scope="module")
def dbt(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(services.database, tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="module")
def house(services: Services, dbt: Dbt) -> Iterator[Services]:
    """Two partners after their first night."""
    for partner in ("alpha", "beta"):
        furnish(services, partner)
    with services.database.partner("beta") as connection:
        price_rules.save(connection, "beta", PriceRule(ceiling=Decimal(22), currency="JPY"), services.clock())
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
        *land(
            house,
            "beta",
            "sale",
            [sale(902, now, currency="JPY"), sale(903, now, currency="JPY", contact_id="guest301", product="seat9")],
        ),
    ]
    streamed = react(house, "beta", news, run_id="stream")
    assert streamed.changed >= 3 and streamed.failed == 0
    crosswalk = "select native_id, person_id, is_canonical, matched_by from harmonized.identity where partner = 'beta'"
    with house.database.batch() as connection:
        known = set(connection.execute(text(crosswalk)).all())
    said = {name: current(house, "beta", name) for name in ("attendance", "pricing", "lead_score")}
    assert '"ceiling":22' in said["pricing"]["seat0"].document, "the partner's own bounds hold here too"
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


class Choking(Champions):
    """What serves lead scores raises at one lead's row."""

    def get(self, partner: str, use_case: str) -> Held:
        held = super().get(partner, use_case)
        return replace(held, model=ChokesAt(held.model, "guest24")) if use_case == "lead_score" else held


@dataclass
class ChokesAt:
    """A model that one row makes raise."""

    model: FittedModel
    bad: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, rows: Sequence[FeatureRow]) -> list[Prediction]:
        if any(row["contact_id"] == self.bad for row in rows):
            raise ZeroDivisionError
        return self.model.predict(rows)


def test_a_row_that_fails_keeps_its_own_insight_and_takes_nobody_elses_withdrawal_away(house: Services) -> None:
    now = house.clock()
    before = current(house, "alpha", "lead_score")
    assert before["guest23"].status != "withdrawn"
    later = {"updated_at": now.isoformat()}
    denied = {"processing": "denied", "pooling": "denied"}
    news = land(
        house, "alpha", "contact", [contact(23, now, consent=denied, **later), contact(24, now, country="FR", **later)]
    )  # fmt: skip
    done = react(house, "alpha", news, run_id="stream", memory=Memory(house, Choking(house, 4)))
    after = current(house, "alpha", "lead_score")
    assert (done.failed, done.withdrawn) == (1, 1)
    assert after["guest23"].status == "withdrawn" and parse(after["guest23"].document).value is None
    assert after["guest24"] == before["guest24"]


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


def logged(services: Services, partner: str, kind: str) -> list[dict[str, object]]:
    with services.database.partner(partner) as connection:
        rows = connection.execute(
            text("select data from ops.event_log where partner = :partner and kind = :kind order by event_id"),
            {"partner": partner, "kind": kind},
        )
        return [dict(row.data) for row in rows]


def test_what_was_landed_and_not_reacted_on_is_found_again(house: Services) -> None:
    Reactor(house).catch_up("alpha")
    land(house, "alpha", "sale", [sale(910, house.clock(), quantity=50)])
    land(house, "alpha", "contact", [contact(309, house.clock())])
    before = current(house, "alpha", "pricing")["seat0"]
    assert Reactor(house).catch_up("alpha") == 2, "another process, that was told nothing"
    assert current(house, "alpha", "pricing")["seat0"].insight_version > before.insight_version
    assert "guest309" in current(house, "alpha", "lead_score")
    assert Reactor(house).catch_up("alpha") == 0


def test_a_transaction_that_is_still_running_keeps_nobody_waiting_and_is_not_passed_over(house: Services) -> None:
    """It holds the position down; what was done above it is remembered, and done again by who does not remember."""
    reactor = Reactor(house)
    reactor.catch_up("alpha")
    with house.database.batch() as slow:
        dbt_land(slow, "contact", "alpha", "slow", house.clock())
        land(house, "alpha", "contact", [contact(311, house.clock())])
        assert reactor.catch_up("alpha") == 1 and reactor.catch_up("alpha") == 0
        assert "guest311" in current(house, "alpha", "lead_score")
        assert Reactor(house).catch_up("alpha") == 1
    assert reactor.catch_up("alpha") == 1
    assert "slow" in current(house, "alpha", "lead_score")


def test_a_partner_that_fails_stops_no_other_and_is_left_to_the_night_in_the_end(house: Services) -> None:
    for partner in ("alpha", "beta"):
        Reactor(house).catch_up(partner)
        land(house, partner, "contact", [contact(312, house.clock())])
    with house.database.owner() as connection:
        connection.execute(text("alter table insights.version add constraint no check (partner <> 'alpha') not valid"))
    turns: list[Turn] = []
    stop = threading.Event()
    reactor = Reactor(house, told=turns.append)
    running = threading.Thread(target=reactor.run, args=[stop, 2])
    running.start()
    try:
        wait(lambda: any(turn.left for turn in turns))
    finally:
        stop.set()
        running.join()
        with house.database.owner() as connection:
            connection.execute(text("alter table insights.version drop constraint no"))
    assert "guest312" in current(house, "beta", "lead_score")
    assert "guest312" not in current(house, "alpha", "lead_score")
    assert sum(turn.failed for turn in turns if turn.partner == "alpha") == TRIES
    assert not any(turn.failed for turn in turns if turn.partner == "beta")
    reason = "IntegrityError (CheckViolation, SQLSTATE 23514)"
    assert logged(house, "alpha", "stream.left_to_night")[-1] == {"records": 1, "reason": reason}


def test_a_person_split_by_a_turn_that_failed_is_whole_news_to_the_next(house: Services) -> None:
    """The crosswalk is committed before anything is scored: whoever lost a part of himself still waits after a crash."""
    now = house.clock()
    land(house, "alpha", "contact", [contact(353, now)])
    Reactor(house).catch_up("alpha")
    assert current(house, "alpha", "lead_score")["guest353"].status != "withdrawn"
    customer = contact(352, now, email="guest353@example.com", converted_at=now.isoformat())
    land(house, "alpha", "contact", [customer])
    Reactor(house).catch_up("alpha")
    assert current(house, "alpha", "lead_score")["guest353"].status == "withdrawn", "one person, who has converted"
    land(house, "alpha", "contact", [customer | {"email": "guest352@example.com", "updated_at": now.isoformat()}])
    with house.database.owner() as connection:
        connection.execute(text("alter table insights.version add constraint no check (partner <> 'alpha') not valid"))
    try:
        with pytest.raises(IntegrityError):
            Reactor(house).catch_up("alpha")
    finally:
        with house.database.owner() as connection:
            connection.execute(text("alter table insights.version drop constraint no"))
    assert Reactor(house).catch_up("alpha") == 2, "the one that was pushed, and the one it was taken from"
    assert current(house, "alpha", "lead_score")["guest353"].status != "withdrawn", "what the other did is not his"
    assert Reactor(house).catch_up("alpha") == 0


def test_whom_the_night_left_out_is_not_streamed_until_a_night_takes_it_again(house: Services) -> None:
    Reactor(house).catch_up("beta")
    exclude(house, "beta", "harmonize", "night-3", "a check failed")
    land(house, "beta", "contact", [contact(319, house.clock())])
    assert Reactor(house).catch_up("beta") == 0
    with recorded(house, "beta", "harmonize", "night-4"):
        pass
    assert Reactor(house).catch_up("beta") == 1
    assert "guest319" in current(house, "beta", "lead_score")


def test_too_many_at_once_are_the_nights(house: Services) -> None:
    few = replace(house, settings=house.settings.model_copy(update={"stream_backlog": 3}))
    Reactor(house).catch_up("beta")
    land(house, "beta", "contact", [contact(number, house.clock()) for number in range(320, 325)])
    assert Reactor(few).catch_up("beta") == 0
    assert logged(house, "beta", "stream.left_to_night")[-1] == {"records": 5, "reason": "more than 3 records at once"}
    assert Reactor(house).catch_up("beta") == 0, "the position has passed them"
    land(house, "beta", "contact", [contact(330, house.clock())])
    assert Reactor(few).catch_up("beta") == 1, "and what comes next is at once again"


def test_only_what_waits_is_too_many_and_who_still_runs_is_not_passed_over(house: Services) -> None:
    """While a transaction runs the position stands still, and what was reacted on above it is no backlog."""
    few = replace(house, settings=house.settings.model_copy(update={"stream_backlog": 3}))
    Reactor(house).catch_up("alpha")
    reactor, said = Reactor(few), len(logged(house, "alpha", "stream.left_to_night"))
    with house.database.batch() as slow:
        dbt_land(slow, "contact", "alpha", "slower", house.clock())
        for first in (360, 363, 366):
            land(house, "alpha", "contact", [contact(number, house.clock()) for number in range(first, first + 3)])
            assert reactor.catch_up("alpha") == 3
        assert len(logged(house, "alpha", "stream.left_to_night")) == said
        land(house, "alpha", "contact", [contact(number, house.clock()) for number in range(371, 375)])
        assert reactor.catch_up("alpha") == 0
        assert logged(house, "alpha", "stream.left_to_night")[said:] == [
            {"records": 4, "reason": "more than 3 records at once"}
        ]
    assert reactor.catch_up("alpha") == 1
    found = current(house, "alpha", "lead_score")
    assert "slower" in found and "guest368" in found and "guest371" not in found


def test_an_unknown_kind_is_refused(house: Services) -> None:
    with pytest.raises(InvalidInput, match="'order' is not allowed; allowed: event, contact, sale"):
        react(house, "alpha", [Touched("order", "direct", "1")], run_id="stream")


@pytest.fixture(scope="module")
def service(house: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The real service, streaming in a process beside it."""
    for partner in ("alpha", "beta"):
        Reactor(house).catch_up(partner)
    made = Service(house, tmp_path_factory.mktemp("service") / "service.log")
    made.start()
    yield made
    made.end()


@pytest.fixture(scope="module")
def alpha(house: Services, service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        client.headers.update(caller(client, house, "alpha", "sales:write contacts:write insights:read"))
        yield client


def test_one_pushed_record_is_the_same_insight_everywhere(
    house: Services, alpha: httpx.Client, service: Service, hooks: type[Hooks]
) -> None:
    webhooks.add(house.database, "alpha", hooks.url, house.clock(), allow_loopback=True, use_cases=("pricing",))
    before = current(house, "alpha", "pricing")["seat1"].insight_version
    answer = alpha.post("/v1/sales", json=[sale(921, house.clock(), quantity=90)])
    assert answer.status_code == 200 and answer.json()["accepted"] == 1
    wait(lambda: current(house, "alpha", "pricing")["seat1"].insight_version > before)
    stands = current(house, "alpha", "pricing")["seat1"]
    document = stands.document.encode()
    wait(lambda: alpha.get("/v1/insights/pricing/seat1").content == document)  # the cache is filled after the commit
    (cached,) = house.cache.get("alpha", "pricing", "seat1")
    assert (cached.document, cached.insight_version) == (document, stands.insight_version)
    wait(lambda: any(document in body for body in hooks.bodies))
    assert alpha.post("/v1/sales", json=[sale(921, house.clock(), quantity=90)]).json()["unchanged"] == 1
    wait(lambda: 'integrator_react_records_total{partner="alpha"}' in alpha.get("/metrics").text)


def test_kill_9_between_landing_and_reaction_loses_nothing(
    house: Services, alpha: httpx.Client, service: Service
) -> None:
    """First the process that streams dies with the news in its socket, then the whole service right after its answer."""
    worker = service.worker()
    os.kill(worker, signal.SIGSTOP)
    assert alpha.post("/v1/contacts", json=[contact(341, house.clock())]).status_code == 200
    os.kill(worker, signal.SIGKILL)
    wait(lambda: "guest341" in current(house, "alpha", "lead_score"))
    wait(lambda: service.worker() not in (0, worker))
    os.kill(service.worker(), signal.SIGSTOP)
    stopped = service.worker()
    assert alpha.post("/v1/contacts", json=[contact(342, house.clock())]).status_code == 200
    service.end(signal.SIGKILL)
    os.kill(stopped, signal.SIGKILL)
    assert "guest342" not in current(house, "alpha", "lead_score")
    service.start()
    wait(lambda: "guest342" in current(house, "alpha", "lead_score"))
    assert {current(house, "alpha", "lead_score")[name].insight_version for name in ("guest341", "guest342")} == {1}
