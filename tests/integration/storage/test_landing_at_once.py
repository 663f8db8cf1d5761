"""Landing when it gets rough: several writers at once, writers that die, much at once, and records made to break it."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.storage import connections, landing, quarantine
from integrator.storage.connections import PlatformConnection
from integrator.storage.database import Database
from integrator.storage.files import batches
from integrator.storage.landing import CursorUpdate
from integrator.storage.partners import Partner, register
from tests.conftest import NOW

P = "crowded"


@pytest.fixture(scope="module", autouse=True)
def partner(database: Database) -> Iterator[None]:
    register(database, Partner(partner=P, timezone="Europe/Berlin", currency="EUR", region="DE"), NOW)
    account = PlatformConnection(partner=P, connection_id="crm", platform="hubspot", settings={}, credentials={})
    with database.partner(P) as connection:
        connections.save(connection, database.master, account, NOW)
    yield


def contact(native_id: str, second: int = 0, **facts: Any) -> dict[str, Any]:
    updated = (NOW - timedelta(days=1) + timedelta(seconds=second)).isoformat()
    return {"native_id": native_id, "created_at": "2026-01-01T00:00:00Z", "updated_at": updated, **facts}


def write(database: Database, records: list[Any], **more: Any) -> Any:
    return landing.write(
        database, P, more.pop("platform", "direct"), more.pop("kind", "contact"), records, now=NOW, **more
    )


def chain(database: Database, native_id: str) -> list[Any]:
    with database.partner(P) as connection:
        return list(connection.execute(
            text("""select stage, valid_from, valid_to from landing.contact
            where partner = :p and native_id = :n order by valid_from, version_id"""),
            {"p": P, "n": native_id},
        ))  # fmt: skip


def at_once(*works: Callable[[], Any]) -> list[BaseException]:
    failed: list[BaseException] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def is_whole(versions: list[Any]) -> bool:
    """Each version ends where the next begins, and the last is open."""
    ends = [version.valid_to for version in versions]
    return ends == [version.valid_from for version in versions[1:]] + [None]


def wait_for_lock(database: Database, waiting: int) -> None:
    """Until so many of this database's sessions wait for an advisory lock."""
    pause = threading.Event()
    for _ in range(1000):
        with database.batch() as connection:
            found = connection.execute(
                text("""select count(*) from pg_locks l join pg_database d on d.oid = l.database
                where d.datname = current_database() and l.locktype = 'advisory' and not l.granted""")
            ).scalar_one()
        if found >= waiting:
            return
        pause.wait(0.01)
    raise AssertionError("nobody waits for the lock")


def test_versions_of_one_key_by_many_writers_are_one_chain(database: Database) -> None:
    def writer(number: int) -> Callable[[], Any]:
        return lambda: [write(database, [contact("one", second=number + 4 * turn, stage=f"{number}-{turn}")])
                        for turn in range(10)]  # fmt: skip

    assert at_once(*(writer(number) for number in range(4))) == []
    versions = chain(database, "one")
    assert len(versions) == 40 and is_whole(versions)
    assert len({version.valid_from for version in versions}) == 40


def test_the_same_records_by_many_writers_land_once(database: Database) -> None:
    records = [contact(f"same-{number}", stage="x") for number in range(50)]
    results: list[Any] = []
    assert at_once(*(lambda: results.append(write(database, records)) for _ in range(4))) == []
    assert sum(result.accepted for result in results) == 50
    assert sum(result.unchanged for result in results) == 150
    assert all(len(chain(database, f"same-{number}")) == 1 for number in (0, 25, 49))


def test_writers_of_the_same_keys_in_opposite_order_do_not_block_each_other(database: Database) -> None:
    forth = [contact(f"cross-{number}", second=1, stage="a", attributes={"x": "1", "y": "2"}) for number in range(40)]
    back = [contact(f"cross-{number}", second=2, stage="b", attributes={"y": "2", "x": "1"}) for number in range(40)]
    works = [lambda: write(database, forth), lambda: write(database, list(reversed(back)))] * 3
    assert at_once(*works) == []
    for number in (0, 20, 39):
        assert [version.stage for version in chain(database, f"cross-{number}")] == ["a", "b"]


def test_kinds_and_platforms_do_not_wait_for_each_other(database: Database) -> None:
    sale = {"native_id": "s", "product": "p", "sold_at": "2026-03-01T19:00:00Z", "quantity": 1, "unit_price": "1",
            "currency": "EUR", "status": "paid"}  # fmt: skip
    with database.partner(P) as connection:
        landing.lock(connection, P, "direct", "contact")
        assert write(database, [sale], kind="sale").accepted == 1
        assert write(database, [contact("elsewhere")], platform="hubspot").accepted == 1


def test_an_attribute_taken_out_meanwhile_does_not_slip_in(database: Database) -> None:
    """Who waits for the lock has not yet decided about attributes: what the other found personal holds for it too."""
    results: list[Any] = []
    record = contact("slips", attributes={"nickname_of": "harmless so far"})
    with database.partner(P) as connection:
        landing.lock(connection, P, "direct", "contact")
        late = threading.Thread(target=lambda: results.append(write(database, [record])))
        late.start()
        wait_for_lock(database, 1)
        connection.execute(
            text(
                "insert into landing.attribute_policy values (:p, 'direct', 'contact', 'nickname_of', 'vault', 'x', :now)"
            ),
            {"p": P, "now": NOW},
        )
    late.join()
    assert results[0].accepted == 1
    with database.partner(P) as connection:
        landed = connection.execute(
            text("select attributes from landing.contact where partner = :p and native_id = 'slips'"), {"p": P}
        ).scalar_one()
    assert landed == {}


def test_two_that_find_personal_attributes_at_once_both_land(database: Database) -> None:
    """Each takes the other's attributes out of what landed before: in the same order, so that none waits in a ring."""
    names = [f"field_{letter}" for letter in "abcdefgh"]
    write(database, [contact(f"old-{name}", attributes={name: "open"}) for name in names])

    def finds(order: list[str], who: str) -> Callable[[], Any]:
        return lambda: write(database, [contact(f"{who}-{n}", attributes={n: f"{n}@x.example"}) for n in order])

    assert at_once(finds(names, "up"), finds(names[::-1], "down"), finds(names[::2], "some")) == []
    with database.partner(P) as connection:
        left = connection.execute(
            text("select count(*) from landing.contact where partner = :p and attributes ?| :names"),
            {"p": P, "names": names},
        ).scalar_one()
    assert left == 0


@pytest.mark.parametrize("moment", ["merge", "to_vault", "move_cursor"])
def test_killed_in_between_nothing_is_there_and_the_next_try_lands_all(
    database: Database, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    records = [contact(f"killed-{moment}-{number}", email=f"k{number}@x.example") for number in range(5)]
    cursor = CursorUpdate("crm", "contact", {"moment": moment})
    real = getattr(landing, moment)

    def dies(*arguments: Any, **more: Any) -> Any:
        real(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(landing, moment, dies)
        with pytest.raises(KeyboardInterrupt):
            write(database, [*records, b"broken"], cursor=cursor)
    assert chain(database, f"killed-{moment}-0") == []
    with database.partner(P) as connection:
        assert connections.cursor(connection, P, "crm", "contact") != {"moment": moment}
        sealed = text("select count(*) from vault.personal where partner = :p and native_id like :n")
        assert connection.execute(sealed, {"p": P, "n": f"killed-{moment}%"}).scalar_one() == 0
    assert write(database, records, cursor=cursor).accepted == 5
    with database.partner(P) as connection:
        assert connections.cursor(connection, P, "crm", "contact") == {"moment": moment}
        assert connection.execute(sealed, {"p": P, "n": f"killed-{moment}%"}).scalar_one() == 5


def test_a_connection_that_breaks_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line breaks in the middle of the transaction; the pool gives out a working connection after it."""
    from sqlalchemy.exc import OperationalError

    real = landing.merge

    def cut(connection: Any, *arguments: Any, **more: Any) -> Any:
        merged = real(connection, *arguments, **more)
        connection.connection.driver_connection.pgconn.finish()
        return merged

    with monkeypatch.context() as patch:
        patch.setattr(landing, "merge", cut)
        with pytest.raises(OperationalError):
            write(database, [contact("cut")])
    assert chain(database, "cut") == []
    assert write(database, [contact("cut")]).accepted == 1


def test_twenty_thousand_at_once_and_again(database: Database) -> None:
    records = [
        contact(f"many-{number}", second=number % 3, stage=("new", "warm", "hot")[number % 3],
                attributes={"segment": f"s{number % 7}", "visits": number}, email=f"m{number % 5000}@x.example")
        for number in range(20_000)
    ]  # fmt: skip
    assert write(database, records).accepted == 20_000
    again = write(database, records[::-1])
    assert (again.accepted, again.unchanged, again.quarantined) == (0, 20_000, 0)
    with database.partner(P) as connection:
        count, persons = connection.execute(
            text("""select count(*), count(distinct email_hash) from landing.contact
            where partner = :p and native_id like 'many-%'"""),
            {"p": P},
        ).one()
    assert (count, persons) == (20_000, 5_000)


def test_an_empty_batch_moves_the_cursor_alone(database: Database) -> None:
    result = write(database, [], cursor=CursorUpdate("crm", "contact", {"empty": True}))
    assert (result.accepted, result.unchanged, result.quarantined, result.errors) == (0, 0, 0, [])
    with database.partner(P) as connection:
        assert connections.cursor(connection, P, "crm", "contact") == {"empty": True}


POISON: list[Any] = [
    contact("p1", stage=3), contact("p2", **{"un\x00known": 1}), contact("p3", attributes={"a\x00": float("nan")}),
    contact("p4\ud800", created_at="x"), contact("p5", consent={"processing": "no\udcff"}),
    contact("p6", attributes={"\udcff": float("inf")}), contact("p7", attributes={"x": "a\x00"}), contact("\x00p8"),
    b"\x00", b"\xff\xfe", b"[" * 5000, b"null", b"", b'{"native_id": "p9", "created_at": "\\u0000"}',
    b'{"native_id":"p10","created_at":"2026-01-01T00:00:00Z","x\\u0000y":1}', {"native_id": None}, {},
    contact("p11", updated_at="0001-01-01T00:00:00+14:00"), contact("p12", created_at="9999-12-31T23:59:59-14:00"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(POISON)))
def test_a_record_made_to_break_it_is_quarantined_and_its_neighbours_land(database: Database, number: int) -> None:
    """One bad record must never keep a page, and with it the cursor, from landing."""
    before, after = contact(f"before-{number}"), contact(f"after-{number}")
    result = write(database, [before, POISON[number], after])
    assert (result.accepted, result.quarantined) == (2, 1)
    (error,) = result.errors
    assert error.line == 2 and error.reason
    for words in (error.field or "", error.value or "", error.reason):
        assert b"\x00" not in words.encode(), "what is said can be stored and printed"
    with database.partner(P) as connection:
        newest = quarantine.waiting(connection, P, limit=1)[0]
        payload = quarantine.payload(connection, database.master, P, newest.quarantine_id)
    raw = POISON[number]
    assert payload == raw if isinstance(raw, bytes) else json.loads(payload or b"").keys() == raw.keys()


def test_a_file_in_another_encoding_is_refused_line_by_line(database: Database, tmp_path: Any) -> None:
    path = tmp_path / "sales.csv"
    head = "native_id,product,sold_at,quantity,unit_price,currency,status\n"
    lines = [
        "Müller-1,seat,2026-03-01T10:00:00Z,1,1.00,EUR,bezahlt für",
        "ok,seat,2026-03-01T10:00:00Z,1,1.00,EUR,paid",
    ]
    path.write_bytes((head + "\n".join(lines) + "\n").encode("latin-1"))
    ((first, strict, records),) = batches(path, "sale", 100)
    result = write(database, records, kind="sale", strict=strict, first_line=first)
    assert (result.accepted, result.quarantined) == (1, 1)
    assert json.dumps([error.value for error in result.errors], ensure_ascii=False).encode()


def test_quarantine_tells_partners_apart_and_keeps_the_newest_first(database: Database, now: datetime) -> None:
    register(database, Partner(partner="quiet", timezone="UTC", currency="EUR", region="DE"), NOW)
    write(database, [{"native_id": f"q{number}"} for number in range(3)])
    with database.partner(P) as connection:
        mine = quarantine.waiting(connection, P, limit=3)
        assert [entry.native_id for entry in mine] == ["q2", "q1", "q0"]
    with database.partner("quiet") as connection:
        assert quarantine.waiting(connection, "quiet") == []
        assert quarantine.payload(connection, database.master, "quiet", mine[0].quarantine_id) is None
        assert quarantine.payload(connection, database.master, P, mine[0].quarantine_id) is None, "by its name either"
