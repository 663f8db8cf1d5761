"""The insight document: canonical bytes, stable ids, moments in one form."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from integrator.contracts.insight import (
    Confidence,
    Contribution,
    Explanation,
    Insight,
    Interval,
    ModelRef,
    Source,
    Subject,
    canonical,
    insight_id,
    parse,
    rfc3339,
)
from integrator.contracts.readiness import Readiness, Requirement

SUBJECT = Subject("event", "spring-gala", "pretix")


def make(**changes: object) -> Insight:
    facts: dict[str, object] = {
        "id": insight_id("acme", "attendance", SUBJECT), "insight_version": 7, "status": "ready", "partner": "acme",
        "use_case": "attendance", "subject": SUBJECT, "value": 900.0, "unit": "people",
        "interval": Interval(0.8, 820.0, 965.0), "confidence": Confidence("high", 0.81, 42),
        "explanation": Explanation("Expected 900.", 780.0, [Contribution("tickets_sold", "Tickets", 120.0, True)]),
        "details": {"p50": 900}, "rung": "partner", "model": ModelRef("attendance.acme", "12"),
        "source": Source(["pretix"], 5120, "2026-11-21T23:59:00Z"), "generated_at": "2026-11-22T02:00:31Z",
    }  # fmt: skip
    return Insight(**{**facts, **changes})  # type: ignore[arg-type]


def test_canonical_bytes_are_sorted_compact_and_numbers_shortest() -> None:
    data = canonical(make())
    assert data.startswith(b'{"confidence":{"coverage":0.81,"label":"high","observations":42},"details":{"p50":900},')
    assert b'"value":900}' in data or b'"value":900,' in data
    assert b": " not in data.replace(b"Expected 900.", b"")


def test_the_document_survives_its_bytes() -> None:
    insight = make()
    assert parse(canonical(insight)) == insight
    assert canonical(parse(canonical(insight))) == canonical(insight)


def test_a_refusal_has_no_value() -> None:
    assert b'"interval":null' in canonical(make(status="refused", value=None, interval=None))


@pytest.mark.parametrize("field", ["partner", "use_case", "kind", "platform", "id"])
def test_the_id_depends_on_every_part_of_the_address(field: str) -> None:
    address = {"partner": "acme", "use_case": "attendance", "kind": "event", "platform": "pretix", "id": "x"}

    def made(facts: dict[str, str]) -> str:
        return insight_id(facts["partner"], facts["use_case"], Subject(facts["kind"], facts["id"], facts["platform"]))  # type: ignore[arg-type]

    assert made(address) == made(dict(address))
    assert made(address) != made({**address, field: "other"})
    assert made(address).startswith("ins_")
    assert len(made(address)) == 30


def test_moments_are_utc_to_the_second() -> None:
    moment = datetime(2026, 11, 22, 3, 0, 31, 999, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == "2026-11-22T02:00:31Z"
    assert rfc3339(moment) == rfc3339(moment.astimezone(UTC))


def test_an_unknown_status_is_not_parsed() -> None:
    with pytest.raises(msgspec.ValidationError):
        parse(canonical(make()).replace(b'"status":"ready"', b'"status":"maybe"'))


def test_readiness_reads_like_a_sentence() -> None:
    short = Requirement("conversions", "conversions", 63, 120, 24)
    assert str(short) == "63 of 120 conversions, about 24 days"
    assert not short.met
    ready = Readiness("lead_score", "partner", [Requirement("conversions", "conversions", 120, 120)])
    assert ready.ready
    assert not Readiness("lead_score", "rule", [short]).ready


def test_structs_are_immutable() -> None:
    with pytest.raises(AttributeError):
        make().value = 1.0  # type: ignore[misc]
