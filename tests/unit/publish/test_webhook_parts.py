"""Pace, holds, references, and what is kept of an answer: the parts of webhooks without a network."""

import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contracts.errors import InvalidInput
from integrator.contracts.insight import Insight, canonical, parse
from integrator.delivery.webhook.pace import Pace
from integrator.delivery.webhook.reference import LARGEST_BODY, MOST_BYTES, reference
from integrator.delivery.webhook.response import LONGEST, shown
from integrator.delivery.webhook.schedule import LONGEST as DAY
from integrator.delivery.webhook.schedule import hold_after
from integrator.storage.webhook_rules import Wanted

DOCUMENT = {
    "schema": "insight/v1", "id": "ins_1", "insight_version": 7, "status": "ready", "partner": "acme",
    "use_case": "attendance", "subject": {"kind": "series", "id": "Saal 1/ü?x#", "platform": "my shop"}, "value": 900.5,
    "unit": "people", "interval": {"level": 0.8, "low": 820, "high": 965},
    "confidence": {"label": "high", "coverage": 0.81, "observations": 42},
    "explanation": {"summary": "x" * 30_000, "baseline": 780, "contributions": []},
    "details": {"horizon": [{"at": "2026-11-22", "p50": n} for n in range(5_000)]}, "rung": "partner",
    "model": {"name": "attendance.acme", "version": "12"},
    "source": {"platforms": ["pretix"], "records": 5120, "as_of": "2026-11-21T23:59:00Z"},
    "generated_at": "2026-11-22T02:00:31Z",
}  # fmt: skip


def test_without_a_limit_nobody_waits() -> None:
    pace = Pace(None)
    assert all(pace.wait(None) for _ in range(1_000)) and pace.left == 0 and pace.wait(time.monotonic())


def test_a_limit_is_shared_by_all_threads() -> None:
    """Six messages at a hundred a second take five gaps, however many threads ask."""
    pace, started = Pace(100.0), time.monotonic()
    threads = [threading.Thread(target=pace.wait, args=[None]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 0.05


def test_who_would_have_to_wait_beyond_the_end_is_told_at_once() -> None:
    pace = Pace(0.01)
    assert pace.wait(time.monotonic() + 1)
    assert not pace.wait(time.monotonic() + 1)
    assert 0 < pace.left <= 100


def test_holds_grow_and_end() -> None:
    assert [hold_after(n).total_seconds() for n in (1, 2, 3, 4, 500)] == [5, 300, 1800, 1800, 1800]
    assert hold_after(1, timedelta(minutes=10)) == timedelta(minutes=10)
    assert hold_after(3, timedelta(seconds=1)) == timedelta(minutes=30)
    assert hold_after(1, timedelta(days=30)) == DAY


def test_a_reference_is_small_and_says_where_the_rest_is() -> None:
    document = canonical(parse(json.dumps(DOCUMENT))).decode()
    assert len(document.encode()) > MOST_BYTES
    text = reference(document)
    found: dict[str, Any] = json.loads(text)
    assert len(text.encode()) < LARGEST_BODY / 10
    assert found["schema"] == "insight-reference/v1"
    assert found["href"] == "/v1/insights/attendance/Saal%201%2F%C3%BC%3Fx%23?platform=my%20shop"
    for name in ("id", "insight_version", "status", "partner", "use_case", "subject", "value", "unit", "interval"):
        assert found[name] == DOCUMENT[name]
    assert not {"details", "explanation"} & found.keys()


def test_the_head_of_a_document_keeps_what_the_insight_calls_it() -> None:
    assert json.loads(reference(json.dumps(DOCUMENT))).keys() - {"href"} <= set(Insight.__struct_fields__)


@pytest.mark.parametrize(
    ("body", "kept"),
    [(b"", None), (b"  \r\n", None), (b"ok", "ok"), (b"\xff\x00", "\ufffd\ufffd"), ("grün ✓".encode(), "grün ✓"),
     (b'{"email":"ann.o\'x+y@mail.example.org","id":5}', '{"email":"[removed],"id":5}'),
     (b"call +49 (170) 123-45 67 or 0170/1234567", "call [removed] or [removed]"),
     (b"card 4111 1111 1111 1111.", "card [removed]."), (b"took 12345678 ms on 2026-11-21", "took 12345678 ms on 2026-11-21"),
     (b"x" * 2_040 + b" ann@example.org", "x" * 2_040 + " [removed"[:8])],
)  # fmt: skip
def test_what_is_kept_of_an_answer(body: bytes, kept: str | None) -> None:
    found = shown(body)
    if kept is not None and kept.startswith('{"email"'):
        assert found is not None and "ann" not in found and "example" not in found
        return
    assert found == kept


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=4_000))
def test_any_answer_is_kept_within_two_kilobytes_and_without_nul(body: bytes) -> None:
    found = shown(body)
    assert found is None or (len(found.encode()) <= LONGEST and "\x00" not in found)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.emails(), st.text(alphabet=" \n<>,;", max_size=3))
def test_no_address_is_kept(address: str, around: str) -> None:
    """The part before the sign, as it is mostly written: letters, digits, dots."""
    plain = "".join(letter for letter in address.partition("@")[0] if letter.isalnum())[:40] or "a"
    host = address.partition("@")[2]
    found = shown(f"{around}{plain}@{host}{around}".encode()) or ""
    assert "@" not in found and host not in found


@pytest.mark.parametrize(
    "wanted",
    [{"event_types": ()}, {"event_types": ("insight",)}, {"use_cases": ("attendance", "attendance")},
     {"statuses": ("READY",)}, {"subject_kinds": ("venue",)}, {"subject_prefix": ""}, {"subject_prefix": "x" * 201},
     {"subject_prefix": "a\x00"}, {"minimum_change": 0.0}, {"minimum_change": float("nan")},
     {"minimum_change": float("inf")}, {"minimum_change": True}, {"max_per_second": 0.001},
     {"max_per_second": 1001}, {"max_in_flight": 0}, {"max_in_flight": 17}, {"max_in_flight": 2.5},
     {"max_in_flight": True}],
)  # fmt: skip
def test_wishes_that_cannot_be_met(wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="allowed: "):
        Wanted(**wanted)


def test_wishes_that_can() -> None:
    full = Wanted(
        event_types=("webhook.test",), use_cases=("pricing",), statuses=("refused",), subject_kinds=("tier",),
        subject_prefix="%_'", minimum_change=0.0001, max_per_second=0.01, max_in_flight=16,
    )  # fmt: skip
    assert full != Wanted() and Wanted().event_types == ("insight.updated", "insight.withdrawn")
