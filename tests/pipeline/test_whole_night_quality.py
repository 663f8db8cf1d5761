"""Data quality in the whole night: real data leaves nobody out, and what was planted among it is seen and named."""

import json
from typing import Any

import pytest
from dagster import AssetKey

from integrator.storage import quality_results
from tests.pipeline.installation import PARTNERS, Installation, Night
from tests.pipeline.planted import NEWCOMER, TRACES

pytestmark = pytest.mark.timeout(600)
OF_PARTNER = {
    "car_parks": ("event",),
    "grocer": ("sale",),
    "travel": ("contact",),
    NEWCOMER: ("event", "contact", "sale"),
}


def newest(installation: Installation, partner: str) -> list[dict[str, Any]]:
    with installation.services.database.partner(partner) as connection:
        return quality_results.newest(connection, partner)


@pytest.mark.parametrize("partner", [*PARTNERS, NEWCOMER])
def test_real_data_leaves_nobody_out(installation: Installation, first: Night, partner: str) -> None:
    found = newest(installation, partner)
    assert {one["kind"] for one in found} >= set(OF_PARTNER[partner])
    assert [one for one in found if one["passed"] is False and one["severity"] == "error"] == []
    assert all(one["mend"] for one in found if one["passed"] is False)
    assert {one["passed"] for one in found if one["dimension"] == "contract"} == {True}
    assert first.steps(partner)["harmonize", ""] == "success"


def test_what_was_planted_waits_in_quarantine_and_no_personal_part_of_it_is_told(
    installation: Installation, first: Night
) -> None:
    told = {partner: newest(installation, partner) for partner in PARTNERS}
    waiting = {
        (partner, one["kind"]) for partner, ones in told.items() for one in ones
        if one["expectation"] == "none_in_quarantine" and one["passed"] is False
    }  # fmt: skip
    assert waiting >= {("travel", "contact"), ("car_parks", "event")}
    assert not any(trace in json.dumps(told, default=str) for trace in TRACES)


def test_the_checks_of_the_night_stand_in_dagster_with_the_ids(installation: Installation, first: Night) -> None:
    checks = {
        (event.asset_key.to_user_string(), event.check_name): event
        for entry in installation.instance.all_logs(first.result.run_id)
        if entry.dagster_event is not None and entry.dagster_event.event_type_value == "ASSET_CHECK_EVALUATION"
        for event in [entry.dagster_event.asset_check_evaluation_data]
    }
    contacts = checks["harmonized/contacts", "quarantine"]
    assert not contacts.passed and contacts.severity.value == "WARN"
    assert "travel/hubspot/none_in_quarantine" in dict(contacts.metadata["failing_ids"].value)
    for kind in ("events", "contacts", "sales"):
        assert checks[f"harmonized/{kind}", "contract"].passed
        assert AssetKey(["harmonized", kind]) in {event.asset_key for event in checks.values()}
