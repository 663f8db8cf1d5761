"""What goes wrong on the way in: each body is refused by a clear 4xx, or its bad records alone are quarantined."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from integrator.settings import Settings
from integrator.steps.services import Services
from integrator_realtime import bodies
from integrator_realtime.app import create_app
from tests.pushing import ARRAY, EXAMPLES, GZIP, NDJSON, caller, is_problem, landed, lines, packed, sale
from tests.serving import serving

MEBIBYTE = 1 << 20
BOMB = zlib.compressobj(9, zlib.DEFLATED, 31)


@pytest.fixture(scope="module")
def served(services: Services) -> Iterator[tuple[httpx.Client, Services]]:
    """A service that is quick to call a body slow, and holds little."""
    brisk: dict[str, Any] = {"push_body_seconds": 2.0, "push_bytes_per_second": 1000.0, "push_held_mebibytes": 64.0}
    made = Services(
        Settings(**{**services.settings.model_dump(), **brisk}), services.database, services.redis_url, services.clock
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "GRACE_SECONDS", 0.3)
        with serving(create_app(made)) as url, httpx.Client(base_url=url, timeout=20) as client:
            yield client, made


@pytest.fixture(scope="module")
def http(served: tuple[httpx.Client, Services]) -> httpx.Client:
    return served[0]


@pytest.fixture(scope="module")
def alpha(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "alpha")


def post(http: httpx.Client, alpha: dict[str, str], content: Any, **headers: str) -> httpx.Response:
    return http.post("/v1/sales", content=content, headers={**alpha, **NDJSON, **headers})


# --- the body as a whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b"", NDJSON, 400, "empty-body"),
        (b" \n\r\n\t", NDJSON, 400, "empty-body"),
        (b"\xef\xbb\xbf", NDJSON, 400, "empty-body"),
        (gzip.compress(b"", mtime=0), {**NDJSON, **GZIP}, 400, "empty-body"),
        (b"{}", {"Content-Type": "text/csv"}, 415, "unsupported-media-type"),
        (b"{}", {"Content-Type": ""}, 415, "unsupported-media-type"),
        (b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported-media-type"),
        (b"{}", {**NDJSON, "Content-Encoding": "br"}, 415, "unsupported-encoding"),
        (b"{}", {**NDJSON, "Content-Encoding": "gzip, gzip"}, 415, "unsupported-encoding"),
        (b"{}", {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (packed(lines(sale("x")))[:-5], {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (packed(lines(sale("x")))[:20], {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (packed(lines(sale("x"))) + b"garbage", {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (packed(lines(sale("x")))[:-8] + bytes(8), {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (gzip.compress(b"\n", mtime=0) * 101, {**NDJSON, **GZIP}, 400, "broken-encoding"),
        (b"{", ARRAY, 422, "invalid-input"),
        (b'{"native_id": "x"}', ARRAY, 422, "invalid-input"),
        (b"[" * 10_000, ARRAY, 422, "invalid-input"),
        (b"[" * 10_000 + b"]" * 10_000, ARRAY, None, None),
        (b"[{}] trailing", ARRAY, 422, "invalid-input"),
        (b"[NaN]", ARRAY, 422, "invalid-input"),
        (b"[{}\x00]", ARRAY, 422, "invalid-input"),
        (json.dumps([sale("x")]).encode("utf-16"), ARRAY, 422, "invalid-input"),
        (b"[" + b"1," * 10_000 + b"1]", ARRAY, 413, "too-many-records"),
        (b"1\n" * 10_001, NDJSON, 413, "too-many-records"),
    ],
)  # fmt: skip
def test_a_bad_body_is_refused(
    http: httpx.Client, alpha: dict[str, str], content: bytes, headers: dict[str, str], status: int | None, slug: str
) -> None:
    answer = http.post("/v1/sales", content=content, headers={**alpha, **headers})
    if status is None:  # one element of an array, too deep to be read
        assert answer.status_code in (200, 422) and not answer.json().get("accepted"), answer.text
        return
    is_problem(answer, status, slug)
    if slug == "unsupported-encoding":
        assert answer.headers["accept-encoding"] == "gzip, identity"


def test_a_bomb_stops_at_the_ceiling(http: httpx.Client, alpha: dict[str, str]) -> None:
    bomb = BOMB.compress(bytes(100 * MEBIBYTE)) + BOMB.flush()
    assert len(bomb) < MEBIBYTE
    is_problem(post(http, alpha, bomb, **GZIP), 413, "body-too-large")
    assert post(http, alpha, lines(sale("after-the-bomb"))).json()["accepted"] == 1


def test_a_body_of_100_mb_is_refused_unread(http: httpx.Client, alpha: dict[str, str]) -> None:
    """By its length at once; without a length as soon as the ceiling is passed."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += MEBIBYTE
            yield bytes(MEBIBYTE)

    is_problem(post(http, alpha, endless()), 413, "body-too-large")
    assert sent < 60 * MEBIBYTE
    head = f"POST /v1/sales HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: {100 * MEBIBYTE}\r\n"
    answer = by_hand(http, alpha, head + "Authorization: {0}\r\n\r\n")
    assert b" 413 " in answer and b"connection: close" in answer.lower() and b"body-too-large" in answer


def by_hand(http: httpx.Client, alpha: dict[str, str], *parts: str, pause: float = 0.0) -> bytes:
    """What comes back until the service closes the connection, or says nothing for a while."""
    where = urlsplit(str(http.base_url))
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=6) as connection:
        received = b""
        with suppress(ConnectionError):  # refused in the middle of it: the answer is there all the same
            for part in parts:
                connection.sendall(part.format(alpha["Authorization"]).encode())
                time.sleep(pause)
        with suppress(ConnectionError, TimeoutError):
            while piece := connection.recv(65536):
                received += piece
        return received


HEAD = "POST /v1/sales HTTP/1.1\r\nHost: x\r\nAuthorization: {0}\r\nContent-Type: application/x-ndjson\r\n"


def test_slow_bodies_end_with_408_and_hold_up_nobody(http: httpx.Client, alpha: dict[str, str]) -> None:
    """One says nothing at all, one trickles: meanwhile others are served."""
    slow = [
        (HEAD + "Content-Length: 500\r\n\r\n",),
        (HEAD + "Content-Length: 5000\r\n\r\n", *("x" * 10 for _ in range(8))),
        (HEAD + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ]
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(by_hand, http, alpha, *parts, pause=0.1) for parts in slow]
        assert post(http, alpha, lines(sale("beside-slow"))).json()["accepted"] == 1
        for answer in answers:
            assert b" 408 " in answer.result() and b"body-too-slow" in answer.result()
            assert b"connection: close" in answer.result().lower()


def test_a_connection_that_ends_early_lands_nothing(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    where = urlsplit(str(http.base_url))
    whole = lines(sale("cut-1"))
    with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
        head = HEAD.format(alpha["Authorization"]) + f"Content-Length: {len(whole) + 1}\r\n\r\n"
        connection.sendall(head.encode() + whole)
    assert post(http, alpha, lines(sale("cut-2"))).json()["accepted"] == 1
    assert "cut-1" not in landed(services, "alpha")


def test_chunked_and_pipelined_bodies_are_bodies(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    parts = (part for part in (lines(sale("ch-1"))[:40], lines(sale("ch-1"))[40:], lines(sale("ch-2"))))
    assert post(http, alpha, parts).json()["accepted"] == 2
    body = lines(sale("pipe-1")).decode().replace("{", "{{").replace("}", "}}")
    other = body.replace("pipe-1", "pipe-2")
    request = HEAD + f"Content-Length: {len(lines(sale('pipe-1')))}\r\n"
    answers = by_hand(http, alpha, request + "\r\n" + body + request + "Connection: close\r\n\r\n" + other)
    assert answers.count(b"HTTP/1.1 200") == 2 and answers.count(b'"accepted":1') == 2
    assert {"ch-1", "ch-2", "pipe-1", "pipe-2"} <= set(landed(services, "alpha"))


def test_a_flood_is_told_to_wait_and_others_are_served(
    served: tuple[httpx.Client, Services], services: Services, alpha: dict[str, str]
) -> None:
    """One partner's half of 64 MiB is two bodies of 16 MiB; the third is told to come back."""
    http, _ = served
    beta = caller(http, services, "beta")
    hold = threading.Event()

    def slowly() -> Iterator[bytes]:
        for _ in range(15):
            yield bytes(MEBIBYTE)
        hold.wait(1.2)
        yield b"\n"

    def flood(_: int) -> httpx.Response:
        return httpx.post(f"{http.base_url}/v1/sales", content=slowly(), headers={**alpha, **NDJSON}, timeout=20)

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(flood, number) for number in range(4)]
        time.sleep(0.5)
        body = lines(sale("beside-the-flood"))
        assert http.post("/v1/sales", content=body, headers={**beta, **NDJSON}).json()["accepted"] == 1
        hold.set()
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses[-1] == 429 and set(statuses) <= {200, 429}
    told = next(answer.result() for answer in answers if answer.result().status_code == 429)
    assert int(told.headers["retry-after"]) >= 1 and is_problem(told, 429, "rate-limited")
    assert post(http, alpha, lines(sale("after-the-flood"))).json()["accepted"] == 1


# --- one record among good ones ---------------------------------------------------------------------------------------

EVENT = EXAMPLES["events"]


@pytest.mark.parametrize(
    ("plural", "bad", "field"),
    [
        ("sales", '{"native_id": "x", "attributes": {"deep": ' + "[" * 10_000 + "]" * 10_000 + "}}", None),
        ("sales", json.dumps(sale("x")).replace('"quantity": 2', '"quantity": NaN'), None),
        ("sales", json.dumps(sale("x")).replace('"25.00"', "Infinity"), None),
        ("sales", sale("x", unit_price="NaN"), "unit_price"),
        ("sales", sale("x", unit_price=-1), "unit_price"),
        ("sales", json.dumps(sale("x")).replace('"25.00"', "1" + "0" * 400), "unit_price"),
        ("sales", json.dumps(sale("x")).replace('"25.00"', '"1e999999999"'), "unit_price"),
        ("sales", json.dumps(sale("x")).replace('"quantity": 2', '"quantity": ' + "9" * 5000), None),
        ("sales", sale("x", quantity=2**31), "quantity"),
        ("sales", sale("x", quantity=-2), "quantity"),
        ("sales", sale("x", quantity=2.5), "quantity"),
        ("sales", sale("x", quantity="2"), "quantity"),
        ("sales", sale("x", refunded_quantity=3), "refunded_quantity"),
        ("sales", sale("\ud800"), None),
        ("sales", json.dumps(sale("x", channel="\ud83d")), None),
        ("sales", sale("x\x00y"), "native_id"),
        ("sales", sale("x", channel="\x00"), "channel"),
        ("sales", sale("x", attributes={"a": "\x00"}), "attributes.a"),
        ("sales", sale("x", attributes={"a": {"b": 1}}), "attributes"),
        ("sales", sale("x", attributes={"a": 10**400}), "attributes.a"),
        ("sales", sale("x", sold_at="2026-03-01T10:00:00"), "sold_at"),
        ("sales", sale("x", sold_at="2026-03-29 02:30:00"), "sold_at"),
        ("sales", sale("x", sold_at="2026-02-30T10:00:00Z"), "sold_at"),
        ("sales", sale("x", sold_at="0001-01-01T00:00:00+14:00"), "sold_at"),
        ("sales", sale("x", sold_at="9999-12-31T23:59:59-12:00"), "sold_at"),
        ("sales", sale("x", partner="beta"), "partner"),
        ("sales", sale("x", kind="contact"), "kind"),
        ("sales", sale(""), "native_id"),
        ("sales", sale("x" * 201), "native_id"),
        ("sales", sale("ada@example.org"), "native_id"),
        ("sales", b'{"native_id": "\xff\xfe"}', None),
        ("sales", "\ufeff{}", None),
        ("events", {**EVENT, "starts_at": "2026-03-29T02:30:00"}, "starts_at"),
        ("events", {**EVENT, "timezone": "Mars/Olympus"}, "timezone"),
        ("events", {**EVENT, "timezone": "../etc/passwd"}, "timezone"),
        ("events", {**EVENT, "ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
    ],
)  # fmt: skip
def test_a_bad_record_is_quarantined_alone(
    http: httpx.Client, services: Services, alpha: dict[str, str], plural: str, bad: Any, field: str | None
) -> None:
    good = [{**EXAMPLES[plural], "native_id": f"beside-{side}"} for side in ("left", "right")]
    answer = http.post(f"/v1/{plural}", content=lines(good[0], bad, good[1]), headers={**alpha, **NDJSON})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["accepted"] + body["unchanged"], body["quarantined"]) == (2, 1), body
    (error,) = body["errors"]
    assert error["line"] == 2 and error["reason"] and len(error["reason"]) < 1000
    if field is not None:
        assert error["field"] is not None and error["field"].startswith(field), error
    assert {"beside-left", "beside-right"} <= set(landed(services, "alpha", plural.removesuffix("s")))


def test_an_instant_is_an_instant_whatever_its_offset(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    """An aware time cannot lie in a gap: 02:30+01:00 on the night clocks change is 03:30 in Berlin. The zone only says
    how the venue reads it, so an offset other than the zone's is no fault.
    """
    gap = {**EVENT, "native_id": "gap", "starts_at": "2026-03-29T02:30:00+01:00"}
    other = {**EVENT, "native_id": "other-offset", "starts_at": "2026-07-01T19:00:00-05:00"}
    assert http.post("/v1/events", content=lines(gap, other), headers={**alpha, **NDJSON}).json()["accepted"] == 2


def test_the_same_id_twice_in_one_batch(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    """Versions in the order they stand in; the last one is current."""
    first, second = sale("twice", quantity=1), sale("twice", quantity=2)
    assert post(http, alpha, lines(first, second, second)).json() == {
        "accepted": 2, "unchanged": 1, "quarantined": 0, "errors": [],
    }  # fmt: skip
    assert landed(services, "alpha").count("twice") == 1


def test_lines_of_every_make(http: httpx.Client, alpha: dict[str, str]) -> None:
    text = b"\xef\xbb\xbf" + b"\r\n".join(
        [lines(sale("crlf-1")).strip(), b"", b"  ", lines(sale("crlf-2")).strip(), b"!"]
    )
    body = post(http, alpha, text).json()
    assert (body["accepted"], body["quarantined"]) == (2, 1) and body["errors"][0]["line"] == 5
    marked = b"\xef\xbb\xbf" + json.dumps([sale("bom-1")]).encode()
    answer = http.post(
        "/v1/sales", content=marked, headers={**alpha, "Content-Type": "Application/JSON; charset=UTF-8"}
    )
    assert answer.json()["accepted"] == 1


def test_the_most_that_is_taken_is_taken(http: httpx.Client, alpha: dict[str, str]) -> None:
    body = post(http, alpha, b"\n\n".join([b"1"] * 10_000) + b"\n").json()
    assert body["quarantined"] == 10_000 and len(body["errors"]) == 10_000 and body["errors"][-1]["line"] == 19_999


# --- anything at all --------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
RECORDS = st.fixed_dictionaries(
    {}, optional={name: SCALARS | st.just(value) for name, value in EXAMPLES["sales"].items()}
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(RECORDS | ANYTHING, max_size=4).map(lambda found: json.dumps(found).encode()),
    st.lists(RECORDS | ANYTHING, max_size=4).map(lambda found: lines(*(json.dumps(one) for one in found))),
)
FUZZ = hypothesis_settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@FUZZ
@given(
    body=BODIES, form=st.sampled_from([ARRAY, NDJSON]), pack=st.sampled_from(["no", "yes", "torn"]),
    plural=st.sampled_from(["events", "contacts", "sales"]),
)  # fmt: skip
def test_nothing_makes_it_fail(
    http: httpx.Client, alpha: dict[str, str], body: bytes, form: dict[str, str], pack: str, plural: str
) -> None:
    content = body if pack == "no" else packed(body)[: -3 if pack == "torn" else None]
    answer = http.post(f"/v1/{plural}", content=content, headers={**alpha, **form, **({} if pack == "no" else GZIP)})
    assert answer.status_code in (200, 400, 413, 422), (answer.status_code, answer.text)
    if answer.status_code == 200:
        told = answer.json()
        assert told["quarantined"] == len(told["errors"])
