"""Records through a real Kafka: they land once, in order, whatever happens to worker, group or topic."""

import json
from collections import Counter

from confluent_kafka import Message

from tests.stream.broker import Broker, headers_of
from tests.stream.worker import Process, World, sale, until


def test_records_land_and_what_cannot_be_read_is_kept_apart(world: World) -> None:
    with world.worker() as worker:
        world.send(*(sale(f"s-{number}") for number in range(50)), sale("b-1", "beta", currency="JPY", unit_price=900))
        world.broker.send(
            world.records,
            [
                ("alpha/sale/broken", b'{"partner": "alpha", "email": "ada@example.org'),
                ("alpha/sale/odd", sale("odd", status="odd", attributes={"ada@example.org": "x"})),
                ("alpha/sale/one", sale("another")),
                ("alpha/person/p-1", {"partner": "alpha", "kind": "person", "native_id": "p-1"}),
                ("nobody/sale/s-1", sale("s-1", "nobody")),
                ("alpha/sale/s-9", sale("s-9", "beta")),
                ("no key", sale("x")),
                (None, sale("y")),
                ("alpha/sale/nothing", b""),
            ],
            headers=[("odd", b"\xff\xfe"), ("content-type", b"application/json")],
        )  # fmt: skip
        letters = world.broker.read(world.dead_letters, 9)
        until(lambda: len(world.sales()) == 50 and world.sales("beta") == ["b-1"])
        until(lambda: worker.metric("integrator_stream_dead_letters_total") == 9)
    reasons = sorted(headers_of(letter)["reason"] for letter in letters)
    assert reasons == [
        "key-invalid", "key-invalid", "key-mismatch", "kind-unknown", "not-json", "not-json", "partner-mismatch",
        "partner-unknown", "record-invalid",
    ]  # fmt: skip
    assert all("example.org" not in str(headers_of(letter)) for letter in letters)
    assert all(headers_of(letter)["source-topic"] == world.records for letter in letters)
    by_key = {letter.key(): letter for letter in letters if letter.key()}
    assert json.loads(by_key[b"alpha/sale/odd"].value() or b"")["status"] == "odd"
    assert headers_of(by_key[b"alpha/sale/odd"])["field"] == "status"
    filed = world.rows("select kind, reason from landing.quarantine where partner = :partner order by quarantine_id")
    assert sorted(kind for kind, _ in filed) == ["person", "sale", "sale", "sale", "sale"]
    assert world.rows("select count(*) from landing.quarantine where partner = :partner", "beta") == [(0,)]
    assert "example.org" not in world.log.read_text()
    assert "Traceback" not in world.log.read_text()


def test_a_group_whose_commits_were_lost_doubles_nothing(world: World) -> None:
    with world.worker():
        for quantity in (1, 2, 1):
            world.send(sale("aba", quantity=quantity))
            until(lambda quantity=quantity: world.versions("aba")[-1:] == [quantity])
        ended = world.broker.read_all(world.records)
    until(lambda: sum(world.broker.group_stands_at(world.name, world.records).values()) == len(ended))
    before = world.rows("select count(*) from landing.sale where partner = :partner")
    letters = len(world.broker.read_all(world.dead_letters))
    world.broker.put_group_back(world.name, world.records)
    with world.worker() as worker:
        world.send(sale("after"))
        until(lambda: "after" in world.sales())
        until(lambda: worker.metric('integrator_stream_records_total{outcome="skipped"}') >= 50)
    assert world.versions("aba") == [1, 2, 1]
    assert world.rows("select count(*) from landing.sale where partner = :partner") == [(before[0][0] + 1,)]
    # What no partner can be named for has no place in PostgreSQL: it may be told twice, under the same source.
    told = Counter(_source(letter) for letter in world.broker.read_all(world.dead_letters))
    assert {reason for (reason, *_), times in told.items() if times > 1} <= {
        "key-invalid", "partner-unknown", "partner-mismatch",
    }  # fmt: skip
    assert len(told) == letters


def _source(letter: Message) -> tuple[str, str, str]:
    headers = headers_of(letter)
    return headers["reason"], headers["source-partition"], headers["source-offset"]


def test_a_resend_changes_nothing_and_a_message_without_value_deletes(world: World) -> None:
    with world.worker():
        world.send(sale("gone", platform="shop"), sale("both", platform="shop"), sale("both"))
        until(lambda: world.sales().count("both") == 2 and "gone" in world.sales())
        world.send(sale("gone", platform="shop"))
        world.broker.send(
            world.records, [("alpha/sale/gone", None), ("alpha/sale/both", None), ("alpha/sale/never", None)]
        )
        until(lambda: "gone" not in world.sales())
        (letter,) = [one for one in world.broker.read(world.dead_letters, 1) if one.key() == b"alpha/sale/both"]
        assert headers_of(letter)["reason"] == "platform-ambiguous"
        world.broker.send(world.records, [("alpha/sale/both", None)], headers=[("platform", b"shop")])
        until(lambda: world.sales().count("both") == 1)
        world.send(sale("gone", platform="shop", quantity=5))
        until(lambda: "gone" in world.sales())
    found = world.rows("select quantity, deleted_at is not null from landing.sale where partner = :partner"
                       " and native_id = 'gone' order by valid_from, version_id")  # fmt: skip
    assert found == [(2, False), (2, True), (5, False)]


def test_kill_9_under_load_loses_nothing_and_doubles_nothing(own_world: World) -> None:
    world, wanted, kills = own_world, [1, 2, 1], 3
    for round_ in range(kills):
        process = Process(world, {"KAFKA_BATCH_RECORDS": "40"})
        process.await_partitions()
        for quantity in wanted:
            world.send(*(sale(f"{round_}-{number}", quantity=quantity) for number in range(200)))
        landed = 200 * round_
        until(lambda landed=landed: len(world.sales()) > landed)
        process.kill()
    with world.worker():
        until(lambda: sum(world.broker.group_stands_at(world.name, world.records).values()) == 600 * kills)
    found = world.rows("select native_id, array_agg(quantity order by valid_from, version_id) from landing.sale"
                       " where partner = :partner group by native_id")  # fmt: skip
    assert len(found) == 200 * kills
    assert {tuple(quantities) for _, quantities in found} == {tuple(wanted)}


def test_two_workers_share_the_partitions_and_a_rebalance_doubles_nothing(own_world: World) -> None:
    world = own_world
    with world.worker(KAFKA_BATCH_RECORDS="20") as first:
        world.send(*(sale(f"a-{number}", quantity=quantity) for quantity in (1, 2, 1) for number in range(150)))
        with world.worker(KAFKA_BATCH_RECORDS="20") as second:
            world.send(*(sale(f"b-{number}", quantity=quantity) for quantity in (1, 2, 1) for number in range(150)))
            until(lambda: len(world.sales()) == 300)
            until(lambda: sum(world.broker.group_stands_at(world.name, world.records).values()) == 900)
            both = [
                sum(one.metric(f'integrator_stream_records_total{{outcome="{outcome}"}}') for outcome in ("accepted", "unchanged"))
                for one in (first, second)
            ]  # fmt: skip
            assert all(both), both
        world.send(sale("last"))
        until(lambda: "last" in world.sales())
    found = world.rows("select array_agg(quantity order by valid_from, version_id) from landing.sale"
                       " where partner = :partner and native_id <> 'last' group by native_id")  # fmt: skip
    assert [quantities for (quantities,) in found] == [[1, 2, 1]] * 300


def test_a_topic_made_anew_starts_afresh(own_world: World) -> None:
    world = own_world
    with world.worker():
        world.send(*(sale(f"old-{number}") for number in range(60)))
        until(lambda: len(world.sales()) == 60)
        world.broker.delete_topic(world.records)
        until(lambda: world.records not in world.broker.admin.list_topics(timeout=10).topics)
        world.broker.make_topic(world.records)
        world.send(*(sale(f"new-{number}") for number in range(60)))
        until(lambda: len(world.sales()) == 120, lambda: world.log.read_text()[-3000:])
    # And where nobody was there to see it: the group stands at the end of a topic that is no more.
    world.broker.delete_topic(world.records)
    until(lambda: world.records not in world.broker.admin.list_topics(timeout=10).topics)
    world.broker.make_topic(world.records)
    world.send(*(sale(f"newer-{number}") for number in range(60)))
    with world.worker():
        until(lambda: len(world.sales()) == 180, lambda: world.log.read_text()[-3000:])


def test_only_allowed_partners_are_taken_and_too_large_is_a_dead_letter(own_world: World) -> None:
    world = own_world
    world.broker.make_topic(f"{world.records}.wide", **{"max.message.bytes": str(8 << 20)})
    wide = World(
        world.broker, world.services, world.name, world.master, world.log,
        {"KAFKA_RECORDS_TOPIC": f"{world.records}.wide", "KAFKA_PARTNERS": "alpha, gamma", "KAFKA_RECORD_KIBIBYTES": "64"},
    )  # fmt: skip
    with wide.worker():
        huge = sale("huge", attributes={"text": "ada@example.org " * 300_000})
        world.broker.send(
            f"{world.records}.wide",
            [("alpha/sale/huge", huge), ("beta/sale/s-1", sale("s-1", "beta")), ("alpha/sale/s-1", sale("s-1"))],
        )
        letters = {letter.key(): letter for letter in world.broker.read(world.dead_letters, 2)}
        until(lambda: world.sales() == ["s-1"])
    assert headers_of(letters[b"beta/sale/s-1"])["reason"] == "partner-not-allowed"
    assert headers_of(letters[b"alpha/sale/huge"])["reason"] == "too-large"
    assert headers_of(letters[b"alpha/sale/huge"])["value-left-out"]
    assert world.rows("select reason from landing.quarantine where partner = :partner")[0][0].endswith("allowed: 65536")
    assert world.sales("beta") == []
    assert world.rows("select count(*) from landing.quarantine where partner = :partner", "beta") == [(0,)]


def test_without_a_broker_to_go_to_the_command_says_what_it_needs(broker: Broker) -> None:
    from tests.command_line import called

    answer = called({"INTEGRATOR_KAFKA_BOOTSTRAP": ""}, "stream")
    assert answer.code == 1
    assert "INTEGRATOR_KAFKA_BOOTSTRAP" in answer.err
    assert "Kafka" in called({}, "stream", "--help").out
