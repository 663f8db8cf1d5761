"""Event streams over a real service, PostgreSQL and Redis: what they say, to whom, from where on, and how they end."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from integrator.contracts.insight import Subject
from integrator.security import clients, origins
from integrator.security.clients import NewClient
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.storage import live
from integrator.storage.cache import PUBLISHED
from integrator.storage.live import Wanted
from integrator_realtime.app import create_app
from tests.publishing import prediction, put_scored
from tests.serving import serving
from tests.streams import Reader

HOST = "https://app.alpha.example"
position = iter(range(100, 100_000))


def say(
    services: Services, *values: tuple[str, float], partner: str = "alpha", at: datetime | None = None, **more: Any
) -> None:
    """Publish values of subjects, beside those that stand."""
    with services.database.partner(partner) as connection:
        standing = live.current(connection, partner, Wanted(frozenset({"attendance"})), until=2**62)
    kept = {
        (row.subject_id, row.platform): json.loads(row.document)["value"] for row in standing if row.status != "withdrawn"
    }  # fmt: skip
    kept |= {(subject, "pretix"): value for subject, value in values}
    found = [
        prediction(subject, value, subject=Subject("event", subject, platform), **more)
        for (subject, platform), value in kept.items()
    ]
    moment = services.clock() if at is None else at
    put_scored(services, partner, found, position=next(position), at=moment)
    publish(services, partner, "attendance", run_id=f"run-{next(position)}")


def stored(services: Services, partner: str = "alpha", subject: str | None = None) -> list[bytes]:
    with services.database.partner(partner) as connection:
        wanted = Wanted(subjects=frozenset({subject}) if subject else None)
        found = live.versions(connection, partner, wanted, after=0, limit=10_000)
    return [served.document.encode() for served in found]


@pytest.fixture(scope="module")
def url(services: Services) -> Iterator[str]:
    for partner in ("alpha", "beta"):
        say(services, ("gala", 100), ("ball", 200), partner=partner)
    origins.add(services.database, "alpha", HOST, services.clock())
    with serving(create_app(services)) as address:
        yield address


@pytest.fixture(scope="module")
def alpha(services: Services) -> NewClient:
    return clients.create(services.database, "alpha", "insights:read widgets:issue", services.clock())


@pytest.fixture(scope="module")
def beta(services: Services) -> NewClient:
    return clients.create(services.database, "beta", "insights:read", services.clock(), method="api_key")


def token(url: str, client: NewClient, **form: str) -> str:
    answer = httpx.post(
        f"{url}/oauth/token", data={"grant_type": "client_credentials", **form},
        auth=(client.client_id, client.client_secret),
    )  # fmt: skip
    return str(answer.json()["access_token"])


def widget_token(url: str, client: NewClient, **changes: Any) -> str:
    body = {"use_cases": ["attendance"], "subjects": ["gala"], "origin": HOST, **changes}
    headers = {"Authorization": f"Bearer {token(url, client)}"}
    return str(httpx.post(f"{url}/v1/widget-tokens", json=body, headers=headers).json()["token"])


GALA = "use_case=attendance&subject=gala"


def test_named_subjects_begin_with_what_is_current_and_go_on(url: str, services: Services, alpha: NewClient) -> None:
    with Reader(url, token(url, alpha), GALA) as reader:
        assert reader.answer.headers["content-type"].startswith("text/event-stream")
        assert reader.answer.headers["cache-control"] == "no-store" and "content-length" not in reader.answer.headers
        (first,) = reader.wait_documents(1)
        assert first == stored(services, subject="gala")[-1]
        reader.wait(lambda r: bool(r.of("cursor")))
        say(services, ("gala", 101), ("ball", 201))
        assert reader.wait_documents(2) == stored(services, subject="gala")[-2:], (
            "the same bytes, and the ball is not ours"
        )
        say(services, ("ball", 202))
        say(services, ("gala", 102))
        assert reader.wait_documents(3)[-1] == stored(services, subject="gala")[-1]
        assert len(reader.documents) == 3
        ids = [int(event.id or 0) for event in reader.of("insight")]
        assert ids == sorted(set(ids))
        fresh = reader.of("freshness")[-1].facts
        assert fresh["insight_version"] == json.loads(reader.documents[-1])["insight_version"]
        assert (fresh["checked_at"], fresh["stale"]) == ("2026-03-16T12:00:00Z", False)


def test_without_subjects_everything_that_is_new(url: str, services: Services, alpha: NewClient) -> None:
    with Reader(url, token(url, alpha)) as reader:
        reader.wait(lambda r: bool(r.of("cursor")))
        assert reader.documents == []
        before = len(stored(services))
        say(services, ("gala", 103), ("ball", 203), ("dance", 1))
        assert reader.wait_documents(3) == stored(services)[before:]
    with Reader(url, token(url, alpha), "use_case=pricing") as other, Reader(url, token(url, alpha), last="0") as every:
        assert every.wait_documents(len(stored(services))) == stored(services), "every version from the first on"
        say(services, ("gala", 104))
        every.wait_documents(len(stored(services)))
        assert other.documents == []


def test_coming_back_misses_nothing_and_hears_nothing_twice(url: str, services: Services, alpha: NewClient) -> None:
    with Reader(url, token(url, alpha), GALA) as reader:
        reader.wait(lambda r: bool(r.of("cursor")))
        last = reader.last
    say(services, ("gala", 105), ("ball", 205))
    say(services, ("gala", 106))
    with Reader(url, token(url, alpha), GALA, last=last) as reader:
        assert reader.wait_documents(2) == stored(services, subject="gala")[-2:]
        last = str(reader.of("insight")[0].id)
    with serving(create_app(services)) as another, Reader(another, token(another, alpha), GALA, last=last) as reader:
        assert reader.wait_documents(1) == stored(services, subject="gala")[-1:], "in another process too"
        say(services, ("gala", 107))
        assert reader.wait_documents(2) == stored(services, subject="gala")[-2:]


def test_publications_while_streams_come_and_go(url: str, services: Services, alpha: NewClient) -> None:
    """Versions one after another, read by readers that break off after each: together they have each exactly once."""
    bearer = token(url, alpha)
    with Reader(url, bearer, GALA) as reader:
        reader.wait(lambda r: bool(r.of("cursor")))
        last = reader.last
    before = len(stored(services, subject="gala"))

    def write() -> None:
        for value in range(1000, 1015):
            say(services, ("gala", float(value)))

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[bytes] = []
    while len(seen) < 15:
        with Reader(url, bearer, GALA, last=last) as reader:
            reader.wait(lambda r: bool(r.documents))
            came = reader.of("insight")
            seen += [event.data for event in came]
            last = str(came[-1].id)
    writer.join()
    assert seen == stored(services, subject="gala")[before:]


def test_a_withdrawal_is_a_version_too(url: str, services: Services, alpha: NewClient) -> None:
    say(services, ("soon over", 5))
    with Reader(url, token(url, alpha), f"subject={quote('soon over')}") as reader:
        reader.wait_documents(1)
        moment = services.clock()
        put_scored(services, "alpha", [prediction("gala", 1.0)], position=next(position), at=moment)
        publish(services, "alpha", "attendance", run_id="run-withdrawn")
        assert json.loads(reader.wait_documents(2)[1])["status"] == "withdrawn"
    say(services, ("ball", 210), ("dance", 2))


def test_an_unchanged_insight_is_said_to_be_fresh_again(url: str, services: Services, alpha: NewClient) -> None:
    later = services.clock() + timedelta(hours=1)
    with Reader(url, token(url, alpha), GALA) as reader:
        reader.wait(lambda r: bool(r.of("freshness")))
        say(services, at=later)
        reader.wait(lambda r: r.of("freshness")[-1].facts["checked_at"] == "2026-03-16T13:00:00Z")
        assert len(reader.documents) == 1 and reader.of("freshness")[-1].id is None
        last = reader.last
    with Reader(url, token(url, alpha), GALA, last=last) as reader:
        reader.wait(lambda r: bool(r.of("freshness")))
        assert reader.of("freshness")[-1].facts["checked_at"] == "2026-03-16T13:00:00Z" and not reader.documents


def test_what_becomes_stale_is_marked_and_not_hidden(services: Services, alpha: NewClient) -> None:
    moment = [services.clock()]
    moved = Services(
        services.settings.model_copy(update={"live_heartbeat_seconds": 0.2}), services.database, services.redis_url,
        lambda: moment[0],
    )  # fmt: skip
    with serving(create_app(moved)) as url, Reader(url, token(url, alpha), GALA) as reader:
        reader.wait(lambda r: bool(r.of("freshness")))
        assert reader.of("freshness")[-1].facts["stale"] is False
        reader.wait(lambda r: r.comments > 0)
        bearer = token(url, alpha)
        moment[0] += timedelta(days=4)
        reader.wait(lambda r: r.of("freshness")[-1].facts["stale"] is True)
        assert len(reader.documents) == 1
        assert httpx.get(f"{url}/v1/live", headers={"Authorization": f"Bearer {bearer}"}).status_code == 401


def test_no_stream_says_anything_of_another_partner(
    url: str, services: Services, alpha: NewClient, beta: NewClient
) -> None:
    with Reader(url, token(url, alpha)) as mine, Reader(url, beta.client_secret, GALA) as theirs:
        theirs.wait_documents(1)
        mine.wait(lambda r: bool(r.of("cursor")))
        say(services, ("gala", 300), partner="beta")
        say(services, ("gala", 301))
        assert [json.loads(document)["partner"] for document in mine.wait_documents(1)] == ["alpha"]
        assert {json.loads(document)["partner"] for document in theirs.wait_documents(2)} == {"beta"}
        services.cache.client.publish(PUBLISHED, "alpha")
        services.cache.client.publish(PUBLISHED, b"\xff no partner")
    with Reader(url, beta.client_secret, last="0") as theirs:
        theirs.wait_documents(len(stored(services, "beta")))
        assert {json.loads(document)["partner"] for document in theirs.documents} == {"beta"}


def test_a_widget_token_follows_its_subjects_alone(url: str, services: Services, alpha: NewClient) -> None:
    page = widget_token(url, alpha)
    with Reader(url, page, origin=HOST) as reader:
        assert reader.answer.headers["access-control-allow-origin"] == HOST
        reader.wait_documents(1)
        say(services, ("ball", 220), ("gala", 120))
        reader.wait_documents(2)
        assert {json.loads(document)["subject"]["id"] for document in reader.documents} == {"gala"}
    for query in (
        "subject=ball",
        "subject=gala&subject=ball",
        "use_case=pricing",
        "use_case=pricing&use_case=attendance",
    ):
        answer = httpx.get(f"{url}/v1/live?{query}", headers={"Authorization": f"Bearer {page}", "Origin": HOST})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (403, HOST), query
    for headers in ({}, {"Origin": "https://evil.example"}):
        refused = httpx.get(f"{url}/v1/live", headers={"Authorization": f"Bearer {page}", **headers})
        assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("query", "last", "status"),
    [
        ("use_case=weather", None, 404), ("", "x", 422), ("", "-1", 422), ("", "1.5", 422), ("", "9" * 30, 422),
        ("", str(2**63), 422), ("", str(2**62), 422), ("&".join(f"subject={n}" for n in range(101)), None, 422),
        ("subject=a%00b", None, 422), ("platform=a&platform=b", None, 422), ("kind=%00", None, 422),
    ],
)  # fmt: skip
def test_what_may_not_be_asked(url: str, alpha: NewClient, query: str, last: str | None, status: int) -> None:
    headers = {"Authorization": f"Bearer {token(url, alpha)}", **({"Last-Event-ID": last} if last else {})}
    answer = httpx.get(f"{url}/v1/live?{query}", headers=headers)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"


def test_platform_and_kind(url: str, services: Services, alpha: NewClient) -> None:
    moment = services.clock()
    both = [prediction("x", 1.0), prediction("x", 2.0, subject=Subject("event", "x", "eventbrite"))]
    put_scored(services, "alpha", [*both, prediction("gala", 130)], position=next(position), at=moment)
    publish(services, "alpha", "attendance", run_id="run-both")
    with (
        Reader(url, token(url, alpha), "subject=x&platform=eventbrite") as one,
        Reader(url, token(url, alpha), "subject=x") as all_,
    ):
        assert json.loads(one.wait_documents(1)[0])["value"] == 2
        assert len(all_.wait_documents(2)) == 2
    with Reader(url, token(url, alpha), "subject=x&kind=series") as none:
        none.wait(lambda r: bool(r.of("cursor")))
        assert none.documents == []


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_the_end_of_a_token_is_said(services: Services, alpha: NewClient) -> None:
    short = clients.create(
        services.database, "alpha", "insights:read", services.clock(), expires_in=timedelta(seconds=1)
    )
    with serving(create_app(services)) as url, Reader(url, token(url, short), GALA) as reader:
        assert reader.wait_end() == "token_expired"
        assert len(reader.documents) == 1


@pytest.mark.usefixtures("url")
def test_the_end_of_an_api_key_is_said(services: Services) -> None:
    begun, first = services.clock(), time.monotonic()
    moving = replace(services, clock=lambda: begun + timedelta(seconds=time.monotonic() - first))
    short = clients.create(
        services.database, "alpha", "insights:read", begun, method="api_key", expires_in=timedelta(seconds=1.5)
    )
    with serving(create_app(moving)) as url:
        with Reader(url, short.client_secret, GALA) as reader:
            assert reader.wait_end() == "token_expired"
            assert len(reader.documents) == 1
        counted = httpx.get(f"{url}/metrics").text
    assert 'integrator_live_streams_ended_total{reason="token_expired"} 1' in counted
    assert 'reason="left"' not in counted


@pytest.mark.parametrize("way", ["token", "client", "api key", "widget", "origin", "without redis", "emptied redis"])
def test_who_is_revoked_is_shown_out(url: str, services: Services, way: str) -> None:
    now, redis = services.clock(), services.cache
    method: Any = "api_key" if way == "api key" else "client_secret"
    client = clients.create(services.database, "alpha", "insights:read widgets:issue", now, method=method)
    held = client.client_secret if way == "api key" else token(url, client)
    page = "https://page.alpha.example"
    if way in ("widget", "origin"):
        origins.add(services.database, "alpha", page, now)
        held = widget_token(url, client, origin=page)
        wait_for(lambda: httpx.get(f"{url}/v1/insights/attendance/gala", headers=_from(page, held)).status_code == 200)
    with Reader(url, held, GALA, origin=page if way in ("widget", "origin") else None) as reader:
        reader.wait_documents(1)
        if way == "token":
            httpx.post(f"{url}/oauth/revoke", data={"token": held}, auth=(client.client_id, client.client_secret))
        elif way == "origin":
            origins.remove(services.database, "alpha", page, now)
        else:
            clients.revoke(services.database, "alpha", client.client_id, now, cache=None if "redis" in way else redis)
        if "redis" in way:
            redis.client.flushdb()
        assert reader.wait_end() == ("origin_removed" if way == "origin" else "revoked")


def _from(page: str, held: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {held}", "Origin": page}


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_stops_says_so_and_loses_nothing(services: Services, alpha: NewClient) -> None:
    readers: list[Reader] = []
    with ExitStack() as stack:
        with serving(create_app(services)) as url:
            bearer = token(url, alpha)
            readers = [stack.enter_context(Reader(url, bearer, GALA)) for _ in range(5)]
            for reader in readers:
                reader.wait(lambda r: bool(r.of("cursor")))
        assert [reader.wait_end() for reader in readers] == ["shutdown"] * 5
        say(services, ("gala", 140))
        with serving(create_app(services)) as url, Reader(url, bearer, GALA, last=readers[0].last) as reader:
            assert reader.wait_documents(1) == stored(services, subject="gala")[-1:]


def test_too_many_streams_of_one_partner(services: Services, alpha: NewClient, beta: NewClient) -> None:
    few = replace(services, settings=services.settings.model_copy(update={"live_streams": 2}))
    with serving(create_app(few)) as url:
        bearer = token(url, alpha)
        with Reader(url, bearer) as first, Reader(url, bearer), Reader(url, beta.client_secret):
            answer = httpx.get(f"{url}/v1/live", headers={"Authorization": f"Bearer {bearer}"})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
            first.wait(lambda r: bool(r.of("cursor")))
        wait_for(lambda: 'ended_total{reason="left"} 3' in httpx.get(f"{url}/metrics").text)
        with Reader(url, bearer) as again:
            again.wait(lambda r: bool(r.of("cursor")))


def test_a_reader_that_takes_nothing_is_dropped_and_others_are_not(services: Services, alpha: NewClient) -> None:
    hasty = replace(services, settings=services.settings.model_copy(update={"live_stall_seconds": 0.3}))
    app = create_app(hasty)
    with serving(app) as url, Reader(url, token(url, alpha), GALA) as reader:
        reader.wait(lambda r: bool(r.of("cursor")))
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.sendall(
                f"GET /v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(url, alpha)}\r\nLast-Event-ID: 0\r\n\r\n".encode()
            )
            wait_for(lambda: "opened_total 2" in httpx.get(f"{url}/metrics").text)
            long = "x" * 200_000
            for value in range(30):
                say(services, ("gala", float(value)), summary=f"{value} {long}")
            wait_for(lambda: 'ended_total{reason="slow"} 1' in httpx.get(f"{url}/metrics").text)
            (feed,) = app.state.live._feeds.values()
            assert sum(len(news.document) for news in feed.held) <= 4 << 20
        assert reader.wait_documents(31)[-1] == stored(services, subject="gala")[-1]
        say(services, ("gala", 5), summary="short again")
        reader.wait_documents(32)


def test_a_slow_reader_hears_why(services: Services, alpha: NewClient) -> None:
    """It had stopped reading; when it reads on, the last thing it hears is the reason, and its cursor is good."""
    patient = replace(services, settings=services.settings.model_copy(update={"live_stall_seconds": 1.5}))
    with serving(create_app(patient)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            head = f"GET /v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(url, alpha)}\r\nLast-Event-ID: 0\r\n\r\n"
            lazy.sendall(head.encode())
            time.sleep(2.0)
            lazy.settimeout(20)
            tail = b""
            while b"event: end" not in tail and (piece := lazy.recv(1 << 20)):
                tail = (tail + piece)[-1000:]
            assert b'"reason": "slow"' in tail


@pytest.mark.parametrize("redis", ["absent", "lost meanwhile"])
def test_without_redis_it_is_slower_and_complete(services: Services, alpha: NewClient, redis: str) -> None:
    address = "redis://127.0.0.1:1/0" if redis == "absent" else services.redis_url
    lonely = Services(services.settings, services.database, address, services.clock)
    app = create_app(lonely)
    with serving(app) as url, Reader(url, token(url, alpha), GALA) as reader:
        reader.wait_documents(1)
        if redis == "lost meanwhile":
            wait_for(lambda: app.state.live.listening)
            services.cache.client.client_kill_filter(_type="pubsub")
        before = len(reader.documents)
        for value in (501.0, 502.0):
            say(services, ("gala", value))
        assert reader.wait_documents(before + 2)[-2:] == stored(services, subject="gala")[-2:]
        if redis == "lost meanwhile":
            wait_for(lambda: app.state.live.listening)


def test_one_subscription_a_process_however_many_streams(services: Services, alpha: NewClient) -> None:
    def subscriptions() -> int:
        ((_, count),) = services.cache.client.pubsub_numsub(PUBLISHED)
        return int(count)

    before = subscriptions()
    app = create_app(services)
    with serving(app) as url, ExitStack() as stack:
        bearer = token(url, alpha)
        for reader in [stack.enter_context(Reader(url, bearer, GALA)) for _ in range(20)]:
            reader.wait(lambda r: bool(r.of("cursor")))
        wait_for(lambda: app.state.live.listening)
        assert subscriptions() == before + 1
    wait_for(lambda: subscriptions() == before)
