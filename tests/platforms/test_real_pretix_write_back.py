"""Attendance and prices written back into a real pretix's meta data: by its own API, beside what others wrote there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Conflict
from integrator.contracts.insight import Subject
from integrator.steps import connections, write_back
from integrator.steps.connections import Actor, account_of
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.steps.write_back_run import run, run_due
from tests.platforms.box_office import BoxOffice
from tests.platforms.real_pretix import RealPretix
from tests.publishing import prediction, put_scored

HALL = Actor("hall", "tester")


def connect(services: Services, pretix: RealPretix, token: str) -> None:
    settings = {"base_url": pretix.url, "organizer": pretix.organizer, "country": "DE", "city": "Berlin"}
    connections.save(services, HALL, account_of("hall", "pretix", None, settings, {"token": token}))


def soon(days: int) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def attendance(services: Services, position: int, *told: Any) -> None:
    put_scored(services, "hall", told, position=position, at=services.clock())
    publish(services, "hall", "attendance", run_id=f"run-{position}")


def prices(services: Services, position: int, **told: float) -> None:
    made = [
        prediction(item, value, subject=Subject("product", item, "pretix"), unit="EUR", details={"current_price": 20.0})
        for item, value in told.items()
    ]
    put_scored(services, "hall", made, position=position, at=services.clock(), use_case="pricing")
    publish(services, "hall", "pricing", run_id=f"prices-{position}")


def meta(office: BoxOffice, path: str) -> dict[str, str]:
    found: dict[str, str] = office.call("GET", path)["meta_data"]
    return found


@pytest.fixture(scope="module")
def sold(services: Services, office: BoxOffice) -> str:
    """Two events; the first one's ticket, sold, as the night would have harmonized it."""
    office.event("concert", soon(20))
    office.event("reading", soon(25))
    item = str(office.call("GET", "/events/concert/items/")["results"][0]["id"])
    with services.database.owner() as connection:
        connection.execute(
            text("create table harmonized.event (partner text, platform text, event_id text, series_id text)")
        )
        connection.execute(
            text("create table harmonized.sale (partner text, platform text, event_id text, product text, tier text)")
        )
        connection.execute(text("insert into harmonized.event values ('hall', 'pretix', 'concert', null)"))
        connection.execute(
            text("insert into harmonized.sale values ('hall', 'pretix', 'concert', :item, '')"), {"item": item}
        )
        connection.execute(text("grant select on harmonized.event, harmonized.sale to integrator_service"))
    return item


def test_a_token_that_may_not_is_told_what_is_missing(services: Services, pretix: RealPretix) -> None:
    connect(services, pretix, pretix.blind_token)
    plan = write_back.plan(services, HALL, "pretix")
    assert len(plan.lacking) == 4 and "integrator_expected_attendance" in plan.lacking[0]
    with pytest.raises(Conflict, match="organizer settings"):
        write_back.enable(services, HALL, "pretix")


def test_from_the_dry_run_to_the_events_own_screens(
    services: Services, pretix: RealPretix, office: BoxOffice, sold: str
) -> None:
    connect(services, pretix, pretix.token)
    office.call("POST", "/event_meta_properties/", name="stage", default="", choices=None)
    office.call("PATCH", "/events/concert/", meta_data={"stage": "north"})
    attendance(services, 1, prediction("concert", 412.0), prediction("reading", 38.0), prediction("nowhere", 5.0))
    prices(services, 1, **{sold: 23.5})
    plan = write_back.plan(services, HALL, "pretix")
    assert plan.due == 3 and len(plan.lacking) == 4
    assert meta(office, "/events/concert/") == {"stage": "north"}
    write_back.enable(services, HALL, "pretix")
    report = run(services, "hall", "pretix")
    assert (report.written, report.refused) == (2, 1)
    assert meta(office, "/events/concert/") == {
        "stage": "north", "integrator_expected_attendance": "412", "integrator_attendance_band": "332 to 477",
        "integrator_recommended_price": "23.5 EUR", "integrator_version": f"attendance concert 1; pricing {sold} 1",
    }  # fmt: skip
    assert meta(office, "/events/reading/")["integrator_expected_attendance"] == "38"
    assert write_back.status(services, "hall", "pretix")["refusals"][0]["native_id"] == "nowhere"
    assert run(services, "hall", "pretix").written == 0

    attendance(services, 2, prediction("concert", 420.0), prediction("reading", 38.0))
    assert [one.written for one in run_due(services, "hall")] == [1], (
        "only what is newer; the refused one was never there"
    )
    assert meta(office, "/events/concert/")["integrator_expected_attendance"] == "420"
    attendance(services, 3, prediction("concert", 420.0))
    run_due(services, "hall")
    assert meta(office, "/events/reading/") == {}, "withdrawn, so cleared"
    assert meta(office, "/events/concert/")["stage"] == "north"
