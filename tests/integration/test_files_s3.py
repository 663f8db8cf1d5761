"""Dropped files in an S3-compatible store, over its real protocol on loopback."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from sqlalchemy import text

from integrator.contracts.errors import Conflict, Forbidden, Unavailable
from integrator.embedded.endpoints import HOST, free_port
from integrator.settings import Settings
from integrator.steps import files
from integrator.steps.services import Services
from integrator.storage import partners
from integrator.storage.partners import Partner
from tests.conftest import NOW
from tests.integration.test_files import lines

BUCKET = "dropped"
KEYS = {"key": "a-key", "secret": "a-secret-word"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 server with one empty bucket; its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=HOST, port=free_port())
    server.start()
    host, port = server.get_host_and_port()
    client(f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
    yield f"http://{host}:{port}"
    server.stop()


def client(endpoint: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=KEYS["key"], aws_secret_access_key=KEYS["secret"],
        region_name="us-east-1",
    )  # fmt: skip


def options(endpoint: str) -> SecretStr:
    return SecretStr(json.dumps({**KEYS, "client_kwargs": {"endpoint_url": endpoint, "region_name": "us-east-1"}}))


@pytest.fixture
def dropped(database: Any, server: Any, store: str) -> Services:
    """Services over the store, the bucket and the partner's tables empty."""
    s3 = client(store)
    for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
    settings = Settings(home=server.home, drop_url=f"s3://{BUCKET}/in/here", drop_options=options(store))
    partners.register(database, Partner(partner="alpha", timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    with database.partner("alpha") as connection:
        for table in ("landing.sale", "ops.dropped_file"):
            connection.execute(text(f"delete from {table} where partner = 'alpha'"))
    return Services(settings, database, server.redis_url, lambda: NOW)


def put(store: str, path: str, content: str) -> None:
    client(store).put_object(Bucket=BUCKET, Key=path, Body=content.encode())


def read(store: str, path: str) -> Any:
    return json.loads(client(store).get_object(Bucket=BUCKET, Key=path)["Body"].read())


def test_an_object_is_landed_at_once_and_once(dropped: Services, store: str) -> None:
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1", "s2"))
    put(store, "in/here/alpha/sales/2026/b.ndjson", lines("s3", "s4", quantity=-1))
    put(store, "in/here/alpha/sales/empty/", "")
    put(store, "in/here/beta/sales/theirs.ndjson", lines("theirs"))
    put(store, "in/here/alphabet/sales/theirs.ndjson", lines("theirs"))
    put(store, "elsewhere/alpha/sales/c.ndjson", lines("elsewhere"))
    found = files.land(dropped, "alpha")
    assert [(entry.path, entry.accepted, entry.quarantined) for entry in found.entries] == [
        ("alpha/sales/2026/b.ndjson", 0, 2), ("alpha/sales/a.ndjson", 2, 0),
    ]  # fmt: skip
    told = read(store, "in/here/alpha/sales/a.ndjson.report.json")
    assert (told["status"], told["accepted"], told["errors"]) == ("landed", 2, [])
    assert files.land(dropped, "alpha").entries == () and files.waiting(dropped, "alpha") == []


def test_the_same_content_again_is_seen_by_its_etag_and_a_change_is_landed(dropped: Services, store: str) -> None:
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1"))
    files.land(dropped, "alpha")
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1"))
    assert files.waiting(dropped, "alpha") == []
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1", "s2"))
    (entry,) = files.land(dropped, "alpha").entries
    assert (entry.accepted, entry.unchanged) == (1, 1)


def test_a_mapping_lies_in_the_store_too(dropped: Services, store: str) -> None:
    from tests.integration.test_files import MAPPING

    put(store, "in/here/alpha/mapping.yaml", MAPPING)
    put(
        store,
        "in/here/alpha/till/x.csv",
        "Order,Item,When,Pieces,Price,State\n77,Tea,05.03.2026 18:30,2,3.20,bezahlt\n",
    )
    (entry,) = files.land(dropped, "alpha").entries
    assert (entry.status, entry.accepted) == ("landed", 1)


def test_an_object_that_changes_while_it_is_read_waits(dropped: Services, store: str, tmp_path: Path) -> None:
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1"))
    (one,) = files.waiting(dropped, "alpha")
    put(store, "in/here/alpha/sales/a.ndjson", lines("s1", "s2"))
    drop = files.open_drop(dropped)
    assert drop is not None
    with pytest.raises(Conflict, match="changed while"):
        drop.fetch(one.file, tmp_path / "copy")
    client(store).delete_object(Bucket=BUCKET, Key="in/here/alpha/sales/a.ndjson")
    with pytest.raises(Conflict, match="went while"):
        drop.fetch(one.file, tmp_path / "copy")
    assert files.land(dropped, "alpha").entries == ()


def test_a_store_that_is_away_is_worth_another_try_and_names_no_secret(dropped: Services) -> None:
    away = json.loads(options(f"http://{HOST}:{free_port()}").get_secret_value())
    away["config_kwargs"] = {"retries": {"max_attempts": 0}, "connect_timeout": 1}
    settings = dropped.settings.model_copy(update={"drop_options": SecretStr(json.dumps(away))})
    with pytest.raises((Unavailable, Forbidden)) as caught:
        files.waiting(replace(dropped, settings=settings), "alpha")
    assert isinstance(caught.value, Unavailable)
    assert KEYS["secret"] not in str(caught.value) and KEYS["secret"] not in repr(settings)
