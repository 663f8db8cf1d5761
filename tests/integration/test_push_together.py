"""Small pushes at once: one transaction, and each its own answer, replay, refusal or failure."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.errors import InvalidInput, Unavailable
from integrator.settings import Settings
from integrator.steps import push_together as step
from integrator.steps.push import EmptyBody, KeyReused, Push, Pushed, TooManyRecords, push
from integrator.steps.push_together import Outcome, push_together
from integrator.steps.services import Services
from integrator.storage.database import Address, Database
from integrator.storage.landing_merge import lock
from integrator_realtime.app import create_app
from integrator_realtime.gathering import SMALL
from tests.pushing import GZIP, NDJSON, caller, is_problem, landed, lines, packed, sale
from tests.serving import serving


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


def one(body: bytes, key: str | None = None, form: Any = "ndjson", platform: str = "direct") -> Push:
    return Push("alpha", "client", "sale", platform, form, body, key)


def told(outcome: Outcome) -> tuple[int, int, int]:
    assert isinstance(outcome, Pushed), outcome
    answer = json.loads(outcome.body)
    assert outcome.replayed or outcome.landed.accepted == answer["accepted"]
    return answer["accepted"], answer["unchanged"], answer["quarantined"]


def transactions(services: Services, pattern: str) -> int:
    with services.database.partner("alpha") as connection:
        return int(connection.execute(
            text("select count(distinct txid) from landing.sale where partner = 'alpha' and native_id like :pattern"),
            {"pattern": pattern},
        ).scalar_one())  # fmt: skip


def test_each_is_told_of_its_own(services: Services) -> None:
    found = push_together(services, [
        one(lines(sale("a-1"))), one(b" "), one(b"{", form="array"), one(lines(sale("a-2"), sale("a-3", currency="no"))),
        one(b"\xef\xbb\xbf" + lines(sale("a-4")), "a-key"), one(b"{", "a-broken", form="array"),
    ])  # fmt: skip
    assert [told(found[place]) for place in (0, 3, 4)] == [(1, 0, 0), (1, 0, 1), (1, 0, 0)]
    assert [type(found[place]) for place in (1, 2, 5)] == [EmptyBody, InvalidInput, InvalidInput]
    assert transactions(services, "a-%") == 1


def test_an_answer_is_kept_and_comes_again(services: Services) -> None:
    whats = [one(lines(sale("r-1")), "r-1"), one(lines(sale("r-2")), "r-2")]
    first = push_together(services, whats)
    again = push_together(services, [*whats, one(lines(sale("r-3"))), one(lines(sale("r-4")), "r-1")])
    assert [told(outcome) for outcome in first] == [(1, 0, 0)] * 2
    assert [outcome.replayed for outcome in again[:3] if isinstance(outcome, Pushed)] == [True, True, False]
    assert [outcome.body for outcome in again[:2]] == [outcome.body for outcome in first]  # type: ignore[union-attr]
    assert told(again[2]) == (1, 0, 0) and isinstance(again[3], KeyReused)
    assert "r-4" not in landed(services, "alpha")
    broken = push_together(services, [one(b"{", "r-1", form="array")])
    assert isinstance(broken[0], KeyReused), "the key comes before what is wrong with the body"


def test_one_key_twice_at_once_lands_once(services: Services) -> None:
    body = lines(sale("t-1"))
    found = push_together(services, [one(body, "twice"), one(body, "twice"), one(lines(sale("t-2")))])
    assert [told(outcome) for outcome in found] == [(1, 0, 0)] * 3
    assert [outcome.replayed for outcome in found if isinstance(outcome, Pushed)] == [False, True, False]


def test_what_cannot_go_together_goes_one_by_one(services: Services) -> None:
    found = push_together(services, [one(lines(sale("o-1", quantity=number))) for number in (1, 2, 2)])
    assert [told(outcome) for outcome in found] == [(1, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert transactions(services, "o-%") == 2


def test_a_failure_of_one_alone_is_its_own(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A landing that fails takes all back; landed one by one, only the guilty one fails."""

    def poison(*_: Any) -> None:
        raise ValueError("poison")

    alone = push

    def guilty(services: Services, what: Push) -> Pushed:
        if b"p-2" in what.body:
            raise ValueError("its own")
        return alone(services, what)

    monkeypatch.setattr(step, "_keep", poison)
    monkeypatch.setattr(step, "push", guilty)
    found = push_together(services, [one(lines(sale("p-1"))), one(lines(sale("p-2"))), one(lines(sale("p-3")))])
    assert [type(outcome) for outcome in found] == [Pushed, ValueError, Pushed]
    assert {"p-1", "p-3"} <= set(landed(services, "alpha")) and told(found[0]) == (1, 0, 0)


def test_a_lost_database_is_told_once_and_not_tried_for_each(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = replace(services.database.address, port=1)
    away = replace(services, database=Database(Address(**vars(address)), services.database.master))
    monkeypatch.setattr(step, "push", lambda *_: pytest.fail("tried alone"))
    found = push_together(away, [one(lines(sale("l-1"))), one(lines(sale("l-2")))])
    assert [type(outcome) for outcome in found] == [Unavailable, Unavailable]


def test_many_records_in_few_bytes_are_still_many(services: Services) -> None:
    few = replace(services, settings=Settings(push_most_records=3))
    found = push_together(few, [one(b"1\n" * 4), one(lines(sale("m-1")))])
    assert isinstance(found[0], TooManyRecords) and told(found[1]) == (1, 0, 0)


def test_over_http_those_who_wait_are_landed_as_one(http: httpx.Client, services: Services) -> None:
    """The lock is held until all have come: the first is at it, the others are landed together behind it."""
    head = {**caller(http, services, "alpha"), **NDJSON}
    bodies = [lines(sale(f"w-{n}")) for n in range(6)] + [lines(sale("w-bad", quantity=-1)), b"  "]
    started = threading.Barrier(len(bodies) + 1)

    def send(body: bytes) -> httpx.Response:
        started.wait(10)
        return httpx.post(f"{http.base_url}/v1/sales", content=body, headers=head, timeout=20)

    with ThreadPoolExecutor(len(bodies)) as pool:
        with services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            waiting = [pool.submit(send, body) for body in bodies]
            started.wait(10)
            threading.Event().wait(0.5)
            assert not any(one.done() for one in waiting[:-1])  # the empty one has nothing to wait for
        answers = [one.result() for one in waiting]
    assert [answer.json()["accepted"] for answer in answers[:6]] == [1] * 6
    assert answers[6].json()["errors"][0]["field"] == "quantity" and answers[6].json()["errors"][0]["line"] == 1
    is_problem(answers[7], 400, "empty-body")
    assert transactions(services, "w-_") <= 3, "not six"


def test_packed_bodies_are_small_by_what_they_hold(http: httpx.Client, services: Services) -> None:
    """A little that inflates to more than a little takes the other way, and lands all the same."""
    head = {**caller(http, services, "alpha"), **NDJSON, **GZIP}
    for count in (3, 1000):
        body = lines(*(sale(f"z-{count}-{n}") for n in range(count)))
        assert (len(body) > SMALL) == (count == 1000) and len(packed(body)) < SMALL
        assert http.post("/v1/sales", content=packed(body), headers=head, timeout=30).json()["accepted"] == count
    is_problem(http.post("/v1/sales", content=b"\x1f\x8b junk", headers=head), 400, "broken-encoding")
    is_problem(http.post("/v1/sales", content=packed(b" " * (17 << 20)), headers=head), 413, "body-too-large")
