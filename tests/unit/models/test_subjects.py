"""Feature rows of some subjects are, each, the rows they are among all: the stream and the night say the same."""

from datetime import timedelta

import polars as pl
import pytest

from integrator.contracts.insight import Subject
from models.base import Context
from models.registry import use_case
from tests import attendance_frames, lead_frames, pricing_frames


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
    assert [made.subject for made in code.rule().predict(every)] == [code.subject_of(row) for row in every]
    by_subject = {code.subject_of(row): row for row in every}
    for subject in list(by_subject)[:: max(1, len(by_subject) // 5)]:
        assert code.rows(frame, context, None, {subject}) == [by_subject[subject]]
    few = set(list(by_subject)[:3])
    assert [code.subject_of(row) for row in code.rows(frame, context, None, few)] == [
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
