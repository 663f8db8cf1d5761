"""A YAML file's connection from the platform into landing: two accounts of one file, what is bad, what is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from integrator.steps import ingest
from integrator.steps.services import Services
from integrator.storage import connections
from integrator.storage.connections import PlatformConnection
from tests.declarative_api import TOKEN, Shop, order, show, stocked
from tests.serving import serving

FILE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "examples" / "boxoffice.yaml"
KINDS = ("event", "contact", "sale")


@pytest.fixture
def shop(services: Services) -> Iterator[Shop]:
    """The ticket shop, served, with two accounts of it connected by one file."""
    made = stocked()
    with serving(made.app()) as url, services.database.partner("alpha") as connection:
        for name, more in (("south", {}), ("north", {"prefix": "north"})):
            settings = {"definition": FILE.read_text(), "base_url": f"{url}/v1", "venue": "main", **more}
            account = PlatformConnection(
                partner="alpha", connection_id=name, platform="declarative", settings=settings,
                credentials={"token": TOKEN},
            )  # fmt: skip
            connections.save(connection, services.database.master, account, services.clock())
        connection.commit()
        yield made


def ids(services: Services, kind: str) -> set[str]:
    """The native ids there are now, without deleted ones."""
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text(f"""select native_id from landing.{kind}
            where platform = 'declarative' and valid_to is null and deleted_at is null""")
        )
        return set(rows.scalars())


def test_two_accounts_of_a_file_land_beside_each_other_once(services: Services, shop: Shop) -> None:
    shop.shows[3] = {**show(3), "starts": "soon"}

    def all_kinds() -> dict[str, Any]:
        return {kind: ingest.ingest(services, "alpha", "declarative", kind).landed for kind in KINDS}

    first = all_kinds()
    assert {kind: result.accepted for kind, result in first.items()} == {"event": 238, "contact": 460, "sale": 988}
    assert [error.field for error in first["event"].errors] == ["starts_at", "starts_at"]
    assert {"boxoffice:0", "north:0"} <= ids(services, "event")
    assert not ingest.has_news(services, "alpha", "declarative")

    shop.orders[4] = order(4, changed=500)
    del shop.shows[7]
    assert ingest.has_news(services, "alpha", "declarative")
    again = all_kinds()
    assert again["contact"].accepted + again["contact"].unchanged == 0
    assert (again["sale"].accepted, again["sale"].unchanged) == (4, 0)
    assert not {"boxoffice:7", "north:7"} & ids(services, "event")
    assert len(ids(services, "event")) == 236
