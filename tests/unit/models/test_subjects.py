"""Feature rows of some subjects are, each, the rows they are among all: the stream and the night say the same."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from integrator.contracts.insight import Subject
from models.base import Context
from models.registry import use_case
from tests import attendance_frames, lead_frames, pricing_frames

Row = dict[str, Any]


def subject_of(name: str, row: Row) -> Subject:
    if name == "attendance":
        return Subject(**row["subject"])
    if name == "lead_score":
        return Subject("contact", str(row["contact_id"]), str(row["platform"]))
    if row["tier"]:
        return Subject("tier", f"{row['product']}/{row['tier']}", row["platform"])
    return Subject("product", row["product"], row["platform"])


def frames() -> dict[str, tuple[pl.DataFrame, Context]]:
    return {
        "attendance": (attendance_frames.arena(days=49), attendance_frames.CONTEXT),
        "pricing": (pricing_frames.shop(6), pricing_frames.CONTEXT),
        "lead_score": (lead_frames.leads(60, 8), lead_frames.CONTEXT),
    }


@pytest.mark.parametrize("name", ["attendance", "pricing", "lead_score"])
def test_some_are_what_they_are_among_all(name: str) -> None:
    frame, context = frames()[name]
    code = use_case(name)
    every = code.rows(frame, context)
    assert len(every) > 3
    by_subject = {subject_of(name, row): row for row in every}
    for subject in list(by_subject)[:: max(1, len(by_subject) // 5)]:
        assert code.rows(frame, context, None, {subject}) == [by_subject[subject]]
    few = set(list(by_subject)[:3])
    assert [subject_of(name, row) for row in code.rows(frame, context, None, few)] == [
        subject for subject in by_subject if subject in few
    ]
    assert code.rows(frame, context, None, set()) == []
    assert code.rows(frame, context, None, {Subject("event", "nobody", "nowhere")}) == []


def test_what_has_begun_since_the_frame_was_read_is_not_to_come() -> None:
    frame, context = frames()["attendance"]
    coming = frame.filter(~pl.col("is_past"))["starts_at"].min()
    assert coming is not None
    code = use_case("attendance")
    later = Context(**{**context.__dict__, "as_of": coming + timedelta(seconds=1)})  # type: ignore[operator]
    first = {row["subject"]["id"] for row in code.rows(frame, context) if row["subject"]["kind"] == "event"}
    second = {row["subject"]["id"] for row in code.rows(frame, later) if row["subject"]["kind"] == "event"}
    assert second < first
