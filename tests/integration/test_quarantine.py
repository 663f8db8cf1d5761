"""Quarantine over HTTP: listed with reasons, read whole by its owner alone, mended and replayed, marked only when landed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from integrator.contracts.errors import NotFound
from integrator.steps.quarantine import replay, replay_waiting
from integrator.steps.services import Services
from integrator.storage import landing, quarantine
from integrator.storage.quarantine import Filter
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


@pytest.fixture
def waiting(http: httpx.Client, alpha: dict[str, str], request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A sale in quarantine, its native id the test's own; emptied afterwards."""
    name = request.node.name[:80]
    http.post("/v1/sales", content=lines(sale(name, currency="XYZ")), headers={**alpha, **NDJSON})
    yield entries(http, alpha)[0]


def entries(http: httpx.Client, header: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    answer = http.get("/v1/quarantine", params=query, headers=header)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["quarantine"]
    return found


def replayed(http: httpx.Client, header: dict[str, str], quarantine_id: int, **how: Any) -> dict[str, Any]:
    answer = http.post(
        f"/v1/quarantine/{quarantine_id}/replay", **{**how, "headers": {**header, **how.get("headers", {})}}
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_entry_says_what_and_why_but_not_who(http: httpx.Client, alpha: dict[str, str]) -> None:
    person = {**EXAMPLES["contacts"], "native_id": "eve@example.org", "stage": 7, "email": "eve@example.org"}
    http.post("/v1/contacts?platform=crm", content=lines(person), headers={**alpha, **NDJSON})
    (entry,) = entries(http, alpha, kind="contacts", platform="crm")
    assert entry.keys() == {"quarantine_id", "platform", "kind", "native_id", "field", "reason", "quarantined_at"}
    assert (entry["field"], entry["native_id"]) == ("stage", None) and "eve" not in json.dumps(entry)
    whole = http.get(f"/v1/quarantine/{entry['quarantine_id']}", headers=alpha)
    assert json.loads(whole.json()["payload"]) == person and whole.headers["cache-control"] == "no-store"
    assert whole.json()["replayed_at"] is None


def test_paging_and_filters(http: httpx.Client, services: Services) -> None:
    header = caller(http, services, "beta")
    bad = [sale(f"p-{n}", **({"currency": "XYZ"} if n % 2 else {"quantity": -1})) for n in range(7)]
    http.post("/v1/sales?platform=tills", content=lines(*bad), headers={**header, **NDJSON})
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = http.get("/v1/quarantine", params=query, headers=header).json()
        seen += [entry["native_id"] for entry in page["quarantine"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == [f"p-{n}" for n in reversed(range(7))]
    assert len(entries(http, header, field="currency")) == 3 and len(entries(http, header, kind="sale")) == 7
    assert entries(http, header, platform="direct") == [] and entries(http, header, kind="events") == []
    is_problem(http.get("/v1/quarantine?kind=nonsense", headers=header), 422, "invalid-input")
    is_problem(http.get("/v1/quarantine?field=a%00", headers=header), 422, "invalid-input")
    for query in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": 2**63}):
        is_problem(http.get("/v1/quarantine", params=query, headers=header), 422, "invalid-input")


def test_another_partners_entry_is_not_there(http: httpx.Client, services: Services, waiting: dict[str, Any]) -> None:
    other = caller(http, services, "beta")
    number = waiting["quarantine_id"]
    is_problem(http.get(f"/v1/quarantine/{number}", headers=other), 404, "not-found")
    is_problem(http.post(f"/v1/quarantine/{number}/replay", headers=other), 404, "not-found")
    assert number not in [entry["quarantine_id"] for entry in entries(http, other)]
    reader = caller(http, services, "alpha", "sales:write")
    for method, path in (("GET", ""), ("GET", f"/{number}"), ("POST", f"/{number}/replay"), ("POST", "/replay")):
        is_problem(http.request(method, f"/v1/quarantine{path}", headers=reader), 403, "forbidden")


def test_what_still_cannot_land_stays(
    http: httpx.Client, services: Services, alpha: dict[str, str], waiting: dict[str, Any]
) -> None:
    number = waiting["quarantine_id"]
    done = replayed(http, alpha, number)
    assert (done["replayed"], done["refused"]) == (0, 1)
    assert done["errors"][0]["quarantine_id"] == number and done["errors"][0]["field"] == "currency"
    assert entries(http, alpha)[0] == waiting
    assert waiting["native_id"] not in landed(services, "alpha")


def test_mend_and_replay(
    http: httpx.Client, services: Services, alpha: dict[str, str], waiting: dict[str, Any]
) -> None:
    number, name = waiting["quarantine_id"], waiting["native_id"]
    worse = replayed(http, alpha, number, json=sale(name, quantity=-5))
    assert (worse["replayed"], worse["errors"][0]["field"]) == (0, "quantity")
    assert entries(http, alpha)[0] == waiting, "a mend that cannot land changes nothing"
    for _ in range(2):
        done = replayed(http, alpha, number, json=sale(name))
        assert done == {"replayed": 1, "refused": 0, "errors": [], "next": None}
    assert replayed(http, alpha, number)["replayed"] == 1, "it has landed: nothing more to do"
    assert landed(services, "alpha").count(name) == 1
    assert number not in [entry["quarantine_id"] for entry in entries(http, alpha)]
    assert http.get(f"/v1/quarantine/{number}", headers=alpha).json()["replayed_at"]
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text("select version_id from landing.sale where partner = 'alpha' and native_id = :id"), {"id": name}
        ).all()
    assert len(rows) == 1, "replayed twice is one version"


def test_the_same_bad_record_again_waits_again(
    http: httpx.Client, alpha: dict[str, str], waiting: dict[str, Any]
) -> None:
    replayed(http, alpha, waiting["quarantine_id"], json=sale(waiting["native_id"]))
    http.post("/v1/sales", content=lines(sale(waiting["native_id"], currency="XYZ")), headers={**alpha, **NDJSON})
    assert entries(http, alpha)[0]["quarantine_id"] == waiting["quarantine_id"]


def test_a_mended_body_is_read_as_carefully_as_any(
    http: httpx.Client, alpha: dict[str, str], waiting: dict[str, Any]
) -> None:
    url = f"/v1/quarantine/{waiting['quarantine_id']}/replay"
    good = json.dumps(sale(waiting["native_id"])).encode()
    for content in (b"{", b"[]", b"7", good + b"," + good, good + good, b"\xff", b"[" * 10_000):
        answer = http.post(url, content=content, headers={**alpha, **ARRAY})
        assert (answer.status_code, answer.json()["refused"]) == (200, 1), content[:40]
    is_problem(http.post(url, content=good, headers={**alpha, **NDJSON}), 415, "unsupported-media-type")
    is_problem(http.post(url, content=b"x" * (17 << 20), headers={**alpha, **ARRAY}), 413, "body-too-large")
    is_problem(http.post("/v1/quarantine/0/replay", headers=alpha), 422, "invalid-input")
    is_problem(http.post("/v1/quarantine/99999999/replay", headers=alpha), 404, "not-found")
    assert (
        replayed(http, alpha, waiting["quarantine_id"], content=packed(good), headers={**ARRAY, **GZIP})["replayed"]
        == 1
    )


def test_bulk_replay_lands_what_can_and_marks_only_that(services: Services) -> None:
    """Two of three records are put in quarantine by hand for a reason that no longer holds."""
    now = services.clock()
    _put(services, [sale("b-1"), sale("b-2"), sale("b-3", quantity=-1)], "bulk")
    done = replay_waiting(services, "alpha", Filter(platform="bulk"))
    assert (done.replayed, done.refused, done.next) == (2, 1, None)
    assert {"b-1", "b-2"} <= set(landed(services, "alpha"))
    with services.database.partner("alpha") as connection:
        (left,) = quarantine.waiting(connection, "alpha", only=Filter(platform="bulk"))
        events = connection.execute(
            text("select data from ops.event_log where partner = 'alpha' and kind = 'quarantine.replayed'")
        ).scalars()
        assert {"replayed": 2, "refused": 1} in list(events)
    assert left.field == "quantity" and "old reason" not in left.reason, "with the reason of now"
    assert left.quarantined_at == now


def test_bulk_replay_goes_on_where_it_ended(http: httpx.Client, services: Services, alpha: dict[str, str]) -> None:
    _put(services, [sale(f"n-{n}") for n in range(5)], "pages")
    first = replay_waiting(services, "alpha", Filter(platform="pages"), most=3)
    assert first.replayed == 3 and first.next is not None
    answer = http.post("/v1/quarantine/replay", params={"platform": "pages", "after": first.next}, headers=alpha)
    assert answer.json() == {"replayed": 2, "refused": 0, "errors": [], "next": None}


def test_an_old_record_does_not_outdo_a_newer_one(services: Services) -> None:
    """It came on Monday and was refused; a newer version landed on Tuesday; it is replayed on Wednesday."""
    monday = services.clock()
    _put(services, [sale("late", quantity=1)], "order")
    landing.write(
        services.database, "alpha", "order", "sale", [sale("late", quantity=2)], now=monday + timedelta(days=1)
    )
    wednesday = replace(services, clock=lambda: monday + timedelta(days=2))
    assert replay_waiting(wednesday, "alpha", Filter(platform="order")).replayed == 1
    with services.database.partner("alpha") as connection:
        rows = connection.execute(
            text("""select quantity, valid_to is null as now from landing.sale
              where partner = 'alpha' and native_id = 'late' order by valid_from""")
        ).all()
    assert [(row.quantity, row.now) for row in rows] == [(1, False), (2, True)]


def test_a_record_of_a_csv_file_is_replayed_as_it_was_read(services: Services) -> None:
    """There numbers are text."""
    row = sale("csv-1", quantity="3", currency="XYZ")
    landing.write(services.database, "alpha", "files", "sale", [row], now=services.clock(), strict=False)
    with services.database.partner("alpha") as connection:
        (entry,) = quarantine.waiting(connection, "alpha", only=Filter(platform="files"))
        (kept,) = quarantine.kept(connection, services.database.master, "alpha", [entry.quarantine_id])
    assert not kept.strict
    done = replay(services, "alpha", entry.quarantine_id)
    assert [error.field for error in done.errors] == ["currency"], "the text is no fault, the currency is"
    with pytest.raises(NotFound):
        replay(services, "beta", entry.quarantine_id)


def _put(services: Services, records: list[dict[str, Any]], platform: str) -> None:
    from integrator.contracts.records import RecordError
    from integrator.storage.partners import data_key

    with services.database.partner("alpha") as connection:
        key = data_key(connection, services.database.master, "alpha")
        rejected = [
            (json.dumps(record).encode(), RecordError(line, "status", None, "old reason"))
            for line, record in enumerate(records, start=1)
        ]
        quarantine.add(connection, key, "alpha", platform, "sale", rejected, services.clock())
