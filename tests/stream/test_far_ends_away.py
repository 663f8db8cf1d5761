"""PostgreSQL away, brokers away, one partner stuck: what can go on does, and the rest follows, once, when it is over."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from integrator.embedded import postgres
from integrator.embedded.session import close_storage
from integrator.settings import Settings
from integrator.steps.services import open_services
from integrator.storage.landing_merge import lock
from tests.publishing import register_both
from tests.stream.broker import Broker, headers_of
from tests.stream.worker import Process, World, sale, until


@pytest.fixture
def own_postgres(broker: Broker, tmp_path: Path) -> Iterator[World]:
    """A world whose PostgreSQL nobody else uses."""
    home = Path(tempfile.mkdtemp(prefix="integrator-away-", dir="/tmp"))
    home.chmod(0o711)
    services = open_services(Settings(home=home))
    register_both(services, datetime.now(UTC))
    world = World(broker, services, "own_postgres", services.database.master._raw, tmp_path / "log")
    broker.make_topic(world.records)
    yield world
    services.database.close()
    close_storage(Settings(home=home))
    shutil.rmtree(home, ignore_errors=True)


def test_a_database_that_is_away_is_waited_for_by_a_member_of_the_group(own_postgres: World) -> None:
    world = own_postgres
    home = world.services.settings.root
    with world.worker(KAFKA_HELD_MEBIBYTES="0.2") as worker:
        world.send(*(sale(f"before-{number}") for number in range(10)))
        until(lambda: len(world.sales()) == 10)
        world.services.database.close()
        postgres.stop(home)
        for quantity in (1, 2, 1):
            world.send(*(sale(f"s-{number}", quantity=quantity) for number in range(300)))
        until(lambda: worker.metric("integrator_stream_paused") == 1)
        until(lambda: worker.metric('integrator_stream_failures_total{partner="alpha"}') >= 2)
        assert worker.metric("integrator_stream_held_bytes") < (1 << 20)
        postgres.start(home, world.services.database.master)
        until(lambda: sum(world.broker.group_stands_at(world.name, world.records).values()) == 910)
        until(lambda: worker.metric("integrator_stream_paused") == 0)
    found = world.rows(
        "select array_agg(quantity order by valid_from, version_id) from landing.sale where partner = :partner"
        " and native_id like 's-%' group by native_id"
    )
    assert [quantities for (quantities,) in found] == [[1, 2, 1]] * 300
    assert world.log.read_text().count("reading partitions") == 1, "the group never took them away"
    assert world.broker.read_all(world.dead_letters) == []


def test_brokers_that_are_away_are_waited_for(own_world: World) -> None:
    world = own_world
    with world.worker() as worker:
        world.send(sale("before"))
        until(lambda: world.sales() == ["before"])
        world.broker.stop()
        try:
            until(lambda: "broker" in world.log.read_text().lower())
            assert worker.process.poll() is None
        finally:
            world.broker.start()
        world.send(sale("since"))
        until(lambda: world.sales() == ["before", "since"])


def test_a_partner_that_is_stuck_stops_no_other_and_loses_nothing(own_world: World) -> None:
    world = own_world
    with world.worker(KAFKA_HELD_MEBIBYTES="0.1", KAFKA_BATCH_RECORDS="50") as worker:
        with world.services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            for quantity in (1, 2, 1):
                world.send(*(sale(f"a-{number}", quantity=quantity) for number in range(200)))
            world.send(*(sale(f"b-{number}", "beta", currency="JPY", unit_price=900) for number in range(200)))
            until(lambda: len(world.sales("beta")) == 200, lambda: world.log.read_text()[-3000:])
            assert world.sales("alpha") == []
            assert worker.metric("integrator_stream_held_bytes") < (1 << 20)
            stands = world.broker.group_stands_at(world.name, world.records)
            assert sum(stands.values()) < 800, "the group stays before what has not landed"
        until(lambda: len(world.sales()) == 200)
        until(lambda: sum(world.broker.group_stands_at(world.name, world.records).values()) == 800)
    found = world.rows(
        "select array_agg(quantity order by valid_from, version_id) from landing.sale where partner = :partner group by native_id"
    )
    assert [quantities for (quantities,) in found] == [[1, 2, 1]] * 200


def test_what_not_even_quarantine_can_take_is_kept_as_a_dead_letter(own_world: World) -> None:
    world = own_world
    with world.services.database.partner("alpha") as connection:
        connection.execute(text("update integrator.data_key set dropped_at = now() where partner = 'alpha'"))
    with world.worker():
        world.send(sale("lost"), sale("b", "beta", currency="JPY", unit_price=900))
        (letter,) = world.broker.read(world.dead_letters, 1)
        until(lambda: world.sales("beta") == ["b"])
    assert (letter.key(), headers_of(letter)["reason"]) == (b"alpha/sale/lost", "partner-unable")


def test_a_wrong_password_is_said_and_not_shown(own_world: World, tmp_path: Path) -> None:
    """The worker keeps trying, as brokers may be mended; who reads the log learns why, and no secret."""
    with guarded_broker(tmp_path) as broker:
        world = World(broker, own_world.services, own_world.name, own_world.master, tmp_path / "log")
        login = {"KAFKA_SECURITY": "sasl_plaintext", "KAFKA_MECHANISM": "PLAIN", "KAFKA_USER": "worker"}
        process = Process(world, {**login, "KAFKA_PASSWORD": "not-the-secret"})
        try:
            until(lambda: "uthentication" in world.log.read_text(), lambda: world.log.read_text())
        finally:
            process.end()
        assert "not-the-secret" not in world.log.read_text()
        with world.worker(**login, KAFKA_PASSWORD="s3cret-word"):
            until(lambda: "reading partitions" in world.log.read_text())
        assert "s3cret-word" not in world.log.read_text()


@contextmanager
def guarded_broker(home: Path) -> Iterator[Broker]:
    """One that asks who is there."""
    broker = Broker(home / "guarded", "--user", "worker:s3cret-word")
    try:
        yield broker
    finally:
        broker.stop()
