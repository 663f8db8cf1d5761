"""Documents from predictions: canonical, stable ids, what is news, and what a withdrawal says."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from integrator.contracts.insight import Interval, Subject, canonical, json_schema, parse
from integrator.steps.documents import WITHDRAWN, Made, document, is_news, withdrawn
from tests.publishing import prediction

MADE = Made(
    partner="alpha", use_case="attendance", model_name="attendance.alpha", model_version="3",
    as_of=datetime(2026, 3, 15, 23, 59, tzinfo=UTC), at=datetime(2026, 3, 16, 2, tzinfo=UTC),
)  # fmt: skip


def test_a_document_is_canonical_and_comes_back() -> None:
    made = document(prediction("gala"), MADE, 7)
    data = canonical(made)
    assert parse(data) == made and canonical(parse(data)) == data
    assert b'"value":900}' in data and b'"schema":"insight/v1"' in data
    assert b'"as_of":"2026-03-15T23:59:00Z"' in data and b'"generated_at":"2026-03-16T02:00:00Z"' in data


def test_ids_belong_to_partner_use_case_kind_platform_and_subject() -> None:
    base = document(prediction("gala"), MADE, 1).id
    others = [
        document(prediction("gala", subject=Subject("series", "gala", "pretix")), MADE, 1).id,
        document(prediction("gala", subject=Subject("event", "gala", "eventbrite")), MADE, 1).id,
        document(prediction("gala2"), MADE, 1).id,
        document(prediction("gala"), replace(MADE, partner="beta"), 1).id,
    ]
    assert document(prediction("gala", 5.0), MADE, 2).id == base
    assert len({base, *others}) == 5 and base.startswith("ins_") and len(base) == 30


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ({"coverage": 0.5}, False), ({"observations": 7}, False), ({"records": 9}, False),
        ({"value": 899.0}, True), ({"unit": "EUR"}, True), ({"interval": Interval(0.9, 820.0, 965.0)}, True),
        ({"confidence_label": "medium"}, True), ({"rung": "pooled"}, True), ({"status": "fallback"}, True),
        ({"summary": "x"}, True), ({"baseline": 1.0}, True), ({"contributions": ()}, True),
        ({"details": {"p10": 820.0, "p50": 900.0, "p90": 966.0}}, True),
        ({"details": {"p90": 965, "p50": 900, "p10": 820}}, False),
    ],
)  # fmt: skip
def test_news(changes: dict[str, Any], news: bool) -> None:
    last = parse(canonical(document(prediction("gala"), MADE, 1)))
    assert is_news(document(prediction("gala", **changes), MADE, 2), last) is news


def test_time_and_source_are_no_news_and_another_model_is() -> None:
    last = document(prediction("gala"), MADE, 1)
    later = replace(MADE, as_of=datetime(2026, 3, 17, tzinfo=UTC), at=datetime(2026, 3, 17, 2, tzinfo=UTC))
    assert not is_news(document(prediction("gala"), later, 2), last)
    assert is_news(document(prediction("gala"), replace(MADE, model_version="4"), 2), last)


@pytest.mark.parametrize("kind", list(WITHDRAWN))
def test_withdrawn(kind: Any) -> None:
    last = document(prediction("gala", subject=Subject(kind, "gala", "pretix")), MADE, 4)
    gone = withdrawn(last, replace(MADE, at=datetime(2026, 3, 17, 2, tzinfo=UTC)))
    assert (gone.status, gone.value, gone.interval, gone.insight_version, gone.details) == (
        "withdrawn",
        None,
        None,
        5,
        {},
    )
    assert gone.id == last.id and gone.subject == last.subject and gone.model == last.model
    assert gone.explanation.summary.startswith("Withdrawn: ") and gone.explanation.contributions == []
    assert gone.generated_at == "2026-03-17T02:00:00Z"


def test_a_label_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: "):
        document(prediction("gala", confidence_label="certain"), MADE, 1)


def test_the_schema_names_every_field_of_the_document() -> None:
    schema = json_schema()
    properties = schema["$defs"]["Insight"]["properties"]
    assert set(msgspec.to_builtins(document(prediction("gala"), MADE, 1))) == set(properties)
    assert properties["value"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}
