"""Idempotency-Key: one key, one landing, one answer, for twelve hours; whoever comes meanwhile waits."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.errors import Unavailable
from integrator.steps import push as step
from integrator.steps.push import KeyReused, Push, push
from integrator.steps.services import Services
from integrator.storage import idempotency
from integrator.storage.landing_merge import lock
from integrator_realtime.app import create_app
from tests.pushing import ARRAY, GZIP, NDJSON, caller, is_problem, landed, lines, packed, sale
from tests.serving import serving


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def alpha(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "alpha")


def versions(services: Services, native_id: str) -> int:
    with services.database.partner("alpha") as connection:
        return int(
            connection.execute(
                text("select count(*) from landing.sale where partner = 'alpha' and native_id = :id"), {"id": native_id}
            ).scalar_one()
        )


def test_the_same_push_again_is_answered_as_before(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    body = lines(sale("i-1"), sale("i-2", currency="nope"))
    head = {**alpha, **NDJSON, "Idempotency-Key": '"batch-1"'}
    first = http.post("/v1/sales", content=body, headers=head)
    assert first.json()["accepted"] == 1 and "idempotent-replayed" not in first.headers
    for again in (
        http.post("/v1/sales", content=body, headers=head),
        http.post("/v1/sales", content=body, headers={**head, "Idempotency-Key": "batch-1"}),
        http.post("/v1/sales", content=packed(body), headers={**head, **GZIP}),
    ):
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]


def test_another_content_under_the_same_key_is_refused(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    head = {**alpha, **NDJSON, "Idempotency-Key": "other"}
    assert http.post("/v1/sales", content=lines(sale("o-1")), headers=head).status_code == 200
    for url, content, headers in (
        ("/v1/sales", lines(sale("o-2")), head),
        ("/v1/sales?platform=tills", lines(sale("o-1")), head),
        ("/v1/sales", lines(sale("o-1")), {**head, **ARRAY}),
    ):
        is_problem(http.post(url, content=content, headers=headers), 422, "idempotency-key-reused")
    assert "o-2" not in landed(services, "alpha")


def test_keys_are_the_clients_own_and_per_route(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    head = {**NDJSON, "Idempotency-Key": "everybodys"}
    assert http.post("/v1/sales", content=lines(sale("k-1")), headers={**alpha, **head}).json()["accepted"] == 1
    for other in (caller(http, services, "alpha"), caller(http, services, "beta")):
        answer = http.post("/v1/sales", content=lines(sale("k-2")), headers={**other, **head})
        assert answer.status_code == 200 and "idempotent-replayed" not in answer.headers
    event = {"native_id": "k", "starts_at": "2026-04-01T19:00:00Z", "timezone": "UTC", "status": "scheduled"}
    assert http.post("/v1/events", content=lines(event), headers={**alpha, **head}).json()["accepted"] == 1


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "ä", "a\tb"])
def test_what_is_no_key_is_refused(http: httpx.Client, alpha: dict[str, str], key: str) -> None:
    head = [*{**alpha, **NDJSON}.items(), ("Idempotency-Key", key)]
    sent = [(name.encode(), value.encode("utf-8")) for name, value in head]
    answer = http.post("/v1/sales", content=lines(sale("never")), headers=sent)
    is_problem(answer, 400, "idempotency-key-invalid")
    twice = [*sent[:-1], (b"Idempotency-Key", b"one"), (b"Idempotency-Key", b"two")]
    is_problem(http.post("/v1/sales", content=b"x", headers=twice), 400, "idempotency-key-invalid")


def test_a_refused_body_keeps_no_answer(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    head = {**alpha, **ARRAY, "Idempotency-Key": "mended"}
    is_problem(http.post("/v1/sales", content=b"{", headers=head), 422, "invalid-input")
    assert http.post("/v1/sales", json=[sale("m-1")], headers=head).json()["accepted"] == 1


def test_duplicates_at_once_wait_for_the_first(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    """The landing lock is held here, so that all of them are under way before any can land."""
    body = lines(sale("d-1"), sale("d-2"))
    head = {**alpha, **NDJSON, "Idempotency-Key": "at-once"}
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(httpx.post(f"{http.base_url}/v1/sales", content=body, headers=head))

    with services.database.partner("alpha") as connection:
        lock(connection, "alpha", "direct", "sale")
        threads = [threading.Thread(target=send) for _ in range(5)]
        for thread in threads:
            thread.start()
        threads[0].join(0.3)
        assert not answers
    for thread in threads:
        thread.join(20)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert {answer.content for answer in answers} == {answers[0].content} and answers[0].json()["accepted"] == 2
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == ["", *["true"] * 4]
    assert versions(services, "d-1") == 1


def one_push(key: str, body: bytes) -> Push:
    return Push("alpha", "client", "sale", "direct", "ndjson", body, key)


def test_after_twelve_hours_the_key_is_free_again(services: Services) -> None:
    now = services.clock()
    later = replace(services, clock=lambda: now + idempotency.KEPT)
    almost = replace(services, clock=lambda: now + idempotency.KEPT - timedelta(seconds=1))
    assert not push(services, one_push("hours", lines(sale("h-1")))).replayed
    assert push(almost, one_push("hours", lines(sale("h-1")))).replayed
    with pytest.raises(KeyReused):
        push(almost, one_push("hours", lines(sale("h-2"))))
    assert not push(later, one_push("hours", lines(sale("h-2")))).replayed
    assert push(later, one_push("hours", lines(sale("h-2")))).replayed


def test_what_has_expired_is_swept(services: Services) -> None:
    now = services.clock()
    for number in range(3):
        push(services, one_push(f"sweep-{number}", lines(sale("w-1"))))
    later = replace(services, clock=lambda: now + 2 * idempotency.KEPT + timedelta(hours=13))
    push(later, one_push("sweeper", lines(sale("w-1"))))
    with services.database.partner("alpha") as connection:
        keys = connection.execute(text("select key from ops.idempotency where partner = 'alpha'")).scalars().all()
    assert keys == ["sweeper"]


def test_the_answer_is_kept_with_what_it_acknowledges_or_not_at_all(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(step.idempotency, "keep", fail)
        with pytest.raises(Unavailable):
            push(services, one_push("torn", lines(sale("t-1"))))
    assert "t-1" not in landed(services, "alpha")
    assert not push(services, one_push("torn", lines(sale("t-1")))).replayed
    assert "t-1" in landed(services, "alpha")


def test_another_tenants_transaction_sees_no_answer(services: Services) -> None:
    push(services, one_push("secret", lines(sale("z-1"))))
    with services.database.partner("beta") as connection:
        assert (
            connection.execute(text("select count(*) from ops.idempotency where partner = 'alpha'")).scalar_one() == 0
        )
