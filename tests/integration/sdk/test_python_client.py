"""The Python client against the running service: what it says has landed is there."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from integrator.security import clients
from integrator.steps.services import Services
from integrator_client import AsyncClient, AuthenticationError, Client, Problem, Progress, Unreachable, UnsendableRecord
from integrator_realtime.app import create_app
from tests.serving import serving

SCOPES = "events:write contacts:write sales:write quarantine:write insights:read"


@pytest.fixture(scope="module")
def url(services: Services) -> Iterator[str]:
    with serving(create_app(services)) as found:
        yield found


@pytest.fixture(scope="module")
def login(services: Services) -> tuple[str, str]:
    made = clients.create(services.database, "alpha", SCOPES, services.clock())
    return made.client_id, made.client_secret


@pytest.fixture
def client(url: str, login: tuple[str, str]) -> Iterator[Client]:
    with Client(url, *login, attempts=2) as made:
        yield made


def sale(native_id: str, **more: Any) -> dict[str, Any]:
    return {
        "native_id": native_id, "product": "standard", "sold_at": "2026-03-01T12:00:00Z", "quantity": 2,
        "unit_price": Decimal("19.90"), "currency": "EUR", "status": "paid", **more,
    }  # fmt: skip


def landed(services: Services, prefix: str) -> dict[str, Decimal]:
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text("""select native_id, unit_price from landing.sale
            where partner = 'alpha' and valid_to is null and starts_with(native_id, :prefix)"""),
            {"prefix": prefix},
        )
        return {row.native_id: row.unit_price for row in rows}


def test_records_are_there_when_send_returns(client: Client, services: Services) -> None:
    report = client.send("sales", (sale(f"a{n}") for n in range(250)), batch_size=100)
    assert (report.accepted, report.unchanged, report.quarantined) == (250, 0, 0)
    assert landed(services, "a") == {f"a{n}": Decimal("19.90") for n in range(250)}


def test_sending_again_changes_nothing(client: Client) -> None:
    rows = [sale(f"b{n}") for n in range(5)]
    client.send("sales", rows)
    again = client.send("sales", rows)
    assert (again.accepted, again.unchanged) == (0, 5)


def test_bad_records_name_their_place_over_all_batches(client: Client, services: Services) -> None:
    rows = [sale(f"c{n}") for n in range(25)]
    rows[17]["quantity"] = -1
    rows[23]["currency"] = "EURO"
    report = client.send("sales", rows, batch_size=10)
    assert report.accepted == 23
    assert [(r.index, r.field) for r in report.rejected] == [(17, "quantity"), (23, "currency")]
    assert all(r.reason for r in report.rejected)
    assert len(landed(services, "c")) == 23


def test_several_at_once(client: Client, services: Services) -> None:
    seen: list[Progress] = []
    report = client.send(
        "sales", (sale(f"d{n}") for n in range(600)), batch_size=100, concurrency=3, on_progress=seen.append
    )
    assert report.accepted == 600 and len(landed(services, "d")) == 600
    assert [p.records for p in seen] == [100, 200, 300, 400, 500, 600] and seen[-1].batches == 6


def test_a_buffer_sends_what_is_left(client: Client, services: Services) -> None:
    with client.buffer("sales", size=4) as buffer:
        for n in range(10):
            buffer.add(sale(f"e{n}"))
        assert buffer.report.accepted == 8
    assert buffer.report.accepted == 10 and len(landed(services, "e")) == 10


def test_every_kind_goes(client: Client) -> None:
    event = {
        "native_id": "gala",
        "starts_at": "2026-05-01T18:00:00Z",
        "timezone": "Europe/Berlin",
        "status": "scheduled",
    }
    contact = {"native_id": "p1", "created_at": "2026-01-01T00:00:00Z", "email": "ada@example.org"}
    assert client.send("events", [event]).accepted == 1
    assert client.send("contacts", [contact]).accepted == 1


def test_platforms_stand_apart(client: Client) -> None:
    client.send("sales", [sale("f1")], platform="till")
    assert client.send("sales", [sale("f1")], platform="shop").accepted == 1


def test_a_record_is_mended_through_the_client(client: Client, services: Services) -> None:
    client.send("sales", [sale("g1", status="unknown")])
    waiting = [one for one in client.quarantine(kind="sale")["quarantine"] if one["native_id"] == "g1"]
    assert len(waiting) == 1 and waiting[0]["field"] == "status"
    client.replay(waiting[0]["quarantine_id"], {**sale("g1"), "unit_price": "19.90"})
    assert set(landed(services, "g")) == {"g1"}


def test_nothing_is_sent_of_a_batch_with_an_unsendable_record(client: Client, services: Services) -> None:
    with pytest.raises(UnsendableRecord) as caught:
        client.send("sales", [sale("h0"), sale("h1", quantity=float("nan"))])
    assert caught.value.index == 1 and landed(services, "h") == {}


def test_unknown_kinds_are_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ValueError, match="events, contacts, sales"):
        client.send("tickets", [])


def test_nothing_to_send_is_no_request(login: tuple[str, str]) -> None:
    with Client("http://127.0.0.1:9", *login) as unreachable:
        assert unreachable.send("sales", []).sent == 0


def test_a_wrong_secret_is_said_at_once(url: str, login: tuple[str, str]) -> None:
    with Client(url, login[0], "wrong") as client, pytest.raises(AuthenticationError, match="unknown"):
        client.send("sales", [sale("i1")])


def test_a_missing_scope_is_named(url: str, services: Services) -> None:
    made = clients.create(services.database, "alpha", "insights:read", services.clock())
    with Client(url, made.client_id, made.client_secret) as client:
        with pytest.raises(AuthenticationError, match="sales:write"):
            client.send("sales", [sale("j1")])
        with pytest.raises(Problem) as caught:
            client.insight("attendance", "nobody")
        assert caught.value.status == 404


def test_a_service_that_is_away(login: tuple[str, str]) -> None:
    with Client("http://127.0.0.1:9", *login, attempts=1) as client, pytest.raises(Unreachable, match="no answer"):
        client.send("sales", [sale("k1")])


def test_asyncio(url: str, login: tuple[str, str], services: Services) -> None:
    seen: list[int] = []

    async def note(progress: Progress) -> None:
        seen.append(progress.records)

    async def work() -> None:
        async with AsyncClient(url, *login) as client:
            rows = (sale(f"m{n}") for n in range(300))
            report = await client.send("sales", rows, batch_size=100, concurrency=2, on_progress=note)
            assert report.accepted == 300
            with pytest.raises(Problem):
                await client.insight("attendance", "nobody")
            bad = await client.send("sales", [sale("mx", quantity=-1)])
            assert bad.rejected[0].index == 0
            found = await client.quarantine(kind="sale")
            entry = next(one for one in found["quarantine"] if one["native_id"] == "mx")
            await client.replay(entry["quarantine_id"], {**sale("mx"), "unit_price": "1.00"})

    asyncio.run(work())
    assert seen == [100, 200, 300] and len(landed(services, "m")) == 301


def test_asyncio_fails_cleanly(url: str, login: tuple[str, str]) -> None:
    async def work() -> None:
        async with AsyncClient(url, login[0], "wrong") as client:
            with pytest.raises(AuthenticationError):
                await client.send("sales", (sale(f"n{n}") for n in range(50)), batch_size=10, concurrency=3)

    asyncio.run(work())
