"""A record produced to Kafka becomes an insight everywhere: in the tables, the cache, the outbox, and the topic of insights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from confluent_kafka import Message
from sqlalchemy import text

from integrator.storage import webhooks
from tests.integration.dbt_runs import Dbt
from tests.stream.broker import headers_of
from tests.stream.worker import World, until
from tests.streaming import contact, furnish, publish_all


def test_a_record_through_kafka_changes_the_insight_everywhere_with_the_same_bytes(
    own_world: World, tmp_path: Path
) -> None:
    world = own_world
    services = replace(world.services, clock=world.services.settings.clock())
    furnish(services, "alpha")
    Dbt(services.database, tmp_path).night(services.clock(), "--resource-type", "model")
    publish_all(services, "alpha", "night")
    webhooks.add(
        services.database,
        "alpha",
        "http://127.0.0.1:9/hook",
        services.clock(),
        allow_loopback=True,
        use_cases=("lead_score",),
    )
    now = services.clock()
    lead: dict[str, Any] = {**contact(7051, now), "partner": "alpha", "kind": "contact", "platform": "direct"}
    with world.worker(ALLOW_LOOPBACK_WEBHOOKS="true") as worker:
        world.send(lead)
        until(lambda: _of(world, lead["native_id"]), lambda: world.log.read_text()[-3000:])
        (first,) = _of(world, lead["native_id"])
        world.send({**lead, "stage": "demo", "updated_at": now.isoformat(), "converted_at": now.isoformat()})
        until(lambda: len(_of(world, lead["native_id"])) == 2, lambda: world.log.read_text()[-3000:])
        assert worker.metric('integrator_stream_reactions_total{partner="alpha",what="records"}') >= 2
    log = world.log.read_text()
    assert "INFO integrator_stream" in log and "procrastinate" not in log, (
        "calls for webhooks are made, and not told of"
    )
    messages = _of(world, lead["native_id"])
    assert [headers_of(message)["insight_version"] for message in messages] == ["1", "2"]
    assert [headers_of(message)["type"] for message in messages] == ["insight.updated", "insight.withdrawn"]
    assert messages[0].value() == first.value()
    documents = [(message.value() or b"").decode() for message in messages]
    identity = headers_of(first)["id"]
    with services.database.partner("alpha") as connection:
        versions = connection.execute(
            text("select document from insights.version where partner = 'alpha' and insight_id = :id order by insight_version"),
            {"id": identity},
        ).scalars().all()  # fmt: skip
        bodies = connection.execute(
            text("select body from ops.outbox where partner = 'alpha' and insight_id = :id order by insight_version"),
            {"id": identity},
        ).scalars().all()  # fmt: skip
    assert list(versions) == documents
    assert bodies and all(any(document in body for document in documents) for body in bodies)
    cached = services.cache.get("alpha", "lead_score", lead["native_id"])
    assert [entry.document.decode() for entry in cached] == documents[-1:]


def _of(world: World, native_id: str) -> list[Message]:
    """What the topic says of one contact, in order."""
    found = world.broker.read_all(world.insights, seconds=10)
    return [message for message in found if json.loads(message.value() or b"")["subject"]["id"] == native_id]
