"""The cache on a real Redis: exact bytes, never backwards, everything expires, and life when Redis is away."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.contracts.errors import Unavailable
from integrator.storage.cache import DENIED, SECONDS, Cache, Cached, subject_key
from tests.conftest import NOW


@pytest.fixture
def cache(server: Any) -> Iterator[Cache]:
    made = Cache(server.redis_url)
    made.client.flushdb()
    yield made
    made.client.flushdb()
    made.close()


def entry(version: int = 1, *, platform: str = "pretix", kind: str = "event", checked: datetime = NOW,
          document: bytes = b'{"a":1}') -> Cached:  # fmt: skip
    return Cached(platform, kind, "ins_x", version, checked, checked + timedelta(days=2), document)


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b'{"text":"a b  c"}', b" 1 2 3 ", 'ü✓\u2028"\\'.encode(), b"\x00\xff\r\n", b"x" * 300_000],
)  # fmt: skip
def test_the_bytes_come_back(cache: Cache, document: bytes) -> None:
    put = entry(document=document)
    assert cache.fill("alpha", "attendance", [("gala", put)]) == 1
    assert cache.get("alpha", "attendance", "gala") == [put]


@pytest.mark.parametrize("microsecond", [0, 1, 3, 333_333, 999_999])
@pytest.mark.parametrize("year", [1970, 2026, 2038, 2199])
def test_moments_come_back_to_the_microsecond(year: int, microsecond: int) -> None:
    moment = datetime(year, 6, 1, 1, 2, 3, microsecond, tzinfo=UTC)
    put = Cached("p", "event", "ins_x", 1, moment, moment + timedelta(microseconds=1), b"{}")
    assert Cached.unpacked(b"p|event", put.packed()) == put


@pytest.mark.parametrize(
    "subject", ["a:b", "a/b", "ü ✓", " ", "*", "x" * 200, "a\nb", "insight:beta:attendance:x", "{tag}"]
)
def test_any_native_id_is_a_key_of_its_own(cache: Cache, subject: str) -> None:
    cache.fill("alpha", "attendance", [(subject, entry())])
    assert cache.get("alpha", "attendance", subject) == [entry()]
    for other in (subject + "x", subject[:-1]):
        assert cache.get("alpha", "attendance", other) == []
    assert cache.get("alpha", "pricing", subject) == [] and cache.get("beta", "attendance", subject) == []


def test_no_partner_can_name_a_key_of_another() -> None:
    """A partner's name and a use case hold no colon, so that only the id, which comes last, can."""
    assert subject_key("alpha", "attendance", "x") != subject_key("alph", "a:attendance", "x")
    keys = {subject_key(p, u, s) for p in ("alpha", "beta") for u in ("pricing", "attendance") for s in ("x", "beta:x")}
    assert len(keys) == 8


def test_an_older_version_never_takes_the_place_of_a_newer(cache: Cache) -> None:
    put = [("gala", entry(version)) for version in (3, 1, 2, 3, 5, 4)]
    assert [cache.fill("alpha", "attendance", [one]) for one in put] == [1, 0, 0, 1, 1, 0]
    assert cache.get("alpha", "attendance", "gala") == [entry(5)]


def test_versions_are_numbers_and_not_text(cache: Cache) -> None:
    cache.fill("alpha", "attendance", [("gala", entry(9))])
    assert cache.fill("alpha", "attendance", [("gala", entry(10))]) == 1
    assert cache.fill("alpha", "attendance", [("gala", entry(9))]) == 0


def test_an_older_check_of_the_same_version_does_not_make_it_look_older(cache: Cache) -> None:
    later = entry(2, checked=NOW + timedelta(hours=1))
    cache.fill("alpha", "attendance", [("gala", later)])
    assert cache.fill("alpha", "attendance", [("gala", entry(2))]) == 0
    assert cache.get("alpha", "attendance", "gala") == [later]


def test_platforms_and_kinds_of_one_id_stand_beside_each_other(cache: Cache) -> None:
    put = [entry(platform="pretix"), entry(platform="eventbrite"), entry(kind="series", version=7)]
    assert cache.fill("alpha", "attendance", [("gala", one) for one in put]) == 3
    found = cache.get("alpha", "attendance", "gala")
    assert sorted(found, key=repr) == sorted(put, key=repr)


def test_a_subject_is_written_in_one_step(cache: Cache) -> None:
    """Who reads in between would take one platform's for all there is."""
    both = [("gala", entry(2)), ("gala", entry(2, platform="shopify")), ("expo", entry())]
    before = calls(cache)
    assert cache.fill("alpha", "attendance", both) == 3 and calls(cache) == before + 2
    newer = [("gala", entry(1)), ("gala", entry(3, platform="shopify"))]
    assert cache.fill("alpha", "attendance", newer) == 1, "each is compared with its own"
    assert {one.platform: one.insight_version for one in cache.get("alpha", "attendance", "gala")} == {
        "pretix": 2,
        "shopify": 3,
    }


def calls(cache: Cache) -> int:
    stats: Any = cache.client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_everything_expires(cache: Cache) -> None:
    cache.fill("alpha", "attendance", [("gala", entry())])
    assert 0 < cache.client.ttl(subject_key("alpha", "attendance", "gala")) <= SECONDS
    cache.deny("jti", 30)
    cache.deny("ended", -5)
    assert 0 < cache.client.ttl(DENIED + "jti") <= 30
    assert 0 < cache.client.ttl(DENIED + "ended") <= 1


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1200])
def test_batches_of_every_size(cache: Cache, count: int) -> None:
    put = ((str(number), entry()) for number in range(count))
    assert cache.fill("alpha", "attendance", put) == count
    assert len(cache.client.keys("insight:*")) == count


def test_writers_at_once_leave_the_newest(cache: Cache) -> None:
    def write(versions: range) -> None:
        mine = Cache(cache.url)
        for version in versions:
            mine.fill("alpha", "attendance", [(str(number), entry(version)) for number in range(20)])
        mine.close()

    threads = [threading.Thread(target=write, args=[range(start, 40, 4)]) for start in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {cache.get("alpha", "attendance", str(number))[0].insight_version for number in range(20)} == {39}


def test_redis_that_lost_its_memory_is_filled_again(cache: Cache) -> None:
    """The script is gone with a restart; it is loaded with every batch."""
    cache.fill("alpha", "attendance", [("gala", entry())])
    cache.client.script_flush()
    cache.client.flushdb()
    assert cache.fill("alpha", "attendance", [("gala", entry())]) == 1


def test_a_wrong_password_and_an_absent_redis_are_unavailable_without_the_address(server: Any) -> None:
    wrong = server.redis_url.replace("redis://:", "redis://:not-")
    for url in (wrong, "redis://:secret@127.0.0.1:1/0"):
        cache = Cache(url)
        for attempt in (
            lambda cache=cache: cache.get("alpha", "attendance", "gala"),
            lambda cache=cache: cache.deny("jti", 5),
            lambda cache=cache: cache.fill("alpha", "attendance", [("gala", entry())]),
        ):
            with pytest.raises(Unavailable) as error:
                attempt()
            assert "secret" not in str(error.value) and "redis://" not in str(error.value)
        cache.close()
        cache.close()


def test_nothing_to_fill_does_not_ask_redis() -> None:
    assert Cache("redis://127.0.0.1:1/0").fill("alpha", "attendance", []) == 0


def test_a_closed_cache_opens_again(cache: Cache) -> None:
    cache.fill("alpha", "attendance", [("gala", entry())])
    cache.close()
    assert cache.get("alpha", "attendance", "gala") == [entry()]
