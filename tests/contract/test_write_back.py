"""Scores written back into HubSpot and Salesforce, attendance into pretix: real HTTP against the live sandbox."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from integrator.contracts.errors import Conflict, InvalidInput, NotFound, NotReady, TransientError
from integrator.contracts.insight import Contribution, Subject
from integrator.platforms.registry import platform
from integrator.steps import connections, write_back, write_back_run
from integrator.steps.connections import Actor, account_of
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator.steps.write_back_run import keep_writing_back, run, run_due
from integrator_sandbox.hubspot import FIRST_ID
from integrator_sandbox.salesforce_leads import lead_id
from tests.channel_suite import two_tenants
from tests.publishing import prediction, put_scored

if TYPE_CHECKING:
    from tests.contract.conftest import LiveSandbox

ALPHA, BETA = Actor("alpha", "tester"), Actor("beta", "tester")
FIELDS = {
    "score": "double", "grade": "string", "reasons": "textarea", "status": "string", "scored_at": "datetime",
    "version": "double",
}  # fmt: skip


@pytest.fixture(scope="module")
def services(database: Any, server: Any) -> Services:
    return two_tenants(database, server)


@pytest.fixture
def clean(services: Services, sandbox: LiveSandbox) -> Services:
    with services.database.batch() as connection:
        for table in ("integrator.connection", "insights.version", "insights.current", "ops.prediction_log",
                      "ops.event_log"):  # fmt: skip
            connection.execute(text(f"delete from {table}"))
    services.clock.now = datetime.fromisoformat("2026-03-16T20:00:00+00:00")  # type: ignore[attr-defined]
    return services


def connect(services: Services, sandbox: LiveSandbox, name: str, actor: Actor = ALPHA) -> None:
    settings, credentials = sandbox.connection(name)
    connections.save(services, actor, account_of(actor.partner, name, None, settings, credentials))


def lead(native_id: str, score: int = 80, grade: str = "A", at: str = "hubspot") -> Any:
    return prediction(
        native_id, 0.5, subject=Subject("contact", native_id, at), unit="probability", interval=None,
        details={"score": score, "grade": grade}, baseline=0.3, summary=f"Likely to convert: {score}.",
        contributions=(Contribution("opened", "Opened three mails", 0.25, True), Contribution("other", "Other", -0.05, False)),
    )  # fmt: skip


def score(services: Services, *leads: Any, position: int, partner: str = "alpha") -> None:
    put_scored(services, partner, leads, position=position, at=services.clock(), use_case="lead_score")
    publish(services, partner, "lead_score", run_id=f"run-{position}")


def hub_ids(count: int, start: int = 0) -> list[str]:
    return [str(FIRST_ID + number) for number in range(start, start + count)]


def open_leads(sandbox: LiveSandbox, count: int) -> list[str]:
    table = sandbox.state.parts["salesforce"].tables["Lead"]
    waiting = [key for key in table.present() if not table.value(key, "IsConverted")]
    return [lead_id(key) for key in waiting[:count]]


def add_fields(sandbox: LiveSandbox, *without: str) -> None:
    for word, kind in FIELDS.items():
        if word not in without:
            name = f"Integrator_{'_'.join(part.capitalize() for part in word.split('_'))}__c"
            sandbox.state.injected("salesforce/fields").append({"name": name, "type": kind})


def ready(services: Services, name: str, actor: Actor = ALPHA) -> None:
    write_back.plan(services, actor, name)
    write_back.enable(services, actor, name)


@contextmanager
def kept_up(services: Services) -> Iterator[None]:
    """Written back all the time, as beside the realtime API."""
    stop = threading.Event()
    thread = threading.Thread(target=keep_writing_back, args=(services, stop), kwargs={"poll_seconds": 0.02})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def until(so: Callable[[], bool]) -> None:
    """Well below the time that one request may take."""
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


@contextmanager
def one_person(services: Services, *rows: tuple[str, str, str]) -> Iterator[None]:
    """The crosswalk says of these records, by partner, platform and native id, that they are the same person's."""
    with services.database.owner() as connection:
        connection.execute(
            text("create table harmonized.identity (partner text, platform text, native_id text, person_id text)")
        )
        for row in rows:
            values = dict(zip(("partner", "platform", "native_id"), row, strict=True))
            connection.execute(
                text("insert into harmonized.identity values (:partner, :platform, :native_id, 'p')"), values
            )
        connection.execute(text("grant select on harmonized.identity to integrator_service"))
    try:
        yield
    finally:
        with services.database.owner() as connection:
            connection.execute(text("drop table harmonized.identity"))


class TestHubSpot:
    def test_a_dry_run_first_then_scores_grades_and_reasons(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        ids = hub_ids(250)
        score(clean, *(lead(one) for one in ids), position=1)
        with pytest.raises(NotReady, match="dry run"):
            write_back.enable(clean, ALPHA, "hubspot")
        with pytest.raises(Conflict, match="off"):
            run(clean, "alpha", "hubspot")
        plan = write_back.plan(clean, ALPHA, "hubspot")
        assert plan.due == 250 and len(plan.lacking) == 6 and "integrator_lead_score" in plan.lacking[0]
        assert not sandbox.state.writes("hubspot") and not sandbox.state.injected("hubspot/properties")
        write_back.enable(clean, ALPHA, "hubspot")
        assert len(sandbox.state.injected("hubspot/properties")) == 6
        again = write_back.plan(clean, ALPHA, "hubspot")
        assert again.lacking == [] and again.sample[0]["fields"]["integrator_lead_score"] == {"old": None, "new": 80}
        before = sandbox.state.requests["hubspot"]
        (report,) = run_due(clean, "alpha")
        assert (report.written, report.refused) == (250, 0)
        assert sandbox.state.requests["hubspot"] - before <= 6, "a hundred contacts in a call"
        held = sandbox.state.writes("hubspot")[ids[0]]
        assert [held[f"integrator_lead_{word}"] for word in ("score", "grade", "version")] == ["80", "A", "1"]
        assert held["integrator_lead_reasons"] == "Likely to convert: 80.\nOpened three mails (+25.0 %)"
        assert run_due(clean, "alpha") == [] and run(clean, "alpha", "hubspot").written == 0

    def test_only_what_is_newer_is_written(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        one, other = hub_ids(2)
        score(clean, lead(one), lead(other), position=1)
        ready(clean, "hubspot")
        run(clean, "alpha", "hubspot")
        score(clean, lead(one, 10, "D"), lead(other), position=2)
        assert run(clean, "alpha", "hubspot").written == 1
        written = sandbox.state.writes("hubspot")
        assert (written[one]["integrator_lead_score"], written[other]["integrator_lead_score"]) == ("10", "80")
        with clean.database.batch() as connection:  # as though a newer one had been written from elsewhere
            connection.execute(text("update integrator.written_back set insight_version = 9"))
        score(clean, lead(one, 20, "D"), lead(other, 20, "D"), position=3)
        assert run(clean, "alpha", "hubspot").written == 0
        assert sandbox.state.writes("hubspot")[one]["integrator_lead_score"] == "10"

    def test_one_that_is_gone_is_refused_once_and_the_rest_is_written(
        self, clean: Services, sandbox: LiveSandbox
    ) -> None:
        connect(clean, sandbox, "hubspot")
        ids = hub_ids(5)
        sandbox.state.removed("hubspot")[ids[2]] = sandbox.clock()
        score(clean, *(lead(one) for one in ids), position=1)
        ready(clean, "hubspot")
        report = run(clean, "alpha", "hubspot")
        assert (report.written, report.refused) == (4, 1)
        found = write_back.status(clean, "alpha", "hubspot")
        assert (found["written"], found["refused"], found["due"], found["last_written_at"]) == (4, 1, 0, clean.clock())
        assert found["refusals"][0]["native_id"] == ids[2] and "OBJECT_NOT_FOUND" in found["refusals"][0]["reason"]
        clean.clock.now += timedelta(hours=1)  # type: ignore[attr-defined]
        assert run(clean, "alpha", "hubspot").refused == 0, "not tried for ever"
        assert write_back.status(clean, "alpha", "hubspot")["last_written_at"] == found["last_written_at"]
        score(clean, *(lead(one, 81) for one in ids), position=2)
        assert run(clean, "alpha", "hubspot").refused == 1, "a newer one is tried"

    def test_withdrawn_clears_or_marks(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        one, other = hub_ids(2)
        score(clean, lead(one), lead(other), position=1)
        ready(clean, "hubspot")
        run(clean, "alpha", "hubspot")
        score(clean, lead(one), position=2)
        assert run(clean, "alpha", "hubspot").written == 1
        assert set(sandbox.state.writes("hubspot")[other].values()) - {sandbox.clock()} == {""}
        write_back.plan(clean, ALPHA, "hubspot", withdrawn="mark")
        assert write_back.status(clean, "alpha", "hubspot")["status"] == "off", "another plan has to be enabled anew"
        write_back.enable(clean, ALPHA, "hubspot")
        score(clean, position=3)
        run(clean, "alpha", "hubspot")
        held = sandbox.state.writes("hubspot")[one]
        assert (held["integrator_lead_status"], held["integrator_lead_score"]) == ("withdrawn", "80")

    def test_what_is_away_is_tried_again_later_and_nothing_is_lost(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        ids = hub_ids(150)
        ready(clean, "hubspot")
        score(clean, *(lead(one) for one in ids), position=1)
        sandbox.fault("hubspot", 503, path="/batch/update")
        with pytest.raises(TransientError):
            run(clean, "alpha", "hubspot")
        found = write_back.status(clean, "alpha", "hubspot")
        assert found["status"] == "on" and "503" in found["last_error"] and found["due"] == 150
        assert run_due(clean, "alpha") == [], "not before its time"
        clean.clock.now += timedelta(seconds=5)  # type: ignore[attr-defined]
        assert [report.written for report in run_due(clean, "alpha")] == [150]

    def test_a_scope_that_is_missing_is_named(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        sandbox.state.injected("hubspot/hidden").append({"scope": "crm.schemas.contacts.write"})
        write_back.plan(clean, ALPHA, "hubspot")
        with pytest.raises(Conflict, match=r"crm\.schemas\.contacts\.write"):
            write_back.enable(clean, ALPHA, "hubspot")
        sandbox.state.injected("hubspot/hidden").clear()
        ready(clean, "hubspot")
        sandbox.state.injected("hubspot/hidden").append({"scope": "crm.objects.contacts.write"})
        score(clean, lead(hub_ids(1)[0]), position=1)
        (report,) = run_due(clean, "alpha")
        assert report.error and "lacks a permission" in report.error
        assert write_back.status(clean, "alpha", "hubspot")["status"] == "failed"

    def test_what_was_written_is_never_read_back_as_a_feature(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        one = hub_ids(1)[0]
        score(clean, lead(one), position=1)
        ready(clean, "hubspot")
        run(clean, "alpha", "hubspot")
        account = sandbox.account(*sandbox.connection("hubspot"))
        pages = list(platform("hubspot").pull(account, "contact", None))
        records = [record for page in pages for record in page.records if record["native_id"] == one]
        assert records and not any("integrator" in name for record in records for name in record["attributes"])
        assert not any("integrator" in name for page in pages for name in page.fields or {})

    def test_all_native_ids_of_the_person(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        one, other, stranger = hub_ids(3)
        persons = [("alpha", "pretix", "order-1"), ("alpha", "hubspot", one), ("alpha", "hubspot", other)]
        with one_person(clean, *persons, ("beta", "hubspot", stranger)):
            score(clean, lead("order-1", at="pretix"), position=1)
            ready(clean, "hubspot")
            assert run(clean, "alpha", "hubspot").written == 2
            assert set(sandbox.state.writes("hubspot")) == {one, other}


class TestSalesforce:
    def test_missing_fields_are_said_with_how_to_add_them(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "salesforce")
        add_fields(sandbox, "score", "grade")
        sandbox.state.injected("salesforce/hidden").append({"object": "edit Integrator_Status__c"})
        plan = write_back.plan(clean, ALPHA, "salesforce")
        assert [line.split(" ")[0] for line in plan.lacking] == [
            "Lead.Integrator_Score__c", "Lead.Integrator_Grade__c", "Lead.Integrator_Status__c"
        ]  # fmt: skip
        assert "Object Manager > Lead" in plan.lacking[0] and "Edit Access" in plan.lacking[2]
        with pytest.raises(Conflict, match="Integrator_Score__c"):
            write_back.enable(clean, ALPHA, "salesforce")

    def test_leads_are_written_two_hundred_at_a_time(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "salesforce")
        add_fields(sandbox)
        ids = open_leads(sandbox, 260)
        score(clean, *(lead(one, at="salesforce") for one in ids), position=1)
        ready(clean, "salesforce")
        before = sandbox.state.requests["salesforce"]
        assert run(clean, "alpha", "salesforce").written == len(ids)
        assert sandbox.state.requests["salesforce"] - before <= 4
        held = sandbox.state.writes("salesforce")[ids[0]]
        assert (held["Integrator_Score__c"], held["Integrator_Grade__c"]) == (80, "A")
        score(clean, *(lead(one, 81, at="salesforce") for one in ids[:-1]), position=2)
        run(clean, "alpha", "salesforce")
        assert sandbox.state.writes("salesforce")[ids[-1]]["Integrator_Score__c"] is None, "withdrawn, so cleared"

    def test_each_record_answers_for_itself(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "salesforce")
        add_fields(sandbox)
        table = sandbox.state.parts["salesforce"].tables["Lead"]
        converted = next(lead_id(key) for key in table.present() if table.value(key, "IsConverted"))
        good, locked = open_leads(sandbox, 2)
        sandbox.state.injected("salesforce/locked").append({"id": locked})
        score(
            clean, *(lead(one, at="salesforce") for one in (good, locked, converted, "00Q000000099999EAA")), position=1
        )
        ready(clean, "salesforce")
        with pytest.raises(TransientError, match="1 leads"):
            run(clean, "alpha", "salesforce")
        found = write_back.status(clean, "alpha", "salesforce")
        assert (found["written"], found["refused"], found["due"]) == (1, 2, 1)
        assert {one["reason"] for one in found["refusals"]} == {
            "salesforce: CANNOT_UPDATE_CONVERTED_LEAD", "salesforce: ENTITY_IS_DELETED"
        }  # fmt: skip
        clean.clock.now += timedelta(seconds=5)  # type: ignore[attr-defined]
        assert [report.written for report in run_due(clean, "alpha")] == [1]


class TestPretix:
    def test_expected_attendance_of_a_date(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "pretix")
        settings, credentials = sandbox.connection("pretix")
        pages = platform("pretix").pull(sandbox.account(settings, credentials), "event", None)
        native_id = next(record["native_id"] for page in pages for record in page.records)
        put_scored(clean, "alpha", [prediction(native_id, 412.0)], position=1, at=clean.clock())
        publish(clean, "alpha", "attendance", run_id="run-1")
        assert write_back.plan(clean, ALPHA, "pretix").due == 1
        write_back.enable(clean, ALPHA, "pretix")
        sandbox.state.writes("pretix")[native_id] = {"meta_data": {"own": "of others"}}
        sandbox.state.injected("pretix/properties").append({"name": "own"})
        assert run(clean, "alpha", "pretix").written == 1
        assert sandbox.state.writes("pretix")[native_id]["meta_data"] == {
            "own": "of others", "integrator_expected_attendance": "412", "integrator_attendance_band": "332 to 477",
            "integrator_version": f"attendance {native_id} 1",
        }  # fmt: skip
        pages = platform("pretix").pull(sandbox.account(settings, credentials), "event", None)
        (record, *_) = [one for page in pages for one in page.records if one["native_id"] == native_id]
        assert record["attributes"] == {"own": "of others"}, "what we wrote is never read back"
        put_scored(clean, "alpha", [], position=2, at=clean.clock())
        publish(clean, "alpha", "attendance", run_id="run-2")
        run(clean, "alpha", "pretix")
        assert sandbox.state.writes("pretix")[native_id]["meta_data"] == {"own": "of others"}


class TestAnyPlatform:
    @pytest.mark.parametrize(("later", "withdrawn"), [(timedelta(0), "mark"), (timedelta(hours=1), "clear")])
    @pytest.mark.parametrize("name", ["hubspot", "salesforce"])
    def test_two_contacts_found_to_be_one_person_keep_the_score_that_stands(
        self, clean: Services, sandbox: LiveSandbox, name: str, later: timedelta, withdrawn: str
    ) -> None:
        connect(clean, sandbox, name)
        add_fields(sandbox)
        kept, merged = hub_ids(2) if name == "hubspot" else open_leads(sandbox, 2)
        write_back.plan(clean, ALPHA, name, withdrawn=withdrawn)
        write_back.enable(clean, ALPHA, name)
        for position in (1, 2, 3):
            score(clean, lead(kept, 80, at=name), lead(merged, position, "D", at=name), position=position)
        assert run(clean, "alpha", name).written == 2
        clean.clock.now += later  # type: ignore[attr-defined]
        with one_person(clean, ("alpha", name, kept), ("alpha", name, merged)):
            score(clean, lead(kept, 80, at=name), position=4)
            assert run(clean, "alpha", name).written == 1
            assert run(clean, "alpha", name).written == 0
        ours = {
            native_id: {
                key.lower(): str(value) for key, value in values.items() if key.lower().startswith("integrator")
            }
            for native_id, values in sandbox.state.writes(name).items()
        }
        assert ours[merged] == ours[kept], (
            "told the person's score, of version 1, and not its own withdrawal, of version 4"
        )
        assert {"80", "A", "ready", "1"} <= {value.removesuffix(".0") for value in ours[merged].values()}

    @pytest.mark.parametrize("act", [write_back.enable, write_back.disable, write_back.plan])
    def test_another_partners_connection_is_not_there(
        self, clean: Services, sandbox: LiveSandbox, act: Callable[..., Any]
    ) -> None:
        connect(clean, sandbox, "hubspot")
        with pytest.raises(NotFound, match="there are: none"):
            act(clean, BETA, "hubspot")
        with pytest.raises(NotFound):
            write_back.status(clean, "beta", "hubspot")

    def test_only_subjects_of_ones_own(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        one, theirs, elsewhere = hub_ids(3)
        score(clean, lead(one), lead(elsewhere, at="salesforce"), position=1)
        score(clean, lead(theirs), position=1, partner="beta")
        ready(clean, "hubspot")
        assert run(clean, "alpha", "hubspot").written == 1
        assert set(sandbox.state.writes("hubspot")) == {one}

    def test_one_account_of_a_platform_and_no_second(self, clean: Services, sandbox: LiveSandbox) -> None:
        """An id in one portal is another person's in the other, and an insight does not say whose it is."""
        second = account_of("alpha", "hubspot", "second", *sandbox.connection("hubspot"))
        connect(clean, sandbox, "hubspot")
        connect(clean, sandbox, "hubspot", BETA)
        ready(clean, "hubspot")
        connections.save(clean, ALPHA, second)
        score(clean, lead(hub_ids(1)[0]), position=1)
        (report,) = run_due(clean, "alpha")
        assert report.error and "hubspot: second" in report.error and not sandbox.state.writes("hubspot")
        found = write_back.status(clean, "alpha", "hubspot")
        assert found["status"] == "failed" and "hubspot: second" in found["status_reason"]
        assert "hubspot: second" in write_back.plan(clean, ALPHA, "hubspot").lacking[0]
        with pytest.raises(Conflict, match="hubspot: second"):
            write_back.enable(clean, ALPHA, "hubspot")
        assert run_due(clean, "alpha") == []
        connections.remove(clean, ALPHA, "second")
        write_back.enable(clean, ALPHA, "hubspot")
        assert run(clean, "alpha", "hubspot").written == 1

    def test_a_platform_that_takes_nothing_back(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "stripe")
        with pytest.raises(InvalidInput, match="pretix, hubspot, salesforce"):
            write_back.plan(clean, ALPHA, "stripe")

    def test_switched_off_and_removed(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        ready(clean, "hubspot")
        write_back.disable(clean, ALPHA, "hubspot")
        score(clean, lead(hub_ids(1)[0]), position=1)
        assert run_due(clean, "alpha") == [] and not sandbox.state.writes("hubspot")
        connections.remove(clean, ALPHA, "hubspot")
        with pytest.raises(NotFound):
            write_back.status(clean, "alpha", "hubspot")


class TestAllPartners:
    def test_a_platform_that_does_not_answer_one_partner_holds_no_other(
        self, clean: Services, sandbox: LiveSandbox
    ) -> None:
        for actor in (ALPHA, BETA):
            connect(clean, sandbox, "hubspot", actor)
            ready(clean, "hubspot", actor)
        ours, theirs = hub_ids(2)
        with kept_up(clean), socket.create_server(("127.0.0.1", 0)) as silent:
            with clean.database.batch() as connection:
                connection.execute(
                    text("""update integrator.connection set settings = settings || jsonb_build_object('base_url',
                      cast(:address as text)) where partner = 'alpha'"""),
                    {"address": f"http://127.0.0.1:{silent.getsockname()[1]}"},
                )
            score(clean, lead(ours), position=1)
            silent.settimeout(20)
            asked, _ = silent.accept()
            with asked:  # and never answered
                score(clean, lead(theirs), position=1, partner="beta")
                until(lambda: theirs in sandbox.state.writes("hubspot"))
                assert write_back.status(clean, "alpha", "hubspot")["last_error"] is None, "still waiting"
        found = write_back.status(clean, "alpha", "hubspot")
        assert (found["status"], found["due"]) == ("on", 1) and found["last_error"]
        assert set(sandbox.state.writes("hubspot")) == {theirs}

    def test_a_large_partner_takes_turns_with_the_others(
        self, clean: Services, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(write_back_run, "AT_ONCE", 1)
        monkeypatch.setattr(write_back_run, "TURN", 1)
        for actor in (ALPHA, BETA):
            connect(clean, sandbox, "hubspot", actor)
            ready(clean, "hubspot", actor)
        *many, theirs = hub_ids(251)
        score(clean, *(lead(one) for one in many), position=1)
        score(clean, lead(theirs), position=1, partner="beta")
        with kept_up(clean):
            until(lambda: len(sandbox.state.writes("hubspot")) == 251)
        written = list(sandbox.state.writes("hubspot"))
        assert written.index(theirs) == 100, "after one batch of the other's, not after all"

    def test_stopped_between_batches_and_the_rest_is_written_later(self, clean: Services, sandbox: LiveSandbox) -> None:
        connect(clean, sandbox, "hubspot")
        ready(clean, "hubspot")
        score(clean, *(lead(one) for one in hub_ids(250)), position=1)
        stop = threading.Event()

        def stopping() -> datetime:
            if sandbox.state.writes("hubspot"):
                stop.set()
            return clean.clock()

        keep_writing_back(replace(clean, clock=stopping), stop, poll_seconds=0.01)
        assert len(sandbox.state.writes("hubspot")) == 100
        assert write_back.status(clean, "alpha", "hubspot")["due"] == 150
        report = run(clean, "alpha", "hubspot", stop=stop)
        assert (report.written, report.complete) == (0, False)
        (report,) = run_due(clean, "alpha")
        assert (report.written, report.complete) == (150, True)
        assert run_due(clean, "alpha") == []
