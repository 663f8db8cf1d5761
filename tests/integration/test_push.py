"""Pushing records over HTTP: three kinds, two forms, plain and packed; what lands, what is told, who may."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from integrator.steps.services import Services
from integrator.storage.landing_merge import lock
from integrator_realtime.app import create_app
from tests.pushing import ARRAY, EXAMPLES, GZIP, NDJSON, caller, is_problem, landed, lines, packed, sale
from tests.serving import serving


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def alpha(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "alpha")


@pytest.fixture(scope="module")
def beta(http: httpx.Client, services: Services) -> dict[str, str]:
    return caller(http, services, "beta")


def counts(answer: httpx.Response) -> tuple[int, int, int]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return body["accepted"], body["unchanged"], body["quarantined"]


@pytest.mark.parametrize("plural", ["events", "contacts", "sales"])
@pytest.mark.parametrize("form", ["array", "ndjson"])
def test_every_kind_in_both_forms(
    http: httpx.Client, services: Services, alpha: dict[str, str], plural: str, form: str
) -> None:
    record = {**EXAMPLES[plural], "native_id": f"{form}-1"}
    body = json.dumps([record]).encode() if form == "array" else lines(record)
    head = {**alpha, **(ARRAY if form == "array" else NDJSON)}
    answer = http.post(f"/v1/{plural}", content=body, headers=head)
    assert answer.json() == {"accepted": 1, "unchanged": 0, "quarantined": 0, "errors": []}
    assert answer.headers["content-type"] == "application/json"
    assert f"{form}-1" in landed(services, "alpha", plural.removesuffix("s"))
    again = http.post(f"/v1/{plural}", content=packed(body), headers={**head, **GZIP})
    assert counts(again) == (0, 1, 0)


def test_good_records_land_beside_bad_ones(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    body = lines(
        sale("good-1"), "", sale("bad-1", currency="XXZ"), "{broken", sale("good-2"), sale("bad-2", partner="beta"),
        sale("bad-3", quantity=-1),
    )  # fmt: skip
    answer = http.post("/v1/sales", content=body, headers={**alpha, **NDJSON})
    assert counts(answer) == (2, 0, 4)
    errors = answer.json()["errors"]
    assert [(e["line"], e["field"]) for e in errors] == [(3, "currency"), (4, None), (6, "partner"), (7, "quantity")]
    assert errors[0]["value"] == "XXZ" and "ISO 4217" in errors[0]["reason"]
    assert errors[3]["value"] == "-1" and all(e["reason"] for e in errors)
    assert {"good-1", "good-2"} <= set(landed(services, "alpha")) and "bad-2" not in landed(services, "beta")


def test_all_quarantined_is_still_answered_with_200(http: httpx.Client, alpha: dict[str, str]) -> None:
    answer = http.post("/v1/sales", content=b'[1, "x", null, [], {}]', headers={**alpha, **ARRAY})
    assert counts(answer) == (0, 0, 5)
    assert [error["line"] for error in answer.json()["errors"]] == [1, 2, 3, 4, 5]
    assert counts(http.post("/v1/sales", content=b"[]", headers={**alpha, **ARRAY})) == (0, 0, 0)


def test_the_same_ids_of_two_partners_and_two_platforms_stay_apart(
    http: httpx.Client, services: Services, alpha: dict[str, str], beta: dict[str, str]
) -> None:
    body = lines(sale("shared", unit_price="10.00"))
    for header, where in ((alpha, ""), (beta, ""), (alpha, "?platform=tills")):
        assert counts(http.post(f"/v1/sales{where}", content=body, headers={**header, **NDJSON})) == (1, 0, 0)
    changed = lines(sale("shared", unit_price="11.00"))
    assert counts(http.post("/v1/sales", content=changed, headers={**beta, **NDJSON})) == (1, 0, 0)
    with services.database.batch() as connection:
        rows = connection.execute(
            text("""select partner, platform, unit_price from landing.sale
              where native_id = 'shared' and valid_to is null order by 1, 2""")
        ).all()
    assert [(r.partner, r.platform, float(r.unit_price)) for r in rows] == [
        ("alpha", "direct", 10.0), ("alpha", "tills", 10.0), ("beta", "direct", 11.0),
    ]  # fmt: skip


def test_scopes_are_per_kind(http: httpx.Client, services: Services) -> None:
    header = caller(http, services, "alpha", "sales:write")
    body = lines(sale("scoped"))
    assert counts(http.post("/v1/sales", content=body, headers={**header, **NDJSON})) == (1, 0, 0)
    for plural in ("events", "contacts"):
        is_problem(http.post(f"/v1/{plural}", content=body, headers={**header, **NDJSON}), 403, "forbidden")
    is_problem(http.post("/v1/sales", content=body, headers=NDJSON), 401, "unauthorized")
    is_problem(http.get("/v1/sales", headers=header), 405, "method-not-allowed")


@pytest.mark.parametrize("platform", ["", "Pretix", "a b", "x" * 41, "a/../b", "a%00", "1a", "ä"])
def test_a_platform_is_a_name(http: httpx.Client, alpha: dict[str, str], platform: str) -> None:
    answer = http.post(
        "/v1/sales", params={"platform": platform}, content=lines(sale("x")), headers={**alpha, **NDJSON}
    )
    is_problem(answer, 422, "invalid-input")


def test_personal_fields_go_to_the_vault_and_nowhere_else(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    record = {
        **EXAMPLES["contacts"],
        "native_id": "p-1",
        "email": "grace@hopper.example",
        "attributes": {"tier": "gold"},
    }
    bad = {**record, "native_id": "p-2", "stage": 5}
    answer = http.post(
        "/v1/contacts", content=lines(record, bad), headers={**alpha, **NDJSON, "Idempotency-Key": "vaulted"}
    )
    assert counts(answer) == (1, 0, 1)
    with services.database.batch() as connection:
        tables = ("landing.contact", "landing.quarantine", "ops.idempotency", "ops.request_log", "ops.event_log")
        for table in tables:
            rows = connection.execute(text(f"select t::text as row from {table} t")).scalars().all()
            assert not any("hopper" in row or "grace" in row for row in rows), table
            assert not any(b"grace@hopper".hex() in row for row in rows), table
        assert connection.execute(text("select count(*) from vault.personal where native_id = 'p-1'")).scalar_one() == 1


def test_every_push_is_logged_by_client_and_route(
    http: httpx.Client, services: Services, alpha: dict[str, str]
) -> None:
    def entry(answer: httpx.Response) -> Any:
        for _ in range(100):
            with services.database.partner("alpha") as connection:
                found = connection.execute(
                    text("select * from ops.request_log where partner = 'alpha' and request_id = :id"),
                    {"id": answer.headers["x-request-id"]},
                ).one_or_none()
            if found is not None:
                return found
            time.sleep(0.05)
        raise AssertionError("not logged")

    good = entry(http.post("/v1/sales?platform=tills", content=lines(sale("l-1")), headers={**alpha, **NDJSON}))
    assert (good.route, good.method, good.status) == ("/v1/sales", "POST", 200)
    assert good.client_id.startswith("") and good.client_id and good.latency_ms > 0
    for content, headers, status in (
        (b"x", {"Content-Type": "text/csv"}, 415), (b"", NDJSON, 400), (b"{", ARRAY, 422), (b"x", {**NDJSON, **GZIP}, 400),
    ):  # fmt: skip
        logged = entry(http.post("/v1/sales", content=content, headers={**alpha, **headers}))
        assert (logged.route, logged.status, logged.client_id) == ("/v1/sales", status, good.client_id)


def test_pushes_are_counted(http: httpx.Client, alpha: dict[str, str]) -> None:
    http.post("/v1/events", content=lines(EXAMPLES["events"]), headers={**alpha, **NDJSON})
    page = http.get("/metrics").text
    assert 'integrator_pushes_total{kind="event",replayed="false"}' in page
    assert 'integrator_records_pushed_total{kind="event",outcome="accepted"} ' in page


def test_who_waits_for_himself_keeps_nobody_waiting(
    http: httpx.Client, services: Services, alpha: dict[str, str], beta: dict[str, str]
) -> None:
    """Records of one partner, platform and kind land one batch at a time: alpha's six wait here, beta's does not."""
    with ThreadPoolExecutor(6) as pool:
        with services.database.partner("alpha") as connection:
            lock(connection, "alpha", "direct", "sale")
            url, head = f"{http.base_url}/v1/sales", {**alpha, **NDJSON}
            waiting = [pool.submit(httpx.post, url, content=lines(sale(f"wait-{n}")), headers=head) for n in range(6)]
            assert counts(http.post("/v1/sales", content=lines(sale("at-once")), headers={**beta, **NDJSON})) == (
                1,
                0,
                0,
            )
            assert http.get("/readyz").status_code == 200
            assert not any(one.done() for one in waiting)
        assert [counts(one.result()) for one in waiting] == [(1, 0, 0)] * 6
