"""One record pushed over HTTP changes the same insight in every place a host may want it: the same version, the same bytes."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from integrator.security import clients, origins
from integrator.settings import Settings
from integrator.steps import host_databases
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import webhooks
from integrator.storage.insights import Served
from integrator.storage.roles import create_partner_role
from integrator_sandbox import host
from tests.integration.dbt_runs import Dbt
from tests.publishing import register_both
from tests.pushing import caller
from tests.serving import serving
from tests.stream.broker import Broker, headers_of, running_broker
from tests.streaming import Service, current, furnish, publish_all, sale, wait
from tests.webhook_receiver import Receiver

MOMENT = datetime(2026, 3, 16, 12, tzinfo=UTC)
TOPIC = "everywhere.insights"
SUBJECT = "seat1"
MAPPED = {
    "subject_id": "product",
    "platform": "shop",
    "insight_version": "version",
    "value": "price",
    "status": "state",
    "document": "doc",
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as found:
        yield found


@pytest.fixture(scope="module")
def house(database: Any, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Services:
    """A partner after its first night, whose SQLite database may be written to."""
    folder = tmp_path_factory.mktemp("hosts")
    (folder / "alpha").mkdir()
    settings = Settings(home=server.home, allow_loopback_webhooks=True, host_database_folder=folder)
    made = Services(settings, database, server.redis_url, lambda: MOMENT)
    with Redis.from_url(server.redis_url) as redis:
        redis.flushdb()
    register_both(made, MOMENT)
    furnish(made, "alpha")
    Dbt(made.database, tmp_path_factory.mktemp("dbt")).night(MOMENT, "--resource-type", "model")
    publish_all(made, "alpha", "night-1")
    return made


@pytest.fixture(scope="module")
def service(house: Services, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "KAFKA_BOOTSTRAP": broker.bootstrap, "KAFKA_INSIGHTS_TOPIC": TOPIC,
        "HOST_DATABASE_FOLDER": str(house.settings.host_database_folder),
    }  # fmt: skip
    made = Service(house, tmp_path_factory.mktemp("service") / "service.log", **settings)
    made.start()
    yield made
    made.end()


@pytest.fixture(scope="module")
def api(house: Services, service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        client.headers.update(caller(client, house, "alpha", "sales:write insights:read"))
        yield client


@pytest.fixture(scope="module")
def own_table(house: Services) -> Path:
    """The host's own database with the table it made."""
    file = Path(str(house.settings.host_database_folder)) / "alpha" / "shop.db"
    with create_engine(f"sqlite:///{file}", poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql(
            "create table prices (product text, shop text, version integer, price numeric, state text, doc text, primary key (product, shop))"
        )
    wanted = host_databases.Wanted(
        name="shop", address=f"sqlite:///{file}", table="prices", columns=MAPPED, tls="off",
        key=("subject_id", "platform"), use_cases=("pricing",), subject_kinds=("product",),
    )  # fmt: skip
    host_databases.save(house, Actor("alpha", "tester"), wanted)
    return file


@pytest.fixture(scope="module")
def page_url(house: Services, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host's page with its backend, at an origin that is registered."""
    backend = FastAPI()
    backend.include_router(host.router(tmp_path_factory.mktemp("host")))
    client = clients.create(house.database, "alpha", "insights:read widgets:issue", house.clock())
    account = {"api": service.url, "client_id": client.client_id, "client_secret": client.client_secret}
    with serving(backend) as url:
        origins.add(house.database, "alpha", url, house.clock())
        assert httpx.put(f"{url}/_sandbox/hosts/alpha", json=account).status_code == 204
        yield f"{url}/host/alpha?use_case=pricing&subject={SUBJECT}"


class Stream:
    """An open event stream of one subject: the documents as they came."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.documents: list[str] = []
        self._url, self._headers = f"{url}/v1/live?use_case=pricing&subject={SUBJECT}", headers
        self.is_open = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        event = ""
        with httpx.stream("GET", self._url, headers=self._headers, timeout=120) as answer:
            for line in answer.iter_lines():
                self.is_open.set()
                event = line.removeprefix("event:").strip() if line.startswith("event:") else event
                if line.startswith("data:") and event == "insight":
                    self.documents.append(line.removeprefix("data:").strip())


def stands(house: Services) -> Served:
    return current(house, "alpha", "pricing")[SUBJECT]


def row_of(file: Path) -> dict[str, Any]:
    with create_engine(f"sqlite:///{file}", poolclass=NullPool).begin() as connection:
        found = connection.execute(text("select * from prices where product = :product"), {"product": SUBJECT})
        return next((dict(row) for row in found.mappings()), {})


def in_tables(house: Services) -> tuple[int, str]:
    """As the partner's own login reads it."""
    url = create_partner_role(house.database, "alpha")
    assert url is not None
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(
            "select insight_version, document from insights.pricing where subject_id = %s", [SUBJECT]
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_one_record_changes_all_places(
    house: Services,
    service: Service,
    api: httpx.Client,
    broker: Broker,
    own_table: Path,
    page_url: str,
    browser: Browser,
) -> None:
    receiver: Any = Receiver()
    page = browser.new_context(viewport={"width": 460, "height": 420}, locale="en-GB").new_page()
    with serving(receiver) as hook:
        webhooks.add(house.database, "alpha", f"{hook}/", house.clock(), allow_loopback=True, use_cases=("pricing",))
        before = stands(house)
        summary = json.loads(before.document)["explanation"]["summary"]
        stream = Stream(service.url, dict(api.headers))
        assert stream.is_open.wait(30)
        page.goto(page_url)
        sentence = page.locator("integrator-insight").locator(".sentence")
        expect(sentence).to_have_text(summary, timeout=30_000)
        wait(lambda: row_of(own_table).get("version") == before.insight_version)

        sold = (MOMENT - timedelta(hours=1)).isoformat()
        record = sale(921, MOMENT, sold_at=sold, updated_at=sold, quantity=90, unit_price="45")
        pushed = api.post("/v1/sales", json=[record])
        assert pushed.status_code == 200 and pushed.json()["accepted"] == 1
        wait(lambda: stands(house).insight_version > before.insight_version)
        now = stands(house)
        told = json.loads(now.document)["explanation"]["summary"]
        assert json.loads(now.document)["value"] != json.loads(before.document)["value"]
        assert told != summary

        wait(lambda: api.get(f"/v1/insights/pricing/{SUBJECT}").text == now.document)
        wait(lambda: any(now.document.encode() in body for _, body in receiver.got))
        wait(lambda: row_of(own_table).get("version") == now.insight_version)
        wait(lambda: now.document in stream.documents)
        expect(sentence).to_have_text(told, timeout=30_000)
    page.context.close()
    (cached,) = house.cache.get("alpha", "pricing", SUBJECT)
    assert (cached.document.decode(), cached.insight_version) == (now.document, now.insight_version)
    assert in_tables(house) == (now.insight_version, now.document)
    assert row_of(own_table)["doc"] == now.document
    assert stream.documents.count(now.document) == 1
    produced = {
        headers_of(message)["insight_version"]: (message.value() or b"").decode()
        for message in broker.read_all(TOPIC, 2)
        if headers_of(message)["id"] == now.insight_id
    }
    assert produced[str(now.insight_version)] == now.document
